/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sandboxes over a restart of the daemon: taken up again, repaired, or swept away. */
#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/vfs.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/cluster.h"
#include "network/kit.h"
#include "network/net_i.h"
#include "network/netd.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

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

/*
 * One endpoint of a sandbox that stands. changed: its record is to be written anew. A driver that cannot have it now, a plugin that does not
 * run yet say, takes nothing away from a container that runs: it hears of it when it has the network again (net_adopt_late).
 */
static int adopt_endpoint(struct net_controller *nc, struct net_box *b, struct net_endpoint *ep, const char *mode, const char *path,
	bool *changed, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, ep->network_id, NULL);
	CLEANUP(net_joined_done) struct net_joined joined = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	struct net_driver *d;

	if (!n && !(n = net_find(nc, str_empty(ep->network) ? mode : ep->network, err)))
		return -1;
	/* The list of networks was lost and made anew. */
	if (!streq(n->id, ep->network_id)) {
		memcpy(ep->network_id, n->id, sizeof(ep->network_id));
		str_set(&ep->network, n->name);
		*changed = true;
	}
	d = net_driver_get(nc->drivers, n->driver, &why);
	if (!d || net_driver_join(d, ep, b->container, path, -1, true, &joined, &why) < 0)
		log_warn("container %.12s stays on network %s, of which its driver does not know: %s", b->container, n->name, err_text(&why));
	net_address_hold(nc, ep);
	return 0;
}

/* Ports and names: without them the container still runs. */
static void adopt_rest(struct net_controller *nc, struct net_box *b)
{
	OWN_ERR struct err err = ERR_INIT;

	if (net_ports_again(nc, b, true, &err) < 0)
		log_warn("container %.12s: %s", b->container, err_text(&err));
	err_done(&err);
	if (net_dns_feed(nc, b, &err) < 0)
		log_warn("container %.12s: %s", b->container, err_text(&err));
}

/* One of those who stood on it. */
static void join_again(struct net_controller *nc, struct net_driver *d, struct net_box *b, struct net_endpoint *ep)
{
	OWN_FREE char *path = b->host ? NULL : net_box_path(nc->exec_root, b);
	CLEANUP(net_joined_done) struct net_joined joined = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (net_driver_join(d, ep, b->container, path, -1, true, &joined, &err) < 0 ||
	    (net_published_at(b, ep) && net_ports_again(nc, b, true, &err) < 0))
		log_warn("container %.12s: network %s: %s", b->container, ep->network, err_text(&err));
}

void net_adopt_late(struct net_controller *nc, struct net_driver *d, const struct network *n)
{
	struct net_box **v = NULL;
	size_t len = 0;

	lock_take(&nc->lock);
	for (struct net_box *b = nc->boxes; b; b = b->next) {
		if (b->busy || !net_box_endpoint(b, n->id))
			continue;
		b->busy = true;
		v = xrealloc(v, (len + 1) * sizeof(*v));
		v[len++] = net_box_copy(b);
	}
	lock_drop(&nc->lock);
	for (size_t i = 0; i < len; i++) {
		join_again(nc, d, v[i], net_box_endpoint(v[i], n->id));
		net_box_put(nc, v[i], false);
	}
	free(v);
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
	adopt_rest(nc, b);
	old = net_box_withdraw(nc, container_id);
	if (old)
		net_box_free(old);
	net_box_publish(nc, STEAL(b), ret);
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

static void sweep_driver(struct net_controller *nc, const char *name, const struct strv *endpoints)
{
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d = net_driver_get(nc->drivers, name, &err);

	if (!d || net_driver_sweep(d, endpoints, &err) < 0)
		log_warn("cannot remove interfaces that are nobody's: %s", err_text(&err));
}

/* Of all networks that there are, each driver once. */
static void sweep_drivers(struct net_controller *nc, const struct strv *endpoints)
{
	OWN_STRV struct strv names = { 0 };
	struct network **v;
	size_t len = net_list(nc, &v);

	for (size_t i = 0; i < len; i++)
		if (!v[i]->config_only && !strv_contains(&names, v[i]->driver))
			strv_add(&names, v[i]->driver);
	net_list_free(v, len);
	for (size_t i = 0; i < names.len; i++)
		sweep_driver(nc, names.v[i], endpoints);
}

/* What rootlesskit and dockerd-netd have for containers that are gone. */
static void sweep_netd(struct net_controller *nc)
{
	OWN_STRV struct strv containers = { 0 }, ports = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (nc->kit)
		kit_sweep(nc->kit);
	if (!nc->netd)
		return;
	lock_take(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		strv_add(&containers, b->container);
		strv_add(&ports, b->id);
	}
	lock_drop(&nc->lock);
	if (netd_keep(nc->netd, &containers, &ports, &err) < 0)
		log_warn("%s", err_text(&err));
}

void net_sweep(struct net_controller *nc, const struct strv *keep)
{
	OWN_FREE char *dir = xasprintf("%s/netns", nc->exec_root);
	OWN_DIR DIR *d = NULL;
	OWN_STRV struct strv used = {0}, endpoints = {0};
	OWN_ERR struct err failed = ERR_INIT;
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
	if (whole)
		sweep_drivers(nc, &endpoints);
	sweep_netd(nc);
	if (net_cluster_of(nc) && net_cluster_begin(net_cluster_of(nc), &failed) < 0)
		log_error("%s", err_text(&failed));
}
