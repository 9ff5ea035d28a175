/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The addresses of the networks that have some. What running containers hold is read back from their sandboxes' files,
 * so there is no file of addresses to go wrong. An address given back is out of use until its interface is gone.
 */
#include <time.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

#define WAIT_MAX (3 * NSEC_PER_SEC) /* for an interface that is being taken down */
#define WAIT_STEP 20000000L
#define GATEWAY "gateway"
#define ASKED "asked for"

struct net_space {
	char network[ID_HEX + 1];
	struct ipam **pools;
	char **subnets; /* as users wrote them */
	size_t len;
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

static void space_free(struct net_space *s)
{
	for (size_t i = 0; i < s->len; i++) {
		ipam_free(s->pools[i]);
		free(s->subnets[i]);
	}
	free(s->pools);
	free(s->subnets);
	free(s);
}
DEFINE_CLEANUP(struct net_space, space_free)

static bool has_family(const struct net_space *s, bool ipv6)
{
	for (size_t i = 0; i < s->len; i++)
		if (ipam_subnet(s->pools[i])->address.v6 == ipv6)
			return true;
	return false;
}

/* Under nc->lock. The address of a sandbox that stands; without it another would get it. */
static void hold_one(struct net_space *s, const char *owner, const char *text)
{
	struct cidr c;

	if (!cidr_parse_any(text, &c))
		return;
	for (size_t i = 0; i < s->len; i++)
		if (cidr_contains(ipam_subnet(s->pools[i]), &c.address))
			ipam_take_one(s->pools[i], owner, &c.address, NULL);
}

static void hold(struct net_space *s, const struct net_endpoint *ep)
{
	hold_one(s, ep->id, ep->ipv4);
	hold_one(s, ep->id, ep->ipv6);
}

static int reserve(struct ipam *ipam, const char *owner, const char *what, const char *name, const char *text, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	struct ip a;

	if (str_empty(text) || !ip_parse(text, &a) || ipam_take_one(ipam, owner, &a, &why) == 0)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "failed to allocate %s (%s%s%s): %s", what, name, *name ? ":" : "", text, err_text(&why));
}

static int open_pool(struct net_space *s, const struct net_pool *p, struct err *err)
{
	struct cidr subnet, range;
	struct ipam *ipam;

	if (!cidr_parse(p->subnet, &subnet))
		return err_set(err, ERR_INVALID, "invalid subnet %s: invalid CIDR block notation", p->subnet);
	s->pools = xrealloc(s->pools, (s->len + 1) * sizeof(*s->pools));
	s->subnets = xrealloc(s->subnets, (s->len + 1) * sizeof(*s->subnets));
	s->subnets[s->len] = xstrdup(p->subnet);
	s->pools[s->len++] = ipam = ipam_new(&subnet, cidr_parse(p->range, &range) ? &range : NULL);
	if (reserve(ipam, GATEWAY, "gateway", "", p->gateway, err) < 0)
		return -1;
	for (size_t i = 0; i < p->aux.len; i++)
		if (reserve(ipam, p->aux.v[i].key, "secondary ip address", p->aux.v[i].key, p->aux.v[i].value, err) < 0)
			return -1;
	return 0;
}

int net_space_open(struct net_controller *nc, const struct network *n, struct err *err)
{
	CLEANUP(space_freep) struct net_space *s = xcalloc(1, sizeof(*s));
	const struct net_endpoint *ep;

	memcpy(s->network, n->id, sizeof(s->network));
	for (size_t i = 0; i < n->pools_len && !n->config_only && !net_ipam_is_external(n); i++)
		if (net_pool_used(n, &n->pools[i]) && open_pool(s, &n->pools[i], err) < 0)
			return -1;
	for (const struct net_box *b = nc->found; b; b = b->next)
		if ((ep = net_box_endpoint(b, n->id)))
			hold(s, ep);
	net_space_drop(nc, n->id);
	if (!s->len)
		return 0;
	WITH_LOCK(&nc->lock);
	s->next = nc->spaces;
	nc->spaces = STEAL(s);
	return 0;
}

bool net_space_stands(struct net_controller *nc, const char *network_id)
{
	WITH_LOCK(&nc->lock);

	return find(nc, network_id) != NULL;
}

void net_space_drop(struct net_controller *nc, const char *network_id)
{
	WITH_LOCK(&nc->lock);

	for (struct net_space **p = &nc->spaces, *s; (s = *p); p = &s->next)
		if (streq(s->network, network_id)) {
			*p = s->next;
			space_free(s);
			return;
		}
}

void net_spaces_close(struct net_controller *nc)
{
	for (struct net_space *s = nc->spaces, *next; s; s = next) {
		next = s->next;
		space_free(s);
	}
	nc->spaces = NULL;
}

int net_gateway_choose(const struct net_pool *p, char ret[CIDR_TEXT], struct err *err)
{
	struct cidr subnet, range;
	struct ip a;
	struct ipam *ipam;
	int rc;

	if (!cidr_parse(p->subnet, &subnet))
		return err_set(err, ERR_INVALID, "invalid subnet %s: invalid CIDR block notation", p->subnet);
	ipam = ipam_new(&subnet, cidr_parse(p->range, &range) ? &range : NULL);
	for (size_t i = 0; i < p->aux.len; i++)
		if (ip_parse(p->aux.v[i].value, &a))
			ipam_take_one(ipam, "aux", &a, NULL);
	rc = ipam_take(ipam, GATEWAY, &a, NULL);
	ipam_free(ipam);
	if (rc < 0)
		return err_set(err, ERR_INVALID, "failed to allocate gateway (): No available addresses on this pool");
	ip_text(&a, ret);
	return 0;
}

/* Lets go of the addresses whose interfaces are gone; true when there are others. */
static bool let_go(struct net_controller *nc, struct net_driver *d, const char *network)
{
	OWN_STRV struct strv owners = { 0 };
	struct net_space *s;
	bool others = false;

	lock_take(&nc->lock);
	s = find(nc, network);
	for (size_t i = 0; s && i < s->len; i++)
		ipam_lingering(s->pools[i], &owners);
	lock_drop(&nc->lock);
	for (size_t i = 0; i < owners.len; i++) {
		if (i && streq(owners.v[i], owners.v[i - 1]))
			continue;
		if (net_driver_stands(d, network, owners.v[i])) {
			others = true;
			continue;
		}
		WITH_LOCK(&nc->lock);
		s = find(nc, network);
		for (size_t j = 0; s && j < s->len; j++)
			ipam_drop(s->pools[j], owners.v[i]);
	}
	return others;
}

static int take_wanted(struct net_space *s, bool ipv6, const struct net_endpoint *ep, const char *want, struct cidr *ret, struct err *err)
{
	if (!ip_parse(want, &ret->address) || ret->address.v6 != ipv6)
		return err_set(err, ERR_INVALID, "invalid IPv%c address: %s", ipv6 ? '6' : '4', want);
	for (size_t i = 0; i < s->len; i++) {
		if (!cidr_contains(ipam_subnet(s->pools[i]), &ret->address))
			continue;
		ret->bits = ipam_subnet(s->pools[i])->bits;
		if (ipam_take_one(s->pools[i], ep->id, &ret->address, err) == 0)
			return 0;
		/* whoever has it keeps it, so that waiting is of no use */
		if (err->class == ERR_CONFLICT && !ipam_lingers_at(s->pools[i], &ret->address))
			err->class = ERR_FORBIDDEN;
		return -1;
	}
	return err_set(err, ERR_INVALID, "no configured subnet or ip-range contain the IP address %s", want);
}

/* One that none of the others will ask for. */
static int take_but(struct ipam *p, const char *owner, const struct strv *asked, struct ip *ret)
{
	struct ip a;
	int rc;

	for (size_t i = 0; i < asked->len; i++)
		if (ip_parse(asked->v[i], &a))
			ipam_take_one(p, ASKED, &a, NULL);
	rc = ipam_take(p, owner, ret, NULL);
	if (asked->len)
		ipam_drop(p, ASKED);
	return rc;
}

static int take_any(struct net_space *s, bool ipv6, const struct net_endpoint *ep, const struct strv *asked, struct cidr *ret, struct err *err)
{
	static const struct strv none;

	for (int last = 0; last <= (asked->len > 0); last++)
		for (size_t i = 0; i < s->len; i++) {
			if (ipam_subnet(s->pools[i])->address.v6 != ipv6 || take_but(s->pools[i], ep->id, last ? &none : asked, &ret->address) < 0)
				continue;
			ret->bits = ipam_subnet(s->pools[i])->bits;
			return 0;
		}
	return err_set(err, ERR_UNAVAILABLE, "no available IPv%c addresses on this network's address pools: %s (%s)", ipv6 ? '6' : '4', ep->network,
		ep->network_id);
}

/* Of one family, which the network may lack. */
static int take_family(struct net_space *s, bool ipv6, struct net_endpoint *ep, const char *want, const struct strv *asked, struct err *err)
{
	char text[CIDR_TEXT];
	struct cidr c;

	if (!s || !has_family(s, ipv6))
		return str_empty(want) ? 0 : err_set(err, ERR_INVALID, "no configured subnet or ip-range contain the IP address %s", want);
	if ((str_empty(want) ? take_any(s, ipv6, ep, asked, &c, err) : take_wanted(s, ipv6, ep, want, &c, err)) < 0)
		return -1;
	cidr_text(&c, text);
	str_set(ipv6 ? &ep->ipv6 : &ep->ipv4, text);
	return 0;
}

static int take(struct net_controller *nc, struct net_endpoint *ep, const char *want4, const char *want6, const struct strv *asked, struct err *err)
{
	struct net_space *s;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	if (take_family(s, false, ep, want4, asked, err) == 0 && take_family(s, true, ep, want6, asked, err) == 0)
		return 0;
	for (size_t i = 0; s && i < s->len; i++)
		ipam_drop(s->pools[i], ep->id);
	str_set(&ep->ipv4, NULL);
	str_set(&ep->ipv6, NULL);
	return -1;
}

/* What others ask for of a network from which an address is to be chosen. */
static void others_ask(struct net_controller *nc, const struct network *n, struct strv *ret)
{
	net_asked_fn *fn;
	void *ctx;

	lock_take(&nc->lock);
	fn = nc->asked;
	ctx = nc->asked_ctx;
	lock_drop(&nc->lock);
	if (fn && n)
		fn(ctx, n, ret);
}

int net_address_take(struct net_controller *nc, struct net_driver *d, struct net_endpoint *ep, const char *want4, const char *want6,
	struct err *err)
{
	const struct timespec step = { 0, WAIT_STEP };
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	int64_t until = clock_mono() + WAIT_MAX;
	OWN_STRV struct strv asked = { 0 };

	ep->static_address = !str_empty(want4) || !str_empty(want6);
	if (n && net_ipam_is_external(n))
		return net_ipam_take(nc, n, ep, want4, want6, err);
	if (!ep->static_address)
		others_ask(nc, n, &asked);
	for (;;) {
		OWN_ERR struct err why = ERR_INIT;
		bool others = let_go(nc, d, ep->network_id);

		if (take(nc, ep, want4, want6, &asked, &why) == 0)
			return 0;
		if (!others || clock_mono() > until || why.class == ERR_INVALID || why.class == ERR_FORBIDDEN)
			return err_move(err, &why);
		nanosleep(&step, NULL);
	}
}

static void each(struct net_controller *nc, const struct net_endpoint *ep, void (*fn)(struct ipam *p, const char *owner))
{
	struct net_space *s;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	for (size_t i = 0; s && i < s->len; i++)
		fn(s->pools[i], ep->id);
}

void net_address_give(struct net_controller *nc, const struct net_endpoint *ep)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);

	if (n && net_ipam_is_external(n))
		net_ipam_give(nc, n, ep);
	else
		each(nc, ep, ipam_linger);
}

void net_address_drop(struct net_controller *nc, const struct net_endpoint *ep)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);

	if (n && net_ipam_is_external(n))
		net_ipam_give(nc, n, ep);
	else
		each(nc, ep, ipam_drop);
}

void net_address_hold_far(struct net_controller *nc, const char *network_id, const char *owner, const char *address)
{
	struct net_space *s;
	struct ip a;
	WITH_LOCK(&nc->lock);

	s = find(nc, network_id);
	for (size_t i = 0; s && ip_parse(address, &a) && i < s->len; i++)
		if (cidr_contains(ipam_subnet(s->pools[i]), &a))
			ipam_take_one(s->pools[i], owner, &a, NULL);
}

/* One that lingers is this host's, and goes with its interface. */
void net_address_drop_far(struct net_controller *nc, const char *network_id, const char *owner, const char *address)
{
	struct net_space *s;
	struct ip a;
	WITH_LOCK(&nc->lock);

	s = find(nc, network_id);
	for (size_t i = 0; s && ip_parse(address, &a) && i < s->len; i++)
		if (!ipam_lingers_at(s->pools[i], &a))
			ipam_drop(s->pools[i], owner);
}

void net_address_hold(struct net_controller *nc, const struct net_endpoint *ep)
{
	struct net_space *s;
	WITH_LOCK(&nc->lock);

	s = find(nc, ep->network_id);
	if (s)
		hold(s, ep);
}

void net_figures(struct net_controller *nc, const struct network *n, net_figures_fn *fn, void *ctx)
{
	struct net_space *s;
	uint64_t used, left;
	WITH_LOCK(&nc->lock);

	s = find(nc, n->id);
	for (size_t i = 0; s && i < s->len; i++) {
		ipam_figures(s->pools[i], &used, &left);
		fn(ctx, s->subnets[i], used, left);
	}
}
