/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What endpoints have rules for: published ports, links, addresses towards the world. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"

/*
 * Under d->rules: takes what is in "after" in place of what the network knows of that endpoint. When the small change does not
 * fit what the kernel has, because somebody else changed that meanwhile, all is written anew.
 */
static int change(struct br_net *n, struct br_endpoint *after, struct br_error *e)
{
	struct br_endpoint before, now = { 0 };
	int rc;

	if (ports_copy(ports_find(n, after->id), &before) < 0)
		return br_fail(e, ENOMEM, "change the rules of bridge %s", n->bridge);
	snprintf(before.id, sizeof(before.id), "%s", after->id);
	rc = br_has_rules(n) ? fw_change(n, &before, after, e) : 0;
	if (ports_replace(n, after) < 0) {
		rc = br_fail(e, ENOMEM, "change the rules of bridge %s", n->bridge);
	} else if (rc < 0) {
		rc = fw_write(n, e);
		if (rc < 0)
			ports_replace(n, &before);
	}
	if (rc == 0)
		ct_forget(&before, ports_find(n, before.id) ? ports_find(n, before.id) : &now);
	ports_done(&before);
	return rc;
}

/* An address that the endpoint alone has towards the world: its driver-opts. Also one that it has no more. */
int ep_set_sources(struct dkd_net *d, const struct dkd_net_endpoint *ep, struct br_error *e)
{
	static const char *const keys[FAMILIES] = { "com.docker.network.host_ipv4", "com.docker.network.host_ipv6" };
	const char *const addresses[FAMILIES] = { ep->ipv4, ep->ipv6 };
	struct br_endpoint after = { 0 };
	struct br_net *n;
	int rc = 0;

	snprintf(after.id, sizeof(after.id), "%s", ep->id);
	for (int f = 0; f < FAMILIES; f++) {
		const char *v = dkd_pair_get(ep->options, ep->options_len, keys[f]);
		struct cidr own = { 0 };

		if (v && *v && (!ip_parse(v, &after.source[f]) || after.source[f].len != (f == V4 ? 4 : 16)))
			return br_refuse(e, DKD_ERR_INVALID, "failed to parse %s value: %.64s (nil ip)", keys[f], v);
		if (cidr_parse(addresses[f], &own))
			after.address[f] = own.ip;
	}
	if (!after.source[V4].len && !after.source[V6].len)
		return 0;
	pthread_mutex_lock(&d->rules);
	n = *net_find(d, ep->network);
	rc = n ? change(n, &after, e) : 0;
	pthread_mutex_unlock(&d->rules);
	return rc;
}

/* All rules that the endpoint has of its own. */
int ep_forget(struct dkd_net *d, const char *network, const char *endpoint, struct br_error *e)
{
	struct br_endpoint after = { 0 };
	struct br_net *n;
	int rc = 0;

	snprintf(after.id, sizeof(after.id), "%s", endpoint);
	pthread_mutex_lock(&d->rules);
	n = *net_find(d, network);
	if (n && ports_find(n, endpoint))
		rc = change(n, &after, e);
	pthread_mutex_unlock(&d->rules);
	return rc;
}

/*
 * Where ports are isolated in the bridge, what is allowed goes by the host: it answers when a container asks for its neighbour's
 * MAC, and leads on what the rules let through.
 */
int ep_answer_for_neighbours(const struct br_net *n, const struct br_endpoint *ep, struct br_error *e)
{
	if (n->icc || !ep->links_len)
		return 0;
	if (sysctl_neigh(V4, n->bridge, "proxy_delay", "0", e) < 0 || sysctl_conf(V4, n->bridge, "send_redirects", "0", e) < 0 ||
	    sysctl_conf(V4, n->bridge, "proxy_arp_pvlan", "1", e) < 0)
		return -1;
	for (size_t i = 0; i < ep->links_len; i++) {
		const struct br_link *l = &ep->links[i];

		if (l->family == V6 && (sysctl_neigh(V6, n->bridge, "proxy_delay", "0", e) < 0 ||
		    sysctl_conf(V6, n->bridge, "proxy_ndp", "1", e) < 0 || link_proxy_neighbour(n->bridge, &l->from, e) < 0 ||
		    link_proxy_neighbour(n->bridge, &l->to, e) < 0))
			return -1;
	}
	return 0;
}

/* From now on the kernel leads from the host's loopback addresses. Under d->rules. */
static int open_localhost(struct br_net *n, struct br_error *e)
{
	struct br_error ignored;

	if (n->localhost || n->host_policy || !n->f[V4].on || !n->f[V4].firewall)
		return 0;
	if (sysctl_conf(V4, n->bridge, "route_localnet", "1", e) < 0)
		return -1;
	n->localhost = 1;
	if (fw_write(n, e) == 0)
		return 0;
	n->localhost = 0;
	sysctl_conf(V4, n->bridge, "route_localnet", "0", &ignored);
	return -1;
}

/* Under d->rules: the ports, and the rest of what the endpoint has. */
static int publish(struct br_net *n, const struct dkd_net_publish *p, struct br_error *e)
{
	const struct br_endpoint *old = ports_find(n, p->endpoint);
	struct br_endpoint after, kept;
	int rc = ports_read(p, &after, e);
	char name[IFNAMSIZ];

	ep_port_name(p->endpoint, name);
	if (rc == 0 && p->ports_len)
		rc = link_hairpin(name, e);
	if (rc == 0 && p->ports_len && p->flags & DKD_NET_LOCALHOST)
		rc = open_localhost(n, e);
	if (rc == 0 && old) {
		for (int f = 0; f < FAMILIES; f++) {
			after.source[f] = old->source[f];
			if (!after.address[f].len)
				after.address[f] = old->address[f];
		}
		rc = ports_copy(old, &kept) < 0 ? br_fail(e, ENOMEM, "publish ports") : 0;
		if (rc == 0) {
			after.links = kept.links;
			after.links_len = kept.links_len;
			kept.links = NULL;
			ports_done(&kept);
		}
	}
	if (rc == 0)
		rc = change(n, &after, e);
	if (rc < 0 && (e->sys == EBUSY || e->sys == EEXIST || e->sys == ENOTEMPTY))
		br_refuse(e, DKD_ERR_CONFLICT, "port is already allocated");
	ports_done(&after);
	return rc;
}

int32_t bridge_program_ports(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_publish *p)
{
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = -1;

	pthread_mutex_lock(&d->rules);
	n = *net_find(d, p->network);
	if (n)
		rc = publish(n, p, &e);
	if (n && p->ports_len && p->flags & DKD_NET_LOCALHOST && !br_has_rules(n))
		dkd_logf(d->host, DKD_LOG_WARN, "no proxy and no rules: ports on bridge %s are published to nobody", n->bridge);
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return net_unknown(d, call, p->network);
	return rc < 0 ? net_say(d, call, &e) : 0;
}

int32_t bridge_revoke_ports(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct dkd_net_publish none = { .size = sizeof(none), .network = network, .endpoint = endpoint };
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = 0;

	pthread_mutex_lock(&d->rules);
	n = *net_find(d, network);
	if (n && ports_find(n, endpoint))
		rc = publish(n, &none, &e);
	pthread_mutex_unlock(&d->rules);
	return rc < 0 ? net_say(d, call, &e) : 0;
}

/* Under d->rules. */
static int link_endpoints(struct br_net *n, const char *endpoint, const struct dkd_net_link *links, uint32_t len,
	struct br_error *e)
{
	struct br_endpoint after;
	int rc;

	if (ports_copy(ports_find(n, endpoint), &after) < 0)
		return br_fail(e, ENOMEM, "link containers");
	snprintf(after.id, sizeof(after.id), "%s", endpoint);
	after.links_len = 0;
	rc = ports_read_links(links, len, &after, e);
	if (rc == 0)
		rc = ep_answer_for_neighbours(n, &after, e);
	if (rc == 0)
		rc = change(n, &after, e);
	ports_done(&after);
	return rc;
}

int32_t bridge_program_links(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	const struct dkd_net_link *links, uint32_t links_len)
{
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = -1;

	pthread_mutex_lock(&d->rules);
	n = *net_find(d, network);
	if (n)
		rc = link_endpoints(n, endpoint, links, links_len, &e);
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return net_unknown(d, call, network);
	return rc < 0 ? net_say(d, call, &e) : 0;
}
