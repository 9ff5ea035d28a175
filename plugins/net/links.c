/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "links.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_SIZE 16384

int link_fail(struct link_error *e, int sys, const char *fmt, ...)
{
	va_list ap;

	e->sys = sys;
	va_start(ap, fmt);
	vsnprintf(e->what, sizeof(e->what), fmt, ap);
	va_end(ap);
	return -1;
}

struct nlmsghdr *link_begin(char *msg, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(msg);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	h->nlmsg_seq = 1;
	return h;
}

static struct ifinfomsg *begin(char *msg, uint16_t type, uint16_t flags)
{
	return mnl_nlmsg_put_extra_header(link_begin(msg, type, flags), sizeof(struct ifinfomsg));
}

struct mnl_socket *link_socket(void)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int sys;

	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0)
		return nl;
	sys = errno;
	if (nl)
		mnl_socket_close(nl);
	errno = sys;
	return NULL;
}

int link_talk(struct mnl_socket *there, struct nlmsghdr *h, mnl_cb_t cb, void *ctx)
{
	struct mnl_socket *nl = there ? there : link_socket();
	char answer[ANSWER_SIZE];
	int rc, sys;

	if (!nl)
		return -1;
	rc = (int)mnl_socket_sendto(nl, h, h->nlmsg_len);
	while (rc >= 0) {
		ssize_t n = mnl_socket_recvfrom(nl, answer, sizeof(answer));

		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -1 : mnl_cb_run(answer, (size_t)n, 1, mnl_socket_get_portid(nl), cb, ctx);
		if (rc <= MNL_CB_STOP)
			break;
	}
	sys = errno;
	if (!there)
		mnl_socket_close(nl);
	errno = sys;
	return rc < 0 ? -1 : 0;
}

static int on_link(const struct nlmsghdr *h, void *ctx)
{
	const struct ifinfomsg *i = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *b;
	struct link *l = ctx;

	*l = (struct link){ .index = i->ifi_index, .up = (i->ifi_flags & IFF_UP) != 0, .flags = i->ifi_flags };
	mnl_attr_for_each(a, h, sizeof(*i)) {
		if (mnl_attr_get_type(a) == IFLA_IFNAME)
			snprintf(l->name, sizeof(l->name), "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_IFALIAS)
			snprintf(l->alias, sizeof(l->alias), "%s", mnl_attr_get_str(a));
		else if (mnl_attr_get_type(a) == IFLA_LINKINFO)
			mnl_attr_for_each_nested(b, a)
				if (mnl_attr_get_type(b) == IFLA_INFO_KIND)
					snprintf(l->kind, sizeof(l->kind), "%s", mnl_attr_get_str(b));
	}
	return MNL_CB_OK;
}

int link_get(struct mnl_socket *nl, const char *name, struct link *ret, struct link_error *e)
{
	char msg[LINK_MSG];

	*ret = (struct link){ 0 };
	begin(msg, RTM_GETLINK, 0);
	mnl_attr_put_strz((struct nlmsghdr *)msg, IFLA_IFNAME, name);
	if (link_talk(nl, (struct nlmsghdr *)msg, on_link, ret) < 0 && errno != ENODEV)
		return link_fail(e, errno, "look for interface %s", name);
	return 0;
}

/* The kernel takes no alias with the making of an interface. */
static int set_alias(struct mnl_socket *nl, const char *name, const char *alias)
{
	char msg[LINK_MSG];

	begin(msg, RTM_NEWLINK, 0);
	mnl_attr_put_strz((struct nlmsghdr *)msg, IFLA_IFNAME, name);
	mnl_attr_put_str((struct nlmsghdr *)msg, IFLA_IFALIAS, alias);
	return link_talk(nl, (struct nlmsghdr *)msg, NULL, NULL);
}

int link_make(struct mnl_socket *nl, const struct link_make *m, struct link_error *e)
{
	char msg[LINK_MSG];
	struct ifinfomsg *i = begin(msg, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	struct nlmsghdr *h = (struct nlmsghdr *)msg;
	struct nlattr *info, *data;

	if (m->up)
		i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz(h, IFLA_IFNAME, m->name);
	if (m->parent)
		mnl_attr_put_u32(h, IFLA_LINK, (uint32_t)m->parent);
	if (m->master)
		mnl_attr_put_u32(h, IFLA_MASTER, (uint32_t)m->master);
	if (m->netns_fd >= 0)
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)m->netns_fd);
	if (m->mtu)
		mnl_attr_put_u32(h, IFLA_MTU, m->mtu);
	if (m->mac)
		mnl_attr_put(h, IFLA_ADDRESS, 6, m->mac);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, m->kind);
	if (m->fill) {
		data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
		m->fill(h, m->ctx);
		mnl_attr_nest_end(h, data);
	}
	mnl_attr_nest_end(h, info);
	if (link_talk(nl, h, NULL, NULL) < 0)
		return link_fail(e, errno, "make the %s interface %s", m->kind, m->name);
	if (!m->alias || set_alias(nl, m->name, m->alias) == 0)
		return 0;
	link_fail(e, errno, "name the owner of interface %s", m->name);
	link_delete(nl, m->name, &(struct link_error){ 0 });
	return -1;
}

int link_delete(struct mnl_socket *nl, const char *name, struct link_error *e)
{
	char msg[LINK_MSG];

	begin(msg, RTM_DELLINK, 0);
	mnl_attr_put_strz((struct nlmsghdr *)msg, IFLA_IFNAME, name);
	if (link_talk(nl, (struct nlmsghdr *)msg, NULL, NULL) < 0 && errno != ENODEV)
		return link_fail(e, errno, "delete interface %s", name);
	return 0;
}

int link_up(struct mnl_socket *nl, const char *name, struct link_error *e)
{
	char msg[LINK_MSG];
	struct ifinfomsg *i = begin(msg, RTM_NEWLINK, 0);

	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz((struct nlmsghdr *)msg, IFLA_IFNAME, name);
	return link_talk(nl, (struct nlmsghdr *)msg, NULL, NULL) < 0 ? link_fail(e, errno, "take %s up", name) : 0;
}

int link_enslave(struct mnl_socket *nl, const char *name, int master, struct link_error *e)
{
	char msg[LINK_MSG];
	struct ifinfomsg *i = begin(msg, RTM_NEWLINK, 0);

	i->ifi_flags = i->ifi_change = IFF_UP;
	mnl_attr_put_strz((struct nlmsghdr *)msg, IFLA_IFNAME, name);
	mnl_attr_put_u32((struct nlmsghdr *)msg, IFLA_MASTER, (uint32_t)master);
	return link_talk(nl, (struct nlmsghdr *)msg, NULL, NULL) < 0 ? link_fail(e, errno, "put %s into its bridge", name) : 0;
}
