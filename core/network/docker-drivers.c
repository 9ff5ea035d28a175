/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Docker's own drivers keep of a network in its database, for docker-write.c. */
#include "base/json.h"
#include "network/net_i.h"

#define NIL "<nil>" /* Go's text of an address that is none */

static const char *option(const struct network *n, const char *key, const char *unset)
{
	const char *v = strmap_get(&n->options, key);

	return str_empty(v) ? unset : v;
}

static bool flag(const struct network *n, const char *key, bool unset)
{
	bool on = unset;

	str_bool(option(n, key, ""), &on);
	return on;
}

static int64_t mtu_of(const struct network *n)
{
	int64_t mtu = 0;

	str_to_i64(option(n, "com.docker.network.driver.mtu", "0"), &mtu);
	return mtu;
}

static const struct net_pool *first_pool(const struct network *n, bool ipv6)
{
	for (size_t i = 0; i < n->pools_len; i++)
		if ((strchr(n->pools[i].subnet, ':') != NULL) == ipv6)
			return &n->pools[i];
	return NULL;
}

/* What Docker's bridge driver keeps of it; each member must be there. */
static void put_bridge(struct jw *w, const struct network *n)
{
	OWN_FREE char *name = xasprintf("br-%.12s", n->id), *four = NULL, *six = NULL;
	const struct net_pool *v4 = first_pool(n, false), *v6 = first_pool(n, true);

	four = net_docker_address(v4->gateway, v4->subnet);
	jw_obj(w);
	jw_kstr(w, "AddressIPv4", four);
	if (v6) {
		six = net_docker_address(v6->gateway, v6->subnet);
		jw_kstr(w, "AddressIPv6", six);
	}
	jw_kint(w, "BridgeIfaceCreator", 1);
	jw_kstr(w, "BridgeName", option(n, "com.docker.network.bridge.name", name));
	jw_kstr(w, "ContainerIfacePrefix", option(n, "com.docker.network.container_iface_prefix", ""));
	jw_kstr(w, "DefaultBindingIP", option(n, "com.docker.network.bridge.host_binding_ipv4", NIL));
	jw_kbool(w, "DefaultBridge", false);
	jw_kstr(w, "DefaultGatewayIPv4", NIL);
	jw_kstr(w, "DefaultGatewayIPv6", NIL);
	jw_kbool(w, "EnableICC", flag(n, "com.docker.network.bridge.enable_icc", true));
	jw_kbool(w, "EnableIPMasquerade", flag(n, "com.docker.network.bridge.enable_ip_masquerade", true));
	jw_kbool(w, "EnableIPv6", n->enable_ipv6);
	jw_kstr(w, "HostIP", option(n, "com.docker.network.host_ipv4", NIL));
	jw_kstr(w, "ID", n->id);
	jw_kbool(w, "InhibitIPv4", flag(n, "com.docker.network.bridge.inhibit_ipv4", false));
	jw_kbool(w, "Internal", n->internal);
	jw_kint(w, "Mtu", mtu_of(n));
	jw_obj_end(w);
}

/* A list of JSON within a string. */
static void put_subnets(struct jw *w, const struct network *n, const char *key, bool ipv6)
{
	OWN_BUF struct buf text = { 0 };
	struct jw list;

	if (!first_pool(n, ipv6))
		return;
	jw_init(&list, &text);
	jw_arr(&list);
	for (size_t i = 0; i < n->pools_len; i++)
		if ((strchr(n->pools[i].subnet, ':') != NULL) == ipv6) {
			OWN_FREE char *gateway = net_docker_address(n->pools[i].gateway, n->pools[i].subnet);

			jw_obj(&list);
			jw_kstr(&list, "SubnetIP", n->pools[i].subnet);
			jw_kstr(&list, "GwIP", gateway);
			jw_obj_end(&list);
		}
	jw_arr_end(&list);
	jw_kstr(w, key, text.data);
}

/* What those of macvlan and ipvlan keep. An interface that was made for the network alone goes with it there, too; one of the host's does not. */
static void put_parent(struct jw *w, const struct network *n, const char *mode_member, const char *mode_key, const char *mode, const char *dummy)
{
	OWN_FREE char *own = xasprintf("%s%.12s", dummy, n->id);

	jw_obj(w);
	jw_kbool(w, "CreatedSubIface", str_empty(option(n, "parent", NULL)));
	jw_kstr(w, "ID", n->id);
	jw_kbool(w, "Internal", n->internal);
	put_subnets(w, n, "Ipv4Subnets", false);
	put_subnets(w, n, "Ipv6Subnets", true);
	jw_kstr(w, mode_member, option(n, mode_key, mode));
	jw_kint(w, "Mtu", mtu_of(n));
	jw_kstr(w, "Parent", option(n, "parent", own));
	jw_obj_end(w);
}

static void put_macvlan(struct jw *w, const struct network *n)
{
	put_parent(w, n, "MacvlanMode", "macvlan_mode", "bridge", "dm-");
}

static void put_ipvlan(struct jw *w, const struct network *n)
{
	put_parent(w, n, "IpvlanMode", "ipvlan_mode", "l2", "di-");
}

static const struct { const char *driver, *folder; void (*put)(struct jw *w, const struct network *n); } drivers[] = {
	{ "bridge", "bridge", put_bridge }, { "macvlan", "macvlan/network", put_macvlan }, { "ipvlan", "ipvlan/network", put_ipvlan },
};

static size_t driver_of(const struct network *n)
{
	size_t i = 0;

	while (i < ARRAY_LEN(drivers) && !streq(drivers[i].driver, n->driver))
		i++;
	return i;
}

bool net_docker_has_driver(const struct network *n)
{
	return driver_of(n) < ARRAY_LEN(drivers);
}

const char *net_docker_driver_folder(const struct network *n)
{
	return drivers[driver_of(n)].folder;
}

void net_docker_put_driver(struct jw *w, const struct network *n)
{
	drivers[driver_of(n)].put(w, n);
}

char *net_docker_address(const char *address, const char *subnet)
{
	const char *slash = strchr(subnet, '/');

	return xasprintf("%s%s", address, slash ? slash : "");
}
