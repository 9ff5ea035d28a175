/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of bridges: veth pairs by rtnetlink. */
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/veth.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "talk.h"

#define PORTS_MAX 1023 /* of the kernel's BR_MAX_PORTS one is never given out */

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

static int set_flag(struct talk *t, const char *name, uint16_t flag)
{
	struct br_error ignored;
	struct ifinfomsg *i;
	struct nlattr *port;
	struct link l;

	if (link_get(t, name, &l, &ignored) < 0)
		return -1;
	if (!l.index) {
		errno = ENODEV;
		return -1;
	}
	i = talk_link(t, RTM_SETLINK, NLM_F_ACK);
	i->ifi_family = AF_BRIDGE;
	i->ifi_index = l.index;
	port = mnl_attr_nest_start(t->h, IFLA_PROTINFO);
	mnl_attr_put_u8(t->h, flag, 1);
	mnl_attr_nest_end(t->h, port);
	return talk_do(t, NULL, NULL);
}

/*
 * Isolated ports reach the bridge itself and not each other. Where no proxy stands for what goes by the host and comes back, and
 * bridges hand their packets to the firewall, it alone keeps containers apart.
 */
static int isolate(struct talk *t, const struct br_net *n, const char *name)
{
	if (n->icc || (n->localhost && sysctl_bridges_filter()))
		return 0;
	return set_flag(t, name, IFLA_BRPORT_ISOLATED);
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

	link_alias(n->id, alias);
	if (!master)
		return br_fail(e, ENODEV, "bridge %s", n->bridge);
	if (talk_open(&t, e) < 0)
		return -1;
	put_veth(&t, n, name, netns_fd, master);
	if (talk_do(&t, NULL, NULL) < 0)
		rc = no_pair(n, name, errno, e);
	else if (isolate(&t, n, name) < 0)
		rc = br_fail(e, errno, "isolate %s from the other ports of bridge %s", name, n->bridge);
	else if (sysctl_conf(V6, name, "accept_ra", "0", e) < 0 || sysctl_conf(V6, name, "disable_ipv6", "1", e) < 0 ||
		link_take_up(&t, name, alias, e) < 0)
		rc = -1;
	talk_close(&t);
	if (rc < 0 && !(e->sys == EEXIST))
		link_delete(name, &ignored);
	return rc;
}

static int attach(struct talk *t, const struct br_net *n, const char *name, struct br_error *e)
{
	int master = (int)if_nametoindex(n->bridge);
	struct ifinfomsg *i;
	struct link l;

	if (link_get(t, name, &l, e) < 0)
		return -1;
	if (!l.index || l.master == master)
		return 0;
	i = talk_link(t, RTM_NEWLINK, NLM_F_ACK);
	i->ifi_index = l.index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_u32(t->h, IFLA_MASTER, (uint32_t)master);
	if (talk_do(t, NULL, NULL) < 0)
		return br_fail(e, errno, "put %s into bridge %s", name, n->bridge);
	if (isolate(t, n, name) < 0)
		return br_fail(e, errno, "isolate %s from the other ports of bridge %s", name, n->bridge);
	if (sysctl_bridges_filter() && set_flag(t, name, IFLA_BRPORT_MODE) < 0)
		return br_fail(e, errno, "let port %s of bridge %s reach itself", name, n->bridge);
	return 0;
}

int link_hairpin(const char *name, struct br_error *e)
{
	struct talk t;
	int rc = 0;

	if (!sysctl_bridges_filter())
		return 0;
	if (talk_open(&t, e) < 0)
		return -1;
	if (set_flag(&t, name, IFLA_BRPORT_MODE) < 0 && errno != ENODEV && errno != EOPNOTSUPP)
		rc = br_fail(e, errno, "let port %s reach itself", name);
	talk_close(&t);
	return rc;
}

int link_attach(const struct br_net *n, const char *name, struct br_error *e)
{
	struct talk t;
	int rc;

	if (talk_open(&t, e) < 0)
		return -1;
	rc = attach(&t, n, name, e);
	talk_close(&t);
	return rc;
}

struct owner {
	int master;
	char alias[ALIAS_SIZE];
};

/* Ports of networks: those of their bridges, and those that a bridge which was deleted left. */
struct ports {
	struct owner *owners;
	size_t owners_len;
	link_port_fn *fn;
	void *ctx;
	char (*names)[IFNAMSIZ];
	size_t len;
};

/* A port, or what was made beside one. */
static int is_of(const struct ports *p, const struct link *l)
{
	int ifb = strcmp(l->kind, "ifb") == 0;

	if (!ifb && strcmp(l->kind, "veth") != 0)
		return 0;
	for (size_t i = 0; i < p->owners_len; i++)
		if (l->master && !ifb ? l->master == p->owners[i].master : strcmp(l->alias, p->owners[i].alias) == 0)
			return 1;
	return 0;
}

static int on_port(const struct nlmsghdr *h, void *ctx)
{
	char port[IFNAMSIZ];
	struct ports *p = ctx;
	struct link l;
	void *more;

	link_read(h, &l);
	if (!is_of(p, &l) || !p->fn(p->ctx, rate_port(l.name, port) ? port : l.name))
		return MNL_CB_OK;
	more = realloc(p->names, (p->len + 1) * sizeof(*p->names));
	if (!more)
		return MNL_CB_OK; /* the next sweep has it */
	p->names = more;
	memcpy(p->names[p->len++], l.name, IFNAMSIZ);
	return MNL_CB_OK;
}

static int own(const struct br_net *n, struct ports *p)
{
	void *more = realloc(p->owners, (p->owners_len + 1) * sizeof(*p->owners));

	if (!more)
		return -1;
	p->owners = more;
	p->owners[p->owners_len].master = (int)if_nametoindex(n->bridge);
	link_alias(n->id, p->owners[p->owners_len++].alias);
	return 0;
}

static int list_ports(struct ports *p, struct br_error *e)
{
	struct talk t;
	int rc = -1;

	if (talk_open(&t, e) < 0)
		return -1;
	talk_link(&t, RTM_GETLINK, NLM_F_DUMP);
	for (int i = 0; i < LIST_TRIES && rc < 0 && (i == 0 || errno == EINTR); i++) {
		p->len = 0;
		rc = talk_do(&t, on_port, p);
	}
	if (rc < 0)
		br_fail(e, errno, "list the ports of bridges");
	talk_close(&t);
	return rc;
}

static void list_done(struct ports *p)
{
	free(p->owners);
	free(p->names);
}

int link_sweep(const struct br_net *nets, link_port_fn *fn, void *ctx, struct br_error *e)
{
	struct ports p = { .fn = fn, .ctx = ctx };
	int rc = 0;

	for (const struct br_net *n = nets; n; n = n->next)
		if (own(n, &p) < 0)
			rc = br_fail(e, ENOMEM, "list the ports of bridges");
	if (list_ports(&p, e) < 0)
		rc = -1;
	for (size_t i = 0; i < p.len; i++)
		if (link_delete(p.names[i], e) < 0)
			rc = -1;
	list_done(&p);
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
	int rc = own(n, &p) < 0 ? br_fail(e, ENOMEM, "list the ports of bridge %s", n->bridge) : list_ports(&p, e);

	for (size_t i = 0; i < p.len; i++)
		if (link_attach(n, p.names[i], e) < 0)
			rc = -1;
	list_done(&p);
	return rc;
}
