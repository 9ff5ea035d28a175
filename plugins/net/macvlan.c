/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "macvlan": containers as neighbours of the host on its own network, each with a MAC address. Options: parent,
 * macvlan_mode (bridge, private, vepa, passthru), com.docker.network.driver.mtu.
 */
#include <linux/if_link.h>
#include <string.h>

#include "mac.h"
#include "parent.h"

static const struct parent_word modes[] = {
	{ "bridge", MACVLAN_MODE_BRIDGE }, { "private", MACVLAN_MODE_PRIVATE }, { "vepa", MACVLAN_MODE_VEPA },
	{ "passthru", MACVLAN_MODE_PASSTHRU }, { NULL, 0 },
};
static const struct parent_kind kind = { .name = "macvlan", .dummy = "dm-", .mode_key = "macvlan_mode", .modes = modes, .exclusive = "passthru" };

static int32_t macvlan_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret)
{
	(void)open;
	return parent_open(&kind, call, host, ret);
}

static int32_t macvlan_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep, dkd_emit_pair *emit, void *to)
{
	unsigned char mac[6];
	struct parent_net n;
	char text[MAC_TEXT];

	if (parent_find(call, d, ep->network, &n) < 0)
		return -1;
	if (ep->mac)
		return mac_parse(ep->mac, mac) == 0 ? 0 : dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "invalid MAC address: %.32s", ep->mac);
	if (mac_make(ep->ipv4, text) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INTERNAL, 0, "no random numbers for a MAC address");
	emit(to, "mac", text);
	return 0;
}

static void put_mode(struct nlmsghdr *h, const void *ctx)
{
	const struct parent_net *n = ctx;

	mnl_attr_put_u32(h, IFLA_MACVLAN_MODE, n->mode);
}

static int32_t macvlan_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j, dkd_emit_joined *emit, void *to)
{
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
	if (!n.internal) {
		done.gateway4 = *n.gateway4 ? n.gateway4 : NULL;
		done.gateway6 = *n.gateway6 ? n.gateway6 : NULL;
	}
	emit(to, &done);
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = macvlan_open,
	.close = parent_close,
	.capabilities = parent_capabilities,
	.create_network = parent_create_network,
	.delete_network = parent_delete_network,
	.create_endpoint = macvlan_create_endpoint,
	.join = macvlan_join,
	.known_options = parent_known_options,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "macvlan",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
