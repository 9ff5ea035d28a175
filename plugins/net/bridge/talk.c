/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to rtnetlink, and what is asked of any interface. */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "talk.h"

#define ANSWER_SIZE 32768

int talk_open(struct talk *t, struct br_error *e)
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

void talk_close(struct talk *t)
{
	mnl_socket_close(t->nl);
}

void talk_begin(struct talk *t, uint16_t type, uint16_t flags)
{
	t->h = mnl_nlmsg_put_header(t->msg);
	t->h->nlmsg_type = type;
	t->h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	t->h->nlmsg_seq = 1;
}

struct ifinfomsg *talk_link(struct talk *t, uint16_t type, uint16_t flags)
{
	talk_begin(t, type, flags);
	return mnl_nlmsg_put_extra_header(t->h, sizeof(struct ifinfomsg));
}

/*
 * The kernel's mark of a list that changed under its hands. libmnl would stop there, with the rest of the answer still to come.
 */
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

int talk_do(struct talk *t, mnl_cb_t cb, void *ctx)
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

void link_read(const struct nlmsghdr *h, struct link *l)
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
	link_read(h, ctx);
	return MNL_CB_OK;
}

int link_get(struct talk *t, const char *name, struct link *ret, struct br_error *e)
{
	*ret = (struct link){ 0 };
	talk_link(t, RTM_GETLINK, NLM_F_ACK);
	mnl_attr_put_strz(t->h, IFLA_IFNAME, name);
	if (talk_do(t, on_link, ret) < 0 && errno != ENODEV)
		return br_fail(e, errno, "look for interface %s", name);
	return 0;
}

int link_take_up(struct talk *t, const char *name, const char *alias, struct br_error *e)
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

void link_alias(const char *network, char ret[ALIAS_SIZE])
{
	snprintf(ret, ALIAS_SIZE, ALIAS "%s", network);
}
