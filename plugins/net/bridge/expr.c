/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What rules of nf_tables are made of. */
#include <stdio.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "batch.h"

#define STATUS_DNAT (UINT32_C(1) << 5) /* IPS_DST_NAT */
/* Registers of 4 bytes, from the first one on; NFT_REG_1 is four of them. */
#define REG(i) (NFT_REG32_00 + (uint32_t)(i))

struct nftnl_rule *rule(const struct batch *b, const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		abort();
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, b->table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, b->family == V4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	return r;
}

static struct nftnl_expr *add(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (!e)
		abort();
	nftnl_rule_add_expr(r, e);
	return e;
}

static int is_v4(const struct nftnl_rule *r)
{
	return nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY) == NFPROTO_IPV4;
}

void add_cmp(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t size)
{
	struct nftnl_expr *e = add(r, "cmp");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size);
}

static void add_mask(struct nftnl_rule *r, const void *mask, uint32_t size)
{
	struct nftnl_expr *e = add(r, "bitwise");
	uint8_t zero[16] = { 0 };

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, size);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, mask, size);
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero, size);
}

static void add_meta(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = add(r, "meta");

	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, reg);
}

static void add_payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t size, uint32_t reg)
{
	struct nftnl_expr *e = add(r, "payload");

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, size);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void add_address(struct nftnl_rule *r, enum side side, uint32_t reg)
{
	uint32_t size = is_v4(r) ? 4 : 16, first = is_v4(r) ? 12 : 8;

	add_payload(r, NFT_PAYLOAD_NETWORK_HEADER, first + (side == DESTINATION ? size : 0), size, reg);
}

static void add_ct(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *e = add(r, "ct");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
}

static void add_lookup(struct nftnl_rule *r, const char *set, int map)
{
	struct nftnl_expr *e = add(r, "lookup");

	nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
	if (map)
		nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
}

void if_interface(struct nftnl_rule *r, uint32_t key, uint32_t op, const char *name)
{
	char padded[IFNAMSIZ] = "";

	memcpy(padded, name, strnlen(name, IFNAMSIZ - 1));
	add_meta(r, key, NFT_REG_1);
	add_cmp(r, op, padded, sizeof(padded));
}

void if_interface_in(struct nftnl_rule *r, uint32_t key, const char *set)
{
	add_meta(r, key, NFT_REG_1);
	add_lookup(r, set, 0);
}

void if_address(struct nftnl_rule *r, enum side side, uint32_t op, const struct cidr *c)
{
	struct cidr all = *c, mask, net = cidr_network(c);

	memset(all.ip.b, 0xff, sizeof(all.ip.b));
	mask = cidr_network(&all);
	add_address(r, side, NFT_REG_1);
	if (c->bits < c->ip.len * 8u)
		add_mask(r, mask.ip.b, c->ip.len);
	add_cmp(r, op, net.ip.b, c->ip.len);
}

static void if_bits(struct nftnl_rule *r, uint32_t bits)
{
	uint32_t zero = 0;

	add_mask(r, &bits, sizeof(bits));
	add_cmp(r, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void if_state(struct nftnl_rule *r, uint32_t bits)
{
	add_ct(r, NFT_CT_STATE);
	if_bits(r, bits);
}

void if_translated(struct nftnl_rule *r)
{
	add_ct(r, NFT_CT_STATUS);
	if_bits(r, STATUS_DNAT);
}

void if_to_host(struct nftnl_rule *r)
{
	struct nftnl_expr *e = add(r, "fib");
	uint32_t local = RTN_LOCAL;

	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_FIB_DREG, NFT_REG_1);
	add_cmp(r, NFT_CMP_EQ, &local, sizeof(local));
}

void if_mark(struct nftnl_rule *r, uint32_t mark, uint32_t mask)
{
	add_meta(r, NFT_META_MARK, NFT_REG_1);
	if (mask != UINT32_MAX)
		add_mask(r, &mask, sizeof(mask));
	add_cmp(r, NFT_CMP_EQ, &mark, sizeof(mark));
}

void if_proto(struct nftnl_rule *r, uint32_t proto)
{
	uint8_t byte = (uint8_t)proto;

	add_meta(r, NFT_META_L4PROTO, NFT_REG_1);
	add_cmp(r, NFT_CMP_EQ, &byte, 1);
}

void if_icmp_redirect(struct nftnl_rule *r, int family)
{
	uint8_t type = family == V4 ? 5 : 137;

	if_proto(r, family == V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	add_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG_1);
	add_cmp(r, NFT_CMP_EQ, &type, 1);
}

/* A map is asked by where a packet goes, or by where it comes from when it says nothing of ports. */
void if_in(struct nftnl_rule *r, int family, const struct shape *s)
{
	uint32_t words = family == V4 ? 1 : 4, at = 0;

	if (s->address) {
		add_address(r, s->second || !s->port ? SOURCE : DESTINATION, REG(at));
		at += words;
	}
	if (s->second) {
		add_address(r, DESTINATION, REG(at));
		at += words;
	}
	if (s->port) {
		add_meta(r, NFT_META_L4PROTO, REG(at));
		add_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, REG(at + 1));
	}
	add_lookup(r, s->name, s->to_address);
}

void then_put(struct batch *b, struct nftnl_rule *r, int append)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_NEWRULE, (uint16_t)(NLM_F_CREATE | (append ? NLM_F_APPEND : 0)));

	if (h) {
		b->rules++;
		nftnl_rule_nlmsg_build_payload(h, r);
		batch_message_end(b, h);
	}
	nftnl_rule_free(r);
}

void then_verdict(struct batch *b, struct nftnl_rule *r, uint32_t verdict)
{
	struct nftnl_expr *e = add(r, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, verdict);
	then_put(b, r, 1);
}

void then_goto(struct batch *b, struct nftnl_rule *r, const char *chain)
{
	struct nftnl_expr *e = add(r, "immediate");

	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_GOTO);
	nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, chain);
	then_put(b, r, 1);
}

void then_masquerade(struct batch *b, struct nftnl_rule *r)
{
	add(r, "masq");
	then_put(b, r, 1);
}

static struct nftnl_expr *add_nat(struct nftnl_rule *r, uint32_t type)
{
	struct nftnl_expr *e = add(r, "nat");

	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, type);
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY));
	nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG_1);
	return e;
}

void then_dnat(struct batch *b, struct nftnl_rule *r, const struct shape *s)
{
	struct nftnl_expr *e = add_nat(r, NFT_NAT_DNAT);

	if (s->to_port)
		nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, REG(is_v4(r) ? 1 : 4));
	then_put(b, r, 1);
}

void then_snat(struct batch *b, struct nftnl_rule *r, const struct ip *to)
{
	if (to) {
		struct nftnl_expr *e = add(r, "immediate");

		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
		nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, to->b, to->len);
	}
	add_nat(r, NFT_NAT_SNAT);
	then_put(b, r, 1);
}
