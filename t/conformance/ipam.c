/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is checked of address drivers. --option: those that each pool is asked for with. */
#include "dockerd/ipam.h"

#include <stdio.h>
#include <stdlib.h>

#include "network/cidr.h"
#include "kit.h"

#define SUBNET "10.213.7.0/24"
#define OTHER "10.214.0.0/16"
#define THREADS 4
#define EACH 20
#define GATEWAY_KEY "RequestAddressType"
#define GATEWAY "com.docker.network.gateway"

static const struct dkd_ipam_ops *ops;
static struct dkd_ipam *ipam;
static struct dkd_ipam_caps caps;
static char *space, *pool;

static bool begin(struct check *c)
{
	OWN_FREE char *root = xasprintf("%s/network/ipam/%s", c->root, c->driver->desc->name);
	struct dkd_ipam_open open = { .size = sizeof(open), .root = root, .instance = c->instance };
	OWN_STRMAP struct strmap spaces = { 0 };

	kit_begin(c);
	ops = c->driver->ops;
	caps = (struct dkd_ipam_caps){ .size = sizeof(caps) };
	if (!works(call_driver(ops->open, driver_host(c->driver), &open, &ipam) == 0, "open"))
		return false;
	works(call_driver(ops->capabilities, ipam, &caps) == 0 && !(caps.flags & ~(DKD_IPAM_NEEDS_MAC | DKD_IPAM_REPLAY)), "capabilities");
	works(call_driver(ops->address_spaces, ipam, kit_pair, &spaces) == 0 && strmap_get(&spaces, "local") && strmap_get(&spaces, "global"),
		"a local and a global address space");
	str_set(&space, strmap_get(&spaces, "local"));
	return true;
}

static void shut(void)
{
	if (ops->close)
		ops->close(ipam);
	err_done(&why);
}

struct got { unsigned count; char *id, *subnet; };

static int32_t on_pool(void *to, const struct dkd_ipam_pool *p)
{
	struct got *g = to;

	g->count++;
	str_set(&g->id, p->id);
	str_set(&g->subnet, p->subnet);
	return 0;
}

/* Its id into pool; -1 with why. */
static int ask_pool(const char *subnet, const char *range, uint32_t flags, struct cidr *ret)
{
	struct dkd_ipam_pool_wish wish = { .size = sizeof(wish), .flags = flags, .space = space, .pool = subnet, .range = range };
	OWN_FREE struct dkd_pair *options = kit_options(NULL, NULL, &wish.options_len);
	struct got got = { 0 };
	int rc;

	wish.options = options;
	rc = call_driver(ops->request_pool, ipam, &wish, on_pool, &got);
	if (rc == 0 && (got.count != 1 || str_empty(got.id) || !cidr_parse(got.subnet, ret)))
		rc = err_set(&why, ERR_INTERNAL, "%u pools were emitted, the last one is %s", got.count, got.subnet ? got.subnet : "none");
	if (rc == 0)
		str_set(&pool, got.id);
	free(got.id);
	free(got.subnet);
	return rc;
}

/* The address, to be freed; NULL with why. */
static char *ask(const char *want, const char *key, const char *value)
{
	static const char *const mac = "02:42:ac:11:00:02";
	const struct dkd_pair options[] = { { "com.docker.network.endpoint.macaddress", mac }, { key, value } };
	char *ret = NULL;

	if (call_driver(ops->request_address, ipam, pool, want, options, key ? 2 : 1, kit_keep, &ret) == 0 && ret)
		return ret;
	free(ret);
	return NULL;
}

static int give(const char *address)
{
	OWN_FREE char *plain = cidr_plain_dup(address);

	return call_driver(ops->release_address, ipam, pool, plain);
}

static bool lies_in(const char *address, const struct cidr *subnet)
{
	struct cidr a;

	return cidr_parse(address, &a) && cidr_contains(subnet, &a.address) && a.bits == subnet->bits;
}

static void case_addresses(struct check *c)
{
	OWN_FREE char *gateway = NULL, *first = NULL, *second = NULL, *chosen = NULL, *again = NULL;
	struct cidr subnet;

	if (!begin(c))
		return;
	if (!works(ask_pool(SUBNET, NULL, 0, &subnet) == 0, "a pool"))
		return shut();
	gateway = ask(NULL, GATEWAY_KEY, GATEWAY);
	works(gateway && lies_in(gateway, &subnet), "an address for its gateway, in the subnet and with its length");
	first = ask(NULL, NULL, NULL);
	second = ask(NULL, NULL, NULL);
	works(first && second && lies_in(first, &subnet) && lies_in(second, &subnet), "two for containers");
	check_ok(first && second && gateway && !streq(first, second) && !streq(first, gateway) && !streq(second, gateway), "none of them twice");
	chosen = ask("10.213.7.77", NULL, NULL);
	works(chosen && streq(chosen, "10.213.7.77/24"), "one that is wished for");
	again = ask("10.213.7.77", NULL, NULL);
	check_ok(!again, "which nobody else gets");
	works(give("10.213.7.77") == 0 && give("10.213.7.77") == 0, "given back, also twice");
	str_set(&again, NULL);
	again = ask("10.213.7.77", NULL, NULL);
	works(again && streq(again, "10.213.7.77/24"), "it may be had again");
	str_set(&chosen, NULL);
	chosen = ask("192.0.2.1", NULL, NULL);
	check_ok(!chosen, "one outside of the subnet is refused");
	works(give(gateway) == 0 && give(first) == 0 && give(second) == 0 && give(again) == 0, "all are given back");
	works(call_driver(ops->release_pool, ipam, pool) == 0 && call_driver(ops->release_pool, ipam, pool) == 0, "and the pool, also twice");
	works(ask_pool(SUBNET, NULL, 0, &subnet) == 0 && call_driver(ops->release_pool, ipam, pool) == 0, "which may be had again");
	shut();
}

/* A driver may not do these; then it says so. */
static void case_wishes(struct check *c)
{
	struct cidr subnet, range;
	OWN_FREE char *a = NULL;

	if (!begin(c))
		return;
	if (ask_pool(NULL, NULL, 0, &subnet) == 0) {
		check_ok(!subnet.address.v6, "a subnet of the driver's choice");
		call_driver(ops->release_pool, ipam, pool);
	} else {
		check_ok(why.class == ERR_INVALID || why.class == ERR_NOT_IMPLEMENTED, "no subnet of its own choice: it says so");
	}
	if (ask_pool("fd00:213::/64", NULL, DKD_IPAM_IPV6, &subnet) == 0) {
		a = ask(NULL, NULL, NULL);
		works(a && lies_in(a, &subnet), "IPv6");
		give(a);
		call_driver(ops->release_pool, ipam, pool);
	} else {
		check_ok(why.class == ERR_INVALID || why.class == ERR_NOT_IMPLEMENTED, "no IPv6: it says so");
	}
	str_set(&a, NULL);
	if (ask_pool(OTHER, "10.214.5.0/24", 0, &subnet) == 0) {
		a = ask(NULL, NULL, NULL);
		works(a && cidr_parse("10.214.5.0/24", &range) && cidr_parse(a, &subnet) && cidr_contains(&range, &subnet.address), "addresses from a range");
		give(a);
		call_driver(ops->release_pool, ipam, pool);
	} else {
		check_ok(why.class == ERR_INVALID || why.class == ERR_NOT_IMPLEMENTED, "no ranges: it says so");
	}
	check_ok(ask_pool("10.213.7.0", NULL, 0, &subnet) < 0 && ask_pool("nonsense", NULL, 0, &subnet) < 0, "what is no subnet is refused");
	shut();
}

static void case_full(struct check *c)
{
	OWN_STRV struct strv got = { 0 };
	struct cidr subnet;
	bool twice = false;

	if (!begin(c))
		return;
	if (!works(ask_pool("10.213.8.0/29", NULL, 0, &subnet) == 0, "a small pool"))
		return shut();
	while (got.len < 20) {
		char *a = ask(NULL, NULL, NULL);

		if (!a)
			break;
		strv_take(&got, a);
	}
	works(got.len >= 3 && got.len <= 8, "it ends (after %zu addresses)", got.len);
	strv_sort(&got);
	for (size_t i = 1; i < got.len; i++)
		twice = twice || streq(got.v[i], got.v[i - 1]);
	check_ok(!twice, "none was given twice");
	for (size_t i = 0; i < got.len; i++)
		give(got.v[i]);
	call_driver(ops->release_pool, ipam, pool);
	shut();
}

static struct strv taken[THREADS];

static unsigned work(unsigned number)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < EACH; i++) {
		char *a = ask(NULL, NULL, NULL);

		bad += !a;
		if (a)
			strv_take(&taken[number], a);
	}
	return bad;
}

static void case_threads(struct check *c)
{
	OWN_STRV struct strv all = { 0 };
	struct cidr subnet;
	bool twice = false;

	if (!begin(c))
		return;
	if (!works(ask_pool(SUBNET, NULL, 0, &subnet) == 0, "a pool"))
		return shut();
	check_ok(kit_threads(THREADS, work) == 0, "%d threads ask for %d addresses each", THREADS, EACH);
	for (size_t i = 0; i < THREADS; i++) {
		for (size_t j = 0; j < taken[i].len; j++)
			strv_add(&all, taken[i].v[j]);
		strv_done(&taken[i]);
	}
	strv_sort(&all);
	for (size_t i = 1; i < all.len; i++)
		twice = twice || streq(all.v[i], all.v[i - 1]);
	check_ok(all.len && !twice, "and none gets another's");
	for (size_t i = 0; i < all.len; i++)
		give(all.v[i]);
	call_driver(ops->release_pool, ipam, pool);
	shut();
}

/* The pool's id, for the next process. */
static char id_path[4096];

static int take_one(struct check *c, void *arg)
{
	OWN_FREE char *a = NULL;
	struct cidr subnet;
	FILE *f;

	(void)arg;
	if (!begin(c) || ask_pool(SUBNET, NULL, 0, &subnet) < 0 || !(a = ask("10.213.7.9", NULL, NULL)))
		return 1;
	f = fopen(id_path, "we");
	return !f || fputs(pool, f) < 0 || fclose(f) ? 2 : 0;
}

static int look_again(struct check *c, void *arg)
{
	char id[1024] = "";
	OWN_FREE char *a = NULL;
	struct cidr subnet;
	FILE *f = fopen(id_path, "re");

	(void)arg;
	if (!f || !fgets(id, sizeof(id), f) || fclose(f) || !begin(c))
		return 1;
	str_set(&pool, id);
	if (caps.flags & DKD_IPAM_REPLAY)
		works(ask_pool(SUBNET, NULL, 0, &subnet) == 0 && (a = ask("10.213.7.9", NULL, NULL)), "asked again, it gives the same");
	else
		check_ok(!(a = ask("10.213.7.9", NULL, NULL)), "an address that was taken is taken still");
	works(give("10.213.7.9") == 0 && call_driver(ops->release_pool, ipam, pool) == 0, "and can be given back");
	shut();
	return 0;
}

/* Killed: nothing is closed. */
static void case_restart(struct check *c)
{
	snprintf(id_path, sizeof(id_path), "%s/pool-id", c->root);
	if (check_ok(check_apart(c, take_one, NULL) == 0, "a process takes an address, and is gone"))
		check_ok(check_apart(c, look_again, NULL) == 0, "another goes on");
}

static int probe(struct check *c, char *reason, size_t size)
{
	return kit_probe(c, ((const struct dkd_ipam_ops *)c->driver->ops)->probe, c->root, reason, size);
}

static const struct check_case cases[] = {
	{ "addresses", case_addresses, false },
	{ "wishes", case_wishes, false },
	{ "full", case_full, false },
	{ "threads", case_threads, false },
	{ "restart", case_restart, true },
	{ 0 },
};

const struct check_suite check_ipam = { DKD_KIND_IPAM, cases, probe };
