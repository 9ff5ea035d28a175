/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "ipvlan": containers on the host's own network that share the parent's MAC address. Options: parent, ipvlan_mode (l2, l3,
 * l3s), ipvlan_flag (bridge, private, vepa), com.docker.network.driver.mtu. In the modes l3 and l3s the parent routes: everything
 * leads to the link itself, and no gateway is asked.
 */
#include <linux/if_link.h>
#include <string.h>

#include "parent.h"

static const struct parent_word modes[] = { { "l2", IPVLAN_MODE_L2 }, { "l3", IPVLAN_MODE_L3 }, { "l3s", IPVLAN_MODE_L3S }, { NULL, 0 } };
static const struct parent_word flags[] = { { "bridge", 0 }, { "private", IPVLAN_F_PRIVATE }, { "vepa", IPVLAN_F_VEPA }, { NULL, 0 } };
static const struct parent_kind kind = {
	.name = "ipvlan", .dummy = "di-", .mode_key = "ipvlan_mode", .modes = modes, .flag_key = "ipvlan_flag", .flags = flags,
};

static int32_t ipvlan_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret)
{
	(void)open;
	return parent_open(&kind, call, host, ret);
}

static int32_t ipvlan_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep, dkd_emit_pair *emit, void *to)
{
	struct parent_net n;

	(void)emit;
	(void)to;
	if (parent_find(call, d, ep->network, &n) < 0)
		return -1;
	if (ep->mac)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "ipvlan interfaces do not support custom mac address assignment");
	return 0;
}

static void put_mode(struct nlmsghdr *h, const void *ctx)
{
	const struct parent_net *n = ctx;

	mnl_attr_put_u16(h, IFLA_IPVLAN_MODE, (uint16_t)n->mode);
	if (n->flag)
		mnl_attr_put_u16(h, IFLA_IPVLAN_FLAGS, (uint16_t)n->flag);
}

static int32_t ipvlan_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j, dkd_emit_joined *emit, void *to)
{
	static const struct dkd_net_route out[] = { { "0.0.0.0/0", NULL }, { "::/0", NULL } };
	struct dkd_net_joined done = { .size = sizeof(done), .interface_prefix = "eth", .in_sandbox = 1 };
	struct parent_net n;
	char name[IFNAMSIZ];

	if (parent_find(call, d, j->network, &n) < 0)
		return -1;
	if (j->flags & DKD_NET_RESTORED) /* its interface stands as long as its namespace */
		return 0;
	if (parent_attach(call, d, &n, j, put_mode, name) < 0)
		return -1;
	done.interface_name = name;
	if (n.mode != IPVLAN_MODE_L2) {
		done.flags = DKD_NET_NO_GATEWAY;
		if (!n.internal) {
			done.routes = n.ipv4 ? out : out + 1;
			done.routes_len = (uint32_t)(n.ipv4 + n.ipv6);
		}
	} else if (!n.internal) {
		done.gateway4 = *n.gateway4 ? n.gateway4 : NULL;
		done.gateway6 = *n.gateway6 ? n.gateway6 : NULL;
	}
	emit(to, &done);
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = ipvlan_open,
	.close = parent_close,
	.capabilities = parent_capabilities,
	.create_network = parent_create_network,
	.delete_network = parent_delete_network,
	.create_endpoint = ipvlan_create_endpoint,
	.join = ipvlan_join,
	.known_options = parent_known_options,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "ipvlan",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
