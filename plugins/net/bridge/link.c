/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bridges and veth pairs by rtnetlink, each call on a socket of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge.h"

#define CONF6 "/proc/sys/net/ipv6/conf/"
#define PORTS_MAX 1023 /* of the kernel's BR_MAX_PORTS one is never given out */
#define ALIAS "dockerd:" /* and the network's id: whose a port is that is in no bridge */
#define ALIAS_SIZE (sizeof(ALIAS) + 64)
#define MSG_SIZE 1024
#define ANSWER_SIZE 32768
#define LIST_TRIES 20 /* of a list that changes while it is read */

/* A request under way. */
struct talk {
	struct mnl_socket *nl;
	struct nlmsghdr *h;
	char msg[MSG_SIZE];
};

int br_fail(struct br_error *e, int sys, const char *fmt, ...)
{
	va_list ap;

	e->sys = sys;
	va_start(ap, fmt);
	vsnprintf(e->what, sizeof(e->what), fmt, ap);
	va_end(ap);
	return -1;
}

static int talk_open(struct talk *t, struct br_error *e)
{
	t->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!t->nl)
		return br_fail(e, errno, "open a netlink socket");
	if (mnl_socket_bind(t->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		br_fail(e, errno, "bind a netlink socket");
		mnl_socket_close(t->nl);
		return -1;
	}
	return 0;
}

static void talk_begin(struct talk *t, uint16_t type, uint16_t flags)
{
	t->h = mnl_nlmsg_put_header(t->msg);
	t->h->nlmsg_type = type;
	t->h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	t->h->nlmsg_seq = 1;
}

static struct ifinfomsg *talk_link(struct talk *t, uint16_t type, uint16_t flags)
{
	talk_begin(t, type, flags);
	return mnl_nlmsg_put_extra_header(t->h, sizeof(struct ifinfomsg));
}

/* The kernel's mark of a list that changed under its hands. libmnl would stop there, with the rest of the answer still to come. */
static int was_interrupted(char *answer, ssize_t size)
{
	int left = (int)size, found = 0;

	for (struct nlmsghdr *h = (void *)answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		found |= h->nlmsg_flags & NLM_F_MULTI && h->nlmsg_flags & NLM_F_DUMP_INTR;
		if (h->nlmsg_flags & NLM_F_MULTI)
			h->nlmsg_flags &= (uint16_t)~NLM_F_DUMP_INTR;
	}
	return found;
}

/* Sends it and takes all of the answer; 0, or -1 with errno: EINTR means a list to ask for again. */
static int talk_do(struct talk *t, mnl_cb_t cb, void *ctx)
{
	char *answer = malloc(ANSWER_SIZE);
	int rc = answer ? (int)mnl_socket_sendto(t->nl, t->h, t->h->nlmsg_len) : -1, sys, changed = 0;

	while (rc >= 0) {
		ssize_t n = mnl_socket_recvfrom(t->nl, answer, ANSWER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			changed |= was_interrupted(answer, n);
		rc = n < 0 ? -1 : mnl_cb_run(answer, (size_t)n, 1, mnl_socket_get_portid(t->nl), cb, ctx);
		if (rc <= MNL_CB_STOP)
			break;
	}
	sys = rc >= 0 && changed ? EINTR : errno;
	rc = changed ? -1 : rc;
	free(answer);
	errno = sys;
	return rc < 0 ? -1 : 0;
}

struct link {
	int index, master, up;
	char name[IFNAMSIZ], kind[16], alias[ALIAS_SIZE];
};

static void read_link(const struct nlmsghdr *h, struct link *l)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *b;

	*l = (struct link){ .index = i->ifi_index, .up = (i->ifi_flags & IFF_UP) != 0 };
	mnl_attr_for_each(a, h, sizeof(*i)) {
		if (mnl_attr_get_type(a) == IFLA_MASTER)
			l->master = (int)mnl_attr_get_u32(a);
		else if (mnl_attr_get_type(a) == IFLA_IFNAME)
			snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_IFALIAS)
			snprintf(l->alias, sizeof(l->alias), "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_LINKINFO)
			mnl_attr_for_each_nested(b, a)
				if (mnl_attr_get_type(b) == IFLA_INFO_KIND)
					snprintf(l->kind, sizeof(l->kind), "%s", mnl_attr_get_str(b));
	}
}

static int on_link(const struct nlmsghdr *h, void *ctx)
{
	read_link(h, ctx);
	return MNL_CB_OK;
}

/* 0 with index 0 when there is none. */
static int get_link(struct talk *t, const char *name, struct link *ret, struct br_error *e)
{
	*ret = (struct link){ 0 };
	talk_link(t, RTM_GETLINK, NLM_F_ACK);
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	if (talk_do(t, on_link, ret) < 0 && errno != ENODEV)
		return br_fail(e, errno, "look for interface %s", name);
	return 0;
}

/* A bridge without an address of its own takes that of its lowest port, which comes and goes. */
static void random_mac(unsigned char mac[6])
{
	if (getrandom(mac, 6, 0) != 6)
		memset(mac, 0x5a, 6);
	mac[0] = 0x02;
	mac[1] = 0x42;
}

static int make_bridge(struct talk *t, const struct br_net *n, struct br_error *e)
{
	unsigned char mac[6];
	struct nlattr *info;

	random_mac(mac);
	talk_link(t, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	mnl_attr_put_strz(t->h, IFLA_IFNAME, n->bridge);
	mnl_attr_put_u32(t->h, IFLA_MTU, n->mtu);
	mnl_attr_put(t->h, IFLA_ADDRESS, sizeof(mac), mac);
	info = mnl_attr_nest_start(t->h, IFLA_LINKINFO);
	mnl_attr_put_str(t->h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(t->h, info);
	if (talk_do(t, NULL, NULL) < 0 && errno != EEXIST)
		return br_fail(e, errno, "make bridge %s", n->bridge);
	return 0;
}

/* A switch of an interface that is there already needs no writing; in a kernel without IPv6 there is none. */
static int switch6(const char *name, const char *key, char to, struct br_error *e)
{
	char path[sizeof(CONF6) + IFNAMSIZ + 32], now = 0;
	int fd, rc = 0;

	snprintf(path, sizeof(path), CONF6 "%s/%s", name, key);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : br_fail(e, errno, "open %s", path);
	if (read(fd, &now, 1) != 1 || now != to) {
		close(fd);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, &to, 1) != 1)
			rc = br_fail(e, errno, "write %s", path);
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/*
 * What has IPv4 addresses only takes none of IPv6 either, least of all from a router that a container plays. Before the
 * interface is up, so that there is no moment in which it would.
 */
static int no_ipv6(const char *name, struct br_error *e)
{
	return switch6(name, "accept_ra", '0', e) < 0 || switch6(name, "disable_ipv6", '1', e) < 0 ? -1 : 0;
}

/* alias: NULL for none. */
static int take_up(struct talk *t, const char *name, const char *alias, struct br_error *e)
{
	struct ifinfomsg *i = talk_link(t, RTM_NEWLINK, NLM_F_ACK);

	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	if (alias)
		mnl_attr_put_str(t->h, IFLA_IFALIAS, alias);
	if (talk_do(t, NULL, NULL) < 0)
		return br_fail(e, errno, "take %s up", name);
	return 0;
}

/* Addresses of one interface: up to a few others than wanted, and whether that is there. */
struct addresses {
	int index, found;
	uint32_t wanted, others[8];
	uint32_t prefix, prefixes[8];
	size_t len;
};

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct addresses *as = ctx;
	const struct nlattr *a;
	uint32_t address = 0;

	if ((int)m->ifa_index != as->index || m->ifa_family != AF_INET)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			address = ntohl(mnl_attr_get_u32(a));
	if (address == as->wanted && m->ifa_prefixlen == as->prefix) {
		as->found = 1;
	} else if (as->len < sizeof(as->others) / sizeof(as->others[0])) {
		as->prefixes[as->len] = m->ifa_prefixlen;
		as->others[as->len++] = address;
	}
	return MNL_CB_OK;
}

static int change_address(struct talk *t, uint16_t type, int index, uint32_t address, uint32_t prefix)
{
	struct ifaddrmsg *m;

	talk_begin(t, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK : NLM_F_ACK);
	m = mnl_nlmsg_put_extra_header(t->h, sizeof(*m));
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = (uint8_t)prefix;
	m->ifa_index = (uint32_t)index;
	mnl_attr_put_u32(t->h, IFA_LOCAL, htonl(address));
	mnl_attr_put_u32(t->h, IFA_ADDRESS, htonl(address));
	if (type == RTM_NEWADDR && prefix < 31)
		mnl_attr_put_u32(t->h, IFA_BROADCAST, htonl(address | (prefix ? UINT32_MAX >> prefix : UINT32_MAX)));
	return talk_do(t, NULL, NULL);
}

/* The bridge's address is the network's gateway. A bridge of our own has no other; one that existed keeps what it has. */
static int set_address(struct talk *t, const struct br_net *n, int index, struct br_error *e)
{
	struct addresses as;
	struct ifaddrmsg *m;
	int rc = -1;

	if (!n->gateway)
		return 0;
	talk_begin(t, RTM_GETADDR, NLM_F_DUMP);
	m = mnl_nlmsg_put_extra_header(t->h, sizeof(*m));
	m->ifa_family = AF_INET;
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		as = (struct addresses){ .index = index, .wanted = n->gateway, .prefix = n->prefix };
		rc = talk_do(t, on_address, &as);
	}
	if (rc < 0)
		return br_fail(e, errno, "list the addresses of %s", n->bridge);
	for (size_t i = 0; !n->existing && i < as.len; i++)
		if (change_address(t, RTM_DELADDR, index, as.others[i], as.prefixes[i]) < 0 && errno != EADDRNOTAVAIL)
			return br_fail(e, errno, "take an old address from %s", n->bridge);
	if (!as.found && change_address(t, RTM_NEWADDR, index, n->gateway, n->prefix) < 0 && errno != EEXIST)
		return br_fail(e, errno, "give %s its address", n->bridge);
	return 0;
}

static int setup_bridge(struct talk *t, const struct br_net *n, struct br_error *e)
{
	struct link l;

	if (get_link(t, n->bridge, &l, e) < 0)
		return -1;
	if (!l.index && n->existing)
		return br_fail(e, 0, "bridge device with non default name %s must be created manually", n->bridge);
	if (!l.index && (make_bridge(t, n, e) < 0 || get_link(t, n->bridge, &l, e) < 0))
		return -1;
	if (!l.index)
		return br_fail(e, ENODEV, "make bridge %s", n->bridge);
	if (strcmp(l.kind, "bridge") != 0)
		return br_fail(e, 0, "existing interface %s is not a bridge", n->bridge);
	if ((!n->existing && no_ipv6(n->bridge, e) < 0) || set_address(t, n, l.index, e) < 0)
		return -1;
	return l.up ? 0 : take_up(t, n->bridge, NULL, e);
}

int link_bridge(const struct br_net *n, struct br_error *e)
{
	struct talk t;
	int rc;

	if (talk_open(&t, e) < 0)
		return -1;
	rc = setup_bridge(&t, n, e);
	mnl_socket_close(t.nl);
	return rc;
}

int link_delete(const char *name, struct br_error *e)
{
	struct talk t;
	int rc = 0;

	if (talk_open(&t, e) < 0)
		return -1;
	talk_link(&t, RTM_DELLINK, NLM_F_ACK);
	mnl_attr_put_strz(t.h, IFLA_IFNAME, name);
	if (talk_do(&t, NULL, NULL) < 0 && errno != ENODEV)
		rc = br_fail(e, errno, "delete interface %s", name);
	mnl_socket_close(t.nl);
	return rc;
}

int link_bridge_delete(const char *bridge, struct br_error *e)
{
	return link_delete(bridge, e);
}

static void put_veth(struct talk *t, const struct br_net *n, const char *name, int netns_fd, int master)
{
	struct nlattr *info, *data, *peer;

	talk_link(t, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	mnl_attr_put_u32(t->h, IFLA_MTU, n->mtu);
	mnl_attr_put_u32(t->h, IFLA_MASTER, (uint32_t)master);
	info = mnl_attr_nest_start(t->h, IFLA_LINKINFO);
	mnl_attr_put_str(t->h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(t->h, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(t->h, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(t->h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	mnl_attr_put_u32(t->h, IFLA_MTU, n->mtu);
	mnl_attr_put_u32(t->h, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	mnl_attr_nest_end(t->h, peer);
	mnl_attr_nest_end(t->h, data);
	mnl_attr_nest_end(t->h, info);
}

/* Isolated ports reach the bridge itself and not each other. */
static int isolate(struct talk *t, const char *name)
{
	struct br_error ignored;
	struct ifinfomsg *i;
	struct nlattr *port;
	struct link l;

	if (get_link(t, name, &l, &ignored) < 0 || !l.index)
		return -1;
	i = talk_link(t, RTM_SETLINK, NLM_F_ACK);
	i->ifi_family = AF_BRIDGE;
	i->ifi_index = l.index;
	port = mnl_attr_nest_start(t->h, IFLA_PROTINFO);
	mnl_attr_put_u8(t->h, IFLA_BRPORT_ISOLATED, 1);
	mnl_attr_nest_end(t->h, port);
	return talk_do(t, NULL, NULL);
}

static void alias_of(const struct br_net *n, char ret[ALIAS_SIZE])
{
	snprintf(ret, ALIAS_SIZE, ALIAS "%s", n->id);
}

static int no_pair(const struct br_net *n, const char *name, int sys, struct br_error *e)
{
	if (sys == EXFULL)
		return br_fail(e, sys, "adding interface %s to bridge %s, which has all %d ports that it can have, failed", name,
			n->bridge, PORTS_MAX);
	return br_fail(e, sys, "make the interface pair %s on bridge %s", name, n->bridge);
}

int link_veth(const struct br_net *n, const char *name, int netns_fd, struct br_error *e)
{
	struct br_error ignored;
	char alias[ALIAS_SIZE];
	struct talk t;
	int rc = 0, master = (int)if_nametoindex(n->bridge);

	alias_of(n, alias);
	if (!master)
		return br_fail(e, ENODEV, "bridge %s", n->bridge);
	if (talk_open(&t, e) < 0)
		return -1;
	put_veth(&t, n, name, netns_fd, master);
	if (talk_do(&t, NULL, NULL) < 0)
		rc = no_pair(n, name, errno, e);
	else if (!n->icc && isolate(&t, name) < 0)
		rc = br_fail(e, errno, "isolate %s from the other ports of bridge %s", name, n->bridge);
	else if (no_ipv6(name, e) < 0 || take_up(&t, name, alias, e) < 0)
		rc = -1;
	mnl_socket_close(t.nl);
	if (rc < 0 && !(e->sys == EEXIST))
		link_delete(name, &ignored);
	return rc;
}

static int attach(struct talk *t, const struct br_net *n, const char *name, struct br_error *e)
{
	int master = (int)if_nametoindex(n->bridge);
	struct ifinfomsg *i;
	struct link l;

	if (get_link(t, name, &l, e) < 0)
		return -1;
	if (!l.index || l.master == master)
		return 0;
	i = talk_link(t, RTM_NEWLINK, NLM_F_ACK);
	i->ifi_index = l.index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_u32(t->h, IFLA_MASTER, (uint32_t)master);
	if (talk_do(t, NULL, NULL) < 0)
		return br_fail(e, errno, "put %s into bridge %s", name, n->bridge);
	if (!n->icc && isolate(t, name) < 0)
		return br_fail(e, errno, "isolate %s from the other ports of bridge %s", name, n->bridge);
	return 0;
}

int link_attach(const struct br_net *n, const char *name, struct br_error *e)
{
	struct talk t;
	int rc;

	if (talk_open(&t, e) < 0)
		return -1;
	rc = attach(&t, n, name, e);
	mnl_socket_close(t.nl);
	return rc;
}

/* Ports of a network: those of its bridge, and those that a bridge which was deleted left. */
struct ports {
	int master;
	char alias[ALIAS_SIZE];
	link_port_fn *fn;
	void *ctx;
	char (*names)[IFNAMSIZ];
	size_t len;
};

static int on_port(const struct nlmsghdr *h, void *ctx)
{
	struct ports *p = ctx;
	struct link l;
	void *more;

	read_link(h, &l);
	if (strcmp(l.kind, "veth") != 0 || (l.master ? l.master != p->master : strcmp(l.alias, p->alias) != 0) || !p->fn(p->ctx, l.name))
		return MNL_CB_OK;
	more = realloc(p->names, (p->len + 1) * sizeof(*p->names));
	if (!more)
		return MNL_CB_OK; /* the next sweep has it */
	p->names = more;
	memcpy(p->names[p->len++], l.name, IFNAMSIZ);
	return MNL_CB_OK;
}

static int list_ports(const struct br_net *n, struct ports *p, struct br_error *e)
{
	struct talk t;
	int rc = -1;

	p->master = (int)if_nametoindex(n->bridge);
	alias_of(n, p->alias);
	if (talk_open(&t, e) < 0)
		return -1;
	talk_link(&t, RTM_GETLINK, NLM_F_DUMP);
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		p->len = 0;
		rc = talk_do(&t, on_port, p);
	}
	if (rc < 0)
		br_fail(e, errno, "list the ports of bridge %s", n->bridge);
	mnl_socket_close(t.nl);
	return rc;
}

int link_sweep(const struct br_net *n, link_port_fn *fn, void *ctx, struct br_error *e)
{
	struct ports p = { .fn = fn, .ctx = ctx };
	int rc = list_ports(n, &p, e);

	for (size_t i = 0; i < p.len; i++)
		if (link_delete(p.names[i], e) < 0)
			rc = -1;
	free(p.names);
	return rc;
}

static int any_port(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 1;
}

int link_attach_all(const struct br_net *n, struct br_error *e)
{
	struct ports p = { .fn = any_port };
	int rc = list_ports(n, &p, e);

	for (size_t i = 0; i < p.len; i++)
		if (link_attach(n, p.names[i], e) < 0)
			rc = -1;
	free(p.names);
	return rc;
}
