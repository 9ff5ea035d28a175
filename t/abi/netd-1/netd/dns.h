/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS messages: reading queries of strangers, writing answers into a buffer of the caller. Nothing is allocated. */
#ifndef NETD_DNS_H
#define NETD_DNS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEAD     12
#define DNS_NAME     256  /* text of a name, dots between labels, none at the end, NUL */
#define DNS_PLAIN    512  /* a UDP answer to whom does not say otherwise */
#define DNS_OUR_SIZE 1232 /* what we tell of ourselves */
#define DNS_MAX      65535
#define DNS_TTL      600

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28, DNS_SRV = 33, DNS_OPT = 41, DNS_ANY = 255 };
enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

struct dns_query {
	uint16_t id, flags, type, class;
	char name[DNS_NAME]; /* lower case */
	size_t name_size;
	bool plain;          /* false: a label has a dot or a byte in it that no name of ours has */
	size_t end;          /* behind the question */
	bool edns;
	uint16_t limit;      /* bytes that the asker takes by UDP */
};

/* DNS_DROP: nothing to answer; else an rcode, DNS_NOERROR when *q is whole. With another one q->end may be 0: no question. */
#define DNS_DROP (-1)
int dns_read_query(const uint8_t *m, size_t size, struct dns_query *q);
/* Whether m answers the question of query (its first end bytes) and is no query itself. */
bool dns_answers(const uint8_t *m, size_t size, const uint8_t *query, size_t end);
static inline int dns_rcode(const uint8_t *m) { return m[3] & 15; }
/* The address in "4.3.2.1.in-addr.arpa" or "....ip6.arpa": AF_INET, AF_INET6 or 0 for none. */
int dns_reverse(const char *name, struct in6_addr *ret);

/* An answer in the making. */
struct dns_reply {
	uint8_t *out;
	size_t size, room;   /* room: without what dns_end() adds */
	uint16_t answers, additional;
	bool truncated, edns;
};
/* Head and question of query (NULL or end 0: the head alone). room: of out, at least DNS_PLAIN. */
void dns_begin(struct dns_reply *r, uint8_t *out, size_t room, const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode);
/* False: no room, and the answer will say so. Owner is the question's name, or the text behind it. */
bool dns_add_a(struct dns_reply *r, const struct in_addr *a);
bool dns_add_aaaa(struct dns_reply *r, const struct in6_addr *a);
bool dns_add_ptr(struct dns_reply *r, const char *target);
bool dns_add_srv(struct dns_reply *r, uint16_t port, const char *target);
/* Beside an SRV: not marked as truncated when it has no room. */
void dns_add_extra(struct dns_reply *r, const char *owner, int family, const void *address);
size_t dns_end(struct dns_reply *r);
/* What is left of an answer of others that the asker does not take whole: its head and question, marked as truncated. */
size_t dns_cut(uint8_t *m, const struct dns_query *q);

#endif
