/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network driver "none", which Docker calls "null": a sandbox of its own with the loopback and nothing else. */
#include <dockerd/net.h>

static int32_t none_capabilities(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret)
{
	(void)call;
	(void)n;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_LOCAL;
	ret->flags = DKD_NET_PREDEFINED | DKD_NET_NO_ENDPOINT | DKD_NET_NO_IPAM;
	return 0;
}

/* There is none that it would know. */
static int32_t first_option(void *to, const char *key, const char *value)
{
	(void)key;
	(void)value;
	*(int *)to = 1;
	return 1;
}

static int32_t none_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open,
	struct dkd_net **ret)
{
	int any = 0;

	(void)open;
	host->each_option(host, first_option, &any);
	if (any)
		return host->fail(host, call, DKD_ERR_INVALID, 0, "the section of this driver has options, and it knows none");
	*ret = NULL; /* it has nothing to remember */
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = none_open,
	.capabilities = none_capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "none",
	.aliases = "null",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
