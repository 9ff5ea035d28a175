/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "overlay": one network over several hosts by VXLAN. The daemon's cluster store says which networks there are and who is
 * where: discover_new() with
 *   "node":      address, self ("true": this host, before the first join)
 *   "endpoint":  network, endpoint, mac, ipv4, ipv6, host: a container of another host
 * Options of a network: com.docker.network.driver.overlay.vxlanid_list (the first number counts), com.docker.network.driver.mtu; from the
 * daemon dockerd.number, a number that no other network of the cluster has, from which allocate_network() makes the first.
 * Wires are made with the first container of this host on a network, and go with the last.
 */
#include "overlay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mac.h"

#define VNI_OPTION "com.docker.network.driver.overlay.vxlanid_list"
#define VNI_FIRST 4097u /* below are those that others choose by hand */
#define VNI_LAST 0xffffffu
#define MTU_DEFAULT 1450u /* Ethernet's less what VXLAN over IPv4 takes */
#define MTU_MIN 68u
#define MTU_MAX 65535u

struct dkd_net {
	const struct dkd_host *host;
	char *exec_root;
	pthread_mutex_t lock; /* all below; held over netlink requests, which do not wait */
	struct ov_address local;
	struct ov_net *nets;
};

int ov_address_parse(const char *text, struct ov_address *ret)
{
	char plain[HOST_TEXT];

	*ret = (struct ov_address){ 0 };
	if (!text || !*text)
		return 0;
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "/"), text);
	if (inet_pton(AF_INET, plain, ret->raw) == 1)
		ret->family = AF_INET;
	else if (inet_pton(AF_INET6, plain, ret->raw) == 1)
		ret->family = AF_INET6;
	return ret->family ? 0 : -1;
}

uint32_t ov_address_size(const struct ov_address *a)
{
	return a->family == AF_INET ? 4 : 16;
}

int ov_address_same(const struct ov_address *a, const struct ov_address *b)
{
	return a->family == b->family && memcmp(a->raw, b->raw, ov_address_size(a)) == 0;
}

static int32_t say(const struct dkd_net *d, const struct dkd_call *call, uint32_t err_class, const struct link_error *e)
{
	return dkd_failf(d->host, call, e->sys ? DKD_ERR_INTERNAL : err_class, e->sys, "%s%s%s", e->what, e->sys ? ": " : "",
		e->sys ? strerror(e->sys) : "");
}

static int32_t overlay_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret)
{
	struct dkd_net *d = calloc(1, sizeof(*d));

	if (!d || !(d->exec_root = strdup(open->exec_root))) {
		free(d);
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	d->host = host;
	pthread_mutex_init(&d->lock, NULL);
	*ret = d;
	return 0;
}

static void net_free(struct ov_net *n)
{
	for (struct ov_peer *p = n->peers, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	for (struct ov_member *m = n->members, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	fabric_forget(n);
	free(n);
}

/* Containers go on: the wires stay. */
static void overlay_close(struct dkd_net *d)
{
	for (struct ov_net *n = d->nets, *next; n; n = next) {
		next = n->next;
		net_free(n);
	}
	pthread_mutex_destroy(&d->lock);
	free(d->exec_root);
	free(d);
}

static int32_t overlay_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call;
	(void)d;
	ret->scope = DKD_NET_SCOPE_GLOBAL;
	ret->connectivity = DKD_NET_SCOPE_GLOBAL;
	ret->flags = 0;
	return 0;
}

static int read_number(const char *text, const char *key, uint32_t least, uint32_t most, uint32_t *ret, struct link_error *e)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *text == '-' || (*end && *end != ',') || n < least || n > most)
		return link_fail(e, 0, "invalid value for option %s: \"%.64s\"", key, text);
	*ret = (uint32_t)n;
	return 0;
}

static int read_network(const struct dkd_net_network *w, struct ov_net *n, struct link_error *e)
{
	const char *vni = dkd_pair_get(w->options, w->options_len, VNI_OPTION);
	const char *mtu = dkd_pair_get(w->options, w->options_len, "com.docker.network.driver.mtu");

	snprintf(n->id, sizeof(n->id), "%s", w->id);
	n->mtu = MTU_DEFAULT;
	if (dkd_pair_get(w->options, w->options_len, "encrypted"))
		return link_fail(e, 0, "overlay networks of this daemon are not encrypted: leave the option out, and encrypt the way between the hosts");
	if (!vni || !*vni)
		return link_fail(e, 0, "overlay network %.12s has no VXLAN number: it is made with a cluster store (--cluster-store)", w->id);
	if (mtu && *mtu && read_number(mtu, "com.docker.network.driver.mtu", MTU_MIN, MTU_MAX, &n->mtu, e) < 0)
		return -1;
	return read_number(vni, VNI_OPTION, 1, VNI_LAST, &n->vni, e);
}

static struct ov_net **place(struct dkd_net *d, const char *id)
{
	struct ov_net **p = &d->nets;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static int32_t overlay_allocate(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w, dkd_emit_pair *emit, void *to)
{
	const char *number = dkd_pair_get(w->options, w->options_len, "dockerd.number");
	struct link_error e;
	uint32_t n;
	char text[16];

	if (dkd_pair_get(w->options, w->options_len, VNI_OPTION))
		return 0;
	if (!number)
		return dkd_failf(d->host, call, DKD_ERR_UNAVAILABLE, 0, "overlay networks need a cluster store (--cluster-store)");
	if (read_number(number, "dockerd.number", 0, VNI_LAST - VNI_FIRST, &n, &e) < 0)
		return say(d, call, DKD_ERR_NO_SPACE, &e);
	snprintf(text, sizeof(text), "%u", VNI_FIRST + n);
	emit(to, VNI_OPTION, text);
	return 0;
}

/* One that is known already keeps its peers and members. */
static int32_t overlay_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct ov_net *n = calloc(1, sizeof(*n)), **p;
	struct link_error e = { ENOMEM, "out of memory" };
	int rc = n ? read_network(w, n, &e) : -1;

	pthread_mutex_lock(&d->lock);
	p = place(d, w->id);
	if (rc == 0 && !*p) {
		*p = n;
		n = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	free(n);
	return rc < 0 ? say(d, call, DKD_ERR_INVALID, &e) : 0;
}

static int32_t overlay_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network)
{
	struct ov_net **p, *n;

	(void)call;
	pthread_mutex_lock(&d->lock);
	p = place(d, network);
	n = *p;
	if (n) {
		*p = n->next;
		fabric_close(n, d->exec_root);
		net_free(n);
	}
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int32_t overlay_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep, dkd_emit_pair *emit, void *to)
{
	unsigned char mac[6];
	char text[MAC_TEXT];

	if (ep->mac)
		return mac_parse(ep->mac, mac) == 0 ? 0 : dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "invalid MAC address: %.32s", ep->mac);
	if (mac_make(ep->ipv4, text) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INTERNAL, 0, "no random numbers for a MAC address");
	emit(to, "mac", text);
	return 0;
}

static struct ov_member **member(struct ov_net *n, const char *endpoint)
{
	struct ov_member **p = &n->members;

	while (*p && strcmp((*p)->endpoint, endpoint) != 0)
		p = &(*p)->next;
	return p;
}

static int others_on(const struct ov_net *n, const struct ov_peer *p)
{
	for (const struct ov_peer *o = n->peers; o; o = o->next)
		if (o != p && ov_address_same(&o->host, &p->host))
			return 1;
	return 0;
}

/* Under d->lock. All that is known of the others, for a fabric that was made just now. */
static int tell_all(const struct ov_net *n, struct link_error *e)
{
	for (const struct ov_peer *p = n->peers; p; p = p->next)
		if (fabric_peer(n, p, 1, e) < 0 || fabric_flood(n, &p->host, 1, e) < 0)
			return -1;
	return 0;
}

/* Under d->lock. */
static int bring_up(struct dkd_net *d, struct ov_net *n, const char *endpoint, struct link_error *e)
{
	struct ov_member **p = member(n, endpoint), *m = NULL;
	int fresh = !n->nl;

	if (!*p && !(m = calloc(1, sizeof(*m))))
		return link_fail(e, ENOMEM, "out of memory");
	if (fabric_open(n, d->exec_root, &d->local, e) < 0 || (fresh && tell_all(n, e) < 0)) {
		free(m);
		return -1;
	}
	if (m) {
		snprintf(m->endpoint, sizeof(m->endpoint), "%s", endpoint);
		*p = m;
	}
	return 0;
}

/* Under d->lock. */
static void drop_member(struct dkd_net *d, struct ov_net *n, const char *endpoint)
{
	struct ov_member **p = member(n, endpoint), *m = *p;

	if (m) {
		*p = m->next;
		free(m);
	}
	if (!n->members)
		fabric_close(n, d->exec_root);
}

static int32_t overlay_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j, dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined done = { .size = sizeof(done), .interface_prefix = "eth", .in_sandbox = 1 };
	struct link_error e = { 0, "" };
	char name[IFNAMSIZ];
	struct ov_net *n;
	int rc = -1;

	snprintf(name, sizeof(name), "veth%.11s", j->endpoint);
	if (j->sandbox_fd < 0 && !(j->flags & DKD_NET_RESTORED))
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "an overlay network needs a network namespace");
	pthread_mutex_lock(&d->lock);
	n = *place(d, j->network);
	if (n && (rc = bring_up(d, n, j->endpoint, &e)) == 0 && !(j->flags & DKD_NET_RESTORED) &&
	    (rc = fabric_wire(n, name, j->sandbox_fd, &e)) < 0)
		drop_member(d, n, j->endpoint);
	pthread_mutex_unlock(&d->lock);
	if (!n)
		return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", j->network);
	if (rc < 0)
		return say(d, call, DKD_ERR_UNAVAILABLE, &e);
	if (j->flags & DKD_NET_RESTORED) /* its wire stands as long as its namespace */
		return 0;
	done.interface_name = name;
	emit(to, &done);
	return 0;
}

static int32_t overlay_leave(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct link_error ignored;
	char name[IFNAMSIZ];
	struct ov_net *n;

	(void)call;
	snprintf(name, sizeof(name), "veth%.11s", endpoint);
	pthread_mutex_lock(&d->lock);
	n = *place(d, network);
	if (n && n->nl)
		link_delete(n->nl, name, &ignored);
	if (n)
		drop_member(d, n, endpoint);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static struct ov_peer **peer(struct ov_net *n, const char *endpoint)
{
	struct ov_peer **p = &n->peers;

	while (*p && strcmp((*p)->endpoint, endpoint) != 0)
		p = &(*p)->next;
	return p;
}

/* Under d->lock. */
static int forget_peer(struct ov_net *n, const char *endpoint, struct link_error *e)
{
	struct ov_peer **at = peer(n, endpoint), *p = *at;
	int rc = 0;

	if (!p)
		return 0;
	if (n->nl) {
		rc = fabric_peer(n, p, 0, e);
		if (!others_on(n, p) && fabric_flood(n, &p->host, 0, e) < 0)
			rc = -1;
	}
	*at = p->next;
	free(p);
	return rc;
}

static int read_peer(const struct dkd_pair *data, uint32_t len, struct ov_peer *p)
{
	const char *endpoint = dkd_pair_get(data, len, "endpoint");

	if (!endpoint || strlen(endpoint) >= sizeof(p->endpoint))
		return -1;
	snprintf(p->endpoint, sizeof(p->endpoint), "%s", endpoint);
	return mac_parse(dkd_pair_get(data, len, "mac"), p->mac) < 0 || ov_address_parse(dkd_pair_get(data, len, "host"), &p->host) < 0 || !p->host.family ||
		ov_address_parse(dkd_pair_get(data, len, "ipv4"), &p->ipv4) < 0 || ov_address_parse(dkd_pair_get(data, len, "ipv6"), &p->ipv6) < 0 ? -1 : 0;
}

/* One that moved, or whose word came twice, is told anew. */
static int32_t learn_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_pair *data, uint32_t len)
{
	const char *network = dkd_pair_get(data, len, "network");
	struct ov_peer *p = calloc(1, sizeof(*p));
	struct link_error e = { 0, "" };
	struct ov_net *n;
	int rc = 0;

	if (!p || !network || read_peer(data, len, p) < 0) {
		free(p);
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "what the cluster says of a container is not readable");
	}
	pthread_mutex_lock(&d->lock);
	n = *place(d, network);
	if (n && !ov_address_same(&p->host, &d->local)) {
		rc = forget_peer(n, p->endpoint, &e);
		p->next = n->peers;
		n->peers = p;
		if (n->nl && (fabric_peer(n, p, 1, &e) < 0 || fabric_flood(n, &p->host, 1, &e) < 0))
			rc = -1;
		p = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	free(p);
	return rc < 0 ? say(d, call, DKD_ERR_INTERNAL, &e) : 0;
}

static int32_t overlay_discover_new(const struct dkd_call *call, struct dkd_net *d, const char *type, const struct dkd_pair *data, uint32_t len)
{
	const char *self = dkd_pair_get(data, len, "self");
	struct ov_address a;

	if (strcmp(type, "endpoint") == 0)
		return learn_endpoint(call, d, data, len);
	if (strcmp(type, "node") != 0 || !self || strcmp(self, "true") != 0)
		return 0;
	if (ov_address_parse(dkd_pair_get(data, len, "address"), &a) < 0 || !a.family)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "this host's own address is not readable");
	pthread_mutex_lock(&d->lock);
	d->local = a;
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int32_t overlay_discover_delete(const struct dkd_call *call, struct dkd_net *d, const char *type, const struct dkd_pair *data, uint32_t len)
{
	const char *network = dkd_pair_get(data, len, "network"), *endpoint = dkd_pair_get(data, len, "endpoint");
	struct link_error e = { 0, "" };
	struct ov_net *n;
	int rc = 0;

	if (strcmp(type, "endpoint") != 0 || !network || !endpoint)
		return 0;
	pthread_mutex_lock(&d->lock);
	n = *place(d, network);
	if (n)
		rc = forget_peer(n, endpoint, &e);
	pthread_mutex_unlock(&d->lock);
	return rc < 0 ? say(d, call, DKD_ERR_INTERNAL, &e) : 0;
}

static int has_members(void *ctx, const char *id12)
{
	const struct dkd_net *d = ctx;

	for (const struct ov_net *n = d->nets; n; n = n->next)
		if (strncmp(n->id, id12, strlen(id12)) == 0)
			return n->members != NULL;
	return 0;
}

static int32_t overlay_sweep(const struct dkd_call *call, struct dkd_net *d, const char *const *endpoints, uint32_t endpoints_len)
{
	(void)call;
	(void)endpoints;
	(void)endpoints_len;
	pthread_mutex_lock(&d->lock);
	fabric_sweep(d->exec_root, has_members, d);
	pthread_mutex_unlock(&d->lock);
	return 0;
}

static int32_t overlay_known_options(const struct dkd_call *call, struct dkd_net *d, dkd_emit_pair *emit, void *to)
{
	(void)call;
	(void)d;
	emit(to, VNI_OPTION, "");
	emit(to, "com.docker.network.driver.mtu", "");
	return 0;
}

static const struct dkd_net_ops ops = {
	.open = overlay_open,
	.close = overlay_close,
	.capabilities = overlay_capabilities,
	.create_network = overlay_create_network,
	.delete_network = overlay_delete_network,
	.create_endpoint = overlay_create_endpoint,
	.join = overlay_join,
	.leave = overlay_leave,
	.allocate_network = overlay_allocate,
	.discover_new = overlay_discover_new,
	.discover_delete = overlay_discover_delete,
	.sweep = overlay_sweep,
	.known_options = overlay_known_options,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "overlay",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
