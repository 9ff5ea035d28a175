/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"
#include "netd/dns.h"

#define FIRST_BUCKETS 16

static struct list nets = LIST_INIT(nets);

static uint32_t hash_of(const void *data, size_t size)
{
	static uint32_t seed;
	const unsigned char *p = data;
	uint32_t h;

	if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = 1;
	h = seed ^ 2166136261u;
	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ h >> 15;
}

static void link_in(struct names *net, struct name *n)
{
	struct name **at = &net->by_name[n->hash & (net->buckets - 1)];

	n->next = *at;
	*at = n;
	if (!n->first)
		return;
	if (n->has_v4) {
		at = &net->by_v4[hash_of(&n->v4, sizeof(n->v4)) & (net->buckets - 1)];
		n->next_v4 = *at;
		*at = n;
	}
	if (n->has_v6) {
		at = &net->by_v6[hash_of(&n->v6, sizeof(n->v6)) & (net->buckets - 1)];
		n->next_v6 = *at;
		*at = n;
	}
}

static void link_out(struct names *net, struct name *n)
{
	struct name **at = &net->by_name[n->hash & (net->buckets - 1)];

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	if (!n->first)
		return;
	if (n->has_v4) {
		for (at = &net->by_v4[hash_of(&n->v4, sizeof(n->v4)) & (net->buckets - 1)]; *at != n;)
			at = &(*at)->next_v4;
		*at = n->next_v4;
	}
	if (n->has_v6) {
		for (at = &net->by_v6[hash_of(&n->v6, sizeof(n->v6)) & (net->buckets - 1)]; *at != n;)
			at = &(*at)->next_v6;
		*at = n->next_v6;
	}
}

static void grow(struct names *net)
{
	struct name **old = net->by_name;
	size_t buckets = net->buckets;

	free(net->by_v4);
	free(net->by_v6);
	net->buckets *= 2;
	net->by_name = xcalloc(net->buckets, sizeof(*net->by_name));
	net->by_v4 = xcalloc(net->buckets, sizeof(*net->by_v4));
	net->by_v6 = xcalloc(net->buckets, sizeof(*net->by_v6));
	for (size_t i = 0; i < buckets; i++)
		for (struct name *n = old[i], *next; n; n = next) {
			next = n->next;
			link_in(net, n);
		}
	free(old);
}

struct names *names_get(const char *id, const char *title)
{
	struct names *net;

	LIST_EACH(at, after, &nets) {
		net = CONTAINER_OF(at, struct names, all);
		if (!streq(net->id, id))
			continue;
		net->users++;
		str_set(&net->title, title);
		return net;
	}
	net = xcalloc(1, sizeof(*net));
	net->id = xstrdup(id);
	net->title = xstrdup(title);
	net->buckets = FIRST_BUCKETS;
	net->by_name = xcalloc(net->buckets, sizeof(*net->by_name));
	net->by_v4 = xcalloc(net->buckets, sizeof(*net->by_v4));
	net->by_v6 = xcalloc(net->buckets, sizeof(*net->by_v6));
	net->users = 1;
	list_init(&net->all);
	list_add(&nets, &net->all);
	return net;
}

void names_put(struct names *net)
{
	if (--net->users)
		return;
	list_del(&net->all);
	free(net->by_name);
	free(net->by_v4);
	free(net->by_v6);
	free(net->id);
	free(net->title);
	free(net);
}

void names_add(struct names *net, struct name **own, const char *text, bool first, const struct in_addr *v4, const struct in6_addr *v6)
{
	size_t size = strlen(text);
	struct name *n;

	while (size && text[size - 1] == '.')
		size--;
	if (!size || size >= DNS_NAME - 1)
		return;
	n = xcalloc(1, sizeof(*n) + size + 1);
	n->net = net;
	n->size = size;
	for (size_t i = 0; i < size; i++)
		n->text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	n->hash = hash_of(n->text, size);
	n->first = first;
	n->has_v4 = v4;
	n->has_v6 = v6;
	if (v4)
		n->v4 = *v4;
	if (v6)
		n->v6 = *v6;
	if (++net->len > net->buckets * 2)
		grow(net);
	link_in(net, n);
	n->next_own = *own;
	*own = n;
}

void names_drop(struct name **own)
{
	while (*own) {
		struct name *n = *own;

		*own = n->next_own;
		link_out(n->net, n);
		n->net->len--;
		free(n);
	}
}

static const struct name *match(const struct name *n, uint32_t hash, const char *text, size_t size)
{
	while (n && (n->hash != hash || n->size != size || memcmp(n->text, text, size) != 0))
		n = n->next;
	return n;
}

const struct name *names_find(const struct names *net, const char *text, size_t size)
{
	uint32_t hash = hash_of(text, size);

	return match(net->by_name[hash & (net->buckets - 1)], hash, text, size);
}

const struct name *names_next(const struct name *n)
{
	return match(n->next, n->hash, n->text, n->size);
}

const struct name *names_of(const struct names *net, int family, const void *address)
{
	size_t size = family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	size_t at = hash_of(address, size) & (net->buckets - 1);
	const struct name *n = family == AF_INET6 ? net->by_v6[at] : net->by_v4[at];

	while (n && memcmp(family == AF_INET6 ? (const void *)&n->v6 : (const void *)&n->v4, address, size) != 0)
		n = family == AF_INET6 ? n->next_v6 : n->next_v4;
	return n;
}
