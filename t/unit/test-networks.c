/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of users: what is refused, which subnets they get, what the disk keeps, how they go. In a network namespace of the test's own. */
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/netlink.h>

#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "network/net_i.h"
#include "tap.h"

#define C1 "1111111111111111111111111111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222222222222222222222222222"
#define C3 "3333333333333333333333333333333333333333333333333333333333333333"

static char root[] = "/tmp/test-networks.XXXXXX";
static char *exec_root;
static struct spawner *spawner;

static struct net_controller *reopen(struct net_controller *nc)
{
	OWN_ERR struct err err = ERR_INIT;

	net_close(nc);
	nc = net_open(root, exec_root, spawner, &err);
	if (nc)
		net_restore(nc);
	else
		printf("# %s\n", err_text(&err));
	return nc;
}

/* A network of the test's driver; "" or the refusal, with its status. */
static const char *try_create(struct net_controller *nc, struct net_spec s, int *ret_status)
{
	static char text[1024];
	OWN_ERR struct err err = ERR_INIT;
	char id[65];

	if (!s.driver)
		s.driver = "wires";
	if (!s.enable_ipv4)
		s.enable_ipv4 = -1;
	text[0] = '\0';
	*ret_status = 201;
	if (net_create(nc, &s, id, NULL, &err) < 0) {
		snprintf(text, sizeof(text), "%s", err_text(&err));
		*ret_status = err_status(err.class);
	}
	return text;
}

static const char *subnet_of(struct net_controller *nc, const char *name, size_t i)
{
	static char text[64];
	OWN_NETWORK struct network *n = net_find(nc, name, NULL);

	snprintf(text, sizeof(text), "%s", n && i < n->pools_len ? n->pools[i].subnet : "none");
	return text;
}

static const char *gateway_of(struct net_controller *nc, const char *name, size_t i)
{
	static char text[64];
	OWN_NETWORK struct network *n = net_find(nc, name, NULL);

	snprintf(text, sizeof(text), "%s", n && i < n->pools_len && n->pools[i].gateway ? n->pools[i].gateway : "none");
	return text;
}

static void test_validation(struct net_controller *nc)
{
	static const struct { struct net_pool p; int ipv6; const char *want; } bad[] = {
		{ { .subnet = (char *)"10.0.0.0/33" }, 0, "invalid subnet 10.0.0.0/33: invalid CIDR block notation" },
		{ { .subnet = (char *)"" }, 0, "invalid subnet : invalid CIDR block notation" },
		{ { .subnet = (char *)"10.0.0.5/24" }, 0, "invalid subnet 10.0.0.5/24: it should be 10.0.0.0/24" },
		{ { .subnet = (char *)"10.0.0.0/24", .gateway = (char *)"10.1.0.1" }, 0,
			"invalid gateway 10.1.0.1: parent subnet 10.0.0.0/24 doesn't contain this address" },
		{ { .subnet = (char *)"10.0.0.0/24", .gateway = (char *)"x" }, 0, "invalid gateway x: invalid address" },
		{ { .subnet = (char *)"10.0.0.0/24", .gateway = (char *)"fd00::1" }, 0, "invalid gateway fd00::1: parent subnet is an IPv4 block" },
		{ { .subnet = (char *)"10.0.0.0/24", .range = (char *)"zz" }, 0, "invalid ip-range zz: invalid CIDR block notation" },
		{ { .subnet = (char *)"10.0.0.0/24", .range = (char *)"10.0.0.0/16" }, 0,
			"invalid ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24" },
		{ { .subnet = (char *)"10.0.0.0/24", .range = (char *)"10.0.0.5/28" }, 0, "invalid ip-range 10.0.0.5/28: it should be 10.0.0.0/28" },
		{ { .subnet = (char *)"10.0.0.0/24", .range = (char *)"10.2.0.0/28" }, 0,
			"invalid ip-range 10.2.0.0/28: parent subnet 10.0.0.0/24 doesn't contain ip-range" },
		{ { .subnet = (char *)"fd00::1/64" }, 1, "invalid subnet fd00::1/64: it should be fd00::/64" },
		{ { .subnet = (char *)"fd00::/64", .range = (char *)"10.0.0.0/28" }, 1, "invalid ip-range 10.0.0.0/28: parent subnet is an IPv6 block" },
	};
	OWN_FREE char *longest = xmalloc(1100), *fine = xmalloc(301);
	struct net_pool aux = { .subnet = (char *)"10.0.0.0/24" }, two[2] = { { .subnet = (char *)"10.0.0.0/16" }, { .subnet = (char *)"10.0.9.0/24" } };
	int status;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_FREE char *want = xasprintf("invalid network config:\n%s", bad[i].want);

		is_str(try_create(nc, (struct net_spec){ .name = "x", .pools = &bad[i].p, .pools_len = 1, .enable_ipv6 = bad[i].ipv6 }, &status), want, "refused");
		is_int(status, 400, "400");
	}
	strmap_set(&aux.aux, "a", "10.9.0.1");
	is_str(try_create(nc, (struct net_spec){ .name = "x", .pools = &aux, .pools_len = 1 }, &status),
		"invalid network config:\ninvalid auxiliary address a: parent subnet 10.0.0.0/24 doesn't contain this address", "an auxiliary address elsewhere");
	aux.gateway = (char *)"10.0.0.1";
	strmap_set(&aux.aux, "a", "10.0.0.1");
	is_str(try_create(nc, (struct net_spec){ .name = "x", .pools = &aux, .pools_len = 1 }, &status),
		"failed to allocate secondary ip address (a:10.0.0.1): Address already in use", "two things at one address");
	is_int(status, 403, "403");
	strmap_done(&aux.aux);
	is_str(try_create(nc, (struct net_spec){ .name = "x", .pools = two, .pools_len = 2 }, &status),
		"invalid pool request: Pool overlaps with other one on this address space", "two subnets that overlap");
	memset(longest, 'n', 1099);
	longest[1099] = '\0';
	try_create(nc, (struct net_spec){ .name = longest }, &status);
	is_int(status, 400, "a name without end");
	memset(fine, 'n', 300);
	fine[300] = '\0';
	is_str(try_create(nc, (struct net_spec){ .name = fine }, &status), "", "300 characters are fine");
	ok(net_remove(nc, fine, NULL) == 0, "and go again");
	try_create(nc, (struct net_spec){ .name = "a\nb" }, &status);
	is_int(status, 400, "a line end in a name");
	try_create(nc, (struct net_spec){ .name = "x", .enable_ipv4 = 0 }, &status);
	is_int(status, 201, "not said is yes");
	ok(net_remove(nc, "x", NULL) == 0 && !net_find(nc, "x", NULL), "gone");
}

static void test_families(struct net_controller *nc)
{
	OWN_STRMAP struct strmap off = { 0 };
	struct net_pool pools[2] = { { .subnet = (char *)"10.5.0.0/24" }, { .subnet = (char *)"fd05::/64" } };
	struct net_pool turned[3] = { { .subnet = (char *)"fd06::/64" }, pools[1], pools[0] };
	OWN_NETWORK struct network *n = NULL;
	int status;

	is_str(try_create(nc, (struct net_spec){ .name = "dual", .enable_ipv6 = 1, .pools = pools, .pools_len = 2 }, &status), "", "both families");
	is_str(gateway_of(nc, "dual", 0), "10.5.0.1", "a gateway");
	is_str(gateway_of(nc, "dual", 1), "fd05::1", "of each");
	net_remove(nc, "dual", NULL);
	is_str(try_create(nc, (struct net_spec){ .name = "dual", .enable_ipv6 = 1, .pools = turned, .pools_len = 3 }, &status), "", "IPv6 named first");
	is_str(subnet_of(nc, "dual", 0), "10.5.0.0/24", "stands behind IPv4");
	is_str(subnet_of(nc, "dual", 1), "fd06::/64", "in its own");
	is_str(subnet_of(nc, "dual", 2), "fd05::/64", "order");
	strmap_set(&off, "com.docker.network.enable_ipv4", "false");
	try_create(nc, (struct net_spec){ .name = "nothing", .options = &off }, &status);
	is_int(status, 400, "no family at all");
	is_str(try_create(nc, (struct net_spec){ .name = "six", .enable_ipv6 = 1, .options = &off }, &status), "", "IPv6 alone");
	n = net_find(nc, "six", NULL);
	ok(n && !n->enable_ipv4 && n->enable_ipv6 && n->pools_len == 1 && str_has_prefix(n->pools[0].subnet, "fd") && str_has_suffix(n->pools[0].subnet, "/64"),
		"has one subnet of the data-root's own prefix: %s", n ? n->pools[0].subnet : "");
	strmap_set(&off, "com.docker.network.enable_ipv4", "perhaps");
	try_create(nc, (struct net_spec){ .name = "odd", .options = &off }, &status);
	is_int(status, 400, "neither yes nor no");
	is_str(try_create(nc, (struct net_spec){ .name = "four", .pools = &pools[1], .pools_len = 1 }, &status), "", "a subnet of a family that is off");
	is_str(gateway_of(nc, "four", 0), "none", "takes nothing from anybody");
	net_remove(nc, "dual", NULL);
	net_remove(nc, "six", NULL);
	net_remove(nc, "four", NULL);
}

static void host_address(const char *text)
{
	OWN_FD int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	OWN_ERR struct err err = ERR_INIT;
	int lo;

	if (rtnl_index(s, "lo", &lo, &err) < 0 || rtnl_link(s, lo, "lo", NULL, &err) < 0 || rtnl_add_address(s, lo, text, &err) < 0)
		printf("# %s\n", err_text(&err));
}

static void host_route(const char *to, const char *via)
{
	OWN_FD int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	OWN_ERR struct err err = ERR_INIT;
	int lo;

	if (rtnl_index(s, "lo", &lo, &err) < 0 || rtnl_add_route(s, lo, to, via, &err) < 0)
		printf("# %s\n", err_text(&err));
}

static void test_subnets(struct net_controller *nc)
{
	struct net_pool mine = { .subnet = (char *)"172.17.2.0/24" };
	OWN_STRV struct strv pools = { 0 }, bad = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int status;

	try_create(nc, (struct net_spec){ .name = "s1" }, &status);
	is_str(subnet_of(nc, "s1", 0), "172.17.0.0/24", "the first of Docker's bases, in handy pieces");
	host_address("172.17.1.77/24");
	try_create(nc, (struct net_spec){ .name = "mine", .pools = &mine, .pools_len = 1 }, &status);
	host_route("172.17.3.0/25", NULL);
	host_route("0.0.0.0/1", NULL);
	host_route("128.0.0.0/1", NULL);
	try_create(nc, (struct net_spec){ .name = "s2" }, &status);
	is_str(subnet_of(nc, "s2", 0), "172.17.4.0/24", "around the host's addresses and routes, and other networks; a default route in halves is none");
	is_str(try_create(nc, (struct net_spec){ .name = "s3", .pools = &mine, .pools_len = 1 }, &status),
		"invalid pool request: Pool overlaps with other one on this address space", "a subnet that another network has");
	is_int(status, 403, "403");
	host_route("172.16.0.0/12", "172.17.1.1");
	host_route("192.168.0.0/16", "172.17.1.1");
	try_create(nc, (struct net_spec){ .name = "s3" }, &status);
	is_str(subnet_of(nc, "s3", 0), "172.17.5.0/24", "where all is led away by a gateway, only neighbours and closer routes count");
	strv_add(&pools, "base=10.88.0.0/16,size=24xyz");
	ok(net_pools_set(nc, &pools, &err) < 0 && err.class == ERR_INVALID, "a default address pool with more behind its size: %s", err_text(&err));
	err_done(&err);
	strv_del(&pools, "base=10.88.0.0/16,size=24xyz");
	strv_add(&pools, "base=10.88.0.0/24,size=24");
	host_route("10.88.0.0/24", "172.17.1.1");
	net_pools_set(nc, &pools, &err);
	is_str(try_create(nc, (struct net_spec){ .name = "s4" }, &status),
		"could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network", "a pool that is a network of others");
	strv_del(&pools, "base=10.88.0.0/24,size=24");
	strv_add(&pools, "base=10.77.0.0/16,size=30");
	strv_add(&pools, "base=10.76.0.0/30,size=30");
	is_int(net_pools_set(nc, &pools, &err), 0, "pools of one's own");
	try_create(nc, (struct net_spec){ .name = "s4" }, &status);
	is_str(subnet_of(nc, "s4", 0), "10.77.0.0/30", "in their order");
	net_pools_set(nc, NULL, NULL);
	strv_add(&bad, "base=10.77.0.0/16,size=8");
	ok(net_pools_set(nc, &bad, &err) < 0, "a size above the base: %s", err_text(&err));
	net_pools_set(nc, NULL, NULL);
	for (const char *const *n = (const char *const[]){ "s1", "s2", "s3", "s4", "mine", NULL }; *n; n++)
		is_int(net_remove(nc, *n, NULL), 0, "removed");
}

static void test_full(struct net_controller *nc)
{
	OWN_STRV struct strv pools = { 0 };
	int status;

	strv_add(&pools, "base=10.76.0.0/29,size=30");
	net_pools_set(nc, &pools, NULL);
	try_create(nc, (struct net_spec){ .name = "f1" }, &status);
	try_create(nc, (struct net_spec){ .name = "f2" }, &status);
	is_str(subnet_of(nc, "f2", 0), "10.76.0.4/30", "the last one");
	is_str(try_create(nc, (struct net_spec){ .name = "f3" }, &status),
		"could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network", "then there is none");
	is_int(status, 404, "as Docker says it");
	net_remove(nc, "f1", NULL);
	is_str(try_create(nc, (struct net_spec){ .name = "f3" }, &status), "", "what was removed is free");
	is_str(subnet_of(nc, "f3", 0), "10.76.0.0/30", "that one");
	net_remove(nc, "f2", NULL);
	net_remove(nc, "f3", NULL);
	net_pools_set(nc, NULL, NULL);
}

static void test_config(struct net_controller **nc)
{
	struct net_pool p = { .subnet = (char *)"10.6.0.0/24" };
	OWN_STRMAP struct strmap options = { 0 };
	OWN_NETWORK struct network *n = NULL;
	OWN_ERR struct err err = ERR_INIT;
	int status;

	strmap_set(&options, "a", "b");
	is_str(try_create(*nc, (struct net_spec){ .name = "conf", .config_only = true, .pools = &p, .pools_len = 1, .options = &options }, &status), "",
		"a network that only holds a configuration");
	is_str(try_create(*nc, (struct net_spec){ .name = "user", .config_from = "conf" }, &status), "", "one that has its own from there");
	n = net_find(*nc, "user", NULL);
	ok(n && streq(n->config_from, "conf") && streq(n->pools[0].subnet, "10.6.0.0/24") && strmap_get(&n->options, "a"), "has it");
	is_str(try_create(*nc, (struct net_spec){ .name = "y", .config_from = "conf", .pools = &p, .pools_len = 1 }, &status),
		"user specified configurations are not supported if the network depends on a configuration network", "and none besides");
	is_str(try_create(*nc, (struct net_spec){ .name = "y", .config_from = "user" }, &status), "configuration network \"user\" does not exist", "an ordinary one");
	is_str(try_create(*nc, (struct net_spec){ .name = "y", .config_from = "conf", .config_only = true }, &status),
		"a configuration network cannot depend on another configuration network", "no chains");
	try_create(*nc, (struct net_spec){ .name = "y", .config_only = true, .internal = true }, &status);
	is_int(status, 403, "an operator's field");
	ok(net_remove(*nc, "conf", &err) < 0 && streq(err.msg, "error while removing network: configuration network \"conf\" is in use"), "in use");
	*nc = reopen(*nc);
	network_unref(n);
	n = net_find(*nc, "conf", NULL);
	ok(n && n->config_only, "kept");
	ok(!net_hold(*nc, "conf", &err) && err.class == ERR_FORBIDDEN, "no place for containers: %s", err_text(&err));
	ok(net_remove(*nc, "user", NULL) == 0 && net_remove(*nc, "conf", NULL) == 0, "removed in order");
}

static bool not_keep(void *ctx, struct network *n)
{
	(void)ctx;
	return !streq(n->name, "keep");
}

static void test_life(struct net_controller **nc)
{
	OWN_STRMAP struct strmap labels = { 0 }, ipam = { 0 };
	struct net_pool p = { .subnet = (char *)"10.7.0.0/24", .range = (char *)"10.7.0.64/26" };
	struct net_spec spec = { .name = "life", .internal = true, .attachable = true, .labels = &labels, .ipam_options = &ipam, .pools = &p, .pools_len = 1 };
	const struct net_wish wish = { .network = "life" };
	OWN_NETWORK struct network *n = NULL;
	OWN_STRV struct strv gone = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *want = NULL;
	struct sandbox sb;
	int status;

	strmap_set(&labels, "l", "1");
	strmap_set(&ipam, "o", "2");
	ipam.set = true;
	strmap_set(&p.aux, "printer", "10.7.0.64");
	is_str(try_create(*nc, spec, &status), "", "made");
	is_str(gateway_of(*nc, "life", 0), "10.7.0.65", "the gateway is the first of the range that is free");
	is_str(try_create(*nc, (struct net_spec){ .name = "life" }, &status), "network with name life already exists", "once");
	is_int(status, 409, "409");
	*nc = reopen(*nc);
	n = net_find(*nc, "life", NULL);
	ok(n && n->internal && n->attachable && n->enable_ipv4 && streq(strmap_get(&n->labels, "l"), "1") && streq(strmap_get(&n->ipam_options, "o"), "2") &&
		streq(n->pools[0].range, "10.7.0.64/26") && streq(strmap_get(&n->pools[0].aux, "printer"), "10.7.0.64") && streq(n->driver, "wires"),
		"the same after a restart");
	is_int(sandbox_create(*nc, C1, -1, &wish, 1, NULL, &sb, &err), 0, "a container on it: %s", err_text(&err));
	want = xasprintf("error while removing network: network life id %s has active endpoints (name:\"\" id:\"%.12s\")", n->id, sb.eps[0].id);
	ok(net_remove(*nc, "life", &err) < 0 && err.class == ERR_FORBIDDEN, "in use");
	is_str(err.msg, want, "and by whom");
	try_create(*nc, (struct net_spec){ .name = "keep" }, &status);
	try_create(*nc, (struct net_spec){ .name = "spare" }, &status);
	is_int(net_prune(*nc, not_keep, NULL, &gone, &err), 0, "pruned");
	ok(gone.len == 1 && streq(gone.v[0], "spare"), "what nobody uses and nobody wants kept");
	is_int(sandbox_remove(*nc, C1, NULL, NULL), 0, "the container goes");
	sandbox_done(&sb);
	err_done(&err);
	is_int(net_remove(*nc, "life", &err), 0, "then the network: %s", err_text(&err));
	is_int(net_remove(*nc, "keep", &err), 0, "and the other");
	*nc = reopen(*nc);
	ok(!net_find(*nc, "life", NULL) && !net_find(*nc, "keep", NULL), "for ever");
	strmap_done(&p.aux);
}

static void *make_many(void *arg)
{
	struct net_controller *nc = arg;

	for (int i = 0; i < 25; i++) {
		OWN_FREE char *name = xasprintf("many-%lx-%d", (unsigned long)pthread_self(), i);
		struct net_spec s = { .name = name, .driver = "wires", .enable_ipv4 = -1, .enable_ipv6 = -1 };
		char id[65];

		net_create(nc, &s, id, NULL, NULL);
		if (i % 5 == 4)
			net_remove(nc, id, NULL);
	}
	return NULL;
}

/* Many at once: each has a subnet of its own, and the disk has all of them. */
static void test_crowd(struct net_controller **nc)
{
	OWN_STRV struct strv subnets = { 0 }, gone = { 0 };
	struct network **v;
	pthread_t t[4];
	size_t len, doubles = 0;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, make_many, *nc);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	*nc = reopen(*nc);
	len = net_list(*nc, &v);
	for (size_t i = 0; i < len; i++) {
		if (!v[i]->pools_len)
			continue;
		doubles += strv_contains(&subnets, v[i]->pools[0].subnet);
		strv_add(&subnets, v[i]->pools[0].subnet);
	}
	is_int(subnets.len, 80, "all that were made and not removed");
	is_int(doubles, 0, "each with a subnet of its own");
	net_list_free(v, len);
	net_prune(*nc, NULL, NULL, &gone, NULL);
	is_int(gone.len, 80, "pruned");
}

static void test_figures(struct net_controller *nc)
{
	struct net_pool p = { .subnet = (char *)"10.8.0.0/24", .range = (char *)"10.8.0.0/28" };
	OWN_NETWORK struct network *n = NULL;
	OWN_BUF struct buf b = { 0 }, old = { 0 };
	int status;
	struct jw w;

	try_create(nc, (struct net_spec){ .name = "figures", .pools = &p, .pools_len = 1 }, &status);
	n = net_find(nc, "figures", NULL);
	jw_init(&w, &b);
	net_encode(nc, n, true, 52, &w);
	buf_addc(&b, '\0');
	ok(strstr(b.data, "\"Status\":{\"IPAM\":{\"Subnets\":{\"10.8.0.0/24\":{\"IPsInUse\":3,\"DynamicIPsAvailable\":14}}}}"), "figures since 1.52: %s", b.data);
	jw_init(&w, &old);
	net_encode(nc, n, true, 47, &w);
	buf_addc(&old, '\0');
	ok(!strstr(old.data, "Status") && !strstr(old.data, "EnableIPv4") && strstr(b.data, "\"EnableIPv4\":true"), "what older clients do not know");
	net_remove(nc, "figures", NULL);
}

static void fail_at(const char *where)
{
	OWN_STRMAP struct strmap o = { 0 };

	strmap_set(&o, "ipam.leases.fail", where);
	driver_set_options(&o);
}

/* What the address driver of t/abi/leases.c has given out: it tells when it refuses. */
static const char *out(struct net_controller *nc, const char *network)
{
	static char text[256];
	const struct net_wish wish = { .network = network };
	OWN_ERR struct err err = ERR_INIT;
	struct sandbox sb;

	fail_at("address");
	sandbox_create(nc, C1, -1, &wish, 1, NULL, &sb, &err);
	fail_at("nothing");
	snprintf(text, sizeof(text), "%s", err_text(&err));
	return text;
}

/* Addresses that another driver gives. */
static void test_addresses(struct net_controller **nc)
{
	struct net_spec spec = { .name = "led", .ipam_driver = "leases", .enable_ipv6 = 1 };
	const struct net_wish wish = { .network = "led" }, wanted = { .network = "led", .ipv4 = "10.200.0.99" }, outside = { .network = "led", .ipv4 = "10.1.0.1" };
	struct net_pool none = { .subnet = (char *)"10.4.0.0/24" };
	OWN_NETWORK struct network *n = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct sandbox a, b;
	int status;

	is_str(try_create(*nc, (struct net_spec){ .name = "y", .ipam_driver = "nosuch" }, &status), "plugin \"nosuch\" not found", "no such driver");
	is_int(status, 404, "404");
	try_create(*nc, (struct net_spec){ .name = "y", .ipam_driver = "null", .pools = &none, .pools_len = 1 }, &status);
	is_int(status, 400, "null has no subnets");
	is_str(try_create(*nc, (struct net_spec){ .name = "y", .ipam_driver = "null" }, &status), "", "but networks without");
	is_str(subnet_of(*nc, "y", 0), "none", "none at all");
	net_remove(*nc, "y", NULL);
	fail_at("pool");
	is_str(try_create(*nc, spec, &status), "no pools left", "the driver's reason");
	fail_at("nothing");
	is_str(try_create(*nc, spec, &status), "", "subnets of the driver's choice");
	is_str(subnet_of(*nc, "led", 0), "10.200.0.0/24", "IPv4");
	is_str(subnet_of(*nc, "led", 1), "fd77::/64", "IPv6");
	is_str(gateway_of(*nc, "led", 0), "10.200.0.1", "a gateway");
	is_str(gateway_of(*nc, "led", 1), "fd77::2", "of each");
	is_str(out(*nc, "led"), "network led: 2 pools, 2 addresses", "what is out");
	is_int(sandbox_create(*nc, C1, -1, &wish, 1, NULL, &a, &err), 0, "a container: %s", err_text(&err));
	is_int(sandbox_create(*nc, C2, -1, &wanted, 1, NULL, &b, &err), 0, "another with a wish: %s", err_text(&err));
	is_str(b.eps_len ? b.eps[0].ipv6 : "", "fd77::5/64", "has an address of the other family, too");
	sandbox_done(&b);
	ok(sandbox_create(*nc, C3, -1, &outside, 1, NULL, &b, &err) < 0 && err.class == ERR_INVALID, "an address of no subnet: %s", err_text(&err));
	*nc = reopen(*nc);
	n = net_find(*nc, "led", NULL);
	ok(n && n->pools_len == 2 && n->pools[0].id && streq(n->pools[0].id, "four") && streq(n->ipam_driver, "leases"), "kept over a restart");
	is_int(sandbox_remove(*nc, C1, NULL, NULL), 0, "removed");
	is_int(sandbox_remove(*nc, C2, NULL, NULL), 0, "removed");
	is_int(net_remove(*nc, "led", &err), 0, "the network goes: %s", err_text(&err));
	is_str(try_create(*nc, spec, &status), "", "and is made anew");
	is_str(out(*nc, "led"), "network led: 4 pools, 8 addresses", "all was given back, but what was told again after the restart: 2 pools, 2 gateways, 2 containers");
	net_remove(*nc, "led", NULL);
	sandbox_done(&a);
}

int main(void)
{
	OWN_FREE char *fixtures = xasprintf("%s/t/abi/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct net_controller *nc;

	log_set_level(LOG_FATAL);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP needs root and network namespaces\n");
		return 0;
	}
	spawner = spawner_start(&err);
	ok(spawner && mkdtemp(root), "a spawner and a data-root: %s", err_text(&err));
	exec_root = xasprintf("%s/exec", root);
	mkdir(exec_root, 0700);
	strv_take(&dirs, realpath(fixtures, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	nc = net_open(root, exec_root, spawner, &err);
	if (!ok(nc, "opens: %s", err_text(&err)))
		return tap_done();
	test_validation(nc);
	test_families(nc);
	test_subnets(nc);
	test_full(nc);
	test_config(&nc);
	test_life(&nc);
	test_figures(nc);
	test_addresses(&nc);
	test_crowd(&nc);
	net_close(nc);
	spawner_stop(spawner);
	fs_remove_tree(AT_FDCWD, root, NULL);
	free(exec_root);
	return tap_done();
}
