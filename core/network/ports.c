/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Published ports. dockerd-netd reserves them on the host, and leads what the kernel cannot; the driver of the network with
 * the default route leads the rest. They are all or none, and travel as runs of neighbours, so that a thousand are few.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "network/kit.h"
#include "network/net_i.h"
#include "network/netd.h"

#define OPTION_BINDING "com.docker.network.bridge.host_binding_ipv4"
#define OPTION_MODE4 "com.docker.network.bridge.gateway_mode_ipv4"
#define OPTION_MODE6 "com.docker.network.bridge.gateway_mode_ipv6"

/* Where ports of a family lead. */
struct gate {
	const struct net_endpoint *ep; /* NULL: nowhere */
	struct network *n;
	bool routed;                   /* by the container's own address: nothing is bound on the host */
};

struct plan {
	struct gate gates[2];          /* IPv4, IPv6 */
	struct netd_port *v;           /* to bind */
	size_t len;
	struct net_run *routed;
	size_t routed_len;
};

void net_ports_free(struct net_port *v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		free(v[i].host_ip);
	free(v);
}

static void gate_open(struct net_controller *nc, const struct net_box *b, bool ipv6, struct gate *ret)
{
	const char *mode;

	*ret = (struct gate){ .ep = net_gateway(b->eps, b->eps_len, ipv6) };
	if (!ret->ep)
		return;
	ret->n = net_find(nc, ret->ep->network_id, NULL);
	mode = ret->n ? strmap_get(&ret->n->options, ipv6 ? OPTION_MODE6 : OPTION_MODE4) : NULL;
	ret->routed = mode && streq(mode, "routed");
	if (str_empty(ipv6 ? ret->ep->ipv6 : ret->ep->ipv4) || (mode && streq(mode, "isolated")))
		ret->ep = NULL;
}

static void plan_done(struct plan *p)
{
	network_unref(p->gates[0].n);
	network_unref(p->gates[1].n);
	free(p->v);
	free(p->routed);
}

/* Whether the host speaks IPv6 at all. */
static bool host_has_ipv6(void)
{
	static int known; /* 1 yes, 2 no; any thread finds the same */
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	OWN_FD int fd = -1;

	if (__atomic_load_n(&known, __ATOMIC_RELAXED))
		return known == 1;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__atomic_store_n(&known, fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0 ? 1 : 2, __ATOMIC_RELAXED);
	return known == 1;
}

/* One port at one address of the host. */
static void add(const struct net_controller *nc, struct plan *p, const struct net_port *want, const char *ip, bool ipv6, bool maybe)
{
	const struct gate *g = &p->gates[ipv6], *other = &p->gates[0];
	struct netd_port *n;

	if (g->ep && g->routed) {
		struct net_run *r = &p->routed[p->routed_len++];

		*r = (struct net_run){ .proto = want->proto, .port = want->port, .count = 1 };
		snprintf(r->host_ip, sizeof(r->host_ip), "%s", ip);
		return;
	}
	/* an IPv6 address of the host leads to a container that has none by the proxy only */
	if (!g->ep && (!ipv6 || !other->ep || other->routed || !nc->userland_proxy))
		return;
	n = &p->v[p->len++];
	*n = (struct netd_port){
		.proto = want->proto, .host_port = want->host_port, .host_port_end = want->host_port_end ? want->host_port_end : want->host_port,
		.count = 1, .port = want->port, .proxy = nc->userland_proxy,
	};
	n->maybe = maybe;
	if (nc->kit) {
		snprintf(n->outside, sizeof(n->outside), "%s", ip);
		kit_inside(nc->kit, ip, ipv6, n->host_ip);
	} else {
		snprintf(n->host_ip, sizeof(n->host_ip), "%s", ip);
	}
	cidr_plain(g->ep ? (ipv6 ? g->ep->ipv6 : g->ep->ipv4) : other->ep->ipv4, n->target);
}

static int add_all(const struct net_controller *nc, struct plan *p, const struct net_port *want, struct err *err)
{
	const char *binding = p->gates[0].n ? strmap_get(&p->gates[0].n->options, OPTION_BINDING) : NULL;
	struct ip a;

	if (want->port == 0 || want->port > 65535 || want->host_port > 65535 || want->host_port_end > 65535 ||
	    (want->host_port_end && want->host_port_end < want->host_port))
		return err_set(err, ERR_INVALID, "invalid port: %u-%u to %u", want->host_port, want->host_port_end, want->port);
	if (!str_empty(want->host_ip)) {
		if (!ip_parse(want->host_ip, &a))
			return err_set(err, ERR_INVALID, "invalid IP address of a published port: %s", want->host_ip);
		add(nc, p, want, want->host_ip, a.v6, false);
	} else if (!str_empty(binding) && !streq(binding, "0.0.0.0") && ip_parse(binding, &a)) {
		add(nc, p, want, binding, a.v6, false);
	} else {
		add(nc, p, want, "0.0.0.0", false, false);
		if (host_has_ipv6() && (!nc->kit || kit_leads(nc->kit, want->proto, true)))
			add(nc, p, want, "::", true, true);
	}
	return 0;
}

static bool is_fixed(const struct netd_port *p)
{
	return p->host_port && p->host_port == p->host_port_end;
}

static int by_place(const void *a, const void *b)
{
	const struct netd_port *x = a, *y = b;
	int rc;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	rc = strcmp(x->host_ip, y->host_ip);
	if (rc)
		return rc;
	return x->host_port < y->host_port ? -1 : x->host_port > y->host_port;
}

/* Fixed ones first, neighbours as one; the others in the order of asking, both families of one beside each other. */
static void merge(struct plan *p)
{
	OWN_FREE struct netd_port *loose = xcalloc(p->len + 1, sizeof(*loose));
	size_t fixed = 0, rest = 0, len = 0;

	for (size_t i = 0; i < p->len; i++) {
		if (is_fixed(&p->v[i]))
			p->v[fixed++] = p->v[i];
		else
			loose[rest++] = p->v[i];
	}
	qsort(p->v, fixed, sizeof(*p->v), by_place);
	for (size_t i = 0; i < fixed; i++) {
		struct netd_port *last = len ? &p->v[len - 1] : NULL, *now = &p->v[i];

		if (last && last->proto == now->proto && streq(last->host_ip, now->host_ip) && streq(last->outside, now->outside) && last->maybe == now->maybe &&
		    streq(last->target, now->target) &&
		    now->host_port == last->host_port + last->count && now->port == last->port + last->count)
			last->count++;
		else
			p->v[len++] = *now;
	}
	memcpy(p->v + len, loose, rest * sizeof(*loose));
	p->len = len + rest;
}

static int plan_make(struct net_controller *nc, const struct net_box *b, const struct net_port *ports, size_t len, struct plan *p, struct err *err)
{
	*p = (struct plan){ .v = xcalloc(2 * len + 1, sizeof(*p->v)), .routed = xcalloc(2 * len + 1, sizeof(*p->routed)) };
	gate_open(nc, b, false, &p->gates[0]);
	gate_open(nc, b, true, &p->gates[1]);
	for (size_t i = 0; i < len; i++)
		if (add_all(nc, p, &ports[i], err) < 0)
			return -1;
	merge(p);
	return 0;
}

/* What is bound now, and what is routed. */
static void to_runs(const struct plan *p, struct net_box *b)
{
	free(b->runs);
	b->runs = xcalloc(p->len + p->routed_len + 1, sizeof(*b->runs));
	b->runs_len = 0;
	for (size_t i = 0; i < p->len; i++) {
		struct net_run *r = &b->runs[b->runs_len++];

		*r = (struct net_run){ .proto = p->v[i].proto, .host_port = p->v[i].host_port, .port = p->v[i].port, .count = p->v[i].count };
		memcpy(r->host_ip, p->v[i].host_ip, sizeof(r->host_ip));
		memcpy(r->outside, p->v[i].outside, sizeof(r->outside));
		r->maybe = p->v[i].maybe;
	}
	for (size_t i = 0; i < p->routed_len; i++)
		b->runs[b->runs_len++] = p->routed[i];
}

static bool is_ipv6(const struct net_run *r)
{
	return strchr(r->host_ip, ':') != NULL;
}

/* The runs of the families that lead to ep. */
static size_t runs_of(const struct plan *p, const struct net_box *b, const struct net_endpoint *ep, struct net_run *ret)
{
	size_t len = 0;

	for (size_t i = 0; i < b->runs_len; i++)
		if (p->gates[is_ipv6(&b->runs[i])].ep == ep)
			ret[len++] = b->runs[i];
	return len;
}

static int program_at(struct net_controller *nc, const struct plan *p, const struct net_box *b, const struct gate *g, bool restored, struct err *err)
{
	OWN_FREE struct net_run *runs = xcalloc(b->runs_len + 1, sizeof(*runs));
	size_t len = g->ep ? runs_of(p, b, g->ep, runs) : 0;
	struct net_driver *d;
	bool done;

	if (!g->ep || !g->n || !(d = net_driver_get(nc->drivers, g->n->driver, err)))
		return g->ep && g->n ? -1 : 0;
	if (net_driver_publish(d, g->ep, runs, len, restored, !nc->userland_proxy, &done, err) < 0)
		return -1;
	if (!done && len)
		log_warn("container %.12s: the driver %s of network %s publishes no ports", b->container, g->n->driver, g->n->name);
	return 0;
}

/* The drivers' half: one call where both families lead to one endpoint. */
static int program(struct net_controller *nc, const struct plan *p, const struct net_box *b, bool restored, struct err *err)
{
	if (program_at(nc, p, b, &p->gates[0], restored, err) < 0)
		return -1;
	return p->gates[1].ep != p->gates[0].ep ? program_at(nc, p, b, &p->gates[1], restored, err) : 0;
}

static int external_failed(struct net_controller *nc, const struct net_box *b, const struct plan *p, struct err *err)
{
	const struct net_endpoint *ep = p->gates[0].ep ? p->gates[0].ep : p->gates[1].ep;
	OWN_FREE char *name = NULL;
	net_name_fn *name_of;
	void *ctx;

	if (!err) /* on the way back from another failure */
		return -1;
	lock_take(&nc->lock);
	name_of = nc->name_of;
	ctx = nc->name_ctx;
	lock_drop(&nc->lock);
	name = name_of ? name_of(ctx, b->container) : NULL;
	err->class = ERR_INTERNAL;
	return err_wrap(err, "driver failed programming external connectivity on endpoint %s (%s)", name ? name : "", ep ? ep->id : "");
}

/* rootlesskit's half. *ret_failed as of kit_publish(). */
static int lead_all(struct net_controller *nc, const struct net_box *b, const struct plan *p, size_t *ret_failed, struct err *err)
{
	OWN_FREE struct kit_port *v = xcalloc(p->len + 1, sizeof(*v));

	for (size_t i = 0; i < p->len; i++) {
		v[i] = (struct kit_port){ .proto = p->v[i].proto, .port = p->v[i].host_port, .count = p->v[i].count, .maybe = p->v[i].maybe };
		memcpy(v[i].host_ip, p->v[i].outside, sizeof(v[i].host_ip));
		memcpy(v[i].inside, p->v[i].host_ip, sizeof(v[i].inside));
	}
	return kit_publish(nc->kit, b->id, v, p->len, ret_failed, err);
}

/*
 * A port that was free in here and that somebody of the host has: of those that leave the choice another one is to be tried. v: what was
 * asked for. False: there is no choice.
 */
static bool choose_behind(struct netd_port *v, size_t len, const struct netd_port *failed, size_t at)
{
	const struct netd_port asked = v[at];

	if (is_fixed(&asked))
		return false;
	if (!asked.host_port)
		return true;
	/* both families have the same one */
	for (size_t i = 0; i < len; i++)
		if (v[i].proto == asked.proto && v[i].port == asked.port && v[i].host_port == asked.host_port && v[i].host_port_end == asked.host_port_end)
			v[i].host_port = failed->host_port + 1;
	return v[at].host_port <= v[at].host_port_end;
}

#define CHOICES 100

static int bind_all(struct net_controller *nc, const struct net_box *b, struct plan *p, struct err *err)
{
	OWN_FREE struct netd_port *asked = xcalloc(p->len + 1, sizeof(*asked));
	size_t failed;

	memcpy(asked, p->v, p->len * sizeof(*asked));
	for (int tries = 1;; tries++) {
		OWN_ERR struct err why = ERR_INIT;

		if (netd_publish(nc->netd, b->id, p->v, p->len, err) < 0)
			return -1;
		if (!nc->kit || lead_all(nc, b, p, &failed, &why) == 0)
			return 0;
		netd_revoke(nc->netd, b->id, NULL);
		if (failed == p->len || tries == CHOICES || !choose_behind(asked, p->len, &p->v[failed], failed))
			return err_move(err, &why);
		memcpy(p->v, asked, p->len * sizeof(*asked));
	}
}

static int apply(struct net_controller *nc, struct net_box *b, struct plan *p, bool restored, struct err *err)
{
	if (p->len && !nc->netd)
		return err_set(err, ERR_NOT_IMPLEMENTED, "ports cannot be published: the daemon runs without dockerd-netd");
	if ((p->len || b->runs_len) && nc->netd && bind_all(nc, b, p, err) < 0)
		return external_failed(nc, b, p, err);
	to_runs(p, b);
	return program(nc, p, b, restored, err) < 0 ? external_failed(nc, b, p, err) : 0;
}

/* As single ports of addresses of the host, for the caller. */
static void tell(const struct net_box *b, struct net_port **ret, size_t *ret_len)
{
	size_t room = 0;

	for (size_t i = 0; i < b->runs_len; i++)
		room += b->runs[i].count;
	*ret = xcalloc(room + 1, sizeof(**ret));
	*ret_len = 0;
	for (size_t i = 0; i < b->runs_len; i++)
		for (unsigned j = 0; j < b->runs[i].count && b->runs[i].host_port; j++)
			(*ret)[(*ret_len)++] = (struct net_port){
				.proto = b->runs[i].proto, .host_ip = xstrdup(*b->runs[i].outside ? b->runs[i].outside : b->runs[i].host_ip), .host_port = b->runs[i].host_port + j,
				.host_port_end = b->runs[i].host_port + j, .port = b->runs[i].port + j,
			};
}

/* b's runs as what to ask for: the very same. */
static void plan_again(struct net_controller *nc, const struct net_box *b, struct plan *p)
{
	*p = (struct plan){ .v = xcalloc(b->runs_len + 1, sizeof(*p->v)), .routed = xcalloc(b->runs_len + 1, sizeof(*p->routed)) };
	gate_open(nc, b, false, &p->gates[0]);
	gate_open(nc, b, true, &p->gates[1]);
	for (size_t i = 0; i < b->runs_len; i++) {
		const struct net_run *r = &b->runs[i];
		const struct net_port want = { .proto = r->proto, .host_port = r->host_port, .host_port_end = r->host_port, .port = r->port };
		size_t len = p->len, routed = p->routed_len;

		add(nc, p, &want, *r->outside ? r->outside : r->host_ip, is_ipv6(r), r->maybe);
		if (p->len > len)
			p->v[len].count = r->count;
		if (p->routed_len > routed)
			p->routed[routed].count = r->count;
	}
}

static int again(struct net_controller *nc, struct net_box *b, bool restored, struct err *err)
{
	CLEANUP(plan_done) struct plan p;

	plan_again(nc, b, &p);
	return apply(nc, b, &p, restored, err);
}

int net_ports_again(struct net_controller *nc, struct net_box *b, bool restored, struct err *err)
{
	return b->runs_len ? again(nc, b, restored, err) : 0;
}

bool net_published_at(const struct net_box *b, const struct net_endpoint *ep)
{
	return b->runs_len && (net_gateway(b->eps, b->eps_len, false) == ep || net_gateway(b->eps, b->eps_len, true) == ep);
}

void net_ports_revoke_at(struct net_controller *nc, const struct net_endpoint *ep, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	struct net_driver *d = n ? net_driver_get(nc->drivers, n->driver, err) : NULL;

	if (d)
		net_driver_revoke(d, ep, err);
}

void net_ports_revoke(struct net_controller *nc, const struct net_box *b, struct err *err)
{
	if (!b->runs_len)
		return;
	for (size_t i = 0; i < b->eps_len; i++)
		if (net_published_at(b, &b->eps[i]))
			net_ports_revoke_at(nc, &b->eps[i], err);
	if (nc->kit)
		kit_revoke(nc->kit, b->id);
	if (nc->netd)
		netd_revoke(nc->netd, b->id, err && !err->msg ? err : NULL);
}

static int publish(struct net_controller *nc, struct net_box *b, const struct net_port *ports, size_t len, struct err *err)
{
	CLEANUP(plan_done) struct plan p;
	struct net_box *before = net_box_copy(b);
	int rc = plan_make(nc, b, ports, len, &p, err);

	if (rc == 0 && (apply(nc, b, &p, false, err) < 0 || net_box_write(nc->exec_root, b, err) < 0)) {
		rc = -1;
		if (before->runs_len)
			again(nc, before, false, NULL);
		else
			net_ports_revoke(nc, b, NULL);
	}
	net_box_free(before);
	return rc;
}

int sandbox_publish(struct net_controller *nc, const char *container_id, const struct net_port *ports, size_t len,
	struct net_port **ret, size_t *ret_len, struct err *err)
{
	struct net_box *b;
	int rc;

	*ret = NULL;
	*ret_len = 0;
	b = net_box_take(nc, container_id, err);
	if (!b)
		return -1;
	rc = b->host || (!len && !b->runs_len) ? 0 : publish(nc, b, ports, len, err);
	if (rc == 0)
		tell(b, ret, ret_len);
	net_box_put(nc, b, rc == 0);
	return rc;
}

/* "80/tcp", "8000-8010/udp", "80". */
static bool exposed_run(const char *text, struct net_run *ret)
{
	static const struct { const char *name; int proto; } protos[] = { { "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP } };
	unsigned first = 0, last = 0;
	char proto[8] = "tcp";
	int n = sscanf(text, "%5u-%5u/%7s", &first, &last, proto);

	if (n < 2) {
		n = sscanf(text, "%5u/%7s", &first, proto);
		last = first;
	}
	if (n < 1 || !first || last < first || last > 65535)
		return false;
	*ret = (struct net_run){ .port = first, .count = last - first + 1 };
	for (size_t i = 0; i < ARRAY_LEN(protos); i++)
		if (streq(proto, protos[i].name))
			ret->proto = protos[i].proto;
	return ret->proto != 0;
}

static int link_fill(const struct net_linked *from, struct net_link *to, struct err *err)
{
	size_t n = from->exposed ? from->exposed->len : 0;
	struct net_run *runs = xcalloc(n + 1, sizeof(*runs));

	*to = (struct net_link){ .to = from->address, .ports = runs };
	for (size_t i = 0; i < n; i++)
		if (!exposed_run(from->exposed->v[i], &runs[to->ports_len++]))
			return err_set(err, ERR_INVALID, "invalid exposed port: %s", from->exposed->v[i]);
	return 0;
}

int sandbox_links(struct net_controller *nc, const char *container_id, const struct net_linked *to, size_t len, struct err *err)
{
	OWN_FREE struct net_link *v = xcalloc(len + 1, sizeof(*v));
	OWN_NETWORK struct network *n = net_find_name(nc, "bridge");
	struct net_box *b = n ? net_box_take(nc, container_id, err) : NULL;
	const struct net_endpoint *ep = b ? net_box_endpoint(b, n->id) : NULL;
	struct net_driver *d;
	int rc = n && !b ? -1 : 0;

	for (size_t i = 0; i < len && rc == 0; i++)
		rc = link_fill(&to[i], &v[i], err);
	if (rc == 0 && ep)
		rc = (d = net_driver_get(nc->drivers, n->driver, err)) ? net_driver_links(d, ep, v, len, err) : -1;
	for (size_t i = 0; i < len; i++)
		free((void *)v[i].ports);
	if (b)
		net_box_put(nc, b, false);
	return rc;
}
