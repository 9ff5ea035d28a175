/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network driver "host": containers live in the network namespace of the host. */
#include <dockerd/net.h>

static int32_t host_capabilities(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret)
{
	(void)call;
	(void)n;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_LOCAL;
	ret->flags = DKD_NET_HOST_SANDBOX | DKD_NET_PREDEFINED | DKD_NET_NO_ENDPOINT | DKD_NET_NO_IPAM;
	return 0;
}

static int32_t host_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open,
	struct dkd_net **ret)
{
	(void)call;
	(void)host;
	(void)open;
	*ret = NULL; /* it has nothing to remember */
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = host_open,
	.capabilities = host_capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "host",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
