/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall of one network: the table "dockerd-BRIDGE" of family ip, replaced as a whole in one transaction, so that
 * no packet ever meets half of it. Two base chains: what leaves is masqueraded; what comes from elsewhere must answer.
 * Beside them one table for all networks and daemons, "dockerd", on hosts whose forwarding is there for the networks
 * only: its chain drops what is forwarded neither from nor to one of the bridges in its set. Bridges are added, never taken
 * out: one that is not there lets nothing through.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge.h"

#define BATCH_SIZE 16384
#define LIST_TRIES 20 /* of a list that changes while it is read */
#define LIST_WAIT_US 1000
#define ANSWER_SIZE 8192
#define POLICY_SET "bridges"
/* By these nft prints the set's elements: its number of their type, and the machine's order of bytes. */
#define TYPE_IFNAME 41
#define BYTEORDER_HOST 1
#define TABLE_SIZE (sizeof(NFT_TABLE) + 1 + IFNAMSIZ)
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

/* bridge NULL: the table for all. */
static void table_name(const char *bridge, char ret[TABLE_SIZE])
{
	snprintf(ret, TABLE_SIZE, NFT_TABLE "%s%s", bridge ? "-" : "", bridge ? bridge : "");
}

static int batch_open(struct batch *b, const char *bridge)
{
	*b = (struct batch){ .buf = malloc(BATCH_SIZE) };
	b->b = b->buf ? mnl_nlmsg_batch_start(b->buf, BATCH_SIZE / 2) : NULL;
	if (!b->b)
		return -1;
	table_name(bridge, b->table);
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

static void put_chain(struct batch *b, const char *name, const char *type, uint32_t hook, int32_t priority, uint32_t policy)
{
	struct nftnl_chain *c = nftnl_chain_alloc();

	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, b->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, policy);
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

	put_chain(b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_ACCEPT);
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
	put_chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SRCNAT, NF_ACCEPT);
	r = rule(b, "postrouting");
	if_source(r, n->subnet, n->mask);
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_NEQ, n->bridge);
	then(b, r, ACTION_MASQUERADE);
}

static void put_bridge_set(struct batch *b, const char *bridge)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elem *e;
	char padded[IFNAMSIZ] = "";

	nftnl_set_set_str(s, NFTNL_SET_TABLE, b->table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, POLICY_SET);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_IFNAME);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, IFNAMSIZ);
	nftnl_set_set_u32(s, NFTNL_SET_ID, 1);
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, BYTEORDER_HOST);
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
	nftnl_set_nlmsg_build_payload(message(b, NFT_MSG_NEWSET, NLM_F_CREATE), s);
	mnl_nlmsg_batch_next(b->b);
	memcpy(padded, bridge, strnlen(bridge, IFNAMSIZ - 1));
	e = nftnl_set_elem_alloc();
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, padded, sizeof(padded));
	nftnl_set_elem_add(s, e);
	nftnl_set_elems_nlmsg_build_payload(message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE), s);
	mnl_nlmsg_batch_next(b->b);
	nftnl_set_free(s);
}

static void flush_chain(struct batch *b, const char *name)
{
	struct nftnl_rule *r = rule(b, name);

	nftnl_rule_nlmsg_build_payload(message(b, NFT_MSG_DELRULE, 0), r);
	mnl_nlmsg_batch_next(b->b);
	nftnl_rule_free(r);
}

/* key: NFT_META_IIFNAME or NFT_META_OIFNAME. */
static void accept_bridges(struct batch *b, uint32_t key)
{
	struct nftnl_expr *meta = nftnl_expr_alloc("meta"), *lookup = nftnl_expr_alloc("lookup");
	struct nftnl_rule *r = rule(b, "forward");

	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, NFT_REG_1);
	nftnl_rule_add_expr(r, meta);
	nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, POLICY_SET);
	nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SET_ID, 1);
	nftnl_rule_add_expr(r, lookup);
	then(b, r, NF_ACCEPT);
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

int nft_policy_write(const char *bridge, struct br_error *e)
{
	struct batch b;
	int rc;

	if (batch_open(&b, NULL) < 0)
		return br_fail(e, ENOMEM, "write the nftables rules");
	put_table(&b, NFT_MSG_NEWTABLE);
	put_chain(&b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_DROP);
	put_bridge_set(&b, bridge);
	flush_chain(&b, "forward");
	accept_bridges(&b, NFT_META_IIFNAME);
	accept_bridges(&b, NFT_META_OIFNAME);
	rc = batch_send(&b) < 0 ? br_fail(e, errno, "write the nftables table " NFT_TABLE) : 0;
	batch_close(&b);
	return rc;
}

int nft_policy_delete(struct br_error *e)
{
	return replace(NULL, NULL) < 0 ? br_fail(e, errno, "remove the nftables table " NFT_TABLE) : 0;
}

static int on_rule(const struct nlmsghdr *h, void *ctx)
{
	(void)h;
	++*(unsigned *)ctx;
	return MNL_CB_OK;
}

/* Counts the rules of a bridge's table; -1 with errno: EINTR means a list to ask for again. */
static int list_rules(const char *bridge, unsigned *ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct nftnl_rule *r = nftnl_rule_alloc();
	char table[TABLE_SIZE], *buf = malloc(ANSWER_SIZE);
	struct nlmsghdr *h = (void *)buf;
	int rc = -1, sys;

	*ret = 0;
	table_name(bridge, table);
	if (nl && r && buf && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0) {
		nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table);
		nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_IPV4, NLM_F_DUMP, 1);
		nftnl_rule_nlmsg_build_payload(h, r);
		rc = (int)mnl_socket_sendto(nl, h, h->nlmsg_len);
	}
	while (rc >= 0) {
		ssize_t n = mnl_socket_recvfrom(nl, buf, ANSWER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), on_rule, ret);
		if (rc <= MNL_CB_STOP)
			break;
	}
	sys = errno;
	if (r)
		nftnl_rule_free(r);
	if (nl)
		mnl_socket_close(nl);
	free(buf);
	errno = sys;
	return rc;
}

/* A list that others change while it is read is no answer. */
static int count_rules(const char *bridge, unsigned *ret)
{
	int rc = list_rules(bridge, ret);

	for (int i = 1; i < LIST_TRIES && rc < 0 && errno == EINTR; i++) {
		usleep(LIST_WAIT_US);
		rc = list_rules(bridge, ret);
	}
	return rc;
}

int nft_stands(const struct br_net *n)
{
	unsigned rules;

	return count_rules(n->bridge, &rules) == 0 && rules == (n->masquerade && !n->internal ? 5 : 4);
}

int nft_policy_stands(void)
{
	unsigned rules;

	return count_rules(NULL, &rules) == 0 && rules == 2;
}

int nft_write(const struct br_net *n, struct br_error *e)
{
	return replace(n->bridge, n) < 0 ? br_fail(e, errno, "write the nftables rules of bridge %s", n->bridge) : 0;
}

int nft_delete(const char *bridge, struct br_error *e)
{
	return replace(bridge, NULL) < 0 ? br_fail(e, errno, "remove the nftables rules of bridge %s", bridge) : 0;
}
