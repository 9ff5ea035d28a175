/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bridges by rtnetlink, each call on a socket of its own. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "talk.h"

#define OTHERS_MAX 8 /* addresses of a bridge that are taken away at a time */

/*
 * A bridge without an address of its own takes that of its lowest port, which comes and goes. One that is made anew has the same
 * again: containers remember it.
 */
static void mac_of(const char *id, unsigned char mac[6])
{
	if (sscanf(id, "%2hhx%2hhx%2hhx%2hhx", &mac[2], &mac[3], &mac[4], &mac[5]) != 4 && getrandom(mac, 6, 0) != 6)
		memset(mac, 0x5a, 6);
	mac[0] = 0x02;
	mac[1] = 0x42;
}

static int make_bridge(struct talk *t, const struct br_net *n, struct br_error *e)
{
	unsigned char mac[6];
	struct nlattr *info;

	mac_of(n->id, mac);
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

/* Addresses of one interface: up to a few others than wanted, and whether that is there. */
struct addresses {
	int index, found, family;
	struct cidr wanted, others[OTHERS_MAX];
	size_t len;
};

static int af(int family)
{
	return family == V4 ? AF_INET : AF_INET6;
}

static int is_link_local(const struct ip *ip)
{
	return ip->len == 16 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80;
}

static int on_address(const struct nlmsghdr *h, void *ctx)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct addresses *as = ctx;
	struct cidr c = { .ip = { .len = as->family == V4 ? 4 : 16 }, .bits = m->ifa_prefixlen };
	uint16_t type = as->family == V4 ? IFA_LOCAL : IFA_ADDRESS;
	const struct nlattr *a;

	if ((int)m->ifa_index != as->index || m->ifa_family != af(as->family))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
		if (mnl_attr_get_type(a) == type && mnl_attr_get_payload_len(a) == c.ip.len)
			memcpy(c.ip.b, mnl_attr_get_payload(a), c.ip.len);
	if (ip_equal(&c.ip, &as->wanted.ip) && c.bits == as->wanted.bits)
		as->found = 1;
	else if (as->len < OTHERS_MAX && !is_link_local(&c.ip))
		as->others[as->len++] = c;
	return MNL_CB_OK;
}

static void put_broadcast(struct talk *t, const struct cidr *c)
{
	struct ip last = c->ip;

	for (uint32_t i = c->bits; i < 32; i++)
		last.b[i / 8] |= (uint8_t)(0x80u >> (i % 8));
	mnl_attr_put(t->h, IFA_BROADCAST, last.len, last.b);
}

/* Nobody else has an address that is the bridge's: none is asked for before it is used. */
static int change_address(struct talk *t, uint16_t type, int index, const struct cidr *c)
{
	struct ifaddrmsg *m;

	talk_begin(t, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK : NLM_F_ACK);
	m = mnl_nlmsg_put_extra_header(t->h, sizeof(*m));
	m->ifa_family = (uint8_t)af(c->ip.len == 4 ? V4 : V6);
	m->ifa_prefixlen = (uint8_t)c->bits;
	m->ifa_index = (uint32_t)index;
	m->ifa_flags = c->ip.len == 16 ? IFA_F_NODAD : 0;
	mnl_attr_put(t->h, IFA_LOCAL, c->ip.len, c->ip.b);
	mnl_attr_put(t->h, IFA_ADDRESS, c->ip.len, c->ip.b);
	if (type == RTM_NEWADDR && c->ip.len == 4 && c->bits < 31)
		put_broadcast(t, c);
	return talk_do(t, NULL, NULL);
}

static int list_addresses(struct talk *t, struct addresses *as)
{
	const struct addresses empty = *as;
	struct ifaddrmsg *m;
	int rc = -1;

	talk_begin(t, RTM_GETADDR, NLM_F_DUMP);
	m = mnl_nlmsg_put_extra_header(t->h, sizeof(*m));
	m->ifa_family = (uint8_t)af(as->family);
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		*as = empty;
		rc = talk_do(t, on_address, as);
	}
	return rc;
}

/* The bridge's address is the network's gateway. A bridge of our own has no other; one that is somebody's keeps what it has. */
static int set_address(struct talk *t, const struct br_net *n, int family, int index, struct br_error *e)
{
	struct addresses as = { .index = index, .family = family, .wanted = { n->f[family].gateway, n->f[family].subnet.bits } };

	if (!n->f[family].gateway.len)
		return 0;
	if (list_addresses(t, &as) < 0)
		return br_fail(e, errno, "list the addresses of %s", n->bridge);
	for (size_t i = 0; !n->existing && !n->borrowed && i < as.len; i++)
		if (change_address(t, RTM_DELADDR, index, &as.others[i]) < 0 && errno != EADDRNOTAVAIL)
			return br_fail(e, errno, "take an old address from %s", n->bridge);
	if (!as.found && change_address(t, RTM_NEWADDR, index, &as.wanted) < 0 && errno != EEXIST)
		return br_fail(e, errno, "give %s its address", n->bridge);
	return 0;
}

/*
 * What has IPv4 addresses only takes none of IPv6 either, and no bridge takes them from a router that a container plays. Before
 * the interface is up, so that there is no moment in which it would. Answers to what came from the host's loopback come back
 * over the bridge.
 */
static int set_switches(const struct br_net *n, struct br_error *e)
{
	int ours = !n->existing && !n->borrowed;

	if (ours && sysctl_conf(V6, n->bridge, "accept_ra", "0", e) < 0)
		return -1;
	if ((n->f[V6].on || ours) && sysctl_conf(V6, n->bridge, "disable_ipv6", n->f[V6].on ? "0" : "1", e) < 0)
		return -1;
	return n->localhost && n->f[V4].on ? sysctl_conf(V4, n->bridge, "route_localnet", "1", e) : 0;
}

static int setup_bridge(struct talk *t, const struct br_net *n, struct br_error *e)
{
	char alias[ALIAS_SIZE];
	struct link l;
	int made = 0;

	link_alias(n->id, alias);
	if (link_get(t, n->bridge, &l, e) < 0)
		return -1;
	if (!l.index && n->existing)
		return br_fail(e, 0, "bridge device with non default name %s must be created manually", n->bridge);
	if (!l.index && (make_bridge(t, n, e) < 0 || link_get(t, n->bridge, &l, e) < 0))
		return -1;
	made = !l.up && !n->existing && !n->borrowed;
	if (!l.index)
		return br_fail(e, ENODEV, "make bridge %s", n->bridge);
	if (strcmp(l.kind, "bridge") != 0)
		return br_fail(e, 0, "existing interface %s is not a bridge", n->bridge);
	if (set_switches(n, e) < 0 || set_address(t, n, V4, l.index, e) < 0 || set_address(t, n, V6, l.index, e) < 0)
		return -1;
	return l.up ? 0 : link_take_up(t, n->bridge, made ? alias : NULL, e);
}

int link_bridge(const struct br_net *n, struct br_error *e)
{
	struct talk t;
	int rc;

	if (talk_open(&t, e) < 0)
		return -1;
	rc = setup_bridge(&t, n, e);
	talk_close(&t);
	return rc;
}

int link_is_foreign(const char *bridge, const char *id)
{
	struct br_error ignored;
	char alias[ALIAS_SIZE];
	struct link l = { 0 };
	struct talk t;

	link_alias(id, alias);
	if (talk_open(&t, &ignored) < 0)
		return 0;
	link_get(&t, bridge, &l, &ignored);
	talk_close(&t);
	return l.index && strcmp(l.alias, alias) != 0;
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
	talk_close(&t);
	return rc;
}

int link_proxy_neighbour(const char *bridge, const struct ip *address, struct br_error *e)
{
	struct talk t;
	struct ndmsg *m;
	int rc = 0;

	if (talk_open(&t, e) < 0)
		return -1;
	talk_begin(&t, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK);
	m = mnl_nlmsg_put_extra_header(t.h, sizeof(*m));
	m->ndm_family = (uint8_t)af(address->len == 4 ? V4 : V6);
	m->ndm_ifindex = (int)if_nametoindex(bridge);
	m->ndm_flags = NTF_PROXY;
	mnl_attr_put(t.h, NDA_DST, address->len, address->b);
	if (talk_do(&t, NULL, NULL) < 0 && errno != EEXIST)
		rc = br_fail(e, errno, "answer for a neighbour on %s", bridge);
	talk_close(&t);
	return rc;
}
