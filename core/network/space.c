/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of the networks that have some. What running containers hold is read back from their sandboxes' files,
 * so there is no file of addresses to go wrong. An address given back is out of use until its interface is gone.
 */
#include <dirent.h>
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

#define WAIT_MAX (3 * NSEC_PER_SEC) /* for an interface that is being taken down */
#define WAIT_STEP 20000000L

struct net_space {
	char network[ID_HEX + 1];
	struct cidr4 subnet;
	struct ipam *ipam;
	struct net_space *next;
};

/* Under nc->lock. */
static struct net_space *find(struct net_controller *nc, const char *network)
{
	struct net_space *s = nc->spaces;

	while (s && !streq(s->network, network))
		s = s->next;
	return s;
}

static void reserve(struct ipam *ipam, const char *owner, const char *text)
{
	uint32_t address;

	if (ip4_parse(text, &address))
		ipam_take_one(ipam, owner, address, NULL);
}

/* Under nc->lock. The address of a sandbox that stands; without it another would get it. */
static void hold(struct net_space *s, const struct net_endpoint *ep)
{
	struct cidr4 c;

	if (cidr4_parse(ep->ipv4, &c) && cidr4_contains(&s->subnet, c.address))
		ipam_take_one(s->ipam, ep->id, c.address, NULL);
}

static void hold_all(struct net_controller *nc, struct net_space *s)
{
	OWN_FREE char *dir = xasprintf("%s/sandboxes", nc->exec_root);
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *id = xstrndup(e->d_name, ID_HEX);
		CLEANUP(net_box_freep) struct net_box *b = id_is_hex64(id) ? net_box_read(nc->exec_root, id, NULL) : NULL;

		if (b && net_box_endpoint(b, s->network))
			hold(s, net_box_endpoint(b, s->network));
	}
}

void net_space_open(struct net_controller *nc, const struct network *n)
{
	struct net_space *s = xcalloc(1, sizeof(*s));
	const struct net_pool *p = n->pools_len ? &n->pools[0] : NULL;
	struct cidr4 range;

	if (!p || !cidr4_parse(p->subnet, &s->subnet)) {
		free(s);
		return;
	}
	memcpy(s->network, n->id, sizeof(s->network));
	s->ipam = ipam_new(&s->subnet, cidr4_parse(p->range, &range) ? &range : NULL);
	reserve(s->ipam, "gateway", p->gateway);
	for (size_t i = 0; i < p->aux.len; i++)
		reserve(s->ipam, p->aux.v[i].key, p->aux.v[i].value);
	hold_all(nc, s);
	WITH_LOCK(&nc->lock);
	s->next = nc->spaces;
	nc->spaces = s;
}

void net_spaces_close(struct net_controller *nc)
{
	for (struct net_space *s = nc->spaces, *next; s; s = next) {
		next = s->next;
		ipam_free(s->ipam);
		free(s);
	}
	nc->spaces = NULL;
}

/* Lets go of the addresses whose interfaces are gone; true when there are others. */
static bool let_go(struct net_controller *nc, struct net_driver *d, const char *network)
{
	OWN_STRV struct strv owners = { 0 };
	struct net_space *s;
	bool others = false;

	lock_take(&nc->lock);
	s = find(nc, network);
	if (s)
		ipam_lingering(s->ipam, &owners);
	lock_drop(&nc->lock);
	for (size_t i = 0; i < owners.len; i++) {
		if (net_driver_stands(d, network, owners.v[i])) {
			others = true;
			continue;
		}
		WITH_LOCK(&nc->lock);
		s = find(nc, network);
		if (s)
			ipam_drop(s->ipam, owners.v[i]);
	}
	return others;
}

/* 1: taken; 0: the network has no addresses to give; -1 */
static int take(struct net_controller *nc, struct net_endpoint *ep, struct err *err)
{
	struct net_space *s;
	char text[CIDR4_TEXT];
	uint32_t address;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	if (!s)
		return 0;
	if (ipam_take(s->ipam, ep->id, &address, err) < 0)
		return err_set(err, ERR_UNAVAILABLE, "no available IPv4 addresses on this network's address pools: %s (%s)", ep->network,
			ep->network_id);
	cidr4_text(address, s->subnet.bits, text);
	str_set(&ep->ipv4, text);
	return 1;
}

int net_address_take(struct net_controller *nc, struct net_driver *d, struct net_endpoint *ep, struct err *err)
{
	const struct timespec step = { 0, WAIT_STEP };
	int64_t until = clock_mono() + WAIT_MAX;

	for (;;) {
		OWN_ERR struct err why = ERR_INIT;
		bool others = let_go(nc, d, ep->network_id);

		if (take(nc, ep, &why) >= 0)
			return 0;
		if (!others || clock_mono() > until)
			return err_move(err, &why);
		nanosleep(&step, NULL);
	}
}

void net_address_give(struct net_controller *nc, const struct net_endpoint *ep)
{
	struct net_space *s;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	if (s)
		ipam_linger(s->ipam, ep->id);
}

void net_address_hold(struct net_controller *nc, const struct net_endpoint *ep)
{
	struct net_space *s;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	if (s)
		hold(s, ep);
}
