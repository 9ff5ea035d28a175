/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sandboxes: the names of each on its networks, and the resolver at its 127.0.0.11. What is nobody's name here is asked of
 * the upstream servers (forward.h), unless all networks of the sandbox are internal.
 */
#ifndef NETD_BOX_H
#define NETD_BOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"
#include "netd/address.h"
#include "netd/dns.h"
#include "netd/list.h"
#include "netd/names.h"
#include "network/netd-wire.h"

#define BOX_SERVERS 3

struct server {
	struct address address;
	bool host;               /* asked from the host's namespace */
};
struct alias {
	char *name, *of;         /* lower case */
};
struct box_net {
	struct names *net;
	bool internal;
};
struct box {
	char *id;
	int netns;               /* -1: no resolver */
	struct source udp, tcp;
	struct box_net *nets;
	size_t nets_len;
	struct name *own;
	struct alias *aliases;
	size_t aliases_len;
	struct server servers[BOX_SERVERS];
	size_t servers_len;
	struct strv search;
	struct netd_msg told;    /* what it was made of */
	struct list all, conns, queries, ups, resting;
	size_t n_conns, n_queries, n_ups;
};

/* Who waits for an answer: a datagram's sender, or a connection. */
struct conn;
struct asker {
	struct box *box;
	struct conn *conn;       /* NULL: a datagram */
	struct sockaddr_in from;
};

/* Makes or changes the sandbox that m tells of, and takes m and netns (-1: names only). */
int box_put(struct netd_msg *m, int netns, struct err *err);
/* One that another dockerd-netd served: takes m and the descriptors namespace, UDP, TCP. */
int box_adopt(struct netd_msg *m, const int fds[3], struct err *err);
void box_drop(const char *id);
void boxes_keep(bool (*keep)(const char *id, void *ctx), void *ctx);
struct list *boxes_all(void);
size_t box_count(void);
void boxes_pause(void);
void boxes_resume(void);

/* A query of a container: answers it, or has it forwarded. False: no answer is due. */
bool box_query(const struct asker *who, const uint8_t *m, size_t size);
/* Sends an answer to whoever waits. */
void box_reply(const struct asker *who, const uint8_t *m, size_t size);
void box_refuse(const struct asker *who, const uint8_t *query, const struct dns_query *q, enum dns_rcode rcode);
/* Nobody upstream knows the name: it may be one of ours behind which stands a search domain. True when that was answered. */
bool box_search(const struct asker *who, const uint8_t *query, const struct dns_query *q);

/* conn.c: DNS by TCP. */
void conn_accept(struct box *b);
void conn_reply(struct conn *c, const uint8_t *m, size_t size);
/* Ends all of a sandbox. */
void conns_end(struct box *b);

#endif
