/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The firewall of one network by nftables: tables "dockerd-BRIDGE" of families ip and ip6, each written as a whole in one
 * transaction, so that no packet ever meets half of it. Rules are the network's; ports, links and addresses of endpoints are
 * elements of maps and sets, added and taken away without touching the others.
 * Beside them one table for all networks and daemons, "dockerd", on hosts whose forwarding is there for the networks
 * only: its chain drops what is forwarded neither from nor to one of the bridges in its set. Bridges are added, never taken
 * out: one that is not there lets nothing through.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "firewall.h"

#define POLICY_SET "bridges"
/* By these nft prints the set's elements: its number of their type, and the machine's order of bytes. */
#define TYPE_IFNAME 41
#define BYTEORDER_HOST 1
#define PRIORITY_RAW (-300)
#define PRIORITY_DSTNAT (-100)
#define PRIORITY_FILTER 0
#define PRIORITY_SRCNAT 100

/* Published at one address of the host or at all; one port, or a range of them that keep their numbers. */
static const struct shape at = { .name = "at", .address = 1, .port = 1, .to_address = 1, .to_port = 1 };
static const struct shape at_ranges = { .name = "at_ranges", .address = 1, .port = 1, .interval = 1, .to_address = 1 };
static const struct shape any = { .name = "any", .port = 1, .to_address = 1, .to_port = 1 };
static const struct shape any_ranges = { .name = "any_ranges", .port = 1, .interval = 1, .to_address = 1 };
/* Open at containers' own addresses. */
static const struct shape open_ports = { .name = "open", .address = 1, .port = 1, .interval = 1 };
/* From one container to another, where they may not talk else. */
static const struct shape links = { .name = "links", .address = 1, .second = 1, .port = 1, .interval = 1 };
/* Containers that have an address of their own towards the world. */
static const struct shape sources = { .name = "sources", .address = 1, .to_address = 1 };
static const struct shape *const shapes[] = { &at, &at_ranges, &any, &any_ranges, &open_ports, &links, &sources };
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

/* Elements of each set that were put. */
struct tally {
	size_t elements[SHAPES];
};

static void table_name(const char *bridge, char ret[TABLE_SIZE])
{
	snprintf(ret, TABLE_SIZE, NFT_TABLE "%s%s", bridge ? "-" : "", bridge ? bridge : "");
}

static void use_table(struct batch *b, const struct br_net *n, int family)
{
	char name[TABLE_SIZE];

	table_name(n ? n->bridge : NULL, name);
	batch_table(b, family, name);
}

/* What a rule is about, most often. */
static struct nftnl_rule *rule_from(const struct batch *b, const char *chain, const struct br_net *n)
{
	struct nftnl_rule *r = rule(b, chain);

	if_interface(r, NFT_META_IIFNAME, NFT_CMP_EQ, n->bridge);
	return r;
}

static struct nftnl_rule *rule_to(const struct batch *b, const char *chain, const struct br_net *n)
{
	struct nftnl_rule *r = rule(b, chain);

	if_interface(r, NFT_META_OIFNAME, NFT_CMP_EQ, n->bridge);
	return r;
}

static struct nftnl_rule *rule_among(const struct batch *b, const char *chain, const struct br_net *n)
{
	struct nftnl_rule *r = rule_from(b, chain, n);

	if_interface(r, NFT_META_OIFNAME, NFT_CMP_EQ, n->bridge);
	return r;
}

/* Among the containers of the network. What goes by an address of the host may always. */
static void put_among(struct batch *b, const struct br_net *n)
{
	struct nftnl_rule *r;

	if (!n->icc) {
		r = rule_among(b, "forward", n);
		if_translated(r);
		then_verdict(b, r, NF_ACCEPT);
		r = rule_among(b, "forward", n);
		if_state(r, CT_ANSWER);
		then_verdict(b, r, NF_ACCEPT);
		r = rule_among(b, "forward", n);
		if_in(r, b->family, &links);
		then_verdict(b, r, NF_ACCEPT);
	}
	then_verdict(b, rule_among(b, "forward", n), n->icc ? NF_ACCEPT : NF_DROP);
}

/* From elsewhere to containers' own addresses. */
static void put_direct(struct batch *b, const struct br_net *n)
{
	enum mode mode = n->f[b->family].mode;
	struct nftnl_rule *r;

	if (mode == MODE_NAT_UNPROTECTED) {
		then_verdict(b, rule_to(b, "forward", n), NF_ACCEPT);
		return;
	}
	if (mode == MODE_ROUTED) {
		r = rule_to(b, "forward", n);
		if_proto(r, b->family == V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		then_verdict(b, r, NF_ACCEPT);
	}
	for (size_t i = 0; mode != MODE_ROUTED && !n->direct && i < n->trusted_len; i++) {
		r = rule_to(b, "forward", n);
		if_interface(r, NFT_META_IIFNAME, NFT_CMP_EQ, n->trusted[i]);
		if_in(r, b->family, &open_ports);
		then_verdict(b, r, NF_ACCEPT);
	}
	if (mode == MODE_ROUTED || n->direct) {
		r = rule_to(b, "forward", n);
		if_in(r, b->family, &open_ports);
		then_verdict(b, r, NF_ACCEPT);
	}
}

static void put_forward(struct batch *b, const struct br_net *n)
{
	struct nftnl_rule *r = rule(b, "forward"); /* what is none of this network's */

	if_interface(r, NFT_META_IIFNAME, NFT_CMP_NEQ, n->bridge);
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_NEQ, n->bridge);
	then_verdict(b, r, NF_ACCEPT);
	put_among(b, n);
	then_verdict(b, rule_from(b, "forward", n), n->internal ? NF_DROP : NF_ACCEPT);
	if (!n->internal) {
		r = rule_to(b, "forward", n); /* the answers */
		if_state(r, CT_ANSWER);
		then_verdict(b, r, NF_ACCEPT);
		r = rule_to(b, "forward", n); /* published ports */
		if_translated(r);
		then_verdict(b, r, NF_ACCEPT);
		if (n->mark_mask) {
			r = rule_to(b, "forward", n);
			if_mark(r, n->mark, n->mark_mask);
			then_verdict(b, r, NF_ACCEPT);
		}
		put_direct(b, n);
	}
	then_verdict(b, rule_to(b, "forward", n), NF_DROP); /* nobody else begins a talk with a container */
}

static void put_lookups(struct batch *b)
{
	static const struct shape *const maps[] = { &at, &at_ranges, &any, &any_ranges };

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		struct nftnl_rule *r = rule(b, "ports");

		if_in(r, b->family, maps[i]);
		then_dnat(b, r, maps[i]);
	}
}

static struct cidr loopback(int family)
{
	struct cidr c = { .ip = { .len = 16, .b = { [15] = 1 } }, .bits = 128 };

	if (family == V4)
		c = (struct cidr){ .ip = { .len = 4, .b = { 127 } }, .bits = 8 };
	return c;
}

/*
 * To the host's loopback addresses nobody else has business: neighbours that send there all the same find nothing published.
 * Containers that may not talk with each other come to published ports by the proxy, when there is one: a bridge that hands
 * its packets to the firewall would take what is turned back there as a talk of two isolated ports.
 */
static void put_translation(struct batch *b, const struct br_net *n)
{
	struct cidr lo = loopback(b->family);
	struct nftnl_rule *r = rule(b, "prerouting");

	if (n->host_policy)
		if_mark(r, n->mark, n->mark_mask);
	if (!n->icc && !n->localhost)
		if_interface(r, NFT_META_IIFNAME, NFT_CMP_NEQ, n->bridge);
	if_address(r, DESTINATION, NFT_CMP_NEQ, &lo);
	if_to_host(r);
	then_goto(b, r, "ports");
	r = rule(b, "output");
	if (n->host_policy)
		if_mark(r, n->mark, n->mark_mask);
	if (!n->localhost || b->family == V6) /* the kernel routes nothing from ::1 */
		if_address(r, DESTINATION, NFT_CMP_NEQ, &lo);
	if_to_host(r);
	then_goto(b, r, "ports");
	put_lookups(b);
}

/* A container that takes the way by the host to itself or its sibling must be answered by that way. */
static void put_hairpin(struct batch *b, const struct br_net *n)
{
	struct cidr lo = loopback(b->family);
	struct nftnl_rule *r = rule_to(b, "postrouting", n);

	if_address(r, SOURCE, NFT_CMP_EQ, &n->f[b->family].subnet);
	if_translated(r);
	then_masquerade(b, r);
	if (n->localhost && b->family == V4) {
		r = rule_to(b, "postrouting", n);
		if_address(r, SOURCE, NFT_CMP_EQ, &lo);
		then_masquerade(b, r);
	}
}

static void put_way_out(struct batch *b, const struct br_net *n)
{
	const struct br_family *f = &n->f[b->family];
	struct nftnl_rule *r = rule(b, "postrouting");

	if_interface(r, NFT_META_OIFNAME, NFT_CMP_NEQ, n->bridge);
	if_in(r, b->family, &sources);
	then_snat(b, r, NULL);
	if (!n->masquerade)
		return;
	r = rule(b, "postrouting");
	if_address(r, SOURCE, NFT_CMP_EQ, &f->subnet);
	if_interface(r, NFT_META_OIFNAME, NFT_CMP_NEQ, n->bridge);
	if (f->source.len)
		then_snat(b, r, &f->source);
	else
		then_masquerade(b, r);
}

static void put_nat(struct batch *b, const struct br_net *n)
{
	struct cidr lo = loopback(b->family);
	struct nftnl_rule *r;

	put_chain(b, "postrouting", "nat", NF_INET_POST_ROUTING, PRIORITY_SRCNAT, NF_ACCEPT);
	if (fw_translates(n, b->family)) {
		put_chain(b, "ports", NULL, 0, 0, -1);
		put_chain(b, "prerouting", "nat", NF_INET_PRE_ROUTING, PRIORITY_DSTNAT, NF_ACCEPT);
		put_chain(b, "output", "nat", NF_INET_LOCAL_OUT, PRIORITY_DSTNAT, NF_ACCEPT);
		put_translation(b, n);
		put_hairpin(b, n);
	}
	put_way_out(b, n);
	if (n->localhost && b->family == V4) {
		/* the bridge routes loopback addresses, for answers; no container may take that way to the host's own services */
		put_chain(b, "raw", "filter", NF_INET_PRE_ROUTING, PRIORITY_RAW, NF_ACCEPT);
		r = rule_from(b, "raw", n);
		if_address(r, DESTINATION, NFT_CMP_EQ, &lo);
		then_verdict(b, r, NF_DROP);
	}
}

/* Containers that talk by the host shall not be told that there is a shorter way: between isolated ports there is none. */
static void put_no_redirects(struct batch *b, const struct br_net *n)
{
	struct nftnl_rule *r;

	put_chain(b, "redirects", "filter", NF_INET_LOCAL_OUT, PRIORITY_FILTER, NF_ACCEPT);
	r = rule_to(b, "redirects", n);
	if_icmp_redirect(r, b->family);
	then_verdict(b, r, NF_DROP);
}

static void put_rules(struct batch *b, const struct br_net *n)
{
	for (size_t i = 0; i < SHAPES; i++)
		put_set(b, shapes[i]);
	put_chain(b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_ACCEPT);
	put_forward(b, n);
	if (!n->icc)
		put_no_redirects(b, n);
	if (!n->internal && n->f[b->family].mode != MODE_ROUTED)
		put_nat(b, n);
}

struct putting {
	struct batch *b;
	uint16_t type;
	const struct br_endpoint *ep;
	struct tally *tally;
};

static void put(const struct putting *p, const struct shape *s, const struct element *e)
{
	for (size_t i = 0; i < SHAPES; i++)
		if (shapes[i] == s)
			p->tally->elements[i]++;
	put_element(p->b, p->type, s, e);
}

/* A range that keeps its numbers is one element. */
static void put_port(const struct putting *p, const struct br_port *port)
{
	struct element e = { .address = &port->host, .proto = port->proto, .to = &p->ep->address[p->b->family] };
	int keeps = port->count > 1 && port->host_port == port->port;

	e.first = port->host_port;
	e.last = (uint16_t)(port->host_port + port->count - 1);
	if (keeps) {
		put(p, port->host.len ? &at_ranges : &any_ranges, &e);
		return;
	}
	for (uint32_t i = 0; i < port->count; i++) {
		e.first = e.last = (uint16_t)(port->host_port + i);
		e.to_port = (uint16_t)(port->port + i);
		put(p, port->host.len ? &at : &any, &e);
	}
}

static void put_open(void *ctx, const struct fw_range *r)
{
	const struct putting *p = ctx;
	struct element e = { .address = &p->ep->address[p->b->family], .proto = r->proto, .first = (uint16_t)r->first,
		.last = (uint16_t)r->last };

	put(p, &open_ports, &e);
}

static void put_links(const struct putting *p)
{
	for (size_t i = 0; i < p->ep->links_len; i++) {
		const struct br_link *l = &p->ep->links[i];
		struct element e = { .address = &l->from, .second = &l->to, .proto = l->proto, .first = l->port,
			.last = (uint16_t)(l->port + l->count - 1) };

		if (l->family == p->b->family)
			put(p, &links, &e);
	}
}

/* All elements of an endpoint in the batch's family. */
static void put_endpoint(struct batch *b, uint16_t type, const struct br_net *n, const struct br_endpoint *ep,
	struct tally *tally)
{
	struct putting p = { b, type, ep, tally };
	struct element source = { .address = &ep->address[b->family], .to = &ep->source[b->family] };

	for (size_t i = 0; fw_translates(n, b->family) && ep->address[b->family].len && i < ep->ports_len; i++)
		if (ep->ports[i].family == b->family && ep->ports[i].host_port)
			put_port(&p, &ep->ports[i]);
	if (fw_opens(n, b->family) && fw_each_open(ep, b->family, put_open, &p) < 0)
		b->failed = 1;
	if (!n->icc)
		put_links(&p);
	if (!n->internal && source.address->len && source.to->len)
		put(&p, &sources, &source);
}

static void put_endpoints(struct batch *b, const struct br_net *n, struct tally *tally)
{
	for (const struct br_endpoint *ep = n->endpoints; ep; ep = ep->next)
		put_endpoint(b, NFT_MSG_NEWSETELEM, n, ep, tally);
}

static int finish(struct batch *b)
{
	int rc = batch_send(b), sys = errno;

	batch_close(b);
	errno = sys;
	return rc;
}

/* One that is not there is made first, for there is no "delete if it exists". */
static void put_no_table(struct batch *b)
{
	put_table(b, NFT_MSG_NEWTABLE);
	put_table(b, NFT_MSG_DELTABLE);
}

/* A kernel without IPv6 has no tables of it either. */
static int drop_table(const struct br_net *n, int family)
{
	struct batch b;

	batch_open(&b);
	use_table(&b, n, family);
	put_no_table(&b);
	return finish(&b);
}

static int nft_write(const struct br_net *n)
{
	struct tally ignored = { 0 };
	struct batch b;

	batch_open(&b);
	for (int f = 0; f < FAMILIES; f++) {
		if (!fw_has(n, f)) {
			drop_table(n, f);
			continue;
		}
		use_table(&b, n, f);
		put_no_table(&b);
		put_table(&b, NFT_MSG_NEWTABLE);
		put_rules(&b, n);
		put_endpoints(&b, n, &ignored);
	}
	return finish(&b);
}

static int nft_adopt(const struct br_net *n)
{
	struct batch b;

	batch_open(&b);
	for (int f = 0; f < FAMILIES; f++) {
		if (!fw_has(n, f)) {
			drop_table(n, f);
			continue;
		}
		use_table(&b, n, f);
		put_table(&b, NFT_MSG_NEWTABLE);
		put_no_rules(&b, NULL);
		put_rules(&b, n);
	}
	return finish(&b);
}

static int nft_delete(const struct br_net *n)
{
	return drop_table(n, V4) < 0 || (drop_table(n, V6) < 0 && fw_has(n, V6)) ? -1 : 0;
}

static int nft_change(const struct br_net *n, const struct br_endpoint *before, const struct br_endpoint *after)
{
	struct tally tally = { 0 };
	size_t all = 0;
	struct batch b;

	batch_open(&b);
	for (int f = 0; f < FAMILIES; f++) {
		if (!fw_has(n, f))
			continue;
		use_table(&b, n, f);
		put_endpoint(&b, NFT_MSG_DELSETELEM, n, before, &tally);
		put_endpoint(&b, NFT_MSG_NEWSETELEM, n, after, &tally);
	}
	for (size_t i = 0; i < SHAPES; i++)
		all += tally.elements[i];
	if (all)
		return finish(&b);
	batch_close(&b);
	return 0;
}

static void none_yet(void *ctx)
{
	*(size_t *)ctx = 0;
}

static int count_one(void *ctx, const struct nftnl_rule *r)
{
	(void)r;
	++*(size_t *)ctx;
	return 0;
}

static int has_rules(int family, const char *table, size_t want)
{
	size_t rules;

	return each_rule(family, table, NULL, count_one, &rules, none_yet) == 0 && rules == want;
}

/* What would be written says how much of everything there must be. */
static int stands(const struct br_net *n, int family)
{
	struct tally tally = { 0 };
	size_t elements;
	struct batch b;
	int is = 1;

	batch_open(&b);
	use_table(&b, n, family);
	put_rules(&b, n);
	put_endpoints(&b, n, &tally);
	is = has_rules(family, b.table, b.rules);
	for (size_t i = 0; is && i < SHAPES; i++)
		is = count_elements(family, b.table, shapes[i]->name, &elements) == 0 && elements == tally.elements[i];
	batch_close(&b);
	return is;
}

static int nft_stands(const struct br_net *n)
{
	return (!fw_has(n, V4) || stands(n, V4)) && (!fw_has(n, V6) || stands(n, V6));
}

static void put_bridge_set(struct batch *b, const char *bridge)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();
	char padded[IFNAMSIZ] = "";

	if (!h || !u || !s || !e)
		abort();
	nftnl_set_set_str(s, NFTNL_SET_TABLE, b->table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, POLICY_SET);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, TYPE_IFNAME);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, IFNAMSIZ);
	nftnl_set_set_u32(s, NFTNL_SET_ID, 1);
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, BYTEORDER_HOST);
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
	nftnl_set_nlmsg_build_payload(h, s);
	batch_message_end(b, h);
	h = batch_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	memcpy(padded, bridge, strnlen(bridge, IFNAMSIZ - 1));
	nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, padded, sizeof(padded));
	nftnl_set_elem_add(s, e);
	if (h) {
		nftnl_set_elems_nlmsg_build_payload(h, s);
		batch_message_end(b, h);
	}
	nftnl_set_free(s);
}

/* key: NFT_META_IIFNAME or NFT_META_OIFNAME. */
static void accept_bridges(struct batch *b, uint32_t key)
{
	struct nftnl_rule *r = rule(b, "forward");

	if_interface_in(r, key, POLICY_SET);
	then_verdict(b, r, NF_ACCEPT);
}

static int nft_policy_write(const struct br_net *n, int family)
{
	struct batch b;

	batch_open(&b);
	use_table(&b, NULL, family);
	put_table(&b, NFT_MSG_NEWTABLE);
	put_chain(&b, "forward", "filter", NF_INET_FORWARD, PRIORITY_FILTER, NF_DROP);
	put_bridge_set(&b, n->bridge);
	put_no_rules(&b, "forward");
	accept_bridges(&b, NFT_META_IIFNAME);
	accept_bridges(&b, NFT_META_OIFNAME);
	return finish(&b);
}

static int nft_policy_delete(int family)
{
	return drop_table(NULL, family);
}

static int nft_policy_stands(int family)
{
	return has_rules(family, NFT_TABLE, 2);
}

const struct backend_ops nft_backend = {
	.write = nft_write,
	.adopt = nft_adopt,
	.delete = nft_delete,
	.stands = nft_stands,
	.change = nft_change,
	.policy_write = nft_policy_write,
	.policy_delete = nft_policy_delete,
	.policy_stands = nft_policy_stands,
};
