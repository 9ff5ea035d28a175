/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subnets: which are asked for and whether they make sense, and which is free when none is asked for. */
#include <stdio.h>

#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

#define AUTO_BITS 24  /* of users' networks where no pools are configured: there shall be room for many */
#define ULA_BITS 48
#define AUTO_BITS6 64

/* Docker's own bases, in its order. 172.17.0.0/16 is the default bridge's, where that is free. */
static const char *const default_bases[] = {
	"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/14", "192.168.0.0/16",
};

static void add_base(struct net_controller *nc, const struct cidr *base, unsigned bits)
{
	nc->bases = xrealloc(nc->bases, (nc->bases_len + 1) * sizeof(*nc->bases));
	nc->bases[nc->bases_len++] = (struct net_base){ cidr_network(base), bits };
}

/*
 * The ULA prefix fd00::/8 with 40 bits that are this data-root's own for ever: those of the id of the network "none". They stand where
 * RFC 4193 wants random ones.
 */
static void add_ula(struct net_controller *nc)
{
	struct network *none = net_find_name(nc, "none");
	struct cidr base = { .address.v6 = true, .bits = ULA_BITS };
	unsigned long long global = 0;

	if (!none || sscanf(none->id, "%10llx", &global) != 1)
		global = 0xd0cd0cd0c0ULL;
	network_unref(none);
	base.address.n = ((u128)0xfd << 120) | ((u128)global << 80);
	add_base(nc, &base, AUTO_BITS6);
}

bool net_pool_read(const char *text, char ret_base[NET_POOL_BASE], int *ret_size)
{
	int end = 0;

	return sscanf(text, "base=%46[^,],size=%6d%n", ret_base, ret_size, &end) == 2 && !text[end];
}

static bool parse_base(const char *text, struct cidr *ret, unsigned *ret_bits)
{
	char base[NET_POOL_BASE];
	int bits;

	if (!net_pool_read(text, base, &bits) || !cidr_parse(base, ret) || bits < (int)ret->bits ||
	    bits > (int)cidr_width(ret->address.v6))
		return false;
	*ret_bits = (unsigned)bits;
	return true;
}

int net_pools_set(struct net_controller *nc, const struct strv *pools, struct err *err)
{
	bool have4 = false, have6 = false;
	struct cidr base;
	unsigned bits;

	free(nc->bases);
	nc->bases = NULL;
	nc->bases_len = 0;
	for (size_t i = 0; pools && i < pools->len; i++) {
		if (!parse_base(pools->v[i], &base, &bits))
			return err_set(err, ERR_INVALID, "invalid default address pool: %s", pools->v[i]);
		add_base(nc, &base, bits);
		*(base.address.v6 ? &have6 : &have4) = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(default_bases) && !have4; i++)
		if (cidr_parse(default_bases[i], &base))
			add_base(nc, &base, AUTO_BITS);
	if (!have6)
		add_ula(nc);
	return 0;
}

void net_host_read(const char *except, struct net_host *ret)
{
	OWN_ERR struct err err = ERR_INIT;

	*ret = (struct net_host){ 0 };
	if (rtnl_taken(except, &ret->v, &ret->len, &err) < 0)
		log_warn("%s", err_text(&err));
}

void net_host_done(struct net_host *h)
{
	free(h->v);
	*h = (struct net_host){ 0 };
}

bool net_pool_free(const struct net_host *host, const struct cidr *c)
{
	for (size_t i = 0; i < host->len; i++)
		if (cidr_overlap(&host->v[i].net, c))
			return false;
	return true;
}

bool net_pool_used(const struct network *n, const struct net_pool *p)
{
	struct cidr c;

	return cidr_parse(p->subnet, &c) && (c.address.v6 ? n->enable_ipv6 : n->enable_ipv4);
}

bool net_pool_overlaps(const struct net_controller *nc, const char *but, const struct cidr *c)
{
	struct cidr other;

	for (size_t i = 0; i < nc->nets_len; i++) {
		const struct network *n = nc->nets[i]->n;
		bool other_space = n->config_only || net_ipam_is_external(n) || (but && streq(n->id, but));

		for (size_t j = 0; j < n->pools_len && !other_space; j++)
			if (net_pool_used(n, &n->pools[j]) && cidr_parse(n->pools[j].subnet, &other) && cidr_overlap(&other, c))
				return true;
	}
	return false;
}

/* From the first to the last address. */
struct span {
	u128 first, last;
	bool routed; /* the host reaches it by a gateway */
};

static int by_first(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

static void add_span(struct span *v, size_t *len, const struct cidr *c, bool ipv6, bool routed)
{
	if (c->address.v6 == ipv6)
		v[(*len)++] = (struct span){ cidr_first(c).n, cidr_last(c).n, routed };
}

/* What is not free, in order. */
static struct span *taken(const struct net_controller *nc, const struct net_host *host, bool ipv6, size_t *ret_len)
{
	size_t room = host->len + 1, len = 0;
	struct span *v;
	struct cidr c;

	for (size_t i = 0; i < nc->nets_len; i++)
		room += nc->nets[i]->n->pools_len;
	v = xcalloc(room, sizeof(*v));
	for (size_t i = 0; i < host->len; i++)
		add_span(v, &len, &host->v[i].net, ipv6, host->v[i].routed);
	for (size_t i = 0; i < nc->nets_len; i++) {
		const struct network *n = nc->nets[i]->n;

		for (size_t j = 0; j < n->pools_len && !n->config_only; j++)
			if (cidr_parse(n->pools[j].subnet, &c))
				add_span(v, &len, &c, ipv6, false);
	}
	qsort(v, len, sizeof(*v), by_first);
	*ret_len = len;
	return v;
}

/* The first subnet of base that none of the spans touches. lax: what leads all of base and more to a gateway does not count. */
static bool first_free(const struct net_base *base, const struct span *v, size_t len, bool lax, struct cidr *ret)
{
	u128 mask = cidr_last(&(struct cidr){ { 0, base->base.address.v6 }, base->bits }).n;
	u128 begin = cidr_first(&base->base).n, end = cidr_last(&base->base).n, at = begin;

	for (size_t i = 0; i < len; i++) {
		if (v[i].last < at || (lax && v[i].routed && v[i].last - v[i].first > end - begin))
			continue;
		if (v[i].first > (at | mask))
			break;
		if (v[i].last >= end)
			return false;
		at = (v[i].last | mask) + 1;
		if (at > end)
			return false;
	}
	*ret = (struct cidr){ { at, base->base.address.v6 }, base->bits };
	return true;
}

static bool choose(const struct net_controller *nc, const struct net_host *host, bool ipv6, bool lax, struct cidr *ret)
{
	size_t len;
	OWN_FREE struct span *v = taken(nc, host, ipv6, &len);

	for (size_t i = 0; i < nc->bases_len; i++)
		if (nc->bases[i].base.address.v6 == ipv6 && first_free(&nc->bases[i], v, len, lax, ret))
			return true;
	return false;
}

/* A VPN may lead all private addresses through itself: it is as good as a default route then. */
int net_pool_choose(struct net_controller *nc, const struct net_host *host, bool ipv6, struct cidr *ret, struct err *err)
{
	if (choose(nc, host, ipv6, false, ret) || choose(nc, host, ipv6, true, ret))
		return 0;
	return err_set(err, ERR_NOT_FOUND, "could not find an available, non-overlapping IPv%c address pool among the defaults to assign to "
		"the network", ipv6 ? '6' : '4');
}

void net_pools_copy(struct network *n, const struct net_pool *pools, size_t len)
{
	n->pools = xcalloc(len + 1, sizeof(*n->pools));
	for (n->pools_len = 0; n->pools_len < len; n->pools_len++) {
		const struct net_pool *p = &pools[n->pools_len];
		struct net_pool *q = &n->pools[n->pools_len];

		*q = (struct net_pool){ .subnet = xstrdup(p->subnet), .range = xstrdup(p->range), .gateway = xstrdup(p->gateway), .id = xstrdup(p->id) };
		strmap_copy(&q->aux, &p->aux);
	}
}

void net_pools_sort(struct network *n)
{
	for (size_t i = 1; i < n->pools_len; i++)
		for (size_t j = i; j > 0 && strchr(n->pools[j - 1].subnet, ':') && !strchr(n->pools[j].subnet, ':'); j--) {
			struct net_pool p = n->pools[j - 1];

			n->pools[j - 1] = n->pools[j];
			n->pools[j] = p;
		}
}

static const char *family(bool v6)
{
	return v6 ? "IPv6" : "IPv4";
}

/* One line of what is wrong. */
static void complain(struct buf *b, const char *what, const char *which, const char *why)
{
	buf_addf(b, "\ninvalid %s %s: %s", what, which, why);
}

static void check_range(const char *range, const struct cidr *subnet, struct buf *b)
{
	OWN_FREE char *why = NULL;
	char text[CIDR_TEXT], net[CIDR_TEXT];
	struct cidr r;

	if (str_empty(range))
		return;
	cidr_text(subnet, net);
	if (!cidr_parse(range, &r)) {
		complain(b, "ip-range", range, "invalid CIDR block notation");
		return;
	}
	if (r.address.v6 != subnet->address.v6) {
		why = xasprintf("parent subnet is an %s block", family(subnet->address.v6));
		complain(b, "ip-range", range, why);
		return;
	}
	if (r.bits < subnet->bits) {
		why = xasprintf("CIDR block is bigger than its parent subnet %s", net);
		complain(b, "ip-range", range, why);
	}
	if (r.address.n != cidr_first(&r).n) {
		r = cidr_network(&r);
		cidr_text(&r, text);
		free(why);
		why = xasprintf("it should be %s", text);
		complain(b, "ip-range", range, why);
	}
	if (!cidr_overlap(&r, subnet)) {
		free(why);
		why = xasprintf("parent subnet %s doesn't contain ip-range", net);
		complain(b, "ip-range", range, why);
	}
}

static void check_address(const char *what, const char *which, const char *address, const struct cidr *subnet, struct buf *b)
{
	OWN_FREE char *why = NULL;
	char net[CIDR_TEXT];
	struct ip a;

	if (str_empty(address))
		return;
	cidr_text(subnet, net);
	if (!ip_parse(address, &a))
		why = xstrdup("invalid address");
	else if (a.v6 != subnet->address.v6)
		why = xasprintf("parent subnet is an %s block", family(subnet->address.v6));
	else if (!cidr_contains(subnet, &a))
		why = xasprintf("parent subnet %s doesn't contain this address", net);
	if (why)
		complain(b, what, which, why);
}

static void check_pool(const struct net_pool *p, bool ipv6, struct buf *b)
{
	const char *subnet = p->subnet ? p->subnet : "";
	OWN_FREE char *why = NULL;
	char text[CIDR_TEXT];
	struct cidr c, net;

	if (!cidr_parse(subnet, &c)) {
		complain(b, "subnet", subnet, "invalid CIDR block notation");
		return;
	}
	if (c.address.v6 && !ipv6)
		return;
	net = cidr_network(&c);
	cidr_text(&net, text);
	if (net.address.n != c.address.n) {
		why = xasprintf("it should be %s", text);
		complain(b, "subnet", subnet, why);
	}
	check_range(p->range, &c, b);
	check_address("gateway", p->gateway ? p->gateway : "", p->gateway, &c, b);
	for (size_t i = 0; i < p->aux.len; i++)
		check_address("auxiliary address", p->aux.v[i].key, p->aux.v[i].value, &c, b);
}

int net_pools_validate(const struct net_pool *pools, size_t len, bool ipv4, bool ipv6, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct cidr x, y;

	(void)ipv4;
	for (size_t i = 0; i < len; i++)
		check_pool(&pools[i], ipv6, &b);
	if (b.size) {
		buf_addc(&b, '\0');
		return err_set(err, ERR_INVALID, "invalid network config:%s", b.data);
	}
	for (size_t i = 0; i < len; i++)
		for (size_t j = 0; j < i; j++)
			if (cidr_parse(pools[i].subnet, &x) && cidr_parse(pools[j].subnet, &y) && cidr_overlap(&x, &y))
				return err_set(err, ERR_FORBIDDEN, "invalid pool request: Pool overlaps with other one on this address space");
	return 0;
}
