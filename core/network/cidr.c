/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

size_t ip_bytes(const struct ip *a, uint8_t ret[16])
{
	size_t size = a->v6 ? 16 : 4;

	for (size_t i = 0; i < size; i++)
		ret[i] = (uint8_t)(a->n >> (8 * (size - 1 - i)));
	return size;
}

bool ip_from_bytes(const void *bytes, size_t size, struct ip *ret)
{
	const uint8_t *b = bytes;

	if (size != 4 && size != 16)
		return false;
	*ret = (struct ip){ .v6 = size == 16 };
	for (size_t i = 0; i < size; i++)
		ret->n = ret->n << 8 | b[i];
	return true;
}

bool ip_parse(const char *text, struct ip *ret)
{
	uint8_t b[16];

	if (!text)
		return false;
	if (inet_pton(AF_INET, text, b) == 1)
		return ip_from_bytes(b, 4, ret);
	return inet_pton(AF_INET6, text, b) == 1 && ip_from_bytes(b, 16, ret);
}

void ip_text(const struct ip *a, char ret[CIDR_TEXT])
{
	uint8_t b[16];

	ip_bytes(a, b);
	inet_ntop(a->v6 ? AF_INET6 : AF_INET, b, ret, CIDR_TEXT);
}

bool cidr_parse(const char *text, struct cidr *ret)
{
	return text && strchr(text, '/') && cidr_parse_any(text, ret);
}

bool cidr_parse_any(const char *text, struct cidr *ret)
{
	const char *slash = text ? strchr(text, '/') : NULL;
	OWN_FREE char *address = slash ? xstrndup(text, (size_t)(slash - text)) : xstrdup(text);
	int64_t bits;

	if (!ip_parse(address, &ret->address))
		return false;
	ret->bits = cidr_width(ret->address.v6);
	if (!slash)
		return true;
	/* digits only, no zero in front, as Go has it */
	if (strspn(slash + 1, "0123456789") != strlen(slash + 1) || (slash[1] == '0' && slash[2]) || !str_to_i64(slash + 1, &bits) ||
	    bits < 0 || bits > ret->bits)
		return false;
	ret->bits = (unsigned)bits;
	return true;
}

void cidr_plain(const char *text, char ret[IP_TEXT])
{
	snprintf(ret, IP_TEXT, "%.*s", text ? (int)strcspn(text, "/") : 0, text ? text : "");
}

char *cidr_plain_dup(const char *text)
{
	return text ? xstrndup(text, strcspn(text, "/")) : NULL;
}

void cidr_text(const struct cidr *c, char ret[CIDR_TEXT])
{
	size_t len;

	ip_text(&c->address, ret);
	len = strlen(ret);
	snprintf(ret + len, CIDR_TEXT - len, "/%u", c->bits);
}

/* The bits of the host part. */
static u128 host_mask(const struct cidr *c)
{
	unsigned host = cidr_width(c->address.v6) - c->bits;

	return host >= 128 ? ~(u128)0 : ((u128)1 << host) - 1;
}

struct ip cidr_first(const struct cidr *c)
{
	return (struct ip){ c->address.n & ~host_mask(c), c->address.v6 };
}

struct ip cidr_last(const struct cidr *c)
{
	return (struct ip){ c->address.n | host_mask(c), c->address.v6 };
}

struct cidr cidr_network(const struct cidr *c)
{
	return (struct cidr){ cidr_first(c), c->bits };
}

bool cidr_contains(const struct cidr *c, const struct ip *a)
{
	return c->address.v6 == a->v6 && ((c->address.n ^ a->n) & ~host_mask(c)) == 0;
}

bool cidr_overlap(const struct cidr *a, const struct cidr *b)
{
	return a->bits < b->bits ? cidr_contains(a, &b->address) : cidr_contains(b, &a->address);
}
