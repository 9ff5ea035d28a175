/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses and subnets of both families as numbers, so that whoever counts with them is written once. */
#ifndef NETWORK_CIDR_H
#define NETWORK_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 u128;

/* Host byte order; an IPv4 address in the low 32 bits. */
struct ip {
	u128 n;
	bool v6;
};
/* address keeps its host part. */
struct cidr {
	struct ip address;
	unsigned bits;
};
#define IP_TEXT   sizeof("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
#define CIDR_TEXT sizeof("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128")

/* "10.0.0.1", "fd00::1"; strict about it. */
bool ip_parse(const char *text, struct ip *ret);
void ip_text(const struct ip *a, char ret[CIDR_TEXT]);
static inline bool ip_equal(const struct ip *a, const struct ip *b) { return a->v6 == b->v6 && a->n == b->n; }
/* Big-endian bytes, 4 or 16 of them; returns how many. */
size_t ip_bytes(const struct ip *a, uint8_t ret[16]);
bool ip_from_bytes(const void *bytes, size_t size, struct ip *ret);

/* "172.17.0.1/16", "fd00::1/64"; strict about it. */
bool cidr_parse(const char *text, struct cidr *ret);
/* The same, or an address without a prefix length, which stands for itself. */
bool cidr_parse_any(const char *text, struct cidr *ret);
void cidr_text(const struct cidr *c, char ret[CIDR_TEXT]);
/* What is before the prefix length, when there is one; "" and NULL for NULL. */
void cidr_plain(const char *text, char ret[IP_TEXT]);
char *cidr_plain_dup(const char *text);
/* Of the address family: 32 or 128. */
static inline unsigned cidr_width(bool v6) { return v6 ? 128 : 32; }
/* The first and the last address. */
struct ip cidr_first(const struct cidr *c);
struct ip cidr_last(const struct cidr *c);
/* Without its host part. */
struct cidr cidr_network(const struct cidr *c);
bool cidr_contains(const struct cidr *c, const struct ip *a);
bool cidr_overlap(const struct cidr *a, const struct cidr *b);

#endif
