/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Datagrams that are under way when ports change: the kernel leads the next one of a talk as it led those before it, to a
 * container that is no more, or to the host where now a container listens. Such talks are forgotten.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "ask.h"
#include "bridge.h"

#define ANSWER_SIZE 32768
#define TUPLE_MAX 128 /* bytes of a talk's first direction */

/* One direction of a talk. */
struct tuple {
	struct ip from, to;
	uint8_t proto;
	uint16_t to_port;
};

struct talk_key {
	uint16_t size, zone;
	char tuple[TUPLE_MAX]; /* the attribute, as the kernel says it */
};

struct search {
	const struct br_endpoint *before, *after;
	int family;
	struct ifaddrs *own; /* the host's addresses */
	struct talk_key *found;
	size_t len;
};

static int has_datagrams(const struct br_endpoint *ep)
{
	for (size_t i = 0; i < ep->ports_len; i++)
		if (ep->ports[i].proto == IPPROTO_UDP)
			return 1;
	return 0;
}

static void read_address(const struct nlattr *a, struct ip *ret)
{
	ret->len = (uint8_t)mnl_attr_get_payload_len(a);
	if (ret->len == 4 || ret->len == 16)
		memcpy(ret->b, mnl_attr_get_payload(a), ret->len);
	else
		ret->len = 0;
}

static void read_tuple(const struct nlattr *tuple, struct tuple *ret)
{
	const struct nlattr *a, *b;

	mnl_attr_for_each_nested(a, tuple) {
		int ips = mnl_attr_get_type(a) == CTA_TUPLE_IP, protos = mnl_attr_get_type(a) == CTA_TUPLE_PROTO;

		if (!ips && !protos)
			continue;
		mnl_attr_for_each_nested(b, a) {
			uint16_t type = mnl_attr_get_type(b);

			if (ips && (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC))
				read_address(b, &ret->from);
			else if (ips && (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST))
				read_address(b, &ret->to);
			else if (protos && type == CTA_PROTO_NUM)
				ret->proto = mnl_attr_get_u8(b);
			else if (protos && type == CTA_PROTO_DST_PORT)
				ret->to_port = ntohs(mnl_attr_get_u16(b));
		}
	}
}

static int is_own(const struct search *s, const struct ip *ip)
{
	for (const struct ifaddrs *i = s->own; i; i = i->ifa_next) {
		const void *b;

		if (!i->ifa_addr || i->ifa_addr->sa_family != (s->family == V4 ? AF_INET : AF_INET6))
			continue;
		b = s->family == V4 ? (const void *)&((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr :
			(const void *)&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
		if (memcmp(b, ip->b, ip->len) == 0)
			return 1;
	}
	return 0;
}

/* Whether the talk goes to where a container listens now. */
static int is_published(const struct search *s, const struct tuple *t)
{
	for (size_t i = 0; i < s->after->ports_len; i++) {
		const struct br_port *p = &s->after->ports[i];

		if (p->proto == IPPROTO_UDP && p->family == s->family && t->to_port >= p->host_port &&
			t->to_port < p->host_port + p->count &&
		    (p->host.len ? ip_equal(&p->host, &t->to) : is_own(s, &t->to)))
			return 1;
	}
	return 0;
}

/* Answers of a talk that was led to a container come from there; of one that was not from where it went. */
static int is_stale(const struct search *s, const struct tuple *there, const struct tuple *back, uint32_t status)
{
	if (there->proto != IPPROTO_UDP)
		return 0;
	if (status & IPS_DST_NAT)
		return has_datagrams(s->before) && ip_equal(&back->from, &s->before->address[s->family]);
	return is_published(s, there);
}

static int on_talk(const struct nlmsghdr *h, void *ctx)
{
	struct search *s = ctx;
	struct tuple there = { 0 }, back = { 0 };
	const struct nlattr *a, *key = NULL;
	struct talk_key *more;
	uint32_t status = 0;
	uint16_t zone = 0;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG)
			read_tuple(key = a, &there);
		else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY)
			read_tuple(a, &back);
		else if (mnl_attr_get_type(a) == CTA_STATUS)
			status = ntohl(mnl_attr_get_u32(a));
		else if (mnl_attr_get_type(a) == CTA_ZONE)
			zone = mnl_attr_get_u16(a);
	}
	if (!key || key->nla_len > TUPLE_MAX || !is_stale(s, &there, &back, status))
		return MNL_CB_OK;
	more = realloc(s->found, (s->len + 1) * sizeof(*more));
	if (!more)
		return MNL_CB_OK;
	s->found = more;
	more[s->len] = (struct talk_key){ .size = key->nla_len, .zone = zone };
	memcpy(more[s->len++].tuple, key, key->nla_len);
	return MNL_CB_OK;
}

static struct nlmsghdr *begin(char *buf, int family, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *m;

	h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = 1;
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->nfgen_family = family == V4 ? AF_INET : AF_INET6;
	m->version = NFNETLINK_V0;
	return h;
}

/* 0; -1: not all of the answer was read. What is not there any more is one. */
static int talk(struct mnl_socket *nl, const struct nlmsghdr *h, char *answer, mnl_cb_t fn, void *ctx)
{
	int rc = (int)mnl_socket_sendto(nl, h, h->nlmsg_len);

	while (rc >= 0) {
		ssize_t n = mnl_socket_recvfrom(nl, answer, ANSWER_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? -1 : mnl_cb_run(answer, (size_t)n, 1, mnl_socket_get_portid(nl), fn, ctx);
		if (rc <= MNL_CB_STOP)
			break;
	}
	return rc < 0 && errno != ENOENT ? -1 : 0;
}

static int forget(struct mnl_socket *nl, const struct search *s, const struct talk_key *k, char *answer)
{
	char request[512];
	struct nlmsghdr *h = begin(request, s->family, IPCTNL_MSG_CT_DELETE, NLM_F_ACK);

	memcpy(mnl_nlmsg_get_payload_tail(h), k->tuple, k->size);
	h->nlmsg_len += MNL_ALIGN(k->size);
	if (k->zone)
		mnl_attr_put_u16(h, CTA_ZONE, k->zone);
	return talk(nl, h, answer, NULL, NULL);
}

static void search(struct search *s)
{
	struct nf_socket nf = { NULL, 0 };
	char request[512], *answer = malloc(ANSWER_SIZE);
	int rc = -1;

	if (answer && nf_take(&nf) == 0) {
		rc = talk(nf.nl, begin(request, s->family, IPCTNL_MSG_CT_GET, NLM_F_DUMP), answer, on_talk, s);
		for (size_t i = 0; i < s->len && rc == 0; i++)
			rc = forget(nf.nl, s, &s->found[i], answer);
	}
	nf_give(&nf, rc == 0);
	free(answer);
	free(s->found);
}

void ct_forget(const struct br_endpoint *before, const struct br_endpoint *after)
{
	struct ifaddrs *own = NULL;

	if (!has_datagrams(before) && !has_datagrams(after))
		return;
	if (getifaddrs(&own) < 0)
		own = NULL;
	for (int f = 0; f < FAMILIES; f++) {
		struct search s = { .before = before, .after = after, .family = f, .own = own };

		if (before->address[f].len || after->address[f].len)
			search(&s);
	}
	freeifaddrs(own);
}
