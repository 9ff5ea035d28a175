/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An address driver for tests: one pool of each family, addresses in the order of asking, and a count of what is out. It fails where its option "fail" says. */
#include <stdio.h>
#include <string.h>

#include <dockerd/ipam.h>

static const struct dkd_host *the_host;
static int pools, addresses, next;

static int fails(const char *where)
{
	const char *fail = the_host->option(the_host, "fail");

	return fail && strcmp(fail, where) == 0;
}

static int32_t leases_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_ipam_open *open, struct dkd_ipam **ret)
{
	(void)call;
	(void)open;
	(void)ret;
	the_host = host;
	return 0;
}

static int32_t leases_capabilities(const struct dkd_call *call, struct dkd_ipam *i, struct dkd_ipam_caps *ret)
{
	(void)call;
	(void)i;
	ret->flags = DKD_IPAM_NEEDS_MAC | DKD_IPAM_REPLAY;
	return 0;
}

static int32_t leases_spaces(const struct dkd_call *call, struct dkd_ipam *i, dkd_emit_pair *emit, void *to)
{
	(void)call;
	(void)i;
	return emit(to, "local", "here");
}

static int32_t leases_request_pool(const struct dkd_call *call, struct dkd_ipam *i, const struct dkd_ipam_pool_wish *w, dkd_emit_pool *emit, void *to)
{
	struct dkd_ipam_pool p = { .size = sizeof(p), .id = w->flags & DKD_IPAM_IPV6 ? "six" : "four" };

	(void)i;
	if (fails("pool") || strcmp(w->space, "here") != 0)
		return the_host->fail(the_host, call, DKD_ERR_NO_SPACE, 0, "no pools left");
	p.subnet = w->pool ? w->pool : w->flags & DKD_IPAM_IPV6 ? "fd77::/64" : "10.200.0.0/24";
	pools++;
	return emit(to, &p);
}

static int32_t leases_release_pool(const struct dkd_call *call, struct dkd_ipam *i, const char *pool)
{
	(void)call;
	(void)i;
	(void)pool;
	pools--;
	return 0;
}

static int32_t leases_request(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address, const struct dkd_pair *options,
	uint32_t options_len, dkd_emit *emit, void *to)
{
	char text[64];
	int six = strcmp(pool, "six") == 0;

	(void)i;
	if (fails("address") && !(options_len && strcmp(options[0].key, "RequestAddressType") == 0)) {
		snprintf(text, sizeof(text), "%d pools, %d addresses", pools, addresses);
		return the_host->fail(the_host, call, DKD_ERR_NO_SPACE, 0, text);
	}
	if (address)
		snprintf(text, sizeof(text), "%s/%d", address, six ? 64 : 24);
	else if (six)
		snprintf(text, sizeof(text), "fd77::%d/64", ++next);
	else
		snprintf(text, sizeof(text), "10.200.0.%d/24", ++next);
	addresses++;
	return emit(to, text);
}

static int32_t leases_release(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address)
{
	(void)call;
	(void)i;
	(void)pool;
	(void)address;
	addresses--;
	return 0;
}

static const struct dkd_ipam_ops ops = {
	.open = leases_open, .capabilities = leases_capabilities, .address_spaces = leases_spaces, .request_pool = leases_request_pool,
	.release_pool = leases_release_pool, .request_address = leases_request, .release_address = leases_release,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_IPAM, .abi_major = DKD_IPAM_MAJOR, .abi_minor = DKD_IPAM_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL, .name = "leases", .version = "1", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
