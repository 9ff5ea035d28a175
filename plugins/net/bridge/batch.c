/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transactions and lists of nf_tables. */
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nfnetlink.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "ask.h"
#include "batch.h"

#define MESSAGE_MAX 8192  /* room that each message is made in */
#define ELEMENTS_MAX 6000 /* bytes of elements in one message */
#define ANSWER_SIZE 32768
#define LIST_TRIES 20 /* of a list that changes while it is read */
#define LIST_WAIT_US 1000
/* nft's numbers of types, by which it prints sets; in concatenations six bits each. */
#define TYPE_IP4 7
#define TYPE_IP6 8
#define TYPE_PROTO 12
#define TYPE_PORT 13
#define TYPE_BITS 6

/* All transactions go through one socket, so that what the kernel tells of their changes is known by its number. */
static pthread_mutex_t socket_lock = PTHREAD_MUTEX_INITIALIZER;
static struct nf_socket socket_open; /* under socket_lock */
static atomic_uint socket_number;

static uint8_t nfproto(int family)
{
	return family == V4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

static int reserve(struct batch *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 4 * MESSAGE_MAX;
	char *buf;

	while (cap < b->size + more)
		cap *= 2;
	if (b->failed || cap == b->cap)
		return b->failed ? -1 : 0;
	buf = realloc(b->buf, cap);
	if (!buf) {
		b->failed = 1;
		return -1;
	}
	b->buf = buf;
	b->cap = cap;
	return 0;
}

static void close_elements(struct batch *b)
{
	b->elements = 0;
}

struct nlmsghdr *batch_message(struct batch *b, uint16_t type, uint16_t flags)
{
	close_elements(b);
	if (reserve(b, MESSAGE_MAX) < 0)
		return NULL;
	return nftnl_nlmsg_build_hdr(b->buf + b->size, type, nfproto(b->family), flags, ++b->seq);
}

void batch_message_end(struct batch *b, const struct nlmsghdr *h)
{
	b->last = b->size;
	b->size += MNL_ALIGN(h->nlmsg_len);
}

void batch_open(struct batch *b)
{
	*b = (struct batch){ 0 };
	if (reserve(b, MESSAGE_MAX) < 0)
		return;
	b->size = MNL_ALIGN(nftnl_batch_begin(b->buf, 0)->nlmsg_len);
}

void batch_close(struct batch *b)
{
	free(b->buf);
	b->buf = NULL;
}

void batch_table(struct batch *b, int family, const char *table)
{
	close_elements(b);
	b->family = family;
	snprintf(b->table, sizeof(b->table), "%s", table);
}

/* The kernel tells of each error, and acknowledges the last message when it came so far; the first error counts: 1 with errno. -1: there is no more to read, or too much. */
static int take_answer(struct mnl_socket *nl, uint32_t last)
{
	char buf[ANSWER_SIZE];
	int sys = 0;

	for (;;) {
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
			/* the end, or an error of all of it */
			if (m->msg.nlmsg_seq == last || m->msg.nlmsg_seq == 0 || m->msg.nlmsg_seq > last) {
				errno = sys;
				return !sys ? 0 : m->msg.nlmsg_seq == last ? 1 : -1;
			}
		}
	}
}

/* Under socket_lock. */
static struct mnl_socket *take_socket(size_t size)
{
	int room = (int)(size + size / 2 + 65536);

	if (!nf_is_here(&socket_open)) {
		nf_close(&socket_open);
		if (nf_open(&socket_open) < 0)
			return NULL;
		socket_number = mnl_socket_get_portid(socket_open.nl);
	}
	if (setsockopt(mnl_socket_get_fd(socket_open.nl), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(mnl_socket_get_fd(socket_open.nl), SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return socket_open.nl;
}

int batch_send(struct batch *b)
{
	struct mnl_socket *nl;
	int rc = -1, sys;

	close_elements(b);
	if (reserve(b, MESSAGE_MAX) < 0) {
		errno = ENOMEM;
		return -1;
	}
	((struct nlmsghdr *)(void *)(b->buf + b->last))->nlmsg_flags |= NLM_F_ACK;
	b->size += MNL_ALIGN(nftnl_batch_end(b->buf + b->size, b->seq + 1)->nlmsg_len);
	pthread_mutex_lock(&socket_lock);
	nl = take_socket(b->size);
	if (nl && mnl_socket_sendto(nl, b->buf, b->size) >= 0)
		rc = take_answer(nl, b->seq);
	sys = errno;
	/* one that owes an answer still is of no more use */
	if (nl && rc < 0)
		nf_close(&socket_open);
	pthread_mutex_unlock(&socket_lock);
	errno = sys;
	return rc ? -1 : 0;
}

int batch_is_own(const struct nlmsghdr *h)
{
	return h->nlmsg_pid && h->nlmsg_pid == socket_number;
}

void put_table(struct batch *b, uint16_t type)
{
	struct nlmsghdr *h = batch_message(b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
	struct nftnl_table *t = h ? nftnl_table_alloc() : NULL;

	if (!t) {
		b->failed = 1;
		return;
	}
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, b->table);
	nftnl_table_nlmsg_build_payload(h, t);
	batch_message_end(b, h);
	nftnl_table_free(t);
}

void put_chain(struct batch *b, const char *name, const char *type, uint32_t hook, int32_t priority, int policy)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nftnl_chain *c = h ? nftnl_chain_alloc() : NULL;

	if (!c) {
		b->failed = 1;
		return;
	}
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, b->table);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
	if (type) {
		nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, type);
		nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook);
		nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, priority);
		if (policy >= 0)
			nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, (uint32_t)policy);
	}
	nftnl_chain_nlmsg_build_payload(h, c);
	batch_message_end(b, h);
	nftnl_chain_free(c);
}

void put_no_rules(struct batch *b, const char *chain)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_DELRULE, 0);

	if (!h)
		return;
	mnl_attr_put_strz(h, NFTA_RULE_TABLE, b->table);
	if (chain)
		mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	batch_message_end(b, h);
}

/* Types, sizes and number of a key's parts. */
static uint32_t key_parts(int family, const struct shape *s, uint32_t *ret_size, uint8_t sizes[4], uint32_t *ret_len)
{
	uint32_t address = family == V4 ? TYPE_IP4 : TYPE_IP6, type = 0;
	uint8_t address_size = family == V4 ? 4 : 16;

	*ret_len = *ret_size = 0;
	for (int i = 0; i < s->address + s->second; i++) {
		type = type << TYPE_BITS | address;
		sizes[(*ret_len)++] = address_size;
		*ret_size += address_size;
	}
	if (s->port) {
		type = (type << TYPE_BITS | TYPE_PROTO) << TYPE_BITS | TYPE_PORT;
		sizes[(*ret_len)++] = 1;
		sizes[(*ret_len)++] = 2;
		*ret_size += 8;
	}
	return type;
}

static void describe(struct nftnl_set *set, int family, const struct shape *s, uint32_t id)
{
	uint32_t size, len, type, flags = 0, address = family == V4 ? 4 : 16;
	uint8_t sizes[4];

	type = key_parts(family, s, &size, sizes, &len);
	nftnl_set_set_u32(set, NFTNL_SET_ID, id);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(set, NFTNL_SET_KEY_LEN, size);
	if (s->interval) {
		flags |= NFT_SET_INTERVAL | NFT_SET_CONCAT;
		nftnl_set_set_data(set, NFTNL_SET_DESC_CONCAT, sizes, len);
	}
	if (s->to_address) {
		type = family == V4 ? TYPE_IP4 : TYPE_IP6;
		flags |= NFT_SET_MAP;
		nftnl_set_set_u32(set, NFTNL_SET_DATA_TYPE, s->to_port ? type << TYPE_BITS | TYPE_PORT : type);
		nftnl_set_set_u32(set, NFTNL_SET_DATA_LEN, s->to_port ? address + 4 : address);
	}
	nftnl_set_set_u32(set, NFTNL_SET_FLAGS, flags);
}

void put_set(struct batch *b, const struct shape *s)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_NEWSET, NLM_F_CREATE);
	struct nftnl_set *set = h ? nftnl_set_alloc() : NULL;

	if (!set) {
		b->failed = 1;
		return;
	}
	nftnl_set_set_str(set, NFTNL_SET_TABLE, b->table);
	nftnl_set_set_str(set, NFTNL_SET_NAME, s->name);
	describe(set, b->family, s, b->seq);
	nftnl_set_nlmsg_build_payload(h, set);
	batch_message_end(b, h);
	nftnl_set_free(set);
}

void put_no_elements(struct batch *b, const struct shape *s)
{
	struct nlmsghdr *h = batch_message(b, NFT_MSG_DELSETELEM, 0);

	if (!h)
		return;
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, s->name);
	batch_message_end(b, h);
}

struct key {
	uint8_t b[48];
	uint16_t size;
};

static void add_bytes(struct key *k, const void *from, size_t size)
{
	memcpy(k->b + k->size, from, size);
	k->size += (uint16_t)((size + 3) / 4 * 4);
}

static struct key make_key(const struct shape *s, const struct element *e, uint16_t port)
{
	uint8_t proto = (uint8_t)e->proto, bytes[2] = { (uint8_t)(port >> 8), (uint8_t)port };
	struct key k = { 0 };

	if (s->address)
		add_bytes(&k, e->address->b, e->address->len);
	if (s->second)
		add_bytes(&k, e->second->b, e->second->len);
	if (s->port) {
		add_bytes(&k, &proto, 1);
		add_bytes(&k, bytes, 2);
	}
	return k;
}

static void put_data(struct nlmsghdr *h, uint16_t type, const struct key *k)
{
	struct nlattr *a = mnl_attr_nest_start(h, type);

	mnl_attr_put(h, NFTA_DATA_VALUE, k->size, k->b);
	mnl_attr_nest_end(h, a);
}

static void put_one_element(struct nlmsghdr *h, uint16_t type, const struct shape *s, const struct element *e)
{
	struct nlattr *a = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	struct key k = make_key(s, e, e->first);
	uint8_t port[2] = { (uint8_t)(e->to_port >> 8), (uint8_t)e->to_port };

	put_data(h, NFTA_SET_ELEM_KEY, &k);
	if (s->interval) {
		k = make_key(s, e, e->last);
		put_data(h, NFTA_SET_ELEM_KEY_END, &k);
	}
	if (s->to_address && type == NFT_MSG_NEWSETELEM) {
		k = (struct key){ 0 };
		add_bytes(&k, e->to->b, e->to->len);
		if (s->to_port)
			add_bytes(&k, port, 2);
		put_data(h, NFTA_SET_ELEM_DATA, &k);
	}
	mnl_attr_nest_end(h, a);
}

static struct nlmsghdr *last_message(const struct batch *b)
{
	return (void *)(b->buf + b->last);
}

static int is_open_for(const struct batch *b, uint16_t type, const char *set)
{
	const struct nlmsghdr *h = last_message(b);
	const struct nlattr *a;

	if (!b->elements || (h->nlmsg_type & 0xff) != type || h->nlmsg_len > ELEMENTS_MAX)
		return 0;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_SET)
			return strcmp(mnl_attr_get_str(a), set) == 0;
	return 0;
}

static void open_elements(struct batch *b, uint16_t type, const char *set)
{
	struct nlmsghdr *h = batch_message(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);

	if (!h)
		return;
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, b->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
	batch_message_end(b, h);
	b->elements = (size_t)((char *)mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS) - b->buf);
}

void put_element(struct batch *b, uint16_t type, const struct shape *s, const struct element *e)
{
	struct nlmsghdr *h;

	if (!is_open_for(b, type, s->name))
		open_elements(b, type, s->name);
	if (b->failed || !b->elements)
		return;
	h = last_message(b);
	put_one_element(h, type, s, e);
	mnl_attr_nest_end(h, (struct nlattr *)(void *)(b->buf + b->elements));
	b->size = b->last + MNL_ALIGN(h->nlmsg_len);
}

struct list {
	rule_fn *fn;
	void *ctx;
	size_t elements;
};

static int on_rule(const struct nlmsghdr *h, void *ctx)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct list *l = ctx;

	if (r && nftnl_rule_nlmsg_parse(h, r) == 0)
		l->fn(l->ctx, r);
	if (r)
		nftnl_rule_free(r);
	return r ? MNL_CB_OK : MNL_CB_ERROR;
}

int batch_list(struct nlmsghdr *h, mnl_cb_t fn, void *ctx)
{
	char *buf = malloc(ANSWER_SIZE);
	struct nf_socket s = { NULL, 0 };
	int rc = -1;

	if (buf && nf_take(&s) == 0)
		rc = (int)mnl_socket_sendto(s.nl, h, h->nlmsg_len);
	while (rc >= 0) {
		ssize_t n = mnl_socket_recvfrom(s.nl, buf, ANSWER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -1 : mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s.nl), fn, ctx);
		if (rc <= MNL_CB_STOP)
			break;
	}
	/* the kernel's own refusal is an answer, too */
	nf_give(&s, rc >= 0 || errno == ENOENT);
	free(buf);
	return rc;
}

int each_rule(int family, const char *table, const char *chain, rule_fn *fn, void *ctx, void (*restart)(void *ctx))
{
	char request[1024];
	struct list l = { .fn = fn, .ctx = ctx };
	int rc = -1;

	for (int i = 0; i < LIST_TRIES && rc < 0 && (!i || errno == EINTR); i++) {
		struct nlmsghdr *h = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETRULE, nfproto(family), NLM_F_DUMP, 1);

		if (i)
			usleep(LIST_WAIT_US);
		restart(ctx);
		mnl_attr_put_strz(h, NFTA_RULE_TABLE, table);
		if (chain)
			mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
		rc = batch_list(h, on_rule, &l);
	}
	return rc;
}

static int on_elements(const struct nlmsghdr *h, void *ctx)
{
	struct list *l = ctx;
	const struct nlattr *a, *one;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS)
			mnl_attr_for_each_nested(one, a)
				l->elements++;
	return MNL_CB_OK;
}

int count_elements(int family, const char *table, const char *set, size_t *ret)
{
	char request[1024];
	struct list l = { 0 };
	int rc = -1;

	for (int i = 0; i < LIST_TRIES && rc < 0 && (!i || errno == EINTR); i++) {
		struct nlmsghdr *h = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETSETELEM, nfproto(family), NLM_F_DUMP, 1);

		if (i)
			usleep(LIST_WAIT_US);
		l.elements = 0;
		mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, table);
		mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, set);
		rc = batch_list(h, on_elements, &l);
	}
	*ret = l.elements;
	return rc;
}
