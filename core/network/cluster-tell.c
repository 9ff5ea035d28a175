/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store's word means for this host: its drivers, its addresses, its names. Called by the store's thread; no lock is held. */
#include <stdio.h>

#include "base/log.h"
#include "network/cluster_i.h"
#include "network/netd.h"

JDESC(cluster_place_desc, cluster_place,
	JFIELD(cluster_place, host, "host", J_STR, J_REQUIRED),
	JFIELD(cluster_place, mac, "mac", J_STR, 0),
	JFIELD(cluster_place, ipv4, "ipv4", J_STR, 0),
	JFIELD(cluster_place, ipv6, "ipv6", J_STR, 0),
	JFIELD(cluster_place, container, "container", J_STR, 0),
	JFIELD(cluster_place, names, "names", J_STRV, 0));

void cluster_tell_self(struct net_cluster *c, struct net_driver *d)
{
	const char *const data[] = { "address", c->address, "self", "true", NULL };
	OWN_ERR struct err err = ERR_INIT;

	if (net_driver_discover(d, true, "node", data, &err) < 0)
		log_warn("%s", err_text(&err));
}

struct network *cluster_network(struct net_controller *nc, const char *id)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = net_entry_find(nc, id);
	return e ? network_ref(e->n) : NULL;
}

/* A container of another host, for those here who ask for its names. */
static void tell_names(struct net_cluster *c, const struct network *n, const char *ep, const struct cluster_place *p)
{
	struct netd_net net = { .id = n->id, .name = n->name, .ipv4 = p->ipv4, .ipv6 = p->ipv6, .names = &p->names, .internal = n->internal };
	OWN_FREE char *id = xasprintf("far-%s", ep);
	struct netd_sandbox sb = { .id = id, .nets = &net, .nets_len = 1 };
	OWN_ERR struct err err = ERR_INIT;

	if (c->nc->netd && netd_sandbox(c->nc->netd, &sb, &err) < 0)
		log_warn("names of a container on another host: %s", err_text(&err));
}

static void forget_names(struct net_cluster *c, const char *ep)
{
	OWN_FREE char *id = xasprintf("far-%s", ep);

	if (c->nc->netd)
		netd_sandbox_drop(c->nc->netd, id, NULL);
}

static void endpoint_came(struct net_cluster *c, const char *network, const char *ep, const char *value)
{
	OWN_NETWORK struct network *n = cluster_network(c->nc, network);
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d;
	struct cluster_place p = { 0 };

	if (!n || jdesc_parse(&cluster_place_desc, value, strlen(value), &p, &err) < 0) {
		if (n)
			log_warn("the cluster store's entry of endpoint %.12s: %s", ep, err_text(&err));
	} else if (!streq(p.host, c->address)) {
		const char *const data[] = { "network", network, "endpoint", ep, "host", p.host, "mac", p.mac, "ipv4", p.ipv4, "ipv6", p.ipv6, NULL };

		d = net_driver_get(c->nc->drivers, n->driver, &err);
		if (!d || net_driver_discover(d, true, "endpoint", data, &err) < 0)
			log_warn("a container of host %s on network %s: %s", p.host, n->name, err_text(&err));
		tell_names(c, n, ep, &p);
	}
	jdesc_clear(&cluster_place_desc, &p);
}

static void endpoint_went(struct net_cluster *c, const char *network, const char *ep)
{
	OWN_NETWORK struct network *n = cluster_network(c->nc, network);
	const char *const data[] = { "network", network, "endpoint", ep, NULL };
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d = n ? net_driver_get(c->nc->drivers, n->driver, &err) : NULL;

	if (d && net_driver_discover(d, false, "endpoint", data, &err) < 0)
		log_warn("%s", err_text(&err));
	forget_names(c, ep);
}

/* All that is known of a network which is new here. */
void cluster_tell_network(struct net_cluster *c, const char *id)
{
	OWN_FREE char *addresses = xasprintf("address/%s/", id), *endpoints = xasprintf("endpoint/%s/", id);
	OWN_STRMAP struct strmap v = { 0 }, w = { 0 };

	lock_take(&c->lock);
	mirror_list(&c->mirror, addresses, &v);
	mirror_list(&c->mirror, endpoints, &w);
	lock_drop(&c->lock);
	for (size_t i = 0; i < v.len; i++)
		net_address_hold_far(c->nc, id, v.v[i].value, v.v[i].key + strlen(addresses));
	for (size_t i = 0; i < w.len; i++)
		endpoint_came(c, id, w.v[i].key + strlen(endpoints), w.v[i].value);
}

/* One of another host, or of this one before it started. */
static void network_came(struct net_cluster *c, const char *id, const char *value)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_NETWORK struct network *n = NULL, *known = cluster_network(c->nc, id);
	struct net_driver *d;
	bool good;

	if (known) {
		cluster_tell_network(c, id);
		return;
	}
	n = network_from_text(value, &err);
	if (!n || !streq(n->id, id) || !network_is_global(n)) {
		log_warn("the cluster store's entry of network %.12s cannot be used: %s", id, err.msg ? err_text(&err) : "it is another one's");
		return;
	}
	d = net_driver_get(c->nc->drivers, n->driver, &err);
	if (!d) {
		log_warn("network %s of the cluster: %s", n->name, err_text(&err));
		return;
	}
	lock_take(&c->nc->lock);
	good = !net_entry_named(c->nc, n->name);
	if (good)
		net_entry_add(c->nc, network_ref(n))->state = NET_CREATING;
	lock_drop(&c->nc->lock);
	if (!good) {
		log_warn("network %s of the cluster is not seen here: there is a local network of that name", n->name);
		return;
	}
	cluster_tell_self(c, d);
	good = net_space_open(c->nc, n, &err) == 0 && net_driver_create(d, n, &c->nc->extra, false, &err) == 0;
	lock_take(&c->nc->lock);
	struct net_entry *e = net_entry_find(c->nc, id);

	if (e) {
		e->state = NET_UP;
		e->broken = !good;
	}
	lock_drop(&c->nc->lock);
	if (!good)
		log_warn("network %s of the cluster: %s", n->name, err_text(&err));
	cluster_tell_network(c, id);
	if (net_save(c->nc, &err) < 0)
		log_warn("%s", err_text(&err));
}

/* Whoever is on it here stays on it: the network goes with the last of them, at the next start. */
void cluster_network_went(struct net_cluster *c, const char *id)
{
	OWN_NETWORK struct network *n = cluster_network(c->nc, id);
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d;
	struct net_entry *e;
	bool used, kept;

	if (!n || !network_is_global(n))
		return;
	lock_take(&c->nc->lock);
	e = net_entry_find(c->nc, id);
	used = !e || e->held || net_endpoints_on(c->nc, id) || e->state != NET_UP;
	kept = e && e->state == NET_UP && used;
	if (e && !used)
		e->state = NET_REMOVING;
	lock_drop(&c->nc->lock);
	if (used) {
		if (kept)
			log_warn("network %s is gone from the cluster store, and containers of this host are on it: it stays here", n->name);
		return;
	}
	d = net_driver_get(c->nc->drivers, n->driver, &err);
	if (d && net_driver_delete(d, id, &err) < 0)
		log_warn("network %s: %s", n->name, err_text(&err));
	lock_take(&c->nc->lock);
	net_entry_drop(c->nc, id);
	lock_drop(&c->nc->lock);
	net_space_drop(c->nc, id);
	net_save(c->nc, NULL);
}

/* What net_cluster_address() found taken by somebody else is held under a name of its own. */
void cluster_far_name(const char *address, char ret[CLUSTER_FAR])
{
	snprintf(ret, CLUSTER_FAR, "far-%s", address);
}

static void address_went(struct net_cluster *c, const char *network, const char *owner, const char *address)
{
	char far[CLUSTER_FAR];

	cluster_far_name(address, far);
	net_address_drop_far(c->nc, network, owner, address);
	net_address_drop_far(c->nc, network, far, address);
}

void cluster_came(struct net_cluster *c, const char *key, const char *value)
{
	char id[ID_HEX + 1];
	const char *rest;

	if (cluster_split_key(key, "network/", id, &rest))
		network_came(c, id, value);
	else if (cluster_split_key(key, "address/", id, &rest))
		net_address_hold_far(c->nc, id, value, rest);
	else if (cluster_split_key(key, "endpoint/", id, &rest))
		endpoint_came(c, id, rest, value);
}

void cluster_went(struct net_cluster *c, const char *key, const char *value)
{
	char id[ID_HEX + 1];
	const char *rest;

	if (cluster_split_key(key, "network/", id, &rest))
		cluster_network_went(c, id);
	else if (cluster_split_key(key, "address/", id, &rest))
		address_went(c, id, value, rest);
	else if (cluster_split_key(key, "endpoint/", id, &rest))
		endpoint_went(c, id, rest);
}
