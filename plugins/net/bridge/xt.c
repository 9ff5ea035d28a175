/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Matches and targets of xtables inside rules of nf_tables. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_sctp.h>
#include <linux/netfilter/x_tables.h>

#include "xt.h"

#define REDIRECT6 137

/* The kernel's struct ip6t_icmp; its header and libc's of interfaces cannot both be had. */
struct icmp6_match {
	uint8_t type, code[2], invert;
};

/* libnftnl owns the copy. */
static void *copy(const void *info, size_t size, uint32_t *ret_size)
{
	void *p;

	*ret_size = (uint32_t)XT_ALIGN(size);
	p = calloc(1, *ret_size);
	if (!p)
		abort();
	return memcpy(p, info, size);
}

static struct nftnl_expr *add(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (!e)
		abort();
	nftnl_rule_add_expr(r, e);
	return e;
}

static void add_match(struct nftnl_rule *r, const char *name, uint32_t revision, const void *info, size_t size)
{
	struct nftnl_expr *e = add(r, "match");
	uint32_t aligned;
	void *p = copy(info, size, &aligned);

	nftnl_expr_set_str(e, NFTNL_EXPR_MT_NAME, name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_MT_REV, revision);
	nftnl_expr_set(e, NFTNL_EXPR_MT_INFO, p, aligned);
}

static void put(struct batch *b, struct nftnl_rule *r, enum place where)
{
	then_put(b, r, where == TAIL);
}

static void put_target(struct batch *b, struct nftnl_rule *r, enum place where, const char *name, uint32_t revision,
	const void *info, size_t size)
{
	struct nftnl_expr *e;
	uint32_t aligned;
	void *p = copy(info, size, &aligned);

	add(r, "counter");
	e = add(r, "target");
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, name);
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, revision);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, p, aligned);
	put(b, r, where);
}

void xt_state(struct nftnl_rule *r, int state)
{
	struct xt_conntrack_mtinfo3 m = { .match_flags = XT_CONNTRACK_STATE };

	m.state_mask = state == XT_STATE_DNAT ? XT_CONNTRACK_STATE_DNAT :
		XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) | XT_CONNTRACK_STATE_BIT(IP_CT_RELATED);
	add_match(r, "conntrack", 3, &m, sizeof(m));
}

void xt_to_host(struct nftnl_rule *r)
{
	struct xt_addrtype_info_v1 m = { .dest = XT_ADDRTYPE_LOCAL };

	add_match(r, "addrtype", 1, &m, sizeof(m));
}

void xt_mark(struct nftnl_rule *r, uint32_t mark, uint32_t mask)
{
	struct xt_mark_mtinfo1 m = { .mark = mark, .mask = mask };

	add_match(r, "mark", 1, &m, sizeof(m));
}

static void set_proto(struct nftnl_rule *r, uint32_t proto)
{
	if_proto(r, proto);
	nftnl_rule_set_u32(r, NFTNL_RULE_COMPAT_PROTO, proto);
	nftnl_rule_set_u32(r, NFTNL_RULE_COMPAT_FLAGS, 0);
}

void xt_redirect6(struct nftnl_rule *r)
{
	struct icmp6_match m = { .type = REDIRECT6, .code = { 0, 255 } };

	set_proto(r, IPPROTO_ICMPV6);
	add_match(r, "icmp6", 0, &m, sizeof(m));
}

static void compare_port(struct nftnl_rule *r, uint32_t op, uint32_t port)
{
	struct nftnl_expr *e = add(r, "payload");
	uint16_t value = htons((uint16_t)port);

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, 2);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, 2);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	add_cmp(r, op, &value, sizeof(value));
}

void xt_ports(struct nftnl_rule *r, uint32_t proto, uint32_t first, uint32_t last)
{
	struct xt_sctp_info m = { .dpts = { (uint16_t)first, (uint16_t)last }, .spts = { 0, 65535 },
		.flags = XT_SCTP_DEST_PORTS };

	set_proto(r, proto);
	if (proto == IPPROTO_SCTP) {
		add_match(r, "sctp", 0, &m, sizeof(m));
	} else if (first == last) {
		compare_port(r, NFT_CMP_EQ, first);
	} else {
		compare_port(r, NFT_CMP_GTE, first);
		add_cmp(r, NFT_CMP_LTE, &(uint16_t){ htons((uint16_t)last) }, 2);
	}
}

void xt_comment(struct nftnl_rule *r, const char *text)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u)
		abort();
	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, text);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static struct nftnl_expr *add_immediate(struct nftnl_rule *r, uint32_t verdict)
{
	struct nftnl_expr *e;

	add(r, "counter");
	e = add(r, "immediate");
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
	return e;
}

void xt_verdict(struct batch *b, struct nftnl_rule *r, enum place where, uint32_t verdict)
{
	add_immediate(r, verdict);
	put(b, r, where);
}

void xt_jump(struct batch *b, struct nftnl_rule *r, enum place where, const char *chain)
{
	nftnl_expr_set_str(add_immediate(r, (uint32_t)NFT_JUMP), NFTNL_EXPR_IMM_CHAIN, chain);
	put(b, r, where);
}

void xt_nothing(struct batch *b, struct nftnl_rule *r, enum place where)
{
	add(r, "counter");
	put(b, r, where);
}

void xt_masquerade(struct batch *b, struct nftnl_rule *r, enum place where)
{
	struct nf_nat_ipv4_multi_range_compat m4 = { .rangesize = 1 };
	struct nf_nat_range m6 = { 0 };

	if (b->family == V4)
		put_target(b, r, where, "MASQUERADE", 0, &m4, sizeof(m4));
	else
		put_target(b, r, where, "MASQUERADE", 0, &m6, sizeof(m6));
}

static union nf_inet_addr inet_of(const struct ip *ip)
{
	union nf_inet_addr a = { 0 };

	memcpy(&a, ip->b, ip->len);
	return a;
}

void xt_snat(struct batch *b, struct nftnl_rule *r, enum place where, const struct ip *to)
{
	union nf_inet_addr a = inet_of(to);
	struct nf_nat_ipv4_multi_range_compat m4 = { .rangesize = 1, .range = { { .flags = NF_NAT_RANGE_MAP_IPS,
		.min_ip = a.ip, .max_ip = a.ip } } };
	struct nf_nat_range m6 = { .flags = NF_NAT_RANGE_MAP_IPS, .min_addr = a, .max_addr = a };

	if (b->family == V4)
		put_target(b, r, where, "SNAT", 0, &m4, sizeof(m4));
	else
		put_target(b, r, where, "SNAT", 1, &m6, sizeof(m6));
}

void xt_dnat(struct batch *b, struct nftnl_rule *r, enum place where, const struct ip *address, uint32_t from,
	uint32_t to, uint32_t count)
{
	struct nf_nat_range2 m = { .flags = NF_NAT_RANGE_MAP_IPS, .min_addr = inet_of(address), .max_addr = inet_of(address) };

	if (count == 1 || from != to) {
		m.flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
		m.min_proto.all = htons((uint16_t)to);
		m.max_proto.all = htons((uint16_t)(to + count - 1));
	}
	if (count > 1 && from != to) {
		m.flags |= NF_NAT_RANGE_PROTO_OFFSET;
		m.base_proto.all = htons((uint16_t)from);
	}
	put_target(b, r, where, "DNAT", 2, &m, sizeof(m));
}
