/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/str.h"

#define MSG_SIZE 512
#define LIST_TRIES 20 /* of a list that changes while it is read */
#define ANSWER_SIZE 32768
/* routes of so few bits are somebody's default in parts */
#define DEFAULT_LIKE4 2
#define DEFAULT_LIKE6 3

struct talk {
	struct nlmsghdr *h;
	char msg[MSG_SIZE];
};

/* Every request has a number of its own: on a socket there may be answers to an earlier one, which nobody waited for. */
static void *begin(struct talk *t, uint16_t type, uint16_t flags, size_t size)
{
	static _Atomic uint32_t last;
	uint32_t seq = ++last;

	t->h = mnl_nlmsg_put_header(t->msg);
	t->h->nlmsg_type = type;
	t->h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	t->h->nlmsg_seq = seq ? seq : ++last;
	return mnl_nlmsg_put_extra_header(t->h, size);
}

/* The kernel's mark of a list that changed under its hands. libmnl would stop there, with the rest of the answer still to come. */
static bool was_interrupted(char *answer, ssize_t size)
{
	int left = (int)size;
	bool found = false;

	for (struct nlmsghdr *h = (void *)answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (!(h->nlmsg_flags & NLM_F_MULTI))
			continue;
		found |= h->nlmsg_flags & NLM_F_DUMP_INTR;
		h->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return found;
}

static bool is_answer(const struct talk *t, const char *answer, ssize_t size)
{
	const struct nlmsghdr *h = (const void *)answer;

	return size < (ssize_t)sizeof(*h) || h->nlmsg_seq == t->h->nlmsg_seq;
}

/* Sends the request and takes all of its answer; -1 with errno: EINTR means a list to ask for again. */
static int talk(int sock, struct talk *t, mnl_cb_t cb, void *ctx)
{
	OWN_FREE char *answer = xmalloc(ANSWER_SIZE);
	bool changed = false;
	int rc = 1;

	lock_none_held();
	if (send(sock, t->h, t->h->nlmsg_len, MSG_NOSIGNAL) < 0)
		return -1;
	while (rc > MNL_CB_STOP) {
		ssize_t n = recv(sock, answer, ANSWER_SIZE, 0);

		if (n < 0 ? errno == EINTR : !is_answer(t, answer, n))
			continue;
		if (n > 0)
			changed |= was_interrupted(answer, n);
		rc = n < 0 ? -1 : mnl_cb_run(answer, (size_t)n, t->h->nlmsg_seq, 0, cb, ctx);
	}
	if (rc >= 0 && changed) {
		errno = EINTR;
		return -1;
	}
	return rc < 0 ? -1 : 0;
}

static int host_socket(struct err *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		err_errno(err, errno, "open a netlink socket");
	return fd;
}

int rtnl_move(const char *name, int netns_fd, struct err *err)
{
	OWN_FD int fd = host_socket(err);
	struct talk t;

	if (fd < 0)
		return -1;
	begin(&t, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
	mnl_attr_put_u32(t.h, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	if (talk(fd, &t, NULL, NULL) < 0)
		return err_errno(err, errno, "move interface %s into the sandbox", name);
	return 0;
}

static int on_index(const struct nlmsghdr *h, void *ctx)
{
	if (mnl_nlmsg_get_payload_len(h) >= sizeof(struct ifinfomsg))
		*(int *)ctx = ((const struct ifinfomsg *)mnl_nlmsg_get_payload(h))->ifi_index;
	return MNL_CB_OK;
}

int rtnl_index(int sock, const char *name, int *ret, struct err *err)
{
	struct talk t;

	*ret = 0;
	begin(&t, RTM_GETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
	if (talk(sock, &t, on_index, ret) < 0 || !*ret)
		return err_errno(err, *ret ? errno : ENODEV, "look for interface %s in the sandbox", name);
	return 0;
}

static bool mac_parse(const char *text, unsigned char mac[6])
{
	unsigned v[6];
	int end = -1;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 || text[end])
		return false;
	for (int i = 0; i < 6; i++)
		mac[i] = (unsigned char)v[i];
	return true;
}

/* The kernel does them in the order of name, MAC, up. */
int rtnl_link(int sock, int index, const char *name, const char *mac, struct err *err)
{
	struct ifinfomsg *i;
	unsigned char bytes[6];
	struct talk t;

	i = begin(&t, RTM_NEWLINK, NLM_F_ACK, sizeof(*i));
	i->ifi_index = index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
	if (mac && !mac_parse(mac, bytes))
		return err_set(err, ERR_INVALID, "invalid MAC address: %.32s", mac);
	if (mac)
		mnl_attr_put(t.h, IFLA_ADDRESS, sizeof(bytes), bytes);
	if (talk(sock, &t, NULL, NULL) < 0)
		return err_errno(err, errno, "set up interface %s in the sandbox", name);
	return 0;
}

static void put_ip(struct nlmsghdr *h, uint16_t type, const struct ip *a)
{
	uint8_t b[16];
	size_t size = ip_bytes(a, b);

	mnl_attr_put(h, type, size, b);
}

static uint8_t family(bool ipv6)
{
	return ipv6 ? AF_INET6 : AF_INET;
}

static bool is_link_local(const struct ip *a)
{
	return a->v6 ? a->n >> 118 == 0x3fa : a->n >> 16 == 0xa9fe;
}

int rtnl_add_address(int sock, int index, const char *text, struct err *err)
{
	struct ifaddrmsg *m;
	struct cidr c;
	struct ip last;
	struct talk t;

	if (!cidr_parse_any(text, &c))
		return err_set(err, ERR_INVALID, "invalid address: %.64s", text);
	m = begin(&t, RTM_NEWADDR, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
	m->ifa_family = family(c.address.v6);
	m->ifa_prefixlen = (uint8_t)c.bits;
	m->ifa_index = (uint32_t)index;
	m->ifa_scope = is_link_local(&c.address) ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	/* the daemon knows that nobody else has it: no waiting for an answer that does not come */
	if (c.address.v6)
		m->ifa_flags = IFA_F_NODAD;
	put_ip(t.h, IFA_LOCAL, &c.address);
	put_ip(t.h, IFA_ADDRESS, &c.address);
	last = cidr_last(&c);
	if (!c.address.v6 && c.bits < 31)
		put_ip(t.h, IFA_BROADCAST, &last);
	if (talk(sock, &t, NULL, NULL) < 0 && errno != EEXIST)
		return err_errno(err, errno, "set address %s in the sandbox", text);
	return 0;
}

/* to->bits 0: the default route. */
static int put_route(int sock, uint16_t flags, int index, const struct cidr *to, const struct ip *via)
{
	struct rtmsg *m;
	struct talk t;

	m = begin(&t, RTM_NEWROUTE, (uint16_t)(NLM_F_CREATE | NLM_F_ACK | flags), sizeof(*m));
	m->rtm_family = family(to->address.v6);
	m->rtm_dst_len = (unsigned char)to->bits;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_BOOT;
	m->rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	m->rtm_type = RTN_UNICAST;
	if (to->bits)
		put_ip(t.h, RTA_DST, &to->address);
	mnl_attr_put_u32(t.h, RTA_OIF, (uint32_t)index);
	if (via)
		put_ip(t.h, RTA_GATEWAY, via);
	return talk(sock, &t, NULL, NULL);
}

int rtnl_add_route(int sock, int index, const char *destination, const char *via, struct err *err)
{
	struct ip router = { 0 };
	struct cidr to;

	if (!cidr_parse(destination, &to) || (via && (!ip_parse(via, &router) || router.v6 != to.address.v6)))
		return err_set(err, ERR_INVALID, "invalid route: %.64s via %.64s", destination, via ? via : "the link");
	if (put_route(sock, 0, index, &to, via ? &router : NULL) < 0 && errno != EEXIST)
		return err_errno(err, errno, "add a route to %s in the sandbox", destination);
	return 0;
}

int rtnl_set_default(int sock, int index, const char *via, struct err *err)
{
	struct cidr all = { 0 }, host;
	struct ip router;

	if (!ip_parse(via, &router))
		return err_set(err, ERR_INVALID, "invalid gateway: %.64s", via);
	all.address.v6 = router.v6;
	host = (struct cidr){ router, cidr_width(router.v6) };
	if (put_route(sock, NLM_F_REPLACE, index, &all, &router) == 0)
		return 0;
	/* a gateway outside the interface's subnets is a neighbour all the same */
	if ((errno != ENETUNREACH && errno != EHOSTUNREACH) || (put_route(sock, 0, index, &host, NULL) < 0 && errno != EEXIST) ||
	    put_route(sock, NLM_F_REPLACE, index, &all, &router) < 0)
		return err_errno(err, errno, "set the default route by %s in the sandbox", via);
	return 0;
}

int rtnl_del_default(int sock, bool ipv6, struct err *err)
{
	struct rtmsg *m;
	struct talk t;

	m = begin(&t, RTM_DELROUTE, NLM_F_ACK, sizeof(*m));
	m->rtm_family = family(ipv6);
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_scope = RT_SCOPE_NOWHERE;
	if (talk(sock, &t, NULL, NULL) < 0 && errno != ESRCH && errno != ENOENT && errno != EAFNOSUPPORT)
		return err_errno(err, errno, "remove the default route in the sandbox");
	return 0;
}

int rtnl_del_link(int sock, const char *name, int netns_fd, struct err *err)
{
	struct talk t;

	begin(&t, RTM_DELLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
	if (talk(sock, &t, NULL, NULL) == 0 || errno == ENODEV)
		return 0;
	if (errno == EOPNOTSUPP && netns_fd >= 0) {
		begin(&t, RTM_NEWLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
		mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
		mnl_attr_put_u32(t.h, IFLA_NET_NS_FD, (uint32_t)netns_fd);
		if (talk(sock, &t, NULL, NULL) == 0)
			return 0;
	}
	return err_errno(err, errno, "remove interface %s from the sandbox", name);
}

int rtnl_hear_links(int sock, bool yes)
{
	int group = RTNLGRP_LINK;

	return setsockopt(sock, SOL_NETLINK, yes ? NETLINK_ADD_MEMBERSHIP : NETLINK_DROP_MEMBERSHIP, &group, sizeof(group));
}

int rtnl_start_del_link(int sock, int index)
{
	struct ifinfomsg *i;
	struct talk t;

	lock_none_held();
	i = begin(&t, RTM_DELLINK, NLM_F_ACK, sizeof(*i));
	i->ifi_index = index;
	return send(sock, t.h, t.h->nlmsg_len, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* 1: that is the interface's end; 0: something else; -1: an error of the kernel's, in errno. */
static int tells_end(const char *answer, ssize_t size, int index)
{
	int left = (int)size;

	for (const struct nlmsghdr *h = (const void *)answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
		const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

		if (h->nlmsg_type == RTM_DELLINK && mnl_nlmsg_get_payload_len(h) >= sizeof(*i) && i->ifi_family == AF_UNSPEC && i->ifi_index == index)
			return 1;
		/* of the request: the only one that is under way on this socket */
		if (h->nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(h) >= sizeof(*e)) {
			errno = -e->error;
			return e->error ? -1 : 1;
		}
	}
	return 0;
}

int rtnl_await_gone(int sock, int index, int timeout_ms)
{
	OWN_FREE char *answer = xmalloc(ANSWER_SIZE);
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int rc = 0;

	lock_none_held();
	while (rc == 0) {
		int ready = poll(&p, 1, timeout_ms);
		ssize_t n = ready > 0 ? recv(sock, answer, ANSWER_SIZE, MSG_DONTWAIT) : -1;

		if (ready == 0)
			errno = ETIMEDOUT;
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		rc = n < 0 ? -1 : tells_end(answer, n, index);
	}
	return rc < 0 ? -1 : 0;
}

struct found {
	uint32_t index, except;
	struct rtnl_net *v;
	size_t len;
};

static void found_add(struct found *f, const struct ip *address, unsigned bits, bool routed)
{
	/* what every link has is nobody's choice */
	if (is_link_local(address) || (address->v6 && address->n >> 120 == 0xff))
		return;
	f->v = xrealloc(f->v, (f->len + 1) * sizeof(*f->v));
	f->v[f->len++] = (struct rtnl_net){ { *address, bits }, routed };
}

static bool is_inet(uint8_t f)
{
	return f == AF_INET || f == AF_INET6;
}

static bool attr_ip(const struct nlmsghdr *h, const struct nlattr *a, uint8_t f, struct ip *ret)
{
	/* the end of what is walked over is a multiple of four, the message's may be before that */
	if ((const char *)a + a->nla_len > (const char *)h + h->nlmsg_len)
		return false;
	return mnl_attr_get_payload_len(a) == (f == AF_INET ? 4 : 16) && ip_from_bytes(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a), ret);
}

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct found *f = ctx;
	const struct nlattr *a;
	struct ip ip;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || !is_inet(m->ifa_family) || (f->index && m->ifa_index != f->index) ||
	    (f->except && m->ifa_index == f->except))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
		if (mnl_attr_get_type(a) == (m->ifa_family == AF_INET ? IFA_LOCAL : IFA_ADDRESS) && attr_ip(h, a, m->ifa_family, &ip))
			found_add(f, &ip, m->ifa_prefixlen, false);
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *h, void *ctx)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct found *f = ctx;
	struct ip to = { 0 };
	const struct nlattr *a;
	uint32_t link = 0;
	bool routed = false;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || !is_inet(m->rtm_family) || m->rtm_type != RTN_UNICAST ||
	    m->rtm_dst_len <= (m->rtm_family == AF_INET ? DEFAULT_LIKE4 : DEFAULT_LIKE6))
		return MNL_CB_OK;
	to.v6 = m->rtm_family == AF_INET6;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		uint16_t type = mnl_attr_get_type(a);

		if (type == RTA_DST)
			attr_ip(h, a, m->rtm_family, &to);
		else if (type == RTA_OIF && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			link = mnl_attr_get_u32(a);
		routed |= type == RTA_GATEWAY || type == RTA_VIA || type == RTA_MULTIPATH;
	}
	if (!f->except || link != f->except)
		found_add(f, &to, m->rtm_dst_len, routed);
	return MNL_CB_OK;
}

static int dump(int fd, uint16_t type, mnl_cb_t cb, struct found *f)
{
	size_t before = f->len;
	struct talk t;
	int rc = -1;

	if (type == RTM_GETADDR)
		((struct ifaddrmsg *)begin(&t, type, NLM_F_DUMP, sizeof(struct ifaddrmsg)))->ifa_family = AF_UNSPEC;
	else
		((struct rtmsg *)begin(&t, type, NLM_F_DUMP, sizeof(struct rtmsg)))->rtm_family = AF_UNSPEC;
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		f->len = before;
		rc = talk(fd, &t, cb, f);
	}
	return rc;
}

int rtnl_taken(const char *except, struct rtnl_net **ret, size_t *ret_len, struct err *err)
{
	struct found f = { .except = except ? if_nametoindex(except) : 0 };
	OWN_FD int fd = host_socket(err);

	if (fd < 0)
		return -1;
	if (dump(fd, RTM_GETADDR, on_address, &f) < 0 || dump(fd, RTM_GETROUTE, on_route, &f) < 0) {
		err_errno(err, errno, "list the host's addresses and routes");
		free(f.v);
		return -1;
	}
	*ret = f.v;
	*ret_len = f.len;
	return 0;
}

int rtnl_address(const char *name, bool ipv6, struct cidr *ret, struct err *err)
{
	struct found f = { .index = if_nametoindex(name) };
	OWN_FD int fd = host_socket(err);
	int rc = -1;

	if (fd < 0)
		return -1;
	if (!f.index)
		return err_set(err, ERR_NOT_FOUND, "there is no interface %s", name);
	if (dump(fd, RTM_GETADDR, on_address, &f) < 0)
		return err_errno(err, errno, "list the addresses of %s", name);
	for (size_t i = 0; i < f.len && rc < 0; i++) {
		if (f.v[i].net.address.v6 != ipv6)
			continue;
		*ret = f.v[i].net;
		rc = 0;
	}
	free(f.v);
	return rc < 0 ? err_set(err, ERR_NOT_FOUND, "interface %s has no IPv%c address", name, ipv6 ? '6' : '4') : 0;
}
