/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UDP through a published port: each client of a port has a socket towards the container, until nothing came for a while. Their
 * number has a limit: beyond it the one that was idle for longest goes.
 */
#ifndef NETD_FLOW_H
#define NETD_FLOW_H

#include <stddef.h>

#include "base/loop.h"
#include "netd/address.h"
#include "netd/list.h"

struct port;

struct flow {
	struct port *port;
	struct source target;      /* connected to the container */
	struct address client, local; /* who asked, and at which of our addresses (port 0: unknown) */
	int64_t used;
	struct flow *next;         /* of its bucket */
	struct list of_port, by_use;
};

/* A datagram waits at the port's socket. */
void flow_ready(struct port *p);
/* Prepares the port's socket: the addresses that datagrams were sent to are told. */
void flow_prepare(int fd);
bool flow_adopt(struct port *p, const struct address *client, const struct address *local, int fd);
void flow_end(struct flow *f);
void flow_pause(struct flow *f);
void flow_resume(struct flow *f);
size_t flow_count(void);
void flow_set_limit(size_t limit);

#endif
