/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/ipam.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct lease {
	uint32_t address;
	bool lingers;
	char *owner;
};

struct ipam {
	struct cidr4 subnet;
	uint32_t first, last; /* of the range */
	struct lease *v;      /* by address */
	size_t len, room;
};

bool ip4_parse(const char *text, uint32_t *ret)
{
	struct in_addr a;

	if (!text || inet_pton(AF_INET, text, &a) != 1)
		return false;
	*ret = ntohl(a.s_addr);
	return true;
}

bool cidr4_parse(const char *text, struct cidr4 *ret)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	OWN_FREE char *address = slash ? xstrndup(text, (size_t)(slash - text)) : NULL;
	int64_t bits;

	if (!slash || !str_to_i64(slash + 1, &bits) || bits < 0 || bits > 32 || !ip4_parse(address, &ret->address))
		return false;
	ret->bits = (unsigned)bits;
	return true;
}

uint32_t cidr4_mask(unsigned bits)
{
	return bits ? UINT32_MAX << (32 - bits) : 0;
}

bool cidr4_contains(const struct cidr4 *c, uint32_t address)
{
	return ((c->address ^ address) & cidr4_mask(c->bits)) == 0;
}

bool cidr4_overlap(const struct cidr4 *a, const struct cidr4 *b)
{
	return a->bits < b->bits ? cidr4_contains(a, b->address) : cidr4_contains(b, a->address);
}

void cidr4_text(uint32_t address, unsigned bits, char ret[CIDR4_TEXT])
{
	struct in_addr a = { htonl(address) };
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &a, text, sizeof(text));
	if (bits > 32)
		snprintf(ret, CIDR4_TEXT, "%s", text);
	else
		snprintf(ret, CIDR4_TEXT, "%s/%u", text, bits);
}

/* Network and broadcast address are nobody's, except in the subnets too small to have them. */
static uint32_t lowest(const struct cidr4 *c)
{
	return (c->address & cidr4_mask(c->bits)) + (c->bits < 31);
}

static uint32_t highest(const struct cidr4 *c)
{
	return (c->address | ~cidr4_mask(c->bits)) - (c->bits < 31);
}

struct ipam *ipam_new(const struct cidr4 *subnet, const struct cidr4 *range)
{
	struct ipam *p = xcalloc(1, sizeof(*p));

	p->subnet = *subnet;
	p->first = lowest(subnet);
	p->last = highest(subnet);
	if (range) {
		uint32_t from = range->address & cidr4_mask(range->bits), to = from | ~cidr4_mask(range->bits);

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

/* Where address is, or would be. */
static size_t place(const struct ipam *p, uint32_t address)
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

static void insert(struct ipam *p, size_t at, uint32_t address, const char *owner)
{
	if (p->len == p->room) {
		p->room = p->room ? 2 * p->room : 16;
		p->v = xrealloc(p->v, p->room * sizeof(*p->v));
	}
	memmove(p->v + at + 1, p->v + at, (p->len - at) * sizeof(*p->v));
	p->v[at] = (struct lease){ .address = address, .owner = xstrdup(owner) };
	p->len++;
}

int ipam_take(struct ipam *p, const char *owner, uint32_t *ret, struct err *err)
{
	uint32_t address = p->first;
	size_t i = place(p, address);

	while (i < p->len && p->v[i].address == address && address != UINT32_MAX) {
		i++;
		address++;
	}
	if (address > p->last || address < p->first)
		return err_set(err, ERR_UNAVAILABLE, "no available IPv4 addresses on this network's address pools");
	insert(p, i, address, owner);
	*ret = address;
	return 0;
}

int ipam_take_one(struct ipam *p, const char *owner, uint32_t address, struct err *err)
{
	size_t i = place(p, address);
	char text[CIDR4_TEXT];

	cidr4_text(address, 33, text);
	if (address < lowest(&p->subnet) || address > highest(&p->subnet))
		return err_set(err, ERR_INVALID, "no configured subnet contains IP address %s", text);
	if (i < p->len && p->v[i].address == address)
		return err_set(err, ERR_CONFLICT, "Address already in use");
	insert(p, i, address, owner);
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

size_t ipam_used(const struct ipam *p)
{
	return p->len;
}
