/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall of a network in the tables of iptables, as its nf_tables variant has them, with Docker's chains: DOCKER-USER,
 * which is never touched once it is there, DOCKER-FORWARD and what it leads to. Each rule of ours carries a comment that says
 * whose it is: "dockerd" (all networks'), "dockerd:BRIDGE" or "dockerd:BRIDGE:ENDPOINT"; by that it is found again. Changes
 * are one transaction each.
 */
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/udata.h>

#include "firewall.h"
#include "xt.h"

#define TAG "dockerd"
#define TAG_POLICY TAG " policy"
#define TAG_SIZE 48
#define PRIORITY_RAW (-300)
#define PRIORITY_DSTNAT (-100)
#define PRIORITY_FILTER 0
#define PRIORITY_SRCNAT 100

static const char *const tables[] = { "filter", "nat", "raw" };
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* A rule of ours under way: of the network, or of one of its endpoints. */
struct writer {
	struct batch *b;
	const struct br_net *n;
	const struct br_endpoint *ep;
};

static void make_tag(const struct br_net *n, const struct br_endpoint *ep, char ret[TAG_SIZE])
{
	snprintf(ret, TAG_SIZE, TAG "%s%s%s%.12s", n ? ":" : "", n ? n->bridge : "", ep ? ":" : "", ep ? ep->id : "");
}

static struct nftnl_rule *start(const struct writer *w, const char *chain)
{
	struct nftnl_rule *r = rule(w->b, chain);
	char tag[TAG_SIZE];

	make_tag(w->n, w->ep, tag);
	xt_comment(r, tag);
	return r;
}

/* in, out: 1 for the bridge, -1 for any but the bridge, 0 for any. */
static struct nftnl_rule *start_on(const struct writer *w, const char *chain, int in, int out)
{
	struct nftnl_rule *r = start(w, chain);

	if (in)
		if_interface(r, NFT_META_IIFNAME, in > 0 ? NFT_CMP_EQ : NFT_CMP_NEQ, w->n->bridge);
	if (out)
		if_interface(r, NFT_META_OIFNAME, out > 0 ? NFT_CMP_EQ : NFT_CMP_NEQ, w->n->bridge);
	return r;
}

static void use(const struct writer *w, const char *table)
{
	batch_table(w->b, w->b->family, table);
}

static struct cidr loopback(int family)
{
	struct cidr c = { .ip = { .len = 16, .b = { [15] = 1 } }, .bits = 128 };

	if (family == V4)
		c = (struct cidr){ .ip = { .len = 4, .b = { 127 } }, .bits = 8 };
	return c;
}

static struct cidr single(const struct ip *ip)
{
	return (struct cidr){ *ip, ip->len * 8u };
}

/* Chains that are there stay as they are, their policies as well. */
static void put_chains(const struct writer *w)
{
	static const char *const own[] = { "DOCKER-USER", "DOCKER-FORWARD", "DOCKER-CT", "DOCKER-INTERNAL",
		"DOCKER-BRIDGE", "DOCKER" };

	use(w, "filter");
	put_table(w->b, NFT_MSG_NEWTABLE);
	put_chain(w->b, "FORWARD", "filter", NF_INET_FORWARD, PRIORITY_FILTER, -1);
	put_chain(w->b, "OUTPUT", "filter", NF_INET_LOCAL_OUT, PRIORITY_FILTER, -1);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		put_chain(w->b, own[i], NULL, 0, 0, -1);
	use(w, "nat");
	put_table(w->b, NFT_MSG_NEWTABLE);
	put_chain(w->b, "PREROUTING", "nat", NF_INET_PRE_ROUTING, PRIORITY_DSTNAT, -1);
	put_chain(w->b, "OUTPUT", "nat", NF_INET_LOCAL_OUT, PRIORITY_DSTNAT, -1);
	put_chain(w->b, "POSTROUTING", "nat", NF_INET_POST_ROUTING, PRIORITY_SRCNAT, -1);
	put_chain(w->b, "DOCKER", NULL, 0, 0, -1);
	use(w, "raw");
	put_table(w->b, NFT_MSG_NEWTABLE);
	put_chain(w->b, "PREROUTING", "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW, -1);
}

/* What all networks have in common. Each is put before what is there: the last one is the first. */
static void put_shared(const struct writer *w)
{
	const struct writer all = { .b = w->b };
	struct cidr lo = loopback(w->b->family);
	struct nftnl_rule *r;

	use(w, "filter");
	xt_jump(w->b, start(&all, "FORWARD"), HEAD, "DOCKER-FORWARD");
	xt_jump(w->b, start(&all, "FORWARD"), HEAD, "DOCKER-USER");
	xt_jump(w->b, start(&all, "DOCKER-FORWARD"), HEAD, "DOCKER-BRIDGE");
	xt_jump(w->b, start(&all, "DOCKER-FORWARD"), HEAD, "DOCKER-INTERNAL");
	xt_jump(w->b, start(&all, "DOCKER-FORWARD"), HEAD, "DOCKER-CT");
	use(w, "nat");
	r = start(&all, "PREROUTING");
	if_address(r, DESTINATION, NFT_CMP_NEQ, &lo);
	xt_to_host(r);
	xt_jump(w->b, r, HEAD, "DOCKER");
	r = start(&all, "OUTPUT");
	if_address(r, DESTINATION, NFT_CMP_NEQ, &lo);
	xt_to_host(r);
	xt_jump(w->b, r, HEAD, "DOCKER");
}

/* From elsewhere to the containers. */
static void put_inward(const struct writer *w)
{
	const struct br_net *n = w->n;
	enum mode mode = n->f[w->b->family].mode;
	struct nftnl_rule *r = start_on(w, "DOCKER-CT", 0, 1);

	xt_state(r, XT_STATE_ANSWER);
	xt_verdict(w->b, r, TAIL, NF_ACCEPT);
	r = start_on(w, "DOCKER", 0, 1);
	xt_state(r, XT_STATE_DNAT);
	xt_verdict(w->b, r, TAIL, NF_ACCEPT);
	if (n->mark_mask) {
		r = start_on(w, "DOCKER", -1, 1);
		xt_mark(r, n->mark, n->mark_mask);
		xt_verdict(w->b, r, TAIL, NF_ACCEPT);
	}
	if (mode == MODE_ROUTED) {
		r = start_on(w, "DOCKER", -1, 1);
		if_proto(r, w->b->family == V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		xt_verdict(w->b, r, TAIL, NF_ACCEPT);
	}
	xt_verdict(w->b, start_on(w, "DOCKER", -1, 1), TAIL, mode == MODE_NAT_UNPROTECTED ? NF_ACCEPT : NF_DROP);
}

static void put_filter(const struct writer *w)
{
	const struct br_net *n = w->n;

	use(w, "filter");
	xt_jump(w->b, start_on(w, "DOCKER-BRIDGE", 0, 1), TAIL, "DOCKER");
	if (n->internal) {
		xt_verdict(w->b, start_on(w, "DOCKER-INTERNAL", -1, 1), TAIL, NF_DROP);
		xt_verdict(w->b, start_on(w, "DOCKER-INTERNAL", 1, -1), TAIL, NF_DROP);
		if (!n->icc) {
			struct nftnl_rule *r = start_on(w, "DOCKER-CT", 1, 1);

			xt_state(r, XT_STATE_ANSWER);
			xt_verdict(w->b, r, TAIL, NF_ACCEPT);
		}
	} else {
		put_inward(w);
		xt_verdict(w->b, start_on(w, "DOCKER-FORWARD", 1, -1), TAIL, NF_ACCEPT);
	}
	xt_verdict(w->b, start_on(w, "DOCKER-FORWARD", 1, 1), TAIL, n->icc ? NF_ACCEPT : NF_DROP);
	if (!n->icc && w->b->family == V6) {
		struct nftnl_rule *r = start_on(w, "OUTPUT", 0, 1);

		xt_redirect6(r);
		xt_verdict(w->b, r, TAIL, NF_DROP);
	}
}

static void put_localhost(const struct writer *w)
{
	struct cidr lo = loopback(V4);
	struct nftnl_rule *r = start(w, "OUTPUT");

	if_address(r, DESTINATION, NFT_CMP_EQ, &lo);
	xt_to_host(r);
	xt_jump(w->b, r, TAIL, "DOCKER");
	r = start_on(w, "POSTROUTING", 0, 1);
	if_address(r, SOURCE, NFT_CMP_EQ, &lo);
	xt_masquerade(w->b, r, TAIL);
	use(w, "raw");
	r = start_on(w, "PREROUTING", 1, 0);
	if_address(r, DESTINATION, NFT_CMP_EQ, &lo);
	xt_verdict(w->b, r, TAIL, NF_DROP);
}

static void put_nat(const struct writer *w)
{
	const struct br_net *n = w->n;
	const struct br_family *f = &n->f[w->b->family];
	struct nftnl_rule *r;

	use(w, "nat");
	if (fw_translates(n, w->b->family)) {
		r = start_on(w, "POSTROUTING", 0, 1);
		if_address(r, SOURCE, NFT_CMP_EQ, &f->subnet);
		xt_state(r, XT_STATE_DNAT);
		xt_masquerade(w->b, r, TAIL);
	}
	if (n->masquerade) {
		r = start_on(w, "POSTROUTING", 0, -1);
		if_address(r, SOURCE, NFT_CMP_EQ, &f->subnet);
		if (f->source.len)
			xt_snat(w->b, r, TAIL, &f->source);
		else
			xt_masquerade(w->b, r, TAIL);
	}
	if (n->localhost && w->b->family == V4)
		put_localhost(w);
}

static void put_network(const struct writer *w)
{
	put_filter(w);
	if (!w->n->internal && w->n->f[w->b->family].mode != MODE_ROUTED)
		put_nat(w);
}

static void put_dnat(const struct writer *w, const struct br_port *p)
{
	struct cidr host = single(&p->host), lo = loopback(w->b->family);
	int away = !w->n->icc && !w->n->localhost;
	struct nftnl_rule *r = start_on(w, "DOCKER", away ? -1 : 0, 0);

	/* other networks may have no proxy for the host's loopback addresses */
	if (p->host.len)
		if_address(r, DESTINATION, NFT_CMP_EQ, &host);
	else if (!w->n->localhost)
		if_address(r, DESTINATION, NFT_CMP_NEQ, &lo);
	if (w->n->host_policy)
		xt_mark(r, w->n->mark, w->n->mark_mask);
	xt_ports(r, p->proto, p->host_port, p->host_port + p->count - 1);
	xt_dnat(w->b, r, TAIL, &w->ep->address[w->b->family], p->host_port, p->port, p->count);
}

static void put_open_from(const struct writer *w, const struct fw_range *range, const char *interface)
{
	struct cidr to = single(&w->ep->address[w->b->family]);
	struct nftnl_rule *r = start_on(w, "DOCKER", interface ? 0 : -1, 1);

	if (interface)
		if_interface(r, NFT_META_IIFNAME, NFT_CMP_EQ, interface);
	if_address(r, DESTINATION, NFT_CMP_EQ, &to);
	xt_ports(r, range->proto, range->first, range->last);
	xt_verdict(w->b, r, HEAD, NF_ACCEPT);
}

static void put_open(void *ctx, const struct fw_range *range)
{
	const struct writer *w = ctx;

	if (w->n->f[w->b->family].mode == MODE_ROUTED || w->n->direct) {
		put_open_from(w, range, NULL);
		return;
	}
	for (size_t i = 0; i < w->n->trusted_len; i++)
		put_open_from(w, range, w->n->trusted[i]);
}

static void put_link(const struct writer *w, const struct br_link *l)
{
	struct cidr from = single(&l->from), to = single(&l->to);
	struct nftnl_rule *r = start_on(w, "DOCKER", 1, 1);

	if_address(r, SOURCE, NFT_CMP_EQ, &from);
	if_address(r, DESTINATION, NFT_CMP_EQ, &to);
	xt_ports(r, l->proto, l->port, l->port + l->count - 1);
	xt_verdict(w->b, r, HEAD, NF_ACCEPT);
}

static void put_source(const struct writer *w)
{
	struct cidr own = single(&w->ep->address[w->b->family]);
	struct nftnl_rule *r;

	if (w->n->internal || w->n->f[w->b->family].mode == MODE_ROUTED || !own.ip.len || !w->ep->source[w->b->family].len)
		return;
	r = start_on(w, "POSTROUTING", 0, -1);
	if_address(r, SOURCE, NFT_CMP_EQ, &own);
	xt_snat(w->b, r, HEAD, &w->ep->source[w->b->family]);
}

static void put_endpoint(struct batch *b, const struct br_net *n, const struct br_endpoint *ep)
{
	struct writer w = { b, n, ep };

	use(&w, "nat");
	for (size_t i = 0; fw_translates(n, b->family) && ep->address[b->family].len && i < ep->ports_len; i++)
		if (ep->ports[i].family == b->family && ep->ports[i].host_port &&
		    (n->localhost || !ip_is_loopback(&ep->ports[i].host)))
			put_dnat(&w, &ep->ports[i]);
	put_source(&w);
	use(&w, "filter");
	if (fw_opens(n, b->family) && fw_each_open(ep, b->family, put_open, &w) < 0)
		b->failed = 1;
	for (size_t i = 0; !n->icc && i < ep->links_len; i++)
		if (ep->links[i].family == b->family)
			put_link(&w, &ep->links[i]);
}

/* Rules of ours that are there. */
struct found {
	const struct br_net *n;       /* whose */
	const struct br_endpoint *ep; /* that one's alone */
	int shared, endpoints;        /* also what all have; also its endpoints' */
	struct batch *b;              /* each is taken away by this; NULL: counted */
	size_t len;
	struct { size_t len, size, last; uint32_t seq; } begin; /* of a list that may have to be read again */
};

/* "dockerd:BRIDGE" and what may follow. */
static int is_wanted(const struct found *f, const char *comment)
{
	char tag[TAG_SIZE];
	size_t len;

	if (strcmp(comment, TAG) == 0)
		return f->shared;
	make_tag(f->n, f->ep, tag);
	len = strlen(tag);
	if (strncmp(comment, tag, len) != 0)
		return 0;
	return comment[len] == '\0' || (f->endpoints && !f->ep && comment[len] == ':');
}

static int on_udata(const struct nftnl_udata *a, void *ctx)
{
	if (nftnl_udata_type(a) == NFTNL_UDATA_RULE_COMMENT && nftnl_udata_len(a) < TAG_SIZE)
		snprintf(ctx, TAG_SIZE, "%.*s", (int)nftnl_udata_len(a), (const char *)nftnl_udata_get(a));
	return 0;
}

static void read_comment(const struct nftnl_rule *r, char ret[TAG_SIZE])
{
	uint32_t size = 0;
	const void *data = nftnl_rule_get_data(r, NFTNL_RULE_USERDATA, &size);

	*ret = '\0';
	if (data)
		nftnl_udata_parse(data, size, on_udata, ret);
}

static void put_no_rule(struct batch *b, const struct nftnl_rule *r)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_DELRULE, 0);

	if (!h)
		return;
	mnl_attr_put_strz(h, NFTA_RULE_TABLE, nftnl_rule_get_str(r, NFTNL_RULE_TABLE));
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, nftnl_rule_get_str(r, NFTNL_RULE_CHAIN));
	mnl_attr_put_u64(h, NFTA_RULE_HANDLE, htobe64(nftnl_rule_get_u64(r, NFTNL_RULE_HANDLE)));
	batch_message_end(b, h);
}

static int on_rule(void *ctx, const struct nftnl_rule *r)
{
	struct found *f = ctx;
	char comment[TAG_SIZE];

	read_comment(r, comment);
	if (!is_wanted(f, comment))
		return 0;
	f->len++;
	if (f->b)
		put_no_rule(f->b, r);
	return 0;
}

static void on_restart(void *ctx)
{
	struct found *f = ctx;

	f->len = f->begin.len;
	if (!f->b)
		return;
	f->b->size = f->begin.size;
	f->b->last = f->begin.last;
	f->b->seq = f->begin.seq;
}

/* Rules of one table, or of one of its chains. */
static int list(struct found *f, int family, const char *table, const char *chain, rule_fn *fn)
{
	f->begin.len = f->len;
	if (f->b) {
		f->begin.size = f->b->size;
		f->begin.last = f->b->last;
		f->begin.seq = f->b->seq;
	}
	return each_rule(family, table, chain, fn, f, on_restart) < 0 && errno != ENOENT ? -1 : 0;
}

static int find(struct found *f, int family)
{
	for (size_t i = 0; i < TABLES; i++)
		if (list(f, family, tables[i], NULL, on_rule) < 0)
			return -1;
	return 0;
}

static int finish(struct batch *b, int rc)
{
	int sys = errno;

	if (rc == 0) {
		rc = batch_send(b);
		sys = errno;
	}
	batch_close(b);
	errno = sys;
	return rc;
}

static int rewrite(const struct br_net *n, int endpoints)
{
	struct found old = { .n = n, .shared = 1, .endpoints = endpoints };
	struct batch b;
	int rc = 0;

	batch_open(&b);
	old.b = &b;
	for (int f = 0; f < FAMILIES && rc == 0; f++) {
		struct writer w = { &b, n, NULL };

		b.family = f;
		if (!fw_has(n, f))
			continue;
		put_chains(&w);
		rc = find(&old, f);
		put_shared(&w);
		put_network(&w);
		for (const struct br_endpoint *ep = n->endpoints; endpoints && ep; ep = ep->next)
			put_endpoint(&b, n, ep);
	}
	return finish(&b, rc);
}

static int ipt_write(const struct br_net *n)
{
	return rewrite(n, 1);
}

static int ipt_adopt(const struct br_net *n)
{
	return rewrite(n, 0);
}

static int ipt_delete(const struct br_net *n)
{
	struct found old = { .n = n, .endpoints = 1 };
	struct batch b;
	int rc = 0;

	batch_open(&b);
	old.b = &b;
	for (int f = 0; f < FAMILIES && rc == 0; f++) {
		b.family = f;
		rc = find(&old, f);
	}
	if (rc == 0 && old.len)
		return finish(&b, 0);
	batch_close(&b);
	return rc;
}

static int ipt_change(const struct br_net *n, const struct br_endpoint *before, const struct br_endpoint *after)
{
	struct found old = { .n = n, .ep = before };
	struct batch b;
	int rc = 0;

	batch_open(&b);
	old.b = &b;
	for (int f = 0; f < FAMILIES && rc == 0; f++) {
		if (!fw_has(n, f))
			continue;
		b.family = f;
		rc = find(&old, f);
		put_endpoint(&b, n, after);
	}
	if (rc == 0 && (old.len || b.rules))
		return finish(&b, 0);
	batch_close(&b);
	return rc;
}

/* What would be written says how many there must be. */
static int ipt_stands(const struct br_net *n)
{
	struct found there = { .n = n, .shared = 1, .endpoints = 1 };
	struct batch b;
	int is = 1;

	batch_open(&b);
	for (int f = 0; f < FAMILIES && is; f++) {
		struct writer w = { &b, n, NULL };

		if (!fw_has(n, f))
			continue;
		b.family = f;
		put_shared(&w);
		put_network(&w);
		for (const struct br_endpoint *ep = n->endpoints; ep; ep = ep->next)
			put_endpoint(&b, n, ep);
		is = find(&there, f) == 0;
	}
	is = is && there.len == b.rules;
	batch_close(&b);
	return is;
}

/*
 * The policy of FORWARD is DROP, and a rule that does nothing tells that it is so for the networks' sake: an administrator's own
 * is not touched. Where the table of the other backend closes the host already, it goes on to.
 */
static int on_marker(void *ctx, const struct nftnl_rule *r)
{
	struct found *f = ctx;
	char comment[TAG_SIZE];

	read_comment(r, comment);
	if (strcmp(comment, TAG_POLICY) != 0)
		return 0;
	f->len++;
	if (f->b)
		put_no_rule(f->b, r);
	return 0;
}

static int has_marker(int family)
{
	struct found f = { 0 };

	return list(&f, family, "filter", "DOCKER-FORWARD", on_marker) == 0 && f.len;
}

static int ipt_policy_stands(int family)
{
	return nft_backend.policy_stands(family) || has_marker(family);
}

static int ipt_policy_write(const struct br_net *n, int family)
{
	int marked = has_marker(family);
	struct nftnl_rule *r;
	struct batch b;

	if (nft_backend.policy_stands(family))
		return nft_backend.policy_write(n, family);
	batch_open(&b);
	batch_table(&b, family, "filter");
	put_table(&b, NFT_MSG_NEWTABLE);
	put_chain(&b, "FORWARD", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_DROP);
	put_chain(&b, "DOCKER-FORWARD", NULL, 0, 0, -1);
	if (!marked) {
		r = rule(&b, "DOCKER-FORWARD");
		xt_comment(r, TAG_POLICY);
		xt_nothing(&b, r, TAIL);
	}
	return finish(&b, 0);
}

static int ipt_policy_delete(int family)
{
	struct found f = { 0 };
	struct batch b;
	int rc;

	if (!has_marker(family))
		return 0;
	batch_open(&b);
	batch_table(&b, family, "filter");
	put_chain(&b, "FORWARD", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_ACCEPT);
	f.b = &b;
	rc = list(&f, family, "filter", "DOCKER-FORWARD", on_marker);
	return finish(&b, rc);
}

const struct backend_ops iptables_backend = {
	.write = ipt_write,
	.adopt = ipt_adopt,
	.delete = ipt_delete,
	.stands = ipt_stands,
	.change = ipt_change,
	.policy_write = ipt_policy_write,
	.policy_delete = ipt_policy_delete,
	.policy_stands = ipt_policy_stands,
};
