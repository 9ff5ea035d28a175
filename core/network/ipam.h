/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of one subnet, each with its owner (an endpoint's id). Memory goes with the addresses in use, not with the
 * size of the subnet. The lowest free one is given out first. An address that was given back lingers until somebody who
 * knows that its interface is gone drops it. No lock: the owner of the pool has one.
 */
#ifndef NETWORK_IPAM_H
#define NETWORK_IPAM_H

#include "base/err.h"
#include "base/str.h"
#include "network/cidr.h"

struct ipam;

/* range: the part of the subnet that ipam_take chooses from, NULL for all of it. */
struct ipam *ipam_new(const struct cidr *subnet, const struct cidr *range);
void ipam_free(struct ipam *p);
const struct cidr *ipam_subnet(const struct ipam *p);
/* Any address, which is then the owner's. ERR_UNAVAILABLE when there is none. */
int ipam_take(struct ipam *p, const char *owner, struct ip *ret, struct err *err);
/* This one, also outside the range; network and broadcast addresses are refused. ERR_CONFLICT when it is taken. */
int ipam_take_one(struct ipam *p, const char *owner, const struct ip *address, struct err *err);
/* The owner's address is out of use; drop follows when it may be given out again. */
void ipam_linger(struct ipam *p, const char *owner);
void ipam_drop(struct ipam *p, const char *owner);
/* Owners of those that linger. */
size_t ipam_lingering(const struct ipam *p, struct strv *ret);
/* Does somebody else's address linger there? His id, or NULL. */
const char *ipam_lingers_at(const struct ipam *p, const struct ip *address);
size_t ipam_used(const struct ipam *p);
/* How many of the subnet are in use, those that are nobody's among them, and how many of the range ipam_take could still give; what lingers counts
 * as free. Both saturate. */
void ipam_figures(const struct ipam *p, uint64_t *ret_used, uint64_t *ret_free);

#endif
