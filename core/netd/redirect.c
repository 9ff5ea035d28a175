/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table of nftables in a sandbox, that leaves port 53 of all addresses to the container: what is sent to 127.0.0.11:53 gets
 * another port on its way, and its answer the old one back. The rules look at single packets; nothing is tracked, so that a
 * container's traffic costs no more than without.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"
#include "netd/enter.h"

#define TABLE         "dockerd-resolver"
#define CHAIN         "output"
#define PRIORITY_RAW  (-300)
#define ROOM          8192
#define ADDRESS       0x7F00000Bu /* 127.0.0.11 */
#define SOURCE        12          /* offsets in the headers */
#define DESTINATION   16
#define SPORT         0
#define DPORT         2
#define SETTLING      64
#define SETTLE_NS     NSEC_PER_SEC

struct batch {
	_Alignas(struct nlmsghdr) char data[ROOM];
	size_t size, message;
	uint32_t seq;
};

static void put(struct batch *b, const void *data, size_t size)
{
	if (size) /* memcpy takes no NULL */
		memcpy(b->data + b->size, data, size);
	memset(b->data + b->size + size, 0, NLMSG_ALIGN(size) - size);
	b->size += NLMSG_ALIGN(size);
}

static void message(struct batch *b, unsigned type, unsigned flags, uint8_t family, uint16_t res)
{
	struct nlmsghdr h = { .nlmsg_type = (uint16_t)type, .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags), .nlmsg_seq = b->seq++ };
	struct nfgenmsg g = { .nfgen_family = family, .version = NFNETLINK_V0, .res_id = htons(res) };

	b->message = b->size;
	put(b, &h, sizeof(h));
	put(b, &g, sizeof(g));
}

static void message_end(struct batch *b)
{
	uint32_t size = (uint32_t)(b->size - b->message);

	memcpy(b->data + b->message, &size, sizeof(size));
}

static void attr(struct batch *b, unsigned type, const void *data, size_t size)
{
	struct nlattr a = { .nla_len = (uint16_t)(NLA_HDRLEN + size), .nla_type = (uint16_t)type };

	put(b, &a, sizeof(a));
	put(b, data, size);
}

static void attr_str(struct batch *b, unsigned type, const char *s)
{
	attr(b, type, s, strlen(s) + 1);
}

static void attr_u32(struct batch *b, unsigned type, uint32_t n)
{
	n = htonl(n);
	attr(b, type, &n, sizeof(n));
}

static size_t nest(struct batch *b, unsigned type)
{
	size_t at = b->size;

	attr(b, type | NLA_F_NESTED, NULL, 0);
	return at;
}

static void nest_end(struct batch *b, size_t at)
{
	uint16_t size = (uint16_t)(b->size - at);

	memcpy(b->data + at, &size, sizeof(size));
}

static void table(struct batch *b, unsigned type, unsigned flags)
{
	message(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags | NLM_F_ACK, NFPROTO_IPV4, 0);
	attr_str(b, NFTA_TABLE_NAME, TABLE);
	message_end(b);
}

static void chain(struct batch *b)
{
	size_t hook;

	message(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_ACK, NFPROTO_IPV4, 0);
	attr_str(b, NFTA_CHAIN_TABLE, TABLE);
	attr_str(b, NFTA_CHAIN_NAME, CHAIN);
	attr_str(b, NFTA_CHAIN_TYPE, "filter");
	attr_u32(b, NFTA_CHAIN_POLICY, NF_ACCEPT);
	hook = nest(b, NFTA_CHAIN_HOOK);
	attr_u32(b, NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
	attr_u32(b, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY_RAW);
	nest_end(b, hook);
	message_end(b);
}

struct expression { size_t element, data; };

static struct expression begin(struct batch *b, const char *name)
{
	struct expression e = { .element = nest(b, NFTA_LIST_ELEM) };

	attr_str(b, NFTA_EXPR_NAME, name);
	e.data = nest(b, NFTA_EXPR_DATA);
	return e;
}

static void end(struct batch *b, struct expression e)
{
	nest_end(b, e.data);
	nest_end(b, e.element);
}

static void value(struct batch *b, unsigned type, const void *data, size_t size)
{
	size_t at = nest(b, type);

	attr(b, NFTA_DATA_VALUE, data, size);
	nest_end(b, at);
}

static void equals(struct batch *b, const void *data, size_t size)
{
	struct expression e = begin(b, "cmp");

	attr_u32(b, NFTA_CMP_SREG, NFT_REG_1);
	attr_u32(b, NFTA_CMP_OP, NFT_CMP_EQ);
	value(b, NFTA_CMP_DATA, data, size);
	end(b, e);
}

static void header(struct batch *b, unsigned base, unsigned offset, const void *data, size_t size)
{
	struct expression e = begin(b, "payload");

	attr_u32(b, NFTA_PAYLOAD_DREG, NFT_REG_1);
	attr_u32(b, NFTA_PAYLOAD_BASE, base);
	attr_u32(b, NFTA_PAYLOAD_OFFSET, offset);
	attr_u32(b, NFTA_PAYLOAD_LEN, (uint32_t)size);
	end(b, e);
	equals(b, data, size);
}

static void is_protocol(struct batch *b, uint8_t proto)
{
	struct expression e = begin(b, "meta");

	attr_u32(b, NFTA_META_DREG, NFT_REG_1);
	attr_u32(b, NFTA_META_KEY, NFT_META_L4PROTO);
	end(b, e);
	equals(b, &proto, sizeof(proto));
}

static void change_port(struct batch *b, uint8_t proto, unsigned offset, uint16_t port)
{
	struct expression e = begin(b, "notrack");

	end(b, e);
	port = htons(port);
	e = begin(b, "immediate");
	attr_u32(b, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	value(b, NFTA_IMMEDIATE_DATA, &port, sizeof(port));
	end(b, e);
	e = begin(b, "payload");
	attr_u32(b, NFTA_PAYLOAD_SREG, NFT_REG_1);
	attr_u32(b, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	attr_u32(b, NFTA_PAYLOAD_OFFSET, offset);
	attr_u32(b, NFTA_PAYLOAD_LEN, sizeof(port));
	attr_u32(b, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	attr_u32(b, NFTA_PAYLOAD_CSUM_OFFSET, proto == IPPROTO_UDP ? 6 : 16);
	end(b, e);
}

/* Packets of 127.0.0.11 (where: SOURCE or DESTINATION) with that port get another one. */
static void rule(struct batch *b, uint8_t proto, unsigned where, uint16_t from, uint16_t to)
{
	const uint32_t address = htonl(ADDRESS);
	const unsigned offset = where == SOURCE ? SPORT : DPORT;
	const uint16_t port = htons(from);
	size_t list;

	message(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, NFPROTO_IPV4, 0);
	attr_str(b, NFTA_RULE_TABLE, TABLE);
	attr_str(b, NFTA_RULE_CHAIN, CHAIN);
	list = nest(b, NFTA_RULE_EXPRESSIONS);
	header(b, NFT_PAYLOAD_NETWORK_HEADER, where, &address, sizeof(address));
	is_protocol(b, proto);
	header(b, NFT_PAYLOAD_TRANSPORT_HEADER, offset, &port, sizeof(port));
	change_port(b, proto, offset, to);
	nest_end(b, list);
	message_end(b);
}

/* Of count messages from first on; the first error counts. */
static int take_acks(int fd, uint32_t first, uint32_t count)
{
	int sys = 0;

	for (uint32_t seen = 0; seen < count;) {
		_Alignas(struct nlmsghdr) char answer[4096];
		ssize_t n = recv(fd, answer, sizeof(answer), 0);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, (unsigned)left); h = NLMSG_NEXT(h, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			if (e->error && !sys)
				sys = -e->error;
			/* the whole batch was refused */
			if (h->nlmsg_seq < first || h->nlmsg_seq >= first + count) {
				errno = sys ? sys : EIO;
				return -1;
			}
			seen++;
		}
	}
	errno = sys;
	return sys ? -1 : 0;
}

static void build(struct batch *b, bool anew, uint16_t udp, uint16_t tcp)
{
	b->size = b->seq = 0;
	message(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message_end(b);
	if (anew)
		table(b, NFT_MSG_DELTABLE, 0);
	table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	chain(b);
	rule(b, IPPROTO_UDP, DESTINATION, 53, udp);
	rule(b, IPPROTO_UDP, SOURCE, udp, 53);
	rule(b, IPPROTO_TCP, DESTINATION, 53, tcp);
	rule(b, IPPROTO_TCP, SOURCE, tcp, 53);
	message(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	message_end(b);
}

static int commit(int fd, const struct batch *b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(fd, b->data, b->size, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -1;
	return take_acks(fd, 1, b->seq - 2);
}

/*
 * Closing a socket waits for all that the kernel still has to free of nftables, a grace period of its: some 10 ms in which nobody
 * would be answered. A socket that took something away is closed when that is over.
 */
static struct { int fd; int64_t at; } settling[SETTLING];
static size_t n_settling;
static struct timer timer;

static void settled(struct timer *t)
{
	size_t done = 0;

	while (done < n_settling && settling[done].at <= loop_now())
		close(settling[done++].fd);
	n_settling -= done;
	memmove(settling, settling + done, n_settling * sizeof(*settling));
	if (n_settling)
		loop_timer_at(t, settling[0].at, settled);
}

static void settle(int fd)
{
	if (n_settling == SETTLING) {
		close(fd);
		return;
	}
	settling[n_settling].fd = fd;
	settling[n_settling++].at = loop_now() + SETTLE_NS;
	if (!timer.at)
		loop_timer_at(&timer, settling[0].at, settled);
}

/* Whether an earlier resolver's table is there; -1 when the kernel does not say. To ask is cheap, a change that fails is not. */
static int is_there(int fd, struct batch *b)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	_Alignas(struct nlmsghdr) char answer[4096];
	const struct nlmsghdr *h = (void *)answer;
	const struct nlmsgerr *e = NLMSG_DATA(h);
	ssize_t n;

	b->size = b->seq = 0;
	message(b, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE, 0, NFPROTO_IPV4, 0);
	attr_str(b, NFTA_TABLE_NAME, TABLE);
	message_end(b);
	if (sendto(fd, b->data, b->size, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -1;
	while ((n = recv(fd, answer, sizeof(answer), 0)) < 0 && errno == EINTR)
		;
	if (n < (ssize_t)NLMSG_HDRLEN)
		return -1;
	if (h->nlmsg_type != NLMSG_ERROR)
		return 1;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*e)))
		errno = EIO;
	else
		errno = -e->error;
	return errno == ENOENT ? 0 : -1;
}

static int open_socket(void)
{
	const struct timeval patience = { .tv_sec = 2 };
	OWN_FD int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return -1;
	return STEAL_FD(fd);
}

bool redirect_stands(void)
{
	OWN_FD int fd = open_socket();
	static struct batch b;

	return fd >= 0 && is_there(fd, &b) == 1;
}

int redirect_write(uint16_t udp, uint16_t tcp)
{
	OWN_FD int fd = open_socket();
	static struct batch b;
	int there = fd < 0 ? -1 : is_there(fd, &b), rc;

	if (there < 0)
		return -1;
	build(&b, there, udp, tcp);
	rc = commit(fd, &b);
	if (there)
		settle(STEAL_FD(fd));
	return rc;
}
