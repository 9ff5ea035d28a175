/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/dns.h"

#include <string.h>

#define CLASS_IN   1
#define FLAG_QR    0x8000
#define FLAG_TC    0x0200
#define FLAG_RD    0x0100
#define FLAG_RA    0x0080
#define OPCODE     0x7800
#define OPT_SIZE   11
#define LABEL_MAX  63

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned n)
{
	p[0] = (uint8_t)(n >> 8);
	p[1] = (uint8_t)n;
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/* The question's name, which nothing stands before that it could point to. Behind it, or 0. */
static size_t read_name(const uint8_t *m, size_t size, struct dns_query *q)
{
	size_t at = DNS_HEAD;

	q->plain = true;
	q->name_size = 0;
	for (;;) {
		uint8_t n;

		if (at >= size)
			return 0;
		n = m[at++];
		if (n == 0)
			break;
		if (n > LABEL_MAX || n > size - at || q->name_size + n + 1 >= DNS_NAME - 1)
			return 0;
		if (q->name_size)
			q->name[q->name_size++] = '.';
		for (; n; n--, at++) {
			q->plain = q->plain && m[at] != '.' && m[at] > ' ' && m[at] < 127;
			q->name[q->name_size++] = lower(m[at]);
		}
	}
	q->name[q->name_size] = '\0';
	return at;
}

/* Behind a name of a record; a pointer ends it. 0 when there is no end. */
static size_t skip_name(const uint8_t *m, size_t size, size_t at)
{
	while (at < size) {
		uint8_t n = m[at];

		if (n == 0)
			return at + 1;
		if (n >= 0xC0)
			return size - at >= 2 ? at + 2 : 0;
		if (n > LABEL_MAX)
			return 0;
		at += 1u + n;
	}
	return 0;
}

/* What stands behind the question: of interest is how much the asker takes. */
static bool read_rest(const uint8_t *m, size_t size, struct dns_query *q)
{
	unsigned records = (unsigned)get16(m + 6) + get16(m + 8) + get16(m + 10);
	size_t at = q->end;

	q->limit = DNS_PLAIN;
	q->edns = false;
	for (; records; records--) {
		size_t name = at, data;

		at = skip_name(m, size, at);
		if (!at || size - at < 10)
			return false;
		data = get16(m + at + 8);
		if (size - at - 10 < data)
			return false;
		if (get16(m + at) == DNS_OPT) {
			if (q->edns || m[name] != 0)
				return false;
			q->edns = true;
			if (get16(m + at + 2) > DNS_PLAIN)
				q->limit = get16(m + at + 2);
		}
		at += 10 + data;
	}
	return true;
}

int dns_read_query(const uint8_t *m, size_t size, struct dns_query *q)
{
	q->end = 0;
	q->edns = false;
	q->limit = DNS_PLAIN;
	if (size < DNS_HEAD || get16(m + 2) & FLAG_QR)
		return DNS_DROP;
	q->id = get16(m);
	q->flags = get16(m + 2);
	if (q->flags & OPCODE)
		return DNS_NOTIMP;
	if (get16(m + 4) != 1)
		return DNS_FORMERR;
	q->end = read_name(m, size, q);
	if (!q->end || size - q->end < 4) {
		q->end = 0;
		return DNS_FORMERR;
	}
	q->type = get16(m + q->end);
	q->class = get16(m + q->end + 2);
	q->end += 4;
	return read_rest(m, size, q) ? DNS_NOERROR : DNS_FORMERR;
}

bool dns_answers(const uint8_t *m, size_t size, const uint8_t *query, size_t end)
{
	if (size < DNS_HEAD || !(get16(m + 2) & FLAG_QR) || get16(m) != get16(query))
		return false;
	/* a server that refuses may leave the question out */
	if (get16(m + 4) == 0)
		return dns_rcode(m) != DNS_NOERROR && dns_rcode(m) != DNS_NXDOMAIN;
	if (get16(m + 4) != 1 || size < end)
		return false;
	for (size_t i = DNS_HEAD; i < end - 4; i++)
		if (lower(m[i]) != lower(query[i]))
			return false;
	return memcmp(m + end - 4, query + end - 4, 4) == 0;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool reverse6(const char *name, struct in6_addr *ret)
{
	for (int i = 0; i < 32; i++) {
		int n = hex(name[2 * i]);

		if (n < 0 || name[2 * i + 1] != '.')
			return false;
		ret->s6_addr[15 - i / 2] = (uint8_t)(i % 2 ? ret->s6_addr[15 - i / 2] | n << 4 : n);
	}
	return strcmp(name + 64, "ip6.arpa") == 0;
}

int dns_reverse(const char *name, struct in6_addr *ret)
{
	uint8_t bytes[4];
	const char *at = name;

	memset(ret, 0, sizeof(*ret));
	if (strlen(name) == 72 && reverse6(name, ret))
		return AF_INET6;
	for (int i = 3; i >= 0; i--) {
		unsigned n = 0;
		int digits = 0;

		for (; *at >= '0' && *at <= '9' && digits < 4; at++, digits++)
			n = n * 10 + (unsigned)(*at - '0');
		if (!digits || n > 255 || *at++ != '.')
			return 0;
		bytes[i] = (uint8_t)n;
	}
	if (strcmp(at, "in-addr.arpa") != 0)
		return 0;
	memcpy(ret, bytes, sizeof(bytes));
	return AF_INET;
}

void dns_begin(struct dns_reply *r, uint8_t *out, size_t room, const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode)
{
	size_t end = query ? q->end : 0;

	*r = (struct dns_reply){ .out = out, .room = room - (q->edns ? OPT_SIZE : 0), .edns = q->edns };
	memset(out, 0, DNS_HEAD);
	put16(out, q->id);
	put16(out + 2, FLAG_QR | (q->flags & (OPCODE | FLAG_RD)) | FLAG_RA | rcode);
	if (end)
		memcpy(out + DNS_HEAD, query + DNS_HEAD, end - DNS_HEAD);
	r->size = end ? end : DNS_HEAD;
	put16(out + 4, end ? 1 : 0);
}

/* Labels of a text; a label that is none ends it. Its size on the wire, written where at is not NULL. */
static size_t put_name(uint8_t *at, const char *text)
{
	size_t size = 0;

	while (*text) {
		size_t n = strcspn(text, ".");

		if (n == 0 || n > LABEL_MAX)
			break;
		if (at) {
			at[size] = (uint8_t)n;
			memcpy(at + size + 1, text, n);
		}
		size += n + 1;
		text += n;
		text += *text == '.';
	}
	if (at)
		at[size] = 0;
	return size + 1;
}

/* Owner NULL: the question's name. Where the data goes, or NULL. */
static uint8_t *add_record(struct dns_reply *r, const char *owner, enum dns_type type, size_t size)
{
	size_t name = owner ? put_name(NULL, owner) : 2;
	uint8_t *at = r->out + r->size;

	if (r->size + name + 10 + size > r->room)
		return NULL;
	if (owner)
		put_name(at, owner);
	else
		put16(at, 0xC000 | DNS_HEAD);
	at += name;
	put16(at, type);
	put16(at + 2, CLASS_IN);
	put16(at + 4, DNS_TTL >> 16);
	put16(at + 6, DNS_TTL & 0xFFFF);
	put16(at + 8, (unsigned)size);
	r->size += name + 10 + size;
	return at + 10;
}

static uint8_t *add_answer(struct dns_reply *r, enum dns_type type, size_t size)
{
	uint8_t *at = r->truncated ? NULL : add_record(r, NULL, type, size);

	if (at)
		r->answers++;
	else
		r->truncated = true;
	return at;
}

bool dns_add_a(struct dns_reply *r, const struct in_addr *a)
{
	uint8_t *at = add_answer(r, DNS_A, sizeof(*a));

	if (at)
		memcpy(at, a, sizeof(*a));
	return at;
}

bool dns_add_aaaa(struct dns_reply *r, const struct in6_addr *a)
{
	uint8_t *at = add_answer(r, DNS_AAAA, sizeof(*a));

	if (at)
		memcpy(at, a, sizeof(*a));
	return at;
}

bool dns_add_ptr(struct dns_reply *r, const char *target)
{
	uint8_t *at = add_answer(r, DNS_PTR, put_name(NULL, target));

	if (at)
		put_name(at, target);
	return at;
}

bool dns_add_srv(struct dns_reply *r, uint16_t port, const char *target)
{
	uint8_t *at = add_answer(r, DNS_SRV, 6 + put_name(NULL, target));

	if (!at)
		return false;
	put16(at, 0);
	put16(at + 2, 0);
	put16(at + 4, port);
	put_name(at + 6, target);
	return true;
}

void dns_add_extra(struct dns_reply *r, const char *owner, int family, const void *address)
{
	size_t size = family == AF_INET6 ? 16 : 4;
	uint8_t *at = r->truncated ? NULL : add_record(r, owner, family == AF_INET6 ? DNS_AAAA : DNS_A, size);

	if (!at)
		return;
	memcpy(at, address, size);
	r->additional++;
}

size_t dns_end(struct dns_reply *r)
{
	if (r->edns) {
		uint8_t *at = r->out + r->size;

		memset(at, 0, OPT_SIZE);
		put16(at + 1, DNS_OPT);
		put16(at + 3, DNS_OUR_SIZE);
		r->size += OPT_SIZE;
		r->additional++;
	}
	if (r->truncated)
		r->out[2] |= FLAG_TC >> 8;
	put16(r->out + 6, r->answers);
	put16(r->out + 10, r->additional);
	return r->size;
}

size_t dns_cut(uint8_t *m, const struct dns_query *q)
{
	m[2] |= FLAG_TC >> 8;
	memset(m + 6, 0, 6);
	return q->end;
}
