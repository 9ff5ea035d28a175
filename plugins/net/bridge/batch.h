/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One transaction of nf_tables: messages are put one after the other, batch_send() has the kernel take all of them or none. And
 * what rules are made of. Memory that runs out shows when it is sent.
 */
#ifndef NET_BRIDGE_BATCH_H
#define NET_BRIDGE_BATCH_H

#include <libmnl/libmnl.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "bridge.h"

#define TABLE_SIZE (sizeof(NFT_TABLE) + 1 + IFNAMSIZ)

struct batch {
	char *buf;
	size_t size, cap;
	size_t last;     /* where the last message lies */
	uint32_t seq;
	int failed;
	int family;      /* V4, V6: of what is put next */
	char table[TABLE_SIZE];
	size_t elements; /* where the list of elements that is being filled lies; 0 for none */
	size_t rules;    /* that were put */
};
void batch_open(struct batch *b);
void batch_close(struct batch *b);
/* Where what is put next belongs to. */
void batch_table(struct batch *b, int family, const char *table);
/* Room for one message; NULL without memory. It is in the batch once batch_message_end() was called. */
struct nlmsghdr *batch_message(struct batch *b, uint16_t type, uint16_t flags);
void batch_message_end(struct batch *b, const struct nlmsghdr *h);
/* 0, or -1 with errno. */
int batch_send(struct batch *b);
/* Whether the kernel's message tells of a change that came by batch_send() of this process. */
int batch_is_own(const struct nlmsghdr *h);

void put_table(struct batch *b, uint16_t type); /* NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE */
/* type NULL: a chain that others lead to. policy -1: as it is. */
void put_chain(struct batch *b, const char *name, const char *type, uint32_t hook, int32_t priority, int policy);
void put_no_rules(struct batch *b, const char *chain); /* chain NULL: of the table */

/* A set or map. Keys are parts one after the other, each padded to 4 bytes. */
struct shape {
	const char *name;
	int address;      /* parts of a key, in this order: the first address, */
	int second;       /* another one, */
	int port;         /* protocol and port */
	int interval;     /* by ranges of ports */
	int to_address, to_port; /* a map's data */
};
void put_set(struct batch *b, const struct shape *s);
void put_no_elements(struct batch *b, const struct shape *s);
struct element {
	const struct ip *address, *second;
	uint32_t proto;
	uint16_t first, last; /* ports */
	const struct ip *to;
	uint16_t to_port;
};
/* type: NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM. Calls that follow each other for one set share messages. */
void put_element(struct batch *b, uint16_t type, const struct shape *s, const struct element *e);

struct nftnl_rule *rule(const struct batch *b, const char *chain);
/* key: NFT_META_IIFNAME or NFT_META_OIFNAME; op: NFT_CMP_EQ, NFT_CMP_NEQ */
void if_interface(struct nftnl_rule *r, uint32_t key, uint32_t op, const char *name);
/* A network's prefix that ends amid a byte, too. offset: SOURCE or DESTINATION. */
enum side { SOURCE, DESTINATION };
void if_address(struct nftnl_rule *r, enum side side, uint32_t op, const struct cidr *c);
#define CT_ANSWER 6 /* bits of "ct state": established, related */
void if_state(struct nftnl_rule *r, uint32_t bits);
void if_translated(struct nftnl_rule *r); /* its destination, by anyone */
void if_to_host(struct nftnl_rule *r);    /* to an address of the host */
void if_mark(struct nftnl_rule *r, uint32_t mark, uint32_t mask);
void if_proto(struct nftnl_rule *r, uint32_t proto);
void if_icmp_redirect(struct nftnl_rule *r, int family);
/* Looks the packet up by what the shape says; a map's data lies where then_dnat() and then_snat() want it. */
void if_in(struct nftnl_rule *r, int family, const struct shape *s);
/* The same by the name of an interface in a set. */
void if_interface_in(struct nftnl_rule *r, uint32_t key, const char *set);
void add_cmp(struct nftnl_rule *r, uint32_t op, const void *data, uint32_t size);

/* Each puts the rule into the batch and frees it. */
void then_verdict(struct batch *b, struct nftnl_rule *r, uint32_t verdict); /* NF_ACCEPT, NF_DROP */
void then_goto(struct batch *b, struct nftnl_rule *r, const char *chain);
void then_masquerade(struct batch *b, struct nftnl_rule *r);
void then_dnat(struct batch *b, struct nftnl_rule *r, const struct shape *s);
void then_snat(struct batch *b, struct nftnl_rule *r, const struct ip *to); /* NULL: what if_in() found */
void then_put(struct batch *b, struct nftnl_rule *r, int append); /* ends with what it has */

/* Each rule of a table, or of one of its chains; -1 with errno. A list that others change while it is read is read again. */
typedef int rule_fn(void *ctx, const struct nftnl_rule *r);
int each_rule(int family, const char *table, const char *chain, rule_fn *fn, void *ctx, void (*restart)(void *ctx));
/* Elements of a set; -1 with errno. */
int count_elements(int family, const char *table, const char *set, size_t *ret);

/* One answer to a request, or to one for a list; -1 with errno: EINTR means a list to ask for again. */
int batch_list(struct nlmsghdr *h, mnl_cb_t fn, void *ctx);

#endif
