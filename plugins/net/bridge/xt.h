/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What rules are made of that iptables (its nf_tables variant) lists as its own. */
#ifndef NET_BRIDGE_XT_H
#define NET_BRIDGE_XT_H

#include "batch.h"

#define XT_STATE_ANSWER 1 /* RELATED,ESTABLISHED */
#define XT_STATE_DNAT 2
void xt_state(struct nftnl_rule *r, int state);
void xt_to_host(struct nftnl_rule *r);
void xt_mark(struct nftnl_rule *r, uint32_t mark, uint32_t mask);
void xt_redirect6(struct nftnl_rule *r); /* ICMPv6 that tells of a shorter way */
void xt_ports(struct nftnl_rule *r, uint32_t proto, uint32_t first, uint32_t last);
void xt_comment(struct nftnl_rule *r, const char *text);

/* Each puts the rule into the batch, at the chain's beginning or end, and frees it. */
enum place { HEAD, TAIL };
void xt_verdict(struct batch *b, struct nftnl_rule *r, enum place where, uint32_t verdict);
void xt_jump(struct batch *b, struct nftnl_rule *r, enum place where, const char *chain);
void xt_nothing(struct batch *b, struct nftnl_rule *r, enum place where);
void xt_masquerade(struct batch *b, struct nftnl_rule *r, enum place where);
void xt_snat(struct batch *b, struct nftnl_rule *r, enum place where, const struct ip *to);
/* count ports from "from" on become those from "to" on. */
void xt_dnat(struct batch *b, struct nftnl_rule *r, enum place where, const struct ip *address, uint32_t from,
	uint32_t to, uint32_t count);

#endif
