/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way out of a container whose networks have none, an overlay's say: a place on docker_gwbridge, a bridge network which is made when the
 * first of them comes. That place is the daemon's own. It leads the default route only where no other does, has no names, and comes and goes
 * with the need for it; the network's Containers show it, the container's networks do not.
 */
#include "network/net_i.h"

#define WAY_OUT "docker_gwbridge"
#define TRIES 3

struct net_endpoint *net_box_way_out(const struct net_box *b)
{
	for (size_t i = 0; i < b->eps_len; i++)
		if (b->eps[i].way_out)
			return &b->eps[i];
	return NULL;
}

/* One network that leads out is enough, of either family; those that are internal do not ask for it. */
bool net_needs_way_out(const struct net_box *b, const char *but_network_id)
{
	bool asked = false;

	for (size_t i = 0; i < b->eps_len; i++) {
		const struct net_endpoint *e = &b->eps[i];

		if (e->way_out || (but_network_id && streq(e->network_id, but_network_id)))
			continue;
		if (!str_empty(e->gateway4) || !str_empty(e->gateway6))
			return false;
		asked |= e->leads_nowhere;
	}
	return asked;
}

/* Containers that meet there have nothing to do with each other. */
static int make(struct net_controller *nc, struct err *err)
{
	OWN_STRMAP struct strmap options = { 0 };
	const struct net_spec spec = { .name = WAY_OUT, .driver = "bridge", .plain = true, .enable_ipv4 = 1, .enable_ipv6 = 0, .options = &options };
	OWN_ERR struct err why = ERR_INIT;
	char id[65];

	strmap_set(&options, "com.docker.network.bridge.enable_icc", "false");
	strmap_set(&options, "com.docker.network.bridge.enable_ip_masquerade", "true");
	strmap_set(&options, "com.docker.network.bridge.name", WAY_OUT);
	if (net_create(nc, &spec, id, NULL, &why) == 0 || why.class == ERR_CONFLICT)
		return 0;
	return err_move(err, &why);
}

/* Somebody makes it, or takes it away. */
static void wait_for_others(struct net_controller *nc)
{
	const struct net_entry *e;
	WITH_LOCK(&nc->lock);

	while ((e = net_entry_named(nc, WAY_OUT)) && e->state != NET_UP)
		lock_wait(&nc->lock, &nc->changed, -1);
}

struct network *net_hold_way_out(struct net_controller *nc, struct err *err)
{
	struct network *n = net_hold(nc, WAY_OUT, NULL);

	for (int i = 0; !n && i < TRIES; i++) {
		if (make(nc, err) < 0)
			return NULL;
		wait_for_others(nc);
		n = net_hold(nc, WAY_OUT, NULL);
	}
	return n ? n : net_hold(nc, WAY_OUT, err);
}
