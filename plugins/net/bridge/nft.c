/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall of one network: the table "dockerd-BRIDGE" of family ip, replaced as a whole in one transaction, so that
 * no packet ever meets half of it. Two base chains: what leaves is masqueraded; what comes from elsewhere must answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bridge.h"

#define BATCH_SIZE 16384
#define TABLE_SIZE (sizeof("dockerd-") + IFNAMSIZ)
#define ACTION_MASQUERADE UINT32_MAX
#define PRIORITY_FILTER 0
#define PRIORITY_SRCNAT 100
/* Bits of "ct state" as nf_tables has them. */
#define CT_RELATED_OR_ESTABLISHED (UINT32_C(1) << 2 | UINT32_C(1) << 1)

struct batch {
	char *buf;
	struct mnl_nlmsg_batch *b;
	char table[TABLE_SIZE];
	uint32_t seq, last; /* last: of the message before the end */
};

static int batch_open(struct batch *b, const char *bridge)
{
	*b = (struct batch){ .buf = malloc(BATCH_SIZE) };
	b->b = b->buf ? mnl_nlmsg_batch_start(b->buf, BATCH_SIZE / 2) : NULL;
	if (!b->b)
		return -1;
	snprintf(b->table, sizeof(b->table), "dockerd-%s", bridge);
	nftnl_batch_begin(mnl_nlmsg_batch_current(b->b), b->seq++);
	mnl_nlmsg_batch_next(b->b);
	return 0;
}

static void batch_close(struct batch *b)
{
	if (b->b)
		mnl_nlmsg_batch_stop(b->b);
	free(b->buf);
}

static struct nlmsghdr *message(struct batch *b, uint16_t type, uint16_t flags)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b->b), type, NFPROTO_IPV4, (uint16_t)(flags | NLM_F_ACK), b->seq++);
}

static void put_table(struct batch *b, uint16_t type)
{
	struct nftnl_table *t = nftnl_table_alloc();

	nftnl_table_set_str(t, NFTNL_TABLE_NAME, b->table);
	nftnl_table_nlmsg_build_payload(message(b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), t);
	mnl_nlmsg_batch_next(b->b);
	nftnl_table_free(t);
}

static void put_chain(struct batch *b, const char *name, const char *type, uint32_t hook, int32_t priority)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, b->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	nftnl_chain_nlmsg_build_payload(message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE), c);
	mnl_nlmsg_batch_next(b->b);
	nftnl_chain_free(c);
}

static void add_cmp(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t size)
{
	struct nftnl_expr *e = nftnl_expr_alloc("cmp");

	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, size);
	nftnl_rule_add_expr(r, e);
}

static void add_mask(struct nftnl_rule *r, uint32_t mask)
{
	struct nftnl_expr *e = nftnl_expr_alloc("bitwise");
	uint32_t zero = 0;

	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, sizeof(mask));
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
	nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &zero, sizeof(zero));
	nftnl_rule_add_expr(r, e);
}

/* key: NFT_META_IIFNAME or NFT_META_OIFNAME. */
static void if_interface(struct nftnl_rule *r, uint32_t key, uint32_t op, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc("meta");
	char padded[IFNAMSIZ] = "";

	memcpy(padded, name, strnlen(name, IFNAMSIZ - 1));
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, e);
	add_cmp(r, op, padded, sizeof(padded));
}

static void if_source(struct nftnl_rule *r, uint32_t subnet, uint32_t mask)
{
	struct nftnl_expr *e = nftnl_expr_alloc("payload");
	uint32_t net = htonl(subnet);

	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, 12); /* source address */
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, sizeof(net));
	nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, e);
	add_mask(r, htonl(mask));
	add_cmp(r, NFT_CMP_EQ, &net, sizeof(net));
}

static void if_answer(struct nftnl_rule *r)
{
	struct nftnl_expr *e = nftnl_expr_alloc("ct");
	uint32_t zero = 0;

	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_KEY, NFT_CT_STATE);
	nftnl_expr_set_u32(e, NFTNL_EXPR_CT_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, e);
	add_mask(r, CT_RELATED_OR_ESTABLISHED);
	add_cmp(r, NFT_CMP_NEQ, &zero, sizeof(zero));
}

static struct nftnl_rule *rule(const struct batch *b, const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, b->table);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_IPV4);
	return r;
}

/* action: NF_ACCEPT, NF_DROP or ACTION_MASQUERADE. Frees the rule. */
static void then(struct batch *b, struct nftnl_rule *r, uint32_t action)
{
	struct nftnl_expr *e = nftnl_expr_alloc(action == ACTION_MASQUERADE ? "masq" : "immediate");

	if (action != ACTION_MASQUERADE) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, action);
	}
	nftnl_rule_add_expr(r, e);
	nftnl_rule_nlmsg_build_payload(message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND), r);
	mnl_nlmsg_batch_next(b->b);
	nftnl_rule_free(r);
}

static void put_rules(struct batch *b, const struct br_net *n)
{
	struct nftnl_rule *r;

	put_chain(b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER);
	r = rule(b, "forward"); /* among containers */
	if_interface(r, NFT_META_IIFNAME, NFT_CMP_EQ, n->bridge);
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_EQ, n->bridge);
	then(b, r, n->icc ? NF_ACCEPT : NF_DROP);
	r = rule(b, "forward"); /* out */
	if_interface(r, NFT_META_IIFNAME, NFT_CMP_EQ, n->bridge);
	then(b, r, n->internal ? NF_DROP : NF_ACCEPT);
	r = rule(b, "forward"); /* the answers */
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_EQ, n->bridge);
	if_answer(r);
	then(b, r, n->internal ? NF_DROP : NF_ACCEPT);
	r = rule(b, "forward"); /* nobody outside begins a talk with a container */
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_EQ, n->bridge);
	then(b, r, NF_DROP);
	if (!n->masquerade || n->internal)
		return;
	put_chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SRCNAT);
	r = rule(b, "postrouting");
	if_source(r, n->subnet, n->mask);
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_NEQ, n->bridge);
	then(b, r, ACTION_MASQUERADE);
}

/* The kernel acknowledges each message; the first error counts. 0 or -1 with errno. */
static int take_acks(struct mnl_socket *nl, uint32_t first, uint32_t last)
{
	char buf[8192];
	int sys = 0;
	uint32_t seen = first;

	while (seen <= last) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		for (const struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			const struct nlmsgerr *m = mnl_nlmsg_get_payload(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (m->error && !sys)
				sys = -m->error;
			/* an error of the begin or end message ends it all */
			if (m->msg.nlmsg_seq < first || m->msg.nlmsg_seq > last) {
				errno = sys ? sys : EIO;
				return -1;
			}
			seen++;
		}
	}
	errno = sys;
	return sys ? -1 : 0;
}

static int batch_send(struct batch *b)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	uint32_t last = b->seq - 1;
	int rc = -1, sys;

	if (!nl)
		return -1;
	nftnl_batch_end(mnl_nlmsg_batch_current(b->b), b->seq++);
	mnl_nlmsg_batch_next(b->b);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 &&
	    mnl_socket_sendto(nl, mnl_nlmsg_batch_head(b->b), mnl_nlmsg_batch_size(b->b)) >= 0)
		rc = take_acks(nl, 1, last);
	sys = errno;
	mnl_socket_close(nl);
	errno = sys;
	return rc;
}

/* One that is not there is made first, for there is no "delete if it exists". */
static int replace(const char *bridge, const struct br_net *n)
{
	struct batch b;
	int rc, sys;

	if (batch_open(&b, bridge) < 0)
		return -1;
	put_table(&b, NFT_MSG_NEWTABLE);
	put_table(&b, NFT_MSG_DELTABLE);
	if (n) {
		put_table(&b, NFT_MSG_NEWTABLE);
		put_rules(&b, n);
	}
	rc = batch_send(&b);
	sys = errno;
	batch_close(&b);
	errno = sys;
	return rc;
}

int nft_write(const struct br_net *n, struct br_error *e)
{
	return replace(n->bridge, n) < 0 ? br_fail(e, errno, "write the nftables rules of bridge %s", n->bridge) : 0;
}

int nft_delete(const char *bridge, struct br_error *e)
{
	return replace(bridge, NULL) < 0 ? br_fail(e, errno, "remove the nftables rules of bridge %s", bridge) : 0;
}
