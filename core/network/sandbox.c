/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sandboxes: the network namespace of a container, bound at EXEC-ROOT/netns/<12 hex>, and the container's place on one
 * network. The file of a sandbox is written when all of it stands and removed last, so that whatever a crash leaves is
 * undone by the next start: a file tells what it was, a namespace without one is swept.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/net_i.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

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

static bool leads_before(const struct net_endpoint *a, const struct net_endpoint *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->network && b->network && strcmp(a->network, b->network) < 0;
}

const struct net_endpoint *sandbox_gateway(const struct sandbox *sb, bool ipv6)
{
	const struct net_endpoint *first = NULL;

	for (size_t i = 0; i < sb->eps_len; i++) {
		const struct net_endpoint *e = &sb->eps[i];

		if (!str_empty(ipv6 ? e->gateway6 : e->gateway4) && (!first || leads_before(e, first)))
			first = e;
	}
	return first;
}

static void fill(const struct net_controller *nc, const struct net_box *b, bool endpoints, struct sandbox *ret)
{
	*ret = (struct sandbox){0};
	memcpy(ret->id, b->id, sizeof(ret->id));
	if (!b->host)
		ret->netns_path = net_box_path(nc->exec_root, b);
	ret->key = b->host ? xasprintf("%s/netns/default", nc->exec_root) : xstrdup(ret->netns_path);
	if (!endpoints)
		return;
	ret->eps = xcalloc(b->eps_len + 1, sizeof(*ret->eps));
	for (size_t i = 0; i < b->eps_len; i++)
		net_endpoint_copy(&ret->eps[ret->eps_len++], &b->eps[i]);
}

/* Puts a complete sandbox into the list, which owns it from then on. */
static void publish(struct net_controller *nc, struct net_box *b, struct sandbox *ret)
{
	WITH_LOCK(&nc->lock);
	fill(nc, b, true, ret);
	b->next = nc->boxes;
	nc->boxes = b;
}

/* Takes a sandbox out of the list, or NULL. */
static struct net_box *withdraw(struct net_controller *nc, const char *container_id)
{
	struct net_box *b;

	WITH_LOCK(&nc->lock);
	for (struct net_box **p = &nc->boxes; (b = *p); p = &b->next)
		if (streq(b->container, container_id)) {
			*p = b->next;
			b->next = NULL;
			return b;
		}
	return NULL;
}

static struct net_box *box_new(const char *container_id, size_t endpoints)
{
	struct net_box *b = xcalloc(1, sizeof(*b));

	b->container = xstrdup(container_id);
	b->id = xmalloc(ID_HEX + 1);
	id_random_hex(b->id, ID_HEX);
	b->eps = xcalloc(endpoints + 1, sizeof(*b->eps));
	return b;
}

static void endpoint_init(struct net_endpoint *ep, const struct network *n, const struct net_wish *w)
{
	*ep = (struct net_endpoint){ .network = xstrdup(n->name), .priority = w->priority };
	id_random_hex(ep->id, ID_HEX);
	memcpy(ep->network_id, n->id, sizeof(ep->network_id));
	if (!str_empty(w->mac))
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

/* A wish with what it is about; the network is held. */
struct errand {
	const struct net_wish *wish;
	struct network *n;
	struct net_driver *d;
};

/* Address and wire; the endpoint is the box's from then on. */
static int enter(struct net_controller *nc, const struct errand *e, struct net_box *b, struct net_endpoint *ep, const char *path, int rtnl,
	struct err *err)
{
	if (net_address_take(nc, e->d, e->n, ep, e->wish->ipv4, e->wish->ipv6, err) < 0)
		return -1;
	if (net_driver_join(e->d, ep, b, path, rtnl, false, err) < 0) {
		net_address_give(nc, ep);
		return -1;
	}
	b->eps[b->eps_len++] = *ep;
	*ep = (struct net_endpoint){ 0 };
	return 0;
}

/* All endpoints of a sandbox. Goes on after an error and reports the first. */
static int leave_all(struct net_controller *nc, const struct net_box *b, struct err *err)
{
	OWN_ERR struct err first = ERR_INIT;

	for (size_t i = b->eps_len; i-- > 0;) {
		OWN_NETWORK struct network *n = net_find(nc, b->eps[i].network_id, NULL);
		struct net_driver *d = n ? net_driver_get(nc->drivers, n->driver, first.msg ? NULL : &first) : NULL;

		if (d)
			net_driver_leave(d, &b->eps[i], first.msg ? NULL : &first);
	}
	return first.msg ? err_move(err, &first) : 0;
}

static void give_all(struct net_controller *nc, const struct net_box *b)
{
	for (size_t i = 0; i < b->eps_len; i++)
		net_address_give(nc, &b->eps[i]);
}

static int enter_all(struct net_controller *nc, struct net_box *b, const struct errand *v, size_t len, const char *path, int rtnl, struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		struct net_endpoint ep;
		int rc;

		endpoint_init(&ep, v[i].n, v[i].wish);
		if (b->host || streq(v[i].n->driver, "null"))
			str_set(&ep.mac, NULL);
		rc = enter(nc, &v[i], b, &ep, path, rtnl, err);
		net_endpoint_done(&ep);
		if (rc < 0)
			return err_wrap(err, "network %s", v[i].n->name);
	}
	return 0;
}

/* Namespace, addresses and wires, file, in this order; undone on failure. */
static int build(struct net_controller *nc, struct net_box *b, const struct errand *v, size_t len, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/netns", nc->exec_root);
	OWN_FREE char *path = b->host ? NULL : net_box_path(nc->exec_root, b);
	OWN_FD int rtnl = -1;

	if (path && (fs_mkdirs(dir, 0755, err) < 0 || spawner_netns(nc->spawner, path, &rtnl, err) < 0))
		return -1;
	if (enter_all(nc, b, v, len, path, rtnl, err) == 0 && net_box_write(nc->exec_root, b, err) == 0)
		return 0;
	leave_all(nc, b, NULL);
	give_all(nc, b);
	if (path)
		spawner_netns_drop(nc->spawner, path, NULL);
	return -1;
}

static int find_errands(struct net_controller *nc, const struct net_wish *wishes, size_t len, struct errand *v, struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		v[i].wish = &wishes[i];
		v[i].n = net_hold(nc, wishes[i].network, err);
		v[i].d = v[i].n ? net_driver_get(nc->drivers, v[i].n->driver, err) : NULL;
		if (!v[i].d)
			return -1;
	}
	return 0;
}

static int create(struct net_controller *nc, const char *container_id, const struct errand *v, size_t len, struct sandbox *ret, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *b = NULL;

	for (size_t i = 0; i < len && len > 1; i++)
		if (net_driver_host_sandbox(v[i].d) || streq(v[i].n->driver, "null"))
			return err_set(err, ERR_INVALID, "container cannot be connected to multiple networks with one of the networks in %s mode",
				streq(v[i].n->driver, "null") ? "private (none)" : "host");
	/* What an earlier run that ended badly left behind. */
	if (sandbox_remove(nc, container_id, NULL, err) < 0)
		return -1;
	b = box_new(container_id, len);
	b->host = len && net_driver_host_sandbox(v[0].d);
	if (build(nc, b, v, len, err) < 0)
		return -1;
	publish(nc, STEAL(b), ret);
	return 0;
}

int sandbox_create(struct net_controller *nc, const char *container_id, const char *hostname, const struct net_wish *wishes, size_t len,
	const struct net_resolv *resolv, struct sandbox *ret, struct err *err)
{
	OWN_FREE struct errand *v = xcalloc(len + 1, sizeof(*v));
	int rc = -1;

	(void)hostname;
	(void)resolv;
	*ret = (struct sandbox){0};
	if (!id_is_hex64(container_id))
		return err_set(err, ERR_INVALID, "not the id of a container: %s", container_id);
	if (find_errands(nc, wishes, len, v, err) == 0)
		rc = create(nc, container_id, v, len, ret, err);
	for (size_t i = 0; i < len; i++)
		net_let_go(nc, v[i].n);
	return rc;
}

int sandbox_connect(struct net_controller *nc, const char *container_id, const struct net_wish *wish, struct sandbox *io, struct err *err)
{
	(void)nc;
	(void)container_id;
	(void)wish;
	(void)io;
	return err_set(err, ERR_NOT_IMPLEMENTED, "running containers cannot be connected to networks yet");
}

int sandbox_disconnect(struct net_controller *nc, const char *container_id, const char *network, struct sandbox *io, struct err *err)
{
	(void)nc;
	(void)container_id;
	(void)network;
	(void)io;
	return err_set(err, ERR_NOT_IMPLEMENTED, "running containers cannot be disconnected from networks yet");
}

int sandbox_rename(struct net_controller *nc, const char *container_id, const char *from, const char *to)
{
	(void)nc;
	(void)container_id;
	(void)from;
	(void)to;
	return 0;
}

int sandbox_publish(struct net_controller *nc, const char *container_id, const struct net_port *ports, size_t len,
	struct net_port **ret, size_t *ret_len, struct err *err)
{
	(void)nc;
	(void)container_id;
	(void)ports;
	*ret = NULL;
	*ret_len = 0;
	return len ? err_set(err, ERR_NOT_IMPLEMENTED, "ports cannot be published yet") : 0;
}

void net_ports_free(struct net_port *v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		free(v[i].host_ip);
	free(v);
}

int sandbox_links(struct net_controller *nc, const char *container_id, const struct net_linked *to, size_t len, struct err *err)
{
	(void)nc;
	(void)container_id;
	(void)to;
	return len ? err_set(err, ERR_NOT_IMPLEMENTED, "links on a network without communication between containers are not possible yet") : 0;
}

int sandbox_share(struct net_controller *nc, const char *container_id, struct sandbox *ret, struct err *err)
{
	*ret = (struct sandbox){0};
	WITH_LOCK(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next)
		if (streq(b->container, container_id)) {
			fill(nc, b, false, ret);
			return 0;
		}
	return err_set(err, ERR_CONFLICT, "cannot join network of a non running container: %s", container_id);
}

/* Undoes a sandbox that is in no list any more. Goes on after an error and reports the first. */
static int demolish(struct net_controller *nc, const struct net_box *b, struct err *err)
{
	OWN_FREE char *path = net_box_path(nc->exec_root, b);
	OWN_ERR struct err first = ERR_INIT;

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
	CLEANUP(net_box_freep) struct net_box *b = withdraw(nc, container_id);
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

static bool is_netns(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

bool net_in_use(struct net_controller *nc, const struct network *n)
{
	for (const struct net_box *b = nc->found; b; b = b->next) {
		OWN_FREE char *path = net_box_path(nc->exec_root, b);

		if (net_box_endpoint(b, n->id) && is_netns(path))
			return true;
	}
	return false;
}

/* One endpoint of a sandbox that stands. changed: its record is to be written anew. */
static int adopt_endpoint(struct net_controller *nc, struct net_box *b, struct net_endpoint *ep, const char *mode, const char *path,
	bool *changed, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	struct net_driver *d;

	if (!n && !(n = net_find(nc, str_empty(ep->network) ? mode : ep->network, err)))
		return -1;
	/* The list of networks was lost and made anew. */
	if (!streq(n->id, ep->network_id)) {
		memcpy(ep->network_id, n->id, sizeof(ep->network_id));
		str_set(&ep->network, n->name);
		*changed = true;
	}
	d = net_driver_get(nc->drivers, n->driver, err);
	if (!d || net_driver_join(d, ep, b, path, -1, true, err) < 0)
		return err_wrap(err, "network %s", n->name);
	net_address_hold(nc, ep);
	return 0;
}

int sandbox_adopt(struct net_controller *nc, const char *container_id, const char *mode, struct sandbox *ret, struct err *err)
{
	CLEANUP(net_box_freep) struct net_box *b = net_box_read(nc->exec_root, container_id, err);
	OWN_FREE char *path = NULL;
	struct net_box *old;
	bool changed = false;

	*ret = (struct sandbox){0};
	if (!b)
		return err_wrap(err, "sandbox of container %.12s", container_id);
	path = b->host ? NULL : net_box_path(nc->exec_root, b);
	if (path && !is_netns(path))
		return err_set(err, ERR_NOT_FOUND, "the network namespace of container %.12s is gone", container_id);
	for (size_t i = 0; i < b->eps_len; i++)
		if (adopt_endpoint(nc, b, &b->eps[i], mode, path, &changed, err) < 0)
			return -1;
	if (changed && net_box_write(nc->exec_root, b, err) < 0)
		return -1;
	old = withdraw(nc, container_id);
	if (old)
		net_box_free(old);
	publish(nc, STEAL(b), ret);
	return 0;
}

bool sandbox_mend(struct net_controller *nc, const char *container_id, const struct sandbox *known)
{
	CLEANUP(net_box_freep) struct net_box *b = NULL, *read = NULL;
	OWN_ERR struct err err = ERR_INIT, why = ERR_INIT;
	OWN_FREE char *path = NULL;

	if (!id_is_hex64(container_id) || !id_is_hex64(known->id) || (read = net_box_read(nc->exec_root, container_id, &why)))
		return false;
	b = xcalloc(1, sizeof(*b));
	b->container = xstrdup(container_id);
	b->id = xstrdup(known->id);
	b->host = known->key && str_has_suffix(known->key, "/netns/default");
	b->eps = xcalloc(known->eps_len + 1, sizeof(*b->eps));
	for (size_t i = 0; i < known->eps_len; i++)
		net_endpoint_copy(&b->eps[b->eps_len++], &known->eps[i]);
	path = b->host ? NULL : net_box_path(nc->exec_root, b);
	if (path && !is_netns(path))
		return false;
	net_box_unlink(nc->exec_root, container_id);
	if (net_box_write(nc->exec_root, b, &err) < 0) {
		log_warn("sandbox of container %.12s: %s", container_id, err_text(&err));
		return false;
	}
	damage_note("container", container_id, DAMAGE_REPAIRED,
		"container %.12s: the record of its network was damaged (%s) and is repaired from the container's own", container_id, err_text(&why));
	return true;
}

/*
 * Sandboxes of containers that are not there any more. used collects the files of the others' namespaces, endpoints theirs; false
 * when one of theirs cannot be read.
 */
static bool sweep_boxes(struct net_controller *nc, const struct strv *keep, struct strv *used, struct strv *endpoints)
{
	OWN_FREE char *dir = xasprintf("%s/sandboxes", nc->exec_root);
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;
	bool whole = true;

	while (d && (e = readdir(d))) {
		CLEANUP(net_box_freep) struct net_box *b = NULL;
		OWN_ERR struct err err = ERR_INIT;
		char id[ID_HEX + 1];

		if (strlen(e->d_name) != ID_HEX + 5 || !str_has_suffix(e->d_name, ".json"))
			continue;
		snprintf(id, sizeof(id), "%.64s", e->d_name);
		if (!id_is_hex64(id))
			continue;
		if (!strv_contains(keep, id)) {
			log_debug("removes the sandbox of container %.12s, which is gone", id);
			if (sandbox_remove(nc, id, NULL, &err) < 0)
				log_warn("cannot remove the sandbox of container %.12s: %s", id, err_text(&err));
		} else if (!(b = net_box_read(nc->exec_root, id, &err))) {
			log_warn("the sandbox of container %.12s: %s", id, err_text(&err));
			whole = false;
		} else if (!b->host) {
			strv_addf(used, "%.12s", b->id);
			for (size_t i = 0; i < b->eps_len; i++)
				strv_add(endpoints, b->eps[i].id);
		}
	}
	return whole;
}

static void sweep_driver(struct net_controller *nc, const struct strv *endpoints)
{
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d = net_driver_get(nc->drivers, "bridge", &err);

	if (!d || net_driver_sweep(d, endpoints, &err) < 0)
		log_warn("cannot remove interfaces that are nobody's: %s", err_text(&err));
}

void net_sweep(struct net_controller *nc, const struct strv *keep)
{
	OWN_FREE char *dir = xasprintf("%s/netns", nc->exec_root);
	OWN_DIR DIR *d = NULL;
	OWN_STRV struct strv used = {0}, endpoints = {0};
	struct dirent *e;
	bool whole;

	net_boxes_free(nc->found);
	nc->found = NULL;
	whole = sweep_boxes(nc, keep, &used, &endpoints);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		OWN_FREE char *path = NULL;
		OWN_ERR struct err err = ERR_INIT;

		if (strlen(e->d_name) < 12 || !id_is_hex_prefix(e->d_name) || strv_contains(&used, e->d_name))
			continue;
		path = xasprintf("%s/%s", dir, e->d_name);
		log_debug("removes the network namespace %s, which is no container's", path);
		if (spawner_netns_drop(nc->spawner, path, &err) < 0)
			log_warn("cannot remove %s: %s", path, err_text(&err));
	}
	/* an interface whose owner is not known may be a running container's */
	if (nc->bridge && whole)
		sweep_driver(nc, &endpoints);
}
