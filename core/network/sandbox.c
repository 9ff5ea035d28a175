/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sandboxes: the network namespace of a container, bound at EXEC-ROOT/netns/<12 hex>, and the container's places on
 * networks. The file of a sandbox is written when all of it stands and removed last, so that whatever a crash leaves is
 * undone by the next start: a file tells what it was, a namespace without one is swept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/announce.h"
#include "network/cluster.h"
#include "network/net_i.h"

void sandbox_done(struct sandbox *sb)
{
	free(sb->netns_path);
	free(sb->userns_path);
	free(sb->key);
	for (size_t i = 0; i < sb->eps_len; i++)
		net_endpoint_done(&sb->eps[i]);
	free(sb->eps);
	*sb = (struct sandbox){0};
}

const struct net_endpoint *sandbox_endpoint(const struct sandbox *sb, const char *network)
{
	for (size_t i = 0; i < sb->eps_len; i++)
		if (streq(sb->eps[i].network_id, network) || (sb->eps[i].network && streq(sb->eps[i].network, network)))
			return &sb->eps[i];
	return NULL;
}

const struct net_endpoint *sandbox_gateway(const struct sandbox *sb, bool ipv6)
{
	return net_gateway(sb->eps, sb->eps_len, ipv6);
}

/* A wish with what it is about; the network is held. */
struct errand {
	const struct net_wish *wish;
	struct network *n;
	struct net_driver *d;
	bool way_out;       /* see gateway.c */
};

/* A namespace, open; none of them for the host's. */
struct inside {
	struct announcer *announcer;
	char *path;
	int fd, rtnl, packet;
};

static void inside_done(struct inside *in)
{
	free(in->path);
	fd_close(&in->fd);
	fd_close(&in->rtnl);
	announcer_close(in->announcer, in->packet);
}

/* The namespace of a sandbox that stands. packet: with a socket for announcements. */
static int inside_open(struct net_controller *nc, const struct net_box *b, bool packet, struct inside *ret, struct err *err)
{
	struct spawner_inside made = { .packet_wanted = packet };

	*ret = (struct inside){ .announcer = nc->announcer, .path = net_box_path(nc->exec_root, b), .fd = -1, .rtnl = -1, .packet = -1 };
	if (spawner_netns_enter(nc->spawner, ret->path, NULL, &made, err) < 0)
		return -1;
	ret->rtnl = made.rtnl;
	ret->packet = made.packet;
	ret->fd = open(ret->path, O_RDONLY | O_CLOEXEC);
	return ret->fd < 0 ? err_errno(err, errno, "open %s", ret->path) : 0;
}

/* The same, which is made first. */
static int inside_make(struct net_controller *nc, const struct net_box *b, int userns, bool packet, struct inside *ret, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/netns", nc->exec_root);
	struct spawner_inside made = { .packet_wanted = packet };

	*ret = (struct inside){ .announcer = nc->announcer, .fd = -1, .rtnl = -1, .packet = -1 };
	if (b->host)
		return 0;
	ret->path = net_box_path(nc->exec_root, b);
	if (fs_mkdirs(dir, 0755, err) < 0 || spawner_netns(nc->spawner, ret->path, userns, &made, err) < 0)
		return -1;
	ret->rtnl = made.rtnl;
	ret->packet = made.packet;
	ret->fd = open(ret->path, O_RDONLY | O_CLOEXEC);
	if (ret->fd >= 0)
		return 0;
	err_errno(err, errno, "open %s", ret->path);
	spawner_netns_drop(nc->spawner, ret->path, NULL);
	return -1;
}

static void endpoint_init(struct net_endpoint *ep, const struct net_box *b, const struct errand *e)
{
	const struct net_wish *w = e->wish;

	*ep = (struct net_endpoint){ .network = xstrdup(e->n->name), .priority = w->priority, .way_out = e->way_out };
	id_random_hex(ep->id, ID_HEX);
	memcpy(ep->network_id, e->n->id, sizeof(ep->network_id));
	if (!str_empty(w->mac) && !b->host && !streq(e->n->driver, "null"))
		ep->mac = xstrdup(w->mac);
	if (w->names)
		strv_copy(&ep->names, w->names);
	if (w->links)
		strmap_copy(&ep->links, w->links);
	if (w->link_local)
		strv_copy(&ep->link_local, w->link_local);
	if (w->options)
		strmap_copy(&ep->options, w->options);
}

static int wire(struct net_controller *nc, struct net_driver *d, struct net_box *b, struct net_endpoint *ep, const struct inside *in, struct err *err)
{
	CLEANUP(net_joined_done) struct net_joined joined;

	if (net_driver_join(d, ep, b->container, in->path, in->fd, false, &joined, err) < 0)
		return -1;
	if (net_wire(nc, b, ep, &joined, in->fd, in->rtnl, err) == 0)
		return 0;
	if (in->rtnl >= 0)
		net_unwire(ep, in->rtnl);
	net_driver_leave(d, ep, NULL);
	return -1;
}

/* Address and wire; the endpoint is the box's from then on. */
static int enter(struct net_controller *nc, struct net_box *b, const struct errand *e, const struct inside *in, struct err *err)
{
	struct net_endpoint ep;
	int rc;

	endpoint_init(&ep, b, e);
	rc = net_endpoint_check(&ep.options, err);
	if (rc == 0)
		rc = net_cluster_address(nc, e->d, e->n, &ep, e->wish->ipv4, e->wish->ipv6, err);
	if (rc == 0 && (rc = wire(nc, e->d, b, &ep, in, err)) < 0) {
		net_address_give(nc, &ep);
		if (network_is_global(e->n))
			net_cluster_left(net_cluster_of(nc), &ep);
	}
	if (rc == 0 && network_is_global(e->n))
		net_cluster_arrived(net_cluster_of(nc), &ep, b->container);
	if (rc == 0)
		net_box_add(b, &ep);
	net_endpoint_done(&ep);
	return rc < 0 ? err_wrap(err, "network %s", e->n->name) : 0;
}

/* The daemon's own way out, for a container that needs one, also without its place on a network (NULL: with all). */
static int add_way_out(struct net_controller *nc, struct net_box *b, const char *but, const struct inside *in, struct err *err)
{
	static const struct net_wish nothing;
	struct errand e = { .wish = &nothing, .way_out = true };
	int rc;

	if (b->host || net_box_way_out(b) || !net_needs_way_out(b, but))
		return 0;
	e.n = net_hold_way_out(nc, err);
	e.d = e.n ? net_driver_get(nc->drivers, e.n->driver, err) : NULL;
	rc = e.d ? enter(nc, b, &e, in, err) : -1;
	net_let_go(nc, e.n);
	return rc;
}

/* All endpoints of a sandbox. Goes on after an error and reports the first. */
static void leave_all(struct net_controller *nc, const struct net_box *b, struct err *first)
{
	for (size_t i = b->eps_len; i-- > 0;) {
		OWN_NETWORK struct network *n = net_find(nc, b->eps[i].network_id, NULL);
		struct err *err = first && !first->msg ? first : NULL;
		struct net_driver *d = n ? net_driver_get(nc->drivers, n->driver, err) : NULL;

		announcer_stop(nc->announcer, b->eps[i].id);
		if (d)
			net_driver_leave(d, &b->eps[i], err && !err->msg ? err : NULL);
		if (n && network_is_global(n))
			net_cluster_left(net_cluster_of(nc), &b->eps[i]);
	}
}

static void give_all(struct net_controller *nc, const struct net_box *b)
{
	for (size_t i = 0; i < b->eps_len; i++)
		net_address_give(nc, &b->eps[i]);
}

/* Endpoints tell their neighbours, but for those that are before's, too (NULL: none). */
static void announce(struct net_controller *nc, const struct net_box *b, const struct net_box *before, struct inside *in)
{
	struct announcement *t = announcement_new(STEAL_FD(in->packet));

	for (size_t i = 0; t && i < b->eps_len; i++) {
		const struct net_endpoint *ep = &b->eps[i];
		OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);

		if (n && !(before && net_box_has(before, ep->id)))
			announcement_add(t, ep, &n->options);
	}
	announcer_begin(nc->announcer, t);
}

/* Namespace, addresses and wires, routes, names, file, in this order; undone on failure. */
static int build(struct net_controller *nc, struct net_box *b, int userns, const struct errand *v, size_t len, struct err *err)
{
	CLEANUP(inside_done) struct inside in;
	int rc = 0;

	if (inside_make(nc, b, userns, len && !net_driver_no_ipam(v[0].d), &in, err) < 0)
		return -1;
	for (size_t i = 0; i < len && rc == 0; i++)
		rc = enter(nc, b, &v[i], &in, err);
	if (rc == 0)
		rc = add_way_out(nc, b, NULL, &in, err);
	if (rc == 0 && (b->host || net_wire_gateways(b, in.rtnl, err) == 0) && net_dns_feed(nc, b, err) == 0 && net_box_write(nc->exec_root, b, err) == 0) {
		announce(nc, b, NULL, &in);
		return 0;
	}
	net_dns_drop(nc, b);
	leave_all(nc, b, NULL);
	give_all(nc, b);
	if (in.path)
		spawner_netns_drop(nc->spawner, in.path, NULL);
	return -1;
}

static int errand_init(struct net_controller *nc, const struct net_wish *w, struct errand *e, struct err *err)
{
	*e = (struct errand){ .wish = w, .n = net_hold(nc, w->network, err) };
	e->d = e->n ? net_driver_get(nc->drivers, e->n->driver, err) : NULL;
	return e->d ? 0 : -1;
}

/* The host's namespace and the one without anything have no other network beside them. */
static int check_alone(const struct errand *v, size_t len, struct err *err)
{
	for (size_t i = 0; i < len && len > 1; i++) {
		if (net_driver_host_sandbox(v[i].d))
			return err_set(err, ERR_INVALID, "container sharing network namespace with another container or host cannot be connected to any "
				"other network");
		if (streq(v[i].n->driver, "null"))
			return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one of the networks in private (none) mode");
		for (size_t j = 0; j < i; j++)
			if (streq(v[i].n->id, v[j].n->id))
				return err_set(err, ERR_INVALID, "container is connected to network %s twice", v[i].n->name);
	}
	return 0;
}

static int create(struct net_controller *nc, const char *container_id, int userns, const struct errand *v, size_t len, const struct net_resolv *resolv,
	struct sandbox *ret, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *b = NULL;

	/* What an earlier run that ended badly left behind. */
	if (check_alone(v, len, err) < 0 || sandbox_remove(nc, container_id, NULL, err) < 0)
		return -1;
	b = net_box_new(container_id, len);
	b->host = len && net_driver_host_sandbox(v[0].d);
	if (b->host && userns >= 0)
		return err_set(err, ERR_INVALID, NET_HOST_REFUSED);
	if (resolv && resolv->servers)
		strv_copy(&b->servers, resolv->servers);
	if (resolv && resolv->search)
		strv_copy(&b->search, resolv->search);
	if (build(nc, b, userns, v, len, err) < 0)
		return -1;
	net_box_publish(nc, STEAL(b), ret);
	return 0;
}

int sandbox_create(struct net_controller *nc, const char *container_id, int userns, const struct net_wish *wishes, size_t len,
	const struct net_resolv *resolv, struct sandbox *ret, struct err *err)
{
	OWN_FREE struct errand *v = xcalloc(len + 1, sizeof(*v));
	size_t found = 0;
	int rc = 0;

	*ret = (struct sandbox){0};
	if (!id_is_hex64(container_id))
		return err_set(err, ERR_INVALID, "not the id of a container: %s", container_id);
	while (found < len && rc == 0)
		rc = errand_init(nc, &wishes[found], &v[found], err), found++;
	if (rc == 0)
		rc = create(nc, container_id, userns, v, len, resolv, ret, err);
	for (size_t i = 0; i < found; i++)
		net_let_go(nc, v[i].n);
	return rc;
}

static int check_connect(const struct net_box *b, const struct errand *e, struct err *err)
{
	if (b->host || net_driver_host_sandbox(e->d))
		return err_set(err, ERR_INVALID, "container sharing network namespace with another container or host cannot be connected to any "
			"other network");
	if (streq(e->n->driver, "null") || (b->eps_len && streq(b->eps[0].network, "none")))
		return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one of the networks in private (none) mode");
	if (net_box_endpoint(b, e->n->id))
		return err_set(err, ERR_FORBIDDEN, "endpoint with name %s already exists in network %s", b->container, e->n->name);
	return 0;
}

/* Published ports lead by the default route; moved is whether that is another one than before. */
static int follow(struct net_controller *nc, struct net_box *b, const struct net_box *before, struct err *err)
{
	for (int ipv6 = 0; ipv6 <= 1 && b->runs_len; ipv6++) {
		const struct net_endpoint *was = net_gateway(before->eps, before->eps_len, ipv6), *is = net_gateway(b->eps, b->eps_len, ipv6);

		if (was && (!is || !streq(was->id, is->id)) && net_box_endpoint(b, was->network_id))
			net_ports_revoke_at(nc, was, NULL);
		if (is && (!was || !streq(was->id, is->id)) && net_ports_again(nc, b, false, err) < 0)
			return -1;
	}
	return 0;
}

/* One endpoint's way out. */
static void leave(struct net_controller *nc, struct net_box *b, struct net_endpoint *ep, const struct inside *in, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	struct net_driver *d = n ? net_driver_get(nc->drivers, n->driver, err) : NULL;

	announcer_stop(nc->announcer, ep->id);
	net_unwire_soon(nc, ep, in->rtnl);
	if (d)
		net_driver_leave(d, ep, err && !err->msg ? err : NULL);
	if (n && network_is_global(n))
		net_cluster_left(net_cluster_of(nc), ep);
	net_address_give(nc, ep);
	net_box_del(b, ep);
}

/* When another network leads out. What is published there is led elsewhere already, or nowhere any more. */
static void drop_way_out(struct net_controller *nc, struct net_box *b, const struct inside *in)
{
	struct net_endpoint *own = net_box_way_out(b);
	OWN_ERR struct err err = ERR_INIT;

	if (!own || net_needs_way_out(b, NULL))
		return;
	if (b->runs_len)
		net_ports_revoke_at(nc, own, NULL);
	leave(nc, b, own, in, &err);
	if (err.msg)
		log_warn("container %.12s: %s", b->container, err_text(&err));
}

static int connect_one(struct net_controller *nc, struct net_box *b, const struct errand *e, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *before = net_box_copy(b);
	CLEANUP(inside_done) struct inside in = { .fd = -1, .rtnl = -1, .packet = -1 };

	if (check_connect(b, e, err) < 0 || inside_open(nc, b, true, &in, err) < 0 || enter(nc, b, e, &in, err) < 0)
		return -1;
	if (add_way_out(nc, b, NULL, &in, err) == 0 && net_wire_gateways(b, in.rtnl, err) == 0 && follow(nc, b, before, err) == 0) {
		drop_way_out(nc, b, &in);
		if (net_dns_feed(nc, b, err) == 0 && net_box_write(nc->exec_root, b, err) == 0) {
			announce(nc, b, before, &in);
			return 0;
		}
	}
	leave(nc, b, net_box_endpoint(b, e->n->id), &in, NULL);
	add_way_out(nc, b, NULL, &in, NULL);
	drop_way_out(nc, b, &in);
	net_wire_gateways(b, in.rtnl, NULL);
	net_ports_again(nc, b, false, NULL);
	net_dns_feed(nc, b, NULL);
	return -1;
}

/* The caller's view becomes that of the list. */
static void refresh(struct net_controller *nc, const struct net_box *b, struct sandbox *io)
{
	sandbox_done(io);
	net_box_fill(nc, b, true, io);
}

int sandbox_connect(struct net_controller *nc, const char *container_id, const struct net_wish *wish, struct sandbox *io, struct err *err)
{
	struct net_box *b = NULL;
	struct errand e;
	int rc = errand_init(nc, wish, &e, err);

	if (rc == 0 && (b = net_box_take(nc, container_id, err))) {
		rc = connect_one(nc, b, &e, err);
		if (rc == 0)
			refresh(nc, b, io);
		net_box_put(nc, b, rc == 0);
	}
	net_let_go(nc, e.n);
	return b ? rc : -1;
}

/* The way out is another one before this one goes. */
static int turn_away(struct net_controller *nc, struct net_box *b, const char *network_id, const struct inside *in, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *rest = NULL;

	if (add_way_out(nc, b, network_id, in, err) < 0)
		return -1;
	rest = net_box_copy(b);
	net_box_del(rest, net_box_endpoint(rest, network_id));
	if (net_box_way_out(rest) && !net_needs_way_out(rest, NULL))
		net_box_del(rest, net_box_way_out(rest));
	if (net_wire_gateways(rest, in->rtnl, err) == 0)
		return 0;
	drop_way_out(nc, b, in);
	return -1;
}

static int disconnect_one(struct net_controller *nc, struct net_box *b, const char *network_id, struct err *err)
{
	CLEANUP(inside_done) struct inside in = { .fd = -1, .rtnl = -1, .packet = -1 };
	OWN_ERR struct err why = ERR_INIT;
	CLEANUP(net_box_freep) struct net_box *before = net_box_copy(b);
	struct net_endpoint *ep;
	bool published;

	if (inside_open(nc, b, false, &in, err) < 0 || turn_away(nc, b, network_id, &in, err) < 0)
		return -1;
	ep = net_box_endpoint(b, network_id);
	published = net_published_at(b, ep);
	if (published)
		net_ports_revoke_at(nc, ep, NULL);
	leave(nc, b, ep, &in, &why);
	published |= net_box_way_out(b) && net_published_at(b, net_box_way_out(b));
	drop_way_out(nc, b, &in);
	if (published && net_ports_again(nc, b, false, why.msg ? NULL : &why) < 0)
		b->runs_len = 0;
	/* with its last network of users its resolver goes */
	if (!net_box_named(b))
		net_dns_drop(nc, before);
	if (net_dns_feed(nc, b, why.msg ? NULL : &why) < 0 || net_box_write(nc->exec_root, b, why.msg ? NULL : &why) < 0 || why.msg)
		log_warn("container %.12s: %s", b->container, err_text(&why));
	return 0;
}

int sandbox_disconnect(struct net_controller *nc, const char *container_id, const char *network, struct sandbox *io, struct err *err)
{
	struct net_box *b = net_box_take(nc, container_id, err);
	struct net_endpoint *ep = NULL;
	char id[sizeof(ep->network_id)]; /* endpoints move when a way out comes beside them */
	int rc;

	for (size_t i = 0; b && i < b->eps_len; i++)
		if (!b->eps[i].way_out && (streq(b->eps[i].network_id, network) || streq(b->eps[i].network, network)))
			ep = &b->eps[i];
	if (!b)
		return -1;
	if (!ep)
		rc = err_set(err, ERR_INTERNAL, "container %s is not connected to network %s", container_id, network);
	else if (b->host)
		rc = err_set(err, ERR_INVALID, "container cannot be disconnected from host network or connected to host network");
	else {
		memcpy(id, ep->network_id, sizeof(id));
		rc = disconnect_one(nc, b, id, err);
	}
	if (rc == 0)
		refresh(nc, b, io);
	net_box_put(nc, b, rc == 0);
	return rc;
}

int sandbox_share(struct net_controller *nc, const char *container_id, struct sandbox *ret, struct err *err)
{
	*ret = (struct sandbox){0};
	WITH_LOCK(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next)
		if (streq(b->container, container_id)) {
			net_box_fill(nc, b, false, ret);
			return 0;
		}
	return err_set(err, ERR_CONFLICT, "cannot join network of a non running container: %s", container_id);
}

/* Undoes a sandbox that is in no list any more. Goes on after an error and reports the first. */
static int demolish(struct net_controller *nc, const struct net_box *b, struct err *err)
{
	OWN_FREE char *path = net_box_path(nc->exec_root, b);
	OWN_ERR struct err first = ERR_INIT;

	net_ports_revoke(nc, b, &first);
	net_dns_drop(nc, b);
	leave_all(nc, b, &first);
	if (!b->host)
		spawner_netns_drop(nc->spawner, path, first.msg ? NULL : &first);
	give_all(nc, b);
	/* Last: while something may be left, the next start knows of it. */
	if (!first.msg)
		net_box_unlink(nc->exec_root, b->container);
	return first.msg ? err_move(err, &first) : 0;
}

int sandbox_remove(struct net_controller *nc, const char *container_id, struct sandbox *sb, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *b = net_box_withdraw(nc, container_id);
	OWN_ERR struct err why = ERR_INIT;

	(void)sb;
	if (!b)
		b = net_box_read(nc->exec_root, container_id, &why);
	if (b)
		return demolish(nc, b, err);
	if (why.class != ERR_NOT_FOUND) { /* a damaged file: the sweep finds the namespace */
		log_warn("sandbox of container %.12s: %s", container_id, err_text(&why));
		if (id_is_hex64(container_id))
			net_box_unlink(nc->exec_root, container_id);
	}
	return 0;
}
