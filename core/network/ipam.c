/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/ipam.h"

#include <stdlib.h>

#include "base/cleanup.h"

struct lease {
	u128 address;
	bool lingers;
	char *owner;
};

struct ipam {
	struct cidr subnet;
	u128 lowest, highest; /* that may be somebody's; in between all may */
	u128 first, last;     /* of the range */
	struct lease *v;      /* by address */
	size_t len, room;
};

/*
 * Nobody's are the network's own address (in IPv6 that of its routers) and the broadcast address, which IPv6 does not have; the
 * subnets too small for them are used whole.
 */
static void set_bounds(struct ipam *p)
{
	bool tiny = p->subnet.bits + 2 > cidr_width(p->subnet.address.v6);

	p->lowest = cidr_first(&p->subnet).n + !tiny;
	p->highest = cidr_last(&p->subnet).n - (!tiny && !p->subnet.address.v6);
}

struct ipam *ipam_new(const struct cidr *subnet, const struct cidr *range)
{
	struct ipam *p = xcalloc(1, sizeof(*p));

	p->subnet = *subnet;
	set_bounds(p);
	p->first = p->lowest;
	p->last = p->highest;
	if (range) {
		u128 from = cidr_first(range).n, to = cidr_last(range).n;

		p->first = from > p->first ? from : p->first;
		p->last = to < p->last ? to : p->last;
	}
	return p;
}

void ipam_free(struct ipam *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->len; i++)
		free(p->v[i].owner);
	free(p->v);
	free(p);
}

const struct cidr *ipam_subnet(const struct ipam *p)
{
	return &p->subnet;
}

/* Where address is, or would be. */
static size_t place(const struct ipam *p, u128 address)
{
	size_t low = 0, high = p->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->v[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The first place from start on whose address is not the next one after its neighbour's: before it there is a gap. */
static size_t gap(const struct ipam *p, size_t start, u128 first)
{
	size_t low = start, high = p->len;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->v[mid].address - first == mid - start)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void insert(struct ipam *p, size_t at, u128 address, const char *owner)
{
	if (p->len == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->v = xrealloc(p->v, p->room * sizeof(*p->v));
	}
	memmove(p->v + at + 1, p->v + at, (p->len - at) * sizeof(*p->v));
	p->v[at] = (struct lease){ .address = address, .owner = xstrdup(owner) };
	p->len++;
}

int ipam_take(struct ipam *p, const char *owner, struct ip *ret, struct err *err)
{
	size_t start = place(p, p->first), i = gap(p, start, p->first);
	u128 address = p->first + (i - start);

	if (address > p->last || address < p->first)
		return err_set(err, ERR_UNAVAILABLE, "no available IPv%c addresses on this network's address pools", p->subnet.address.v6 ? '6' : '4');
	insert(p, i, address, owner);
	*ret = (struct ip){ address, p->subnet.address.v6 };
	return 0;
}

int ipam_take_one(struct ipam *p, const char *owner, const struct ip *address, struct err *err)
{
	char text[CIDR_TEXT];
	size_t i;

	if (!cidr_contains(&p->subnet, address)) {
		ip_text(address, text);
		return err_set(err, ERR_INVALID, "no configured subnet or ip-range contain the IP address %s", text);
	}
	i = place(p, address->n);
	/* the network's own and the broadcast address are nobody's */
	if (address->n < p->lowest || address->n > p->highest || (i < p->len && p->v[i].address == address->n))
		return err_set(err, ERR_CONFLICT, "Address already in use");
	insert(p, i, address->n, owner);
	return 0;
}

void ipam_linger(struct ipam *p, const char *owner)
{
	for (size_t i = 0; i < p->len; i++)
		if (streq(p->v[i].owner, owner))
			p->v[i].lingers = true;
}

void ipam_drop(struct ipam *p, const char *owner)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->len; i++) {
		if (streq(p->v[i].owner, owner))
			free(p->v[i].owner);
		else
			p->v[kept++] = p->v[i];
	}
	p->len = kept;
}

size_t ipam_lingering(const struct ipam *p, struct strv *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < p->len; i++) {
		if (!p->v[i].lingers)
			continue;
		strv_add(ret, p->v[i].owner);
		n++;
	}
	return n;
}

const char *ipam_lingers_at(const struct ipam *p, const struct ip *address)
{
	size_t i = place(p, address->n);

	return i < p->len && p->v[i].address == address->n && p->v[i].lingers ? p->v[i].owner : NULL;
}

size_t ipam_used(const struct ipam *p)
{
	return p->len;
}

static uint64_t saturated(u128 n)
{
	return n > UINT64_MAX ? UINT64_MAX : (uint64_t)n;
}

void ipam_figures(const struct ipam *p, uint64_t *ret_used, uint64_t *ret_free)
{
	u128 nobodys = (p->lowest - cidr_first(&p->subnet).n) + (cidr_last(&p->subnet).n - p->highest);
	size_t within = 0, used = 0;
	u128 range;

	for (size_t i = 0; i < p->len; i++) {
		if (p->v[i].lingers) /* until somebody needs it */
			continue;
		used++;
		within += p->v[i].address >= p->first && p->v[i].address <= p->last;
	}
	range = p->last >= p->first ? p->last - p->first + 1 : 0;
	/* all of IPv6 wraps to none */
	*ret_used = saturated(nobodys + used);
	*ret_free = saturated(range - within);
}
