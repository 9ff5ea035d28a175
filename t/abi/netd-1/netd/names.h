/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is called what on which network. Lookups allocate nothing. */
#ifndef NETD_NAMES_H
#define NETD_NAMES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/list.h"

/* A network, while somebody is on it. */
struct names {
	char *id, *title;        /* title: the network's name */
	struct name **by_name, **by_v4, **by_v6;
	size_t buckets, len, users;
	struct list all;
};
/* One name of one sandbox. */
struct name {
	struct names *net;
	uint32_t hash;
	bool first;              /* what its address is called */
	bool has_v4, has_v6;
	struct in_addr v4;
	struct in6_addr v6;
	struct name *next, *next_v4, *next_v6; /* of its buckets */
	struct name *next_own;   /* of the sandbox */
	size_t size;
	char text[];             /* lower case */
};

/* The network of that id, made if needed; each get is a use. */
struct names *names_get(const char *id, const char *title);
void names_put(struct names *net);
/* Adds a name, in front of *own. One that DNS could not ask for is left out. */
void names_add(struct names *net, struct name **own, const char *text, bool first, const struct in_addr *v4, const struct in6_addr *v6);
/* Takes all of them out. */
void names_drop(struct name **own);
/* The first with that name (lower case, no dot at its end); names_next() goes on. */
const struct name *names_find(const struct names *net, const char *text, size_t size);
const struct name *names_next(const struct name *n);
/* Whose address it is. */
const struct name *names_of(const struct names *net, int family, const void *address);

#endif
