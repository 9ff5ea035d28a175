/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "bridge": a bridge of the kernel's, a veth pair for each container, and rules for what goes through.
 * A bridge and its rules outlive the daemon: running containers go on with them. delete_network removes both.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bridge.h"

#define PORT_PREFIX "veth"
#define PORT_DIGITS 11 /* with the prefix all that a name can hold */

struct dkd_net {
	const struct dkd_host *host;
	pthread_mutex_t rules; /* changes of networks, of their endpoints and rules: taken before lock */
	pthread_mutex_t lock;  /* nets */
	struct br_net *nets;
	struct watch *watch;   /* under rules, as what follows */
	int closed[FAMILIES];  /* what is for all networks is needed */
};

static int32_t bridge_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open,
	struct dkd_net **ret)
{
	struct dkd_net *n = calloc(1, sizeof(*n));

	(void)open;
	if (!n)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	n->host = host;
	pthread_mutex_init(&n->rules, NULL);
	pthread_mutex_init(&n->lock, NULL);
	*ret = n;
	return 0;
}

static void net_free(struct br_net *n)
{
	if (n)
		ports_free_all(n);
	free(n);
}

static void bridge_close(struct dkd_net *d)
{
	watch_stop(d->watch);
	for (struct br_net *n = d->nets, *next; n; n = next) {
		next = n->next;
		net_free(n);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->rules);
	free(d);
}

static int32_t bridge_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call;
	(void)d;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_LOCAL;
	ret->flags = 0;
	return 0;
}

static int32_t say(const struct dkd_net *d, const struct dkd_call *call, const struct br_error *e)
{
	uint32_t class = e->class ? e->class : e->sys ? DKD_ERR_INTERNAL : DKD_ERR_INVALID;

	return dkd_failf(d->host, call, class, e->sys, "%s%s%s", e->what, e->sys ? ": " : "", e->sys ? strerror(e->sys) : "");
}

static int32_t no_network(const struct dkd_net *d, const struct dkd_call *call, const char *id)
{
	return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", id);
}

/*
 * A host that forwarded nothing would, from the moment on that a network needs it, be a router between all that it is
 * connected to: what closes the rest is there first. It stays until the host starts anew, and tells later daemons that it is
 * needed.
 */
static int set_forwarding(struct dkd_net *d, const struct br_net *n, int family, struct br_error *e)
{
	int close_rest = n->f[family].firewall && n->close, on = 1;
	struct br_error ignored;

	if (n->forward && !n->internal && (on = sysctl_forwards(family, e)) < 0)
		return -1;
	if (!close_rest) {
		fw_policy_delete(n, family, &ignored);
	} else if (!on || fw_policy_stands(n, family)) {
		if (fw_policy_write(n, family, e) < 0)
			return -1;
		d->closed[family] = 1;
	}
	return on ? 0 : sysctl_forward(family, e);
}

static void put_back_policy(struct dkd_net *d, const struct br_net *n, int family, int lost)
{
	struct br_error e;

	if (lost && n->f[family].on && n->f[family].firewall && n->close && fw_policy_write(n, family, &e) < 0)
		dkd_logf(d->host, DKD_LOG_ERROR, "%s: %s", e.what, strerror(e.sys));
}

/* What the watch calls. */
static void put_back(void *ctx)
{
	struct dkd_net *d = ctx;
	int policy_lost[FAMILIES];
	struct br_error e;

	pthread_mutex_lock(&d->rules);
	for (int f = 0; f < FAMILIES; f++)
		policy_lost[f] = d->nets && d->closed[f] && !fw_policy_stands(d->nets, f);
	for (const struct br_net *n = d->nets; n; n = n->next) {
		int lost = br_has_rules(n) && !fw_stands(n);

		if (lost)
			dkd_logf(d->host, DKD_LOG_WARN, "somebody took the %s rules of bridge %s away: they are put back",
				n->backend == BACKEND_IPTABLES ? "iptables" : "nftables", n->bridge);
		if (lost && fw_write(n, &e) < 0)
			dkd_logf(d->host, DKD_LOG_ERROR, "%s: %s", e.what, strerror(e.sys));
		put_back_policy(d, n, V4, policy_lost[V4]);
		put_back_policy(d, n, V6, policy_lost[V6]);
	}
	pthread_mutex_unlock(&d->rules);
}

static void watch(struct dkd_net *d, const struct br_net *n)
{
	if (!d->watch && !(d->watch = watch_start(put_back, d)))
		dkd_logf(d->host, DKD_LOG_WARN, "rules that somebody deletes are not put back: cannot watch them");
	if (d->watch && n->backend == BACKEND_IPTABLES)
		watch_iptables(d->watch);
}

/* Rules that an earlier daemon wrote go, too, when this one shall write none. Under d->rules. */
static int setup(struct dkd_net *d, const struct br_net *n, int adopt, struct br_error *e)
{
	struct br_error ignored;

	if (link_bridge(n, e) < 0)
		return -1;
	for (int f = 0; f < FAMILIES; f++)
		if (n->f[f].on && set_forwarding(d, n, f, e) < 0)
			return -1;
	if (!br_has_rules(n)) {
		fw_delete(n, &ignored);
		fw_delete_other(n);
		return 0;
	}
	if (adopt ? fw_adopt(n, e) < 0 : fw_write(n, e) < 0)
		return -1;
	fw_delete_other(n);
	watch(d, n);
	return 0;
}

static struct br_net **find(struct dkd_net *d, const char *id)
{
	struct br_net **p = &d->nets;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static int overlap(const struct br_family *a, const struct br_family *b)
{
	struct cidr x = a->subnet, y = b->subnet;

	if (!a->on || !b->on)
		return 0;
	x.bits = y.bits = x.bits < y.bits ? x.bits : y.bits;
	x = cidr_network(&x);
	y = cidr_network(&y);
	return ip_equal(&x.ip, &y.ip);
}

/* Under d->rules. */
static int check_conflicts(const struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	for (const struct br_net *o = d->nets; o; o = o->next) {
		const char *why = strcmp(o->bridge, n->bridge) == 0 ? "networks have same bridge name" :
			overlap(&o->f[V4], &n->f[V4]) ? "networks have overlapping IPv4" :
			overlap(&o->f[V6], &n->f[V6]) ? "networks have overlapping IPv6" : NULL;

		if (why && strcmp(o->id, n->id) != 0)
			return br_refuse(e, DKD_ERR_FORBIDDEN, "cannot create network %s (%s): conflicts with network %s (%s): %s", n->id,
				n->bridge, o->id, o->bridge, why);
	}
	return 0;
}

/* Under d->rules. Takes n in the place of the one of its id. */
static void insert(struct dkd_net *d, struct br_net *n)
{
	struct br_net **p, *old;

	pthread_mutex_lock(&d->lock);
	p = find(d, n->id);
	old = *p;
	n->next = old ? old->next : NULL;
	*p = n;
	pthread_mutex_unlock(&d->lock);
	free(old);
}

/* Endpoints of a network that is set up again go on; of a new one that fails nothing stays. Under d->rules. */
static int make(struct dkd_net *d, struct br_net *n, int restored, struct br_error *e)
{
	char own[IFNAMSIZ];
	const struct br_net *old = *find(d, n->id);
	int was_there = if_nametoindex(n->bridge) != 0;
	struct br_error ignored;

	snprintf(own, sizeof(own), "br-%.12s", n->id);
	if (check_conflicts(d, n, e) < 0)
		return -1;
	n->borrowed = !n->existing && !n->default_bridge && strcmp(n->bridge, own) != 0 && link_is_foreign(n->bridge, n->id);
	n->endpoints = old ? old->endpoints : NULL;
	if (setup(d, n, restored && !old, e) == 0)
		return 0;
	n->endpoints = NULL;
	if (!old && !restored)
		fw_delete(n, &ignored);
	if (!was_there)
		link_delete(n->bridge, &ignored);
	return -1;
}

static int32_t bridge_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct br_net *n = calloc(1, sizeof(*n));
	struct br_error e = { .sys = 0, .what = "out of memory" };
	int rc = n ? options_read(w, n, &e) : -1;

	pthread_mutex_lock(&d->rules);
	if (rc == 0)
		rc = make(d, n, (w->flags & DKD_NET_RESTORED) != 0, &e);
	if (rc == 0)
		insert(d, n);
	pthread_mutex_unlock(&d->rules);
	if (rc < 0)
		free(n);
	return rc < 0 ? say(d, call, &e) : 0;
}

static int32_t bridge_skip_gateway(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	(void)call;
	(void)d;
	return options_isolated(w);
}

/* A copy, since the network may go at any time; its endpoints are not for reading. */
static int get(struct dkd_net *d, const char *id, struct br_net *ret)
{
	struct br_net *n;

	pthread_mutex_lock(&d->lock);
	n = *find(d, id);
	if (n)
		*ret = *n;
	pthread_mutex_unlock(&d->lock);
	if (n)
		ret->endpoints = NULL;
	return n ? 0 : -1;
}

static int32_t bridge_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network)
{
	struct br_error e = { 0 };
	struct br_net *n, **p;
	int rc;

	pthread_mutex_lock(&d->rules);
	pthread_mutex_lock(&d->lock);
	p = find(d, network);
	n = *p;
	if (n)
		*p = n->next;
	pthread_mutex_unlock(&d->lock);
	rc = n && br_has_rules(n) ? fw_delete(n, &e) : 0;
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return 0;
	if (!n->existing && !n->borrowed && link_delete(n->bridge, &e) < 0)
		rc = -1;
	net_free(n);
	return rc < 0 ? say(d, call, &e) : 0;
}

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

/* 02:42 and the address: an address that is used again has the same MAC, whatever neighbours remember. */
static void mac_of(const char *ipv4, unsigned char mac[6])
{
	struct cidr c = { 0 };

	mac[0] = 0x02;
	mac[1] = 0x42;
	if (!cidr_parse(ipv4, &c) && getrandom(c.ip.b, 4, 0) != 4)
		memset(c.ip.b, 0x5a, 4);
	memcpy(mac + 2, c.ip.b, 4);
}

static int parse_mac(const char *text, unsigned char mac[6])
{
	unsigned v[6];
	int end = -1;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || end < 0 || text[end])
		return -1;
	for (int i = 0; i < 6; i++)
		mac[i] = (unsigned char)v[i];
	return mac[0] & 1 ? -1 : 0; /* a group's address is nobody's own */
}

/* An address that the endpoint alone has towards the world: its driver-opts. Also one that it has no more. */
static int set_sources(struct dkd_net *d, const struct dkd_net_endpoint *ep, struct br_error *e)
{
	static const char *const keys[FAMILIES] = { "com.docker.network.host_ipv4", "com.docker.network.host_ipv6" };
	const char *const addresses[FAMILIES] = { ep->ipv4, ep->ipv6 };
	struct br_endpoint after = { 0 };
	struct br_net *n;
	int rc = 0;

	snprintf(after.id, sizeof(after.id), "%s", ep->id);
	for (int f = 0; f < FAMILIES; f++) {
		const char *v = options_find(ep->options, ep->options_len, keys[f]);
		struct cidr own = { 0 };

		if (v && *v && (!ip_parse(v, &after.source[f]) || after.source[f].len != (f == V4 ? 4 : 16)))
			return br_refuse(e, DKD_ERR_INVALID, "failed to parse %s value: %.64s (nil ip)", keys[f], v);
		if (cidr_parse(addresses[f], &own))
			after.address[f] = own.ip;
	}
	if (!after.source[V4].len && !after.source[V6].len)
		return 0;
	pthread_mutex_lock(&d->rules);
	n = *find(d, ep->network);
	rc = n ? change(n, &after, e) : 0;
	pthread_mutex_unlock(&d->rules);
	return rc;
}

static int32_t bridge_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep,
	dkd_emit_pair *emit, void *to)
{
	unsigned char mac[6];
	struct br_rate rate;
	struct br_error e;
	struct br_net n;
	char text[18];

	if (get(d, ep->network, &n) < 0)
		return no_network(d, call, ep->network);
	if (ep->mac && parse_mac(ep->mac, mac) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "invalid MAC address: %.32s", ep->mac);
	if (rate_read(ep->options, ep->options_len, &rate, &e) < 0 || set_sources(d, ep, &e) < 0)
		return say(d, call, &e);
	if (ep->mac)
		return 0;
	mac_of(ep->ipv4, mac);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	emit(to, "mac", text);
	return 0;
}

static void port_name(const char *endpoint, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, PORT_PREFIX "%.*s", PORT_DIGITS, endpoint);
}

/* All rules that the endpoint has of its own. */
static int forget(struct dkd_net *d, const char *network, const char *endpoint, struct br_error *e)
{
	struct br_endpoint after = { 0 };
	struct br_net *n;
	int rc = 0;

	snprintf(after.id, sizeof(after.id), "%s", endpoint);
	pthread_mutex_lock(&d->rules);
	n = *find(d, network);
	if (n && ports_find(n, endpoint))
		rc = change(n, &after, e);
	pthread_mutex_unlock(&d->rules);
	return rc;
}

static int32_t bridge_delete_endpoint(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct br_error e = { 0 };

	return forget(d, network, endpoint, &e) < 0 ? say(d, call, &e) : 0;
}

/* The port itself goes with its namespace. */
static int32_t bridge_leave(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct br_error e = { 0 };
	char name[IFNAMSIZ];

	port_name(endpoint, name);
	if (rate_drop(name, &e) < 0)
		return say(d, call, &e);
	return bridge_delete_endpoint(call, d, network, endpoint);
}

/*
 * Where ports are isolated in the bridge, what is allowed goes by the host: it answers when a container asks for its neighbour's
 * MAC, and leads on what the rules let through.
 */
static int answer_for_neighbours(const struct br_net *n, const struct br_endpoint *ep, struct br_error *e)
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

/* A bridge that somebody deleted comes back with the next container, as far as it is the driver's to make. */
static int find_bridge(struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	struct br_net *own;
	int rc;

	if (if_nametoindex(n->bridge))
		return 0;
	pthread_mutex_lock(&d->rules);
	own = *find(d, n->id);
	rc = own && (setup(d, own, 0, e) < 0 || link_attach_all(own, e) < 0) ? -1 : 0;
	for (const struct br_endpoint *ep = own ? own->endpoints : NULL; ep && rc == 0; ep = ep->next)
		rc = answer_for_neighbours(own, ep, e);
	pthread_mutex_unlock(&d->rules);
	if (rc == 0)
		dkd_logf(d->host, DKD_LOG_WARN, "bridge %s was gone: it is made anew", n->bridge);
	return rc;
}

/* One that is there already is put back into its bridge at most: it stands as long as its namespace. */
static int wire(struct dkd_net *d, const struct br_net *n, const struct dkd_net_join *j, const char *name, struct br_error *e)
{
	struct br_error ignored;
	struct br_rate rate;

	if (j->flags & DKD_NET_RESTORED)
		return link_attach(n, name, e);
	if (j->sandbox_fd < 0)
		return br_refuse(e, DKD_ERR_INVALID, "a bridge network needs a network namespace");
	if (rate_read(j->options, j->options_len, &rate, e) < 0 || find_bridge(d, n, e) < 0 ||
	    link_veth(n, name, j->sandbox_fd, e) < 0)
		return -1;
	if (!rate.in && !rate.out)
		return 0;
	if (rate_set(n, name, &rate, e) == 0)
		return 0;
	rate_drop(name, &ignored);
	link_delete(name, &ignored);
	return -1;
}

/* The pair's far end keeps the port's name: the daemon renames it and gives it addresses, MAC and routes. */
static int32_t bridge_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j,
	dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined done = { .size = sizeof(done), .in_sandbox = 1 };
	char name[IFNAMSIZ], gateway[FAMILIES][48];
	struct br_error e = { 0 };
	struct br_net n;

	if (get(d, j->network, &n) < 0)
		return no_network(d, call, j->network);
	port_name(j->endpoint, name);
	if (wire(d, &n, j, name, &e) < 0)
		return say(d, call, &e);
	if (j->flags & DKD_NET_RESTORED)
		return 0;
	done.interface_name = name;
	done.interface_prefix = n.prefix;
	if (n.internal) {
		done.flags = DKD_NET_NO_GATEWAY;
	} else {
		done.gateway4 = n.f[V4].on ? ip_text(&n.f[V4].router, gateway[V4]) : NULL;
		done.gateway6 = n.f[V6].on ? ip_text(&n.f[V6].router, gateway[V6]) : NULL;
	}
	emit(to, &done);
	return 0;
}

/* "interface" while the endpoint's port stands: the kernel takes it down some time after its namespace. */
static int32_t bridge_oper_info(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	dkd_emit_pair *emit, void *to)
{
	char name[IFNAMSIZ];

	(void)call;
	(void)d;
	(void)network;
	port_name(endpoint, name);
	if (if_nametoindex(name))
		emit(to, "interface", name);
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

	port_name(p->endpoint, name);
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

static int32_t bridge_program_ports(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_publish *p)
{
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = -1;

	pthread_mutex_lock(&d->rules);
	n = *find(d, p->network);
	if (n)
		rc = publish(n, p, &e);
	if (n && p->ports_len && p->flags & DKD_NET_LOCALHOST && !br_has_rules(n))
		dkd_logf(d->host, DKD_LOG_WARN, "no proxy and no rules: ports on bridge %s are published to nobody", n->bridge);
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return no_network(d, call, p->network);
	return rc < 0 ? say(d, call, &e) : 0;
}

static int32_t bridge_revoke_ports(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct dkd_net_publish none = { .size = sizeof(none), .network = network, .endpoint = endpoint };
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = 0;

	pthread_mutex_lock(&d->rules);
	n = *find(d, network);
	if (n && ports_find(n, endpoint))
		rc = publish(n, &none, &e);
	pthread_mutex_unlock(&d->rules);
	return rc < 0 ? say(d, call, &e) : 0;
}

/* Under d->rules. */
static int link_endpoints(struct br_net *n, const char *endpoint, const struct dkd_net_link *links, uint32_t len, struct br_error *e)
{
	struct br_endpoint after;
	int rc;

	if (ports_copy(ports_find(n, endpoint), &after) < 0)
		return br_fail(e, ENOMEM, "link containers");
	snprintf(after.id, sizeof(after.id), "%s", endpoint);
	after.links_len = 0;
	rc = ports_read_links(links, len, &after, e);
	if (rc == 0)
		rc = answer_for_neighbours(n, &after, e);
	if (rc == 0)
		rc = change(n, &after, e);
	ports_done(&after);
	return rc;
}

static int32_t bridge_program_links(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	const struct dkd_net_link *links, uint32_t links_len)
{
	struct br_error e = { 0 };
	struct br_net *n;
	int rc = -1;

	pthread_mutex_lock(&d->rules);
	n = *find(d, network);
	if (n)
		rc = link_endpoints(n, endpoint, links, links_len, &e);
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return no_network(d, call, network);
	return rc < 0 ? say(d, call, &e) : 0;
}

struct owners {
	const char *const *endpoints;
	uint32_t len;
};

static int is_nobodys(void *ctx, const char *name)
{
	const struct owners *o = ctx;
	char owned[IFNAMSIZ];

	if (strncmp(name, PORT_PREFIX, strlen(PORT_PREFIX)) != 0 || strlen(name) != strlen(PORT_PREFIX) + PORT_DIGITS ||
	    strspn(name + strlen(PORT_PREFIX), "0123456789abcdef") != PORT_DIGITS)
		return 0;
	for (uint32_t i = 0; i < o->len; i++) {
		port_name(o->endpoints[i], owned);
		if (strcmp(name, owned) == 0)
			return 0;
	}
	return 1;
}

/* Also the ports that an earlier daemon published for endpoints that are no more. */
static int32_t bridge_sweep(const struct dkd_call *call, struct dkd_net *d, const char *const *endpoints, uint32_t endpoints_len)
{
	struct owners owners = { endpoints, endpoints_len };
	struct br_error e = { 0 };
	int rc = 0;

	pthread_mutex_lock(&d->rules);
	for (const struct br_net *n = d->nets; n; n = n->next)
		if (link_sweep(n, is_nobodys, &owners, &e) < 0 || (br_has_rules(n) && !fw_stands(n) && fw_write(n, &e) < 0))
			rc = -1;
	pthread_mutex_unlock(&d->rules);
	return rc < 0 ? say(d, call, &e) : 0;
}

static const struct dkd_net_ops ops = {
	.open = bridge_open,
	.close = bridge_close,
	.capabilities = bridge_capabilities,
	.create_network = bridge_create_network,
	.delete_network = bridge_delete_network,
	.create_endpoint = bridge_create_endpoint,
	.delete_endpoint = bridge_delete_endpoint,
	.oper_info = bridge_oper_info,
	.join = bridge_join,
	.leave = bridge_leave,
	.program_ports = bridge_program_ports,
	.revoke_ports = bridge_revoke_ports,
	.skip_gateway = bridge_skip_gateway,
	.sweep = bridge_sweep,
	.program_links = bridge_program_links,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "bridge",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
