/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is where, told to the neighbours of a container that comes: gratuitous ARP for IPv4, unsolicited neighbour advertisements for IPv6, some
 * at intervals, out of the container's own interface. The first goes out in the call, the rest by a thread, and nothing is kept for a
 * container afterwards. Thread-safe.
 */
#ifndef NETWORK_ANNOUNCE_H
#define NETWORK_ANNOUNCE_H

#include "network/net.h"

struct announcer;

struct announcer *announcer_new(void);
void announcer_free(struct announcer *a);
/* What is wrong with a network's options about it. */
int announcer_check(const struct strmap *options, struct err *err);

/* What is to be said with one socket. */
struct announcement;
/* packet: a socket for frames, made in the sandbox's namespace; NULL without one. Takes it over. */
struct announcement *announcement_new(int packet);
/* ep: an endpoint whose interface stands. options: the network's. */
void announcement_add(struct announcement *t, const struct net_endpoint *ep, const struct strmap *options);
/* The first of each goes now. Takes it over; NULL is fine. */
void announcer_begin(struct announcer *a, struct announcement *t);
/* An endpoint that goes: no more of it, so that its socket does not keep the namespace. */
void announcer_stop(struct announcer *a, const char *endpoint_id);
/* Closes such a socket that was not needed. */
void announcer_close(struct announcer *a, int packet);

#endif
