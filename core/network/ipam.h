/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of one subnet, each with its owner (an endpoint's id). Memory goes with the addresses in use, not with the
 * size of the subnet. The lowest free one is given out first. An address that was given back lingers until somebody who
 * knows that its interface is gone drops it. No lock: the owner of the pool has one.
 */
#ifndef NETWORK_IPAM_H
#define NETWORK_IPAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Host byte order. address keeps its host part. */
struct cidr4 {
	uint32_t address;
	unsigned bits;
};
#define CIDR4_TEXT sizeof("255.255.255.255/32")

/* "172.17.0.1/16"; strict about it. */
bool cidr4_parse(const char *text, struct cidr4 *ret);
bool ip4_parse(const char *text, uint32_t *ret);
uint32_t cidr4_mask(unsigned bits);
bool cidr4_contains(const struct cidr4 *c, uint32_t address);
bool cidr4_overlap(const struct cidr4 *a, const struct cidr4 *b);
/* bits 33 and more: without prefix length. */
void cidr4_text(uint32_t address, unsigned bits, char ret[CIDR4_TEXT]);

struct ipam;

/* range: the part of the subnet that ipam_take chooses from, NULL for all of it. */
struct ipam *ipam_new(const struct cidr4 *subnet, const struct cidr4 *range);
void ipam_free(struct ipam *p);
/* Any address, which is then the owner's. ERR_UNAVAILABLE when there is none. */
int ipam_take(struct ipam *p, const char *owner, uint32_t *ret, struct err *err);
/* This one, also outside the range; network and broadcast addresses are refused. ERR_CONFLICT when it is taken. */
int ipam_take_one(struct ipam *p, const char *owner, uint32_t address, struct err *err);
/* The owner's address is out of use; drop follows when it may be given out again. */
void ipam_linger(struct ipam *p, const char *owner);
void ipam_drop(struct ipam *p, const char *owner);
/* Owners of those that linger. */
size_t ipam_lingering(const struct ipam *p, struct strv *ret);
size_t ipam_used(const struct ipam *p);

#endif
