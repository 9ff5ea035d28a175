/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a sandbox's resolver knows by itself. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "netd/box.h"
#include "netd/forward.h"

#define MAX_FOUND 1024
#define CLASS_IN  1
#define CLASS_ANY 255

static const struct name *found[MAX_FOUND];
static uint8_t answer[DNS_MAX];

static uint32_t random32(void)
{
	static uint32_t state;

	while (!state)
		if (getrandom(&state, sizeof(state), 0) < 0)
			state = 1;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* All of that name on one network. */
static size_t collect(const struct names *net, const char *name, size_t size)
{
	size_t n = 0;

	for (const struct name *at = names_find(net, name, size); at && n < MAX_FOUND; at = names_next(at))
		found[n++] = at;
	return n;
}

/* On the sandbox's networks of that title ("": all), the first that knows it. */
static size_t look(const struct box *b, const char *name, size_t size, const char *title)
{
	for (size_t i = 0; i < b->nets_len; i++) {
		size_t n;

		if (*title && strcasecmp(b->nets[i].net->title, title) != 0)
			continue;
		n = collect(b->nets[i].net, name, size);
		if (n)
			return n;
	}
	return 0;
}

/* As an alias of this sandbox, or as a name; an alias hides a name. */
static size_t look_alias(const struct box *b, const char *name, size_t size, const char *title)
{
	size_t n = 0;
	bool alias = false;

	for (size_t i = 0; i < b->aliases_len && !n; i++) {
		const struct alias *a = &b->aliases[i];

		if (strncmp(a->name, name, size) != 0 || a->name[size])
			continue;
		alias = true;
		n = look(b, a->of, strlen(a->of), title);
	}
	return alias ? n : look(b, name, size, title);
}

/* "a.b.c" is a name, or "a.b" on the network c, or "a" on the network b.c. */
static size_t find(const struct box *b, const char *name, size_t size)
{
	size_t n = look_alias(b, name, size, "");

	for (size_t at = size; !n && at > 0; at--)
		if (name[at - 1] == '.')
			n = look_alias(b, name, at - 1, name + at);
	return n;
}

static void shuffle(size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = random32() % i;
		const struct name *swap = found[i - 1];

		found[i - 1] = found[k];
		found[k] = swap;
	}
}

static size_t room_for(const struct asker *who, const struct dns_query *q)
{
	return who->conn ? sizeof(answer) : q->limit;
}

void box_refuse(const struct asker *who, const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode)
{
	struct dns_reply r;

	dns_begin(&r, answer, sizeof(answer), query, q, rcode);
	box_reply(who, answer, dns_end(&r));
}

static void tell(const struct asker *who, const uint8_t *query, const struct dns_query *q, size_t n)
{
	struct dns_reply r;

	if (n > 1)
		shuffle(n);
	dns_begin(&r, answer, room_for(who, q), query, q, DNS_NOERROR);
	for (size_t i = 0; i < n; i++) {
		if ((q->type == DNS_A || q->type == DNS_ANY) && found[i]->has_v4 && !dns_add_a(&r, &found[i]->v4))
			break;
		if ((q->type == DNS_AAAA || q->type == DNS_ANY) && found[i]->has_v6 && !dns_add_aaaa(&r, &found[i]->v6))
			break;
	}
	box_reply(who, answer, dns_end(&r));
}

static bool tell_reverse(const struct asker *who, const uint8_t *query, const struct dns_query *q)
{
	char target[2 * DNS_NAME];
	struct in6_addr address;
	int family = dns_reverse(q->name, &address);

	for (size_t i = 0; family && i < who->box->nets_len; i++) {
		const struct names *net = who->box->nets[i].net;
		const struct name *n = names_of(net, family, &address);
		struct dns_reply r;

		if (!n)
			continue;
		snprintf(target, sizeof(target), "%s%s%.200s", n->text, *net->title ? "." : "", net->title);
		dns_begin(&r, answer, room_for(who, q), query, q, DNS_NOERROR);
		if (strlen(target) < DNS_NAME - 2)
			dns_add_ptr(&r, target);
		box_reply(who, answer, dns_end(&r));
		return true;
	}
	return false;
}

/* "_80._tcp.web": the name behind it, and the port. */
static const char *service(const char *name, uint16_t *ret_port)
{
	unsigned long port;
	char *at;

	if (name[0] != '_' || name[1] < '0' || name[1] > '9')
		return NULL;
	port = strtoul(name + 1, &at, 10);
	if (port == 0 || port > 65535 || (strncmp(at, "._tcp.", 6) != 0 && strncmp(at, "._udp.", 6) != 0 && strncmp(at, "._sctp.", 7) != 0))
		return NULL;
	*ret_port = (uint16_t)port;
	return strchr(at + 1, '.') + 1;
}

static bool tell_service(const struct asker *who, const uint8_t *query, const struct dns_query *q)
{
	uint16_t port = 0;
	const char *name = service(q->name, &port);
	size_t n = name ? find(who->box, name, strlen(name)) : 0;
	struct dns_reply r;

	if (!n)
		return false;
	shuffle(n);
	dns_begin(&r, answer, room_for(who, q), query, q, DNS_NOERROR);
	/* one service of that name, at all its addresses */
	dns_add_srv(&r, port, name);
	for (size_t i = 0; i < n; i++) {
		if (found[i]->has_v4)
			dns_add_extra(&r, name, AF_INET, &found[i]->v4);
		if (found[i]->has_v6)
			dns_add_extra(&r, name, AF_INET6, &found[i]->v6);
	}
	box_reply(who, answer, dns_end(&r));
	return true;
}

static bool known(const struct asker *who, const uint8_t *query, const struct dns_query *q)
{
	size_t n;

	if (!q->plain || !q->name_size || (q->class != CLASS_IN && q->class != CLASS_ANY))
		return false;
	if (q->type == DNS_PTR && tell_reverse(who, query, q))
		return true;
	if (q->type == DNS_SRV && tell_service(who, query, q))
		return true;
	n = find(who->box, q->name, q->name_size);
	if (!n)
		return false;
	tell(who, query, q, n);
	return true;
}

bool box_search(const struct asker *who, const uint8_t *query, const struct dns_query *q)
{
	const struct box *b = who->box;

	if (!q->plain || q->class != CLASS_IN)
		return false;
	for (size_t i = 0; i < b->search.len; i++) {
		const char *domain = b->search.v[i];
		size_t size = strlen(domain), n;

		while (size && domain[size - 1] == '.')
			size--;
		if (!size || q->name_size < size + 2 || q->name[q->name_size - size - 1] != '.' ||
		    strncmp(q->name + q->name_size - size, domain, size) != 0)
			continue;
		n = find(b, q->name, q->name_size - size - 1);
		if (!n)
			continue;
		tell(who, query, q, n);
		return true;
	}
	return false;
}

static bool internal(const struct box *b)
{
	for (size_t i = 0; i < b->nets_len; i++)
		if (!b->nets[i].internal)
			return false;
	return b->nets_len > 0;
}

bool box_query(const struct asker *who, const uint8_t *m, size_t size)
{
	struct dns_query q;
	int rcode = dns_read_query(m, size, &q);

	if (rcode == DNS_DROP)
		return false;
	if (rcode != DNS_NOERROR)
		box_refuse(who, m, &q, (enum dns_rcode)rcode);
	else if (!known(who, m, &q)) {
		if (!internal(who->box))
			forward(who, m, size, &q);
		else if (!box_search(who, m, &q))
			box_refuse(who, m, &q, DNS_SERVFAIL);
	}
	return true;
}
