/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses of both families, and errors. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

static void set_error(struct br_error *e, uint32_t class, int sys, const char *fmt, va_list ap)
{
	e->sys = sys;
	e->class = class;
	vsnprintf(e->what, sizeof(e->what), fmt, ap);
}

int br_fail(struct br_error *e, int sys, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(e, 0, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int br_refuse(struct br_error *e, uint32_t class, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_error(e, class, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int ip_parse(const char *text, struct ip *ret)
{
	*ret = (struct ip){ 0 };
	if (text && inet_pton(AF_INET, text, ret->b) == 1)
		ret->len = 4;
	else if (text && inet_pton(AF_INET6, text, ret->b) == 1)
		ret->len = 16;
	return ret->len != 0;
}

int cidr_parse(const char *text, struct cidr *ret)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = text ? strchr(text, '/') : NULL;
	size_t len = slash ? (size_t)(slash - text) : text ? strlen(text) : 0;
	unsigned long bits;
	char *end;

	if (!len || len >= sizeof(address))
		return 0;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!ip_parse(address, &ret->ip))
		return 0;
	ret->bits = ret->ip.len * 8u;
	if (!slash)
		return 1;
	if (slash[1] < '0' || slash[1] > '9')
		return 0;
	bits = strtoul(slash + 1, &end, 10);
	if (*end || bits > ret->bits)
		return 0;
	ret->bits = (uint32_t)bits;
	return 1;
}

struct cidr cidr_network(const struct cidr *c)
{
	struct cidr n = *c;

	for (uint32_t i = 0; i < n.ip.len * 8u; i++)
		if (i >= n.bits)
			n.ip.b[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
	return n;
}

int ip_equal(const struct ip *a, const struct ip *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

int ip_is_any(const struct ip *a)
{
	static const uint8_t zero[16];

	return a->len && memcmp(a->b, zero, a->len) == 0;
}

int ip_is_loopback(const struct ip *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->len == 4 ? a->b[0] == 127 : a->len == 16 && memcmp(a->b, one, 16) == 0;
}

const char *ip_text(const struct ip *a, char ret[48])
{
	return a->len ? inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->b, ret, 48) : NULL;
}
