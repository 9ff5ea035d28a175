/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/lock.h"

#define MSG_SIZE 512
#define LIST_TRIES 20 /* of a list that changes while it is read */
#define ANSWER_SIZE 32768
#define DEFAULT_LIKE 2 /* routes of so few bits are somebody's default in parts */

struct talk {
	struct nlmsghdr *h;
	char msg[MSG_SIZE];
};

static void *begin(struct talk *t, uint16_t type, uint16_t flags, size_t size)
{
	t->h = mnl_nlmsg_put_header(t->msg);
	t->h->nlmsg_type = type;
	t->h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	t->h->nlmsg_seq = 1;
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

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			changed |= was_interrupted(answer, n);
		rc = n < 0 ? -1 : mnl_cb_run(answer, (size_t)n, 1, 0, cb, ctx);
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

static int find_index(int sock, const char *name, int *ret, struct err *err)
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

/* Name, MAC and up, in the order in which the kernel does them. */
static int set_link(int sock, int index, const struct rtnl_wire *w, struct err *err)
{
	struct ifinfomsg *i;
	unsigned char mac[6];
	struct talk t;

	i = begin(&t, RTM_NEWLINK, NLM_F_ACK, sizeof(*i));
	i->ifi_index = index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz(t.h, IFLA_IFNAME, w->to);
	if (w->mac && !mac_parse(w->mac, mac))
		return err_set(err, ERR_INVALID, "invalid MAC address: %.32s", w->mac);
	if (w->mac)
		mnl_attr_put(t.h, IFLA_ADDRESS, sizeof(mac), mac);
	if (talk(sock, &t, NULL, NULL) < 0)
		return err_errno(err, errno, "set up interface %s in the sandbox", w->to);
	return 0;
}

static int add_address(int sock, int index, const char *text, struct err *err)
{
	struct ifaddrmsg *m;
	struct cidr4 c;
	struct talk t;

	if (!cidr4_parse(text, &c))
		return err_set(err, ERR_INVALID, "invalid address: %.32s", text);
	m = begin(&t, RTM_NEWADDR, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = (uint8_t)c.bits;
	m->ifa_index = (uint32_t)index;
	mnl_attr_put_u32(t.h, IFA_LOCAL, htonl(c.address));
	mnl_attr_put_u32(t.h, IFA_ADDRESS, htonl(c.address));
	if (c.bits < 31)
		mnl_attr_put_u32(t.h, IFA_BROADCAST, htonl(c.address | ~cidr4_mask(c.bits)));
	if (talk(sock, &t, NULL, NULL) < 0)
		return err_errno(err, errno, "set address %s in the sandbox", text);
	return 0;
}

static int add_route(int sock, int index, const char *destination, const char *via, struct err *err)
{
	struct cidr4 to;
	uint32_t router = 0;
	struct rtmsg *m;
	struct talk t;

	if (!cidr4_parse(destination, &to) || (via && !ip4_parse(via, &router)))
		return err_set(err, ERR_INVALID, "invalid route: %.32s via %.32s", destination, via ? via : "the link");
	m = begin(&t, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
	m->rtm_family = AF_INET;
	m->rtm_dst_len = (unsigned char)to.bits;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_BOOT;
	m->rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	m->rtm_type = RTN_UNICAST;
	if (to.bits)
		mnl_attr_put_u32(t.h, RTA_DST, htonl(to.address));
	mnl_attr_put_u32(t.h, RTA_OIF, (uint32_t)index);
	if (via)
		mnl_attr_put_u32(t.h, RTA_GATEWAY, htonl(router));
	if (talk(sock, &t, NULL, NULL) < 0)
		return err_errno(err, errno, "add a route to %s in the sandbox", destination);
	return 0;
}

int rtnl_wire(int sock, const struct rtnl_wire *w, struct err *err)
{
	int index;

	if (find_index(sock, w->from, &index, err) < 0 || set_link(sock, index, w, err) < 0 ||
	    (w->ipv4 && add_address(sock, index, w->ipv4, err) < 0))
		return -1;
	for (size_t i = 0; i < w->routes_len; i++)
		if (add_route(sock, index, w->routes[i].destination, w->routes[i].via, err) < 0)
			return -1;
	return w->gateway4 ? add_route(sock, index, "0.0.0.0/0", w->gateway4, err) : 0;
}

struct found {
	uint32_t index, except;
	struct cidr4 *v;
	size_t len;
};

static void found_add(struct found *f, uint32_t address, unsigned bits)
{
	f->v = xrealloc(f->v, (f->len + 1) * sizeof(*f->v));
	f->v[f->len++] = (struct cidr4){ address, bits };
}

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct found *f = ctx;
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->ifa_family != AF_INET || (f->index && m->ifa_index != f->index) || (f->except && m->ifa_index == f->except))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
		if (mnl_attr_get_type(a) == IFA_LOCAL && mnl_attr_validate(a, MNL_TYPE_U32) == 0)
			found_add(f, ntohl(mnl_attr_get_u32(a)), m->ifa_prefixlen);
	return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *h, void *ctx)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct found *f = ctx;
	uint32_t to = 0, link = 0;
	const struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*m) || m->rtm_family != AF_INET || m->rtm_type != RTN_UNICAST || m->rtm_dst_len <= DEFAULT_LIKE)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m)) {
		if (mnl_attr_validate(a, MNL_TYPE_U32) < 0)
			continue;
		if (mnl_attr_get_type(a) == RTA_DST)
			to = ntohl(mnl_attr_get_u32(a));
		else if (mnl_attr_get_type(a) == RTA_OIF)
			link = mnl_attr_get_u32(a);
	}
	if (!f->except || link != f->except)
		found_add(f, to, m->rtm_dst_len);
	return MNL_CB_OK;
}

static int dump(int fd, uint16_t type, mnl_cb_t cb, struct found *f)
{
	size_t before = f->len;
	struct talk t;
	int rc = -1;

	if (type == RTM_GETADDR)
		((struct ifaddrmsg *)begin(&t, type, NLM_F_DUMP, sizeof(struct ifaddrmsg)))->ifa_family = AF_INET;
	else
		((struct rtmsg *)begin(&t, type, NLM_F_DUMP, sizeof(struct rtmsg)))->rtm_family = AF_INET;
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		f->len = before;
		rc = talk(fd, &t, cb, f);
	}
	return rc;
}

int rtnl_taken(const char *except, struct cidr4 **ret, size_t *ret_len, struct err *err)
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

int rtnl_address(const char *name, struct cidr4 *ret, struct err *err)
{
	struct found f = { .index = if_nametoindex(name) };
	OWN_FD int fd = host_socket(err);
	int rc = 0;

	if (fd < 0)
		return -1;
	if (!f.index)
		return err_set(err, ERR_NOT_FOUND, "there is no interface %s", name);
	if (dump(fd, RTM_GETADDR, on_address, &f) < 0)
		rc = err_errno(err, errno, "list the addresses of %s", name);
	else if (!f.len)
		rc = err_set(err, ERR_NOT_FOUND, "interface %s has no IPv4 address", name);
	else
		*ret = f.v[0];
	free(f.v);
	return rc;
}
