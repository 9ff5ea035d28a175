/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two ways to write rules, behind firewall.c. Functions return 0, or -1 with errno; those that ask whether something stands
 * 1 or 0.
 */
#ifndef NET_BRIDGE_FIREWALL_H
#define NET_BRIDGE_FIREWALL_H

#include "bridge.h"

struct backend_ops {
	int (*write)(const struct br_net *n);
	int (*adopt)(const struct br_net *n);
	int (*delete)(const struct br_net *n);
	int (*stands)(const struct br_net *n);
	int (*change)(const struct br_net *n, const struct br_endpoint *before, const struct br_endpoint *after);
	int (*policy_write)(const struct br_net *n, int family);
	int (*policy_delete)(int family);
	int (*policy_stands)(int family);
};
extern const struct backend_ops nft_backend, iptables_backend;

/* Whether rules of the family are wanted at all. */
static inline int fw_has(const struct br_net *n, int family)
{
	return n->f[family].on && n->f[family].firewall;
}
/* Whether published ports of the family are translated from addresses of the host. */
int fw_translates(const struct br_net *n, int family);
/* Whether containers' own addresses are reached on published ports. */
int fw_opens(const struct br_net *n, int family);

/* The ports of one family that an endpoint opens, each once, in order. */
struct fw_range {
	uint32_t proto;
	uint32_t first, last;
};
typedef void fw_range_fn(void *ctx, const struct fw_range *r);
int fw_each_open(const struct br_endpoint *ep, int family, fw_range_fn *fn, void *ctx);

#endif
