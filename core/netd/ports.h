/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published ports: each endpoint's set, all held or none, each by a bound socket. */
#ifndef NETD_PORTS_H
#define NETD_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "netd/address.h"
#include "netd/list.h"
#include "network/netd-wire.h"

/* A held port of one address. */
struct port {
	struct source src;        /* fd -1: held by this record only, as the kernel has no sockets for the protocol */
	struct endpoint *endpoint;
	int proto;
	struct address address;   /* with the port */
	struct address target;
	bool proxy, claimed;      /* claimed: by the set that is about to take the place of this one */
	struct list of_set, streams, flows, paused;
};
struct endpoint {
	char *id;
	struct list ports;        /* in the order in which they were asked for */
	struct list all;
};

/* What is asked for, decoded. */
struct port_wish {
	int proto;
	struct address address, target; /* without and with the container's port */
	unsigned begin, end, count, port; /* begin 0: any */
	bool proxy;
};
/* The PORT fields of a message; ERR_INVALID when one of them makes no sense. *ret is the caller's to free. */
int ports_decode(const struct netd_msg *m, struct port_wish **ret, size_t *ret_len, struct err *err);

/* Makes wishes the endpoint's set; chosen[i] is where wish i begins. */
int ports_publish(const char *id, const struct port_wish *wishes, size_t len, unsigned *chosen, struct err *err);
void ports_revoke(const char *id);
/* All endpoints whose id keep does not accept. */
void ports_keep(bool (*keep)(const char *id, void *ctx), void *ctx);

struct list *ports_endpoints(void);
size_t ports_endpoint_count(void);
size_t ports_count(void);
struct endpoint *ports_find(const char *id);
struct port *ports_at(struct endpoint *e, size_t index);
/* Stops and goes on serving all of them. */
void ports_pause(void);
void ports_resume(void);
/* From another dockerd-netd: a port with its socket (-1 for none); the streams and flows follow by themselves. */
struct endpoint *ports_adopt_endpoint(const char *id);
struct port *ports_adopt(struct endpoint *e, const struct port_wish *w, int fd);

#endif
