/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What endpoints publish: copies of what the daemon says, by which their rules are written, taken back, and written again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge.h"

#define PORTS_MAX 65536u

static int read_endpoint_address(const char *text, int family, struct br_endpoint *ret, struct br_error *e)
{
	struct cidr c;

	if (!text || !*text)
		return 0;
	if (!cidr_parse(text, &c) || c.ip.len != (family == V4 ? 4 : 16))
		return br_refuse(e, DKD_ERR_INVALID, "invalid address of an endpoint: %.64s", text);
	ret->address[family] = c.ip;
	return 0;
}

static int read_port(const struct dkd_net_port *p, struct br_port *ret, struct br_error *e)
{
	struct ip host;

	if (p->proto != DKD_NET_TCP && p->proto != DKD_NET_UDP && p->proto != DKD_NET_SCTP)
		return br_refuse(e, DKD_ERR_INVALID, "unknown protocol %u of a port", p->proto);
	if (!p->count || !p->port || p->count > PORTS_MAX || p->port + p->count > PORTS_MAX ||
	    p->host_port + p->count > PORTS_MAX + (p->host_port == 0))
		return br_refuse(e, DKD_ERR_INVALID, "invalid range of %u ports from %u on to %u", p->count, p->host_port,
		p->port);
	if (!ip_parse(p->host_ip && *p->host_ip ? p->host_ip : "0.0.0.0", &host))
		return br_refuse(e, DKD_ERR_INVALID, "invalid address of the host: %.64s", p->host_ip);
	*ret = (struct br_port){ .proto = p->proto, .host = host, .family = host.len == 4 ? V4 : V6,
		.host_port = (uint16_t)p->host_port,
		.port = (uint16_t)p->port, .count = p->count };
	if (ip_is_any(&host))
		ret->host.len = 0;
	return 0;
}

int ports_read(const struct dkd_net_publish *p, struct br_endpoint *ret, struct br_error *e)
{
	uint32_t size = p->ports_len ? p->ports->size : 0;

	*ret = (struct br_endpoint){ 0 };
	snprintf(ret->id, sizeof(ret->id), "%s", p->endpoint);
	if (read_endpoint_address(p->ipv4, V4, ret, e) < 0 || read_endpoint_address(p->ipv6, V6, ret, e) < 0)
		return -1;
	if (p->ports_len && !(ret->ports = calloc(p->ports_len, sizeof(*ret->ports))))
		return br_refuse(e, DKD_ERR_INTERNAL, "out of memory");
	for (; ret->ports_len < p->ports_len; ret->ports_len++) {
		struct dkd_net_port one = { 0 };

		memcpy(&one, (const char *)p->ports + ret->ports_len * size, size < sizeof(one) ? size : sizeof(one));
		if (read_port(&one, &ret->ports[ret->ports_len], e) < 0)
			return -1;
	}
	return 0;
}

/* One for each of its ports. */
static int read_link(const struct dkd_net_link *l, struct br_endpoint *ret, struct br_error *e)
{
	uint32_t size = l->ports_len ? l->ports->size : 0;
	struct br_link link = { 0 };
	struct br_link *more;

	if (!ip_parse(l->from, &link.from) || !ip_parse(l->to, &link.to) || link.from.len != link.to.len)
		return br_refuse(e, DKD_ERR_INVALID, "invalid addresses of a link");
	link.family = link.from.len == 4 ? V4 : V6;
	more = realloc(ret->links, (ret->links_len + l->ports_len + 1) * sizeof(*more));
	if (!more)
		return br_refuse(e, DKD_ERR_INTERNAL, "out of memory");
	ret->links = more;
	for (uint32_t i = 0; i < l->ports_len; i++) {
		struct dkd_net_port one = { 0 };
		struct br_port port;

		memcpy(&one, (const char *)l->ports + (size_t)i * size, size < sizeof(one) ? size : sizeof(one));
		one.host_ip = NULL;
		one.host_port = 0;
		if (read_port(&one, &port, e) < 0)
			return -1;
		link.proto = port.proto;
		link.port = port.port;
		link.count = port.count;
		ret->links[ret->links_len++] = link;
	}
	return 0;
}

int ports_read_links(const struct dkd_net_link *links, uint32_t len, struct br_endpoint *ret, struct br_error *e)
{
	uint32_t size = len ? links->size : 0;

	for (uint32_t i = 0; i < len; i++) {
		struct dkd_net_link one = { 0 };

		memcpy(&one, (const char *)links + (size_t)i * size, size < sizeof(one) ? size : sizeof(one));
		if (read_link(&one, ret, e) < 0)
			return -1;
	}
	return 0;
}

struct br_endpoint *ports_find(const struct br_net *n, const char *id)
{
	struct br_endpoint *ep = n->endpoints;

	while (ep && strcmp(ep->id, id) != 0)
		ep = ep->next;
	return ep;
}

static int is_empty(const struct br_endpoint *ep)
{
	return !ep->ports_len && !ep->links_len && !ep->source[V4].len && !ep->source[V6].len;
}

int ports_replace(struct br_net *n, struct br_endpoint *ep)
{
	struct br_endpoint **p = &n->endpoints, *there;

	while (*p && strcmp((*p)->id, ep->id) != 0)
		p = &(*p)->next;
	there = *p;
	if (is_empty(ep)) {
		if (there) {
			*p = there->next;
			ports_done(there);
			free(there);
		}
		ports_done(ep);
		return 0;
	}
	if (!there) {
		there = calloc(1, sizeof(*there));
		if (!there)
			return -1;
		*p = there;
	}
	ep->next = there->next;
	ports_done(there);
	*there = *ep;
	*ep = (struct br_endpoint){ 0 };
	return 0;
}

static void *copy(const void *from, size_t size)
{
	void *to = size ? malloc(size) : NULL;

	return to ? memcpy(to, from, size) : NULL;
}

int ports_copy(const struct br_endpoint *from, struct br_endpoint *ret)
{
	*ret = (struct br_endpoint){ 0 };
	if (!from)
		return 0;
	*ret = *from;
	ret->next = NULL;
	ret->ports = copy(from->ports, from->ports_len * sizeof(*from->ports));
	ret->links = copy(from->links, from->links_len * sizeof(*from->links));
	if ((!from->ports_len || ret->ports) && (!from->links_len || ret->links))
		return 0;
	ports_done(ret);
	return -1;
}

void ports_done(struct br_endpoint *ep)
{
	free(ep->ports);
	free(ep->links);
	ep->ports = NULL;
	ep->links = NULL;
	ep->ports_len = ep->links_len = 0;
}

void ports_free_all(struct br_net *n)
{
	for (struct br_endpoint *ep = n->endpoints, *next; ep; ep = next) {
		next = ep->next;
		ports_done(ep);
		free(ep);
	}
	n->endpoints = NULL;
}
