/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The networks: by id, prefix or name; the two that are always there; who is on them. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/announce.h"
#include "network/cluster.h"
#include "network/net_i.h"

static const struct { const char *name, *driver; } predefined[] = { { "none", "null" }, { "host", "host" } };

struct network *network_new(const char *name, const char *driver)
{
	struct network *n = xcalloc(1, sizeof(*n));

	n->refs = 1;
	id_random_hex(n->id, ID_HEX);
	n->name = xstrdup(name);
	n->driver = xstrdup(driver);
	n->scope = xstrdup("local");
	n->ipam_driver = xstrdup("default");
	n->enable_ipv4 = true;
	n->created = clock_now();
	n->options.set = n->labels.set = true;
	return n;
}

struct network *network_ref(struct network *n)
{
	__atomic_add_fetch(&n->refs, 1, __ATOMIC_RELAXED);
	return n;
}

static void net_pool_done(struct net_pool *p)
{
	free(p->subnet);
	free(p->range);
	free(p->gateway);
	free(p->id);
	strmap_done(&p->aux);
}

void network_unref(struct network *n)
{
	if (!n || __atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(n->name);
	free(n->driver);
	free(n->scope);
	free(n->ipam_driver);
	free(n->config_from);
	strmap_done(&n->ipam_options);
	strmap_done(&n->options);
	strmap_done(&n->labels);
	for (size_t i = 0; i < n->pools_len; i++)
		net_pool_done(&n->pools[i]);
	free(n->pools);
	free(n);
}

void net_list_free(struct network **v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		network_unref(v[i]);
	free(v);
}

void net_endpoint_done(struct net_endpoint *e)
{
	free(e->network);
	free(e->mac);
	free(e->ipv4);
	free(e->ipv6);
	free(e->gateway4);
	free(e->gateway6);
	free(e->interface);
	strv_done(&e->names);
	strmap_done(&e->links);
	strv_done(&e->link_local);
	strmap_done(&e->options);
	*e = (struct net_endpoint){0};
}

void net_endpoint_copy(struct net_endpoint *dst, const struct net_endpoint *src)
{
	*dst = *src;
	dst->network = xstrdup(src->network);
	dst->mac = xstrdup(src->mac);
	dst->ipv4 = xstrdup(src->ipv4);
	dst->ipv6 = xstrdup(src->ipv6);
	dst->gateway4 = xstrdup(src->gateway4);
	dst->gateway6 = xstrdup(src->gateway6);
	dst->interface = xstrdup(src->interface);
	/* copies replace what is there, which is src's own by now */
	dst->names = dst->link_local = (struct strv){0};
	dst->links = dst->options = (struct strmap){0};
	strv_copy(&dst->names, &src->names);
	strmap_copy(&dst->links, &src->links);
	strv_copy(&dst->link_local, &src->link_local);
	strmap_copy(&dst->options, &src->options);
}

bool net_is_predefined(const char *name)
{
	return streq(name, "none") || streq(name, "host") || streq(name, "bridge") || streq(name, "default");
}

struct net_entry *net_entry_find(struct net_controller *nc, const char *id)
{
	for (size_t i = 0; i < nc->nets_len; i++)
		if (streq(nc->nets[i]->n->id, id))
			return nc->nets[i];
	return NULL;
}

struct net_entry *net_entry_named(struct net_controller *nc, const char *name)
{
	for (size_t i = 0; i < nc->nets_len; i++)
		if (streq(nc->nets[i]->n->name, name))
			return nc->nets[i];
	return NULL;
}

struct net_entry *net_entry_add(struct net_controller *nc, struct network *n)
{
	struct net_entry *e = xcalloc(1, sizeof(*e));

	e->n = n;
	nc->nets = xrealloc(nc->nets, (nc->nets_len + 1) * sizeof(*nc->nets));
	nc->nets[nc->nets_len++] = e;
	return e;
}

static void entry_free(struct net_entry *e)
{
	network_unref(e->n);
	free(e);
}

void net_entry_drop(struct net_controller *nc, const char *id)
{
	for (size_t i = 0; i < nc->nets_len; i++) {
		if (!streq(nc->nets[i]->n->id, id))
			continue;
		entry_free(nc->nets[i]);
		nc->nets_len--;
		/* the order stays: it is that of the list in the API */
		memmove(nc->nets + i, nc->nets + i + 1, (nc->nets_len - i) * sizeof(*nc->nets));
		return;
	}
}

/* All of the list, with a reference to each. Under nc->lock. */
static size_t snapshot(struct net_controller *nc, bool all, struct network ***ret)
{
	size_t len = 0;

	*ret = xcalloc(nc->nets_len + 1, sizeof(**ret));
	for (size_t i = 0; i < nc->nets_len; i++)
		if (all || nc->nets[i]->state != NET_CREATING)
			(*ret)[len++] = network_ref(nc->nets[i]->n);
	return len;
}

int net_save(struct net_controller *nc, struct err *err)
{
	struct network **v;
	uint64_t mine, now;
	size_t len;
	int rc;

	lock_take(&nc->lock);
	mine = ++nc->change;
	while (nc->saving && nc->saved < mine)
		lock_wait(&nc->lock, &nc->changed, -1);
	if (nc->saved >= mine) { /* somebody else's list had it */
		lock_drop(&nc->lock);
		return 0;
	}
	nc->saving = true;
	now = nc->change;
	len = snapshot(nc, true, &v);
	lock_drop(&nc->lock);
	rc = net_state_write(nc->data_root, v, len, &nc->adopted, err);
	net_list_free(v, len);
	WITH_LOCK(&nc->lock);
	nc->saving = false;
	if (rc == 0)
		nc->saved = now;
	pthread_cond_broadcast(&nc->changed);
	return rc;
}

/* What cannot be written now lives as long as the daemon. */
static void add_predefined(struct net_controller *nc, bool changed)
{
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(predefined); i++) {
		if (net_entry_named(nc, predefined[i].name))
			continue;
		net_entry_add(nc, network_new(predefined[i].name, predefined[i].driver));
		changed = true;
	}
	if (changed && net_save(nc, &err) < 0)
		log_warn("%s", err_text(&err));
}

struct net_controller *net_open(const char *data_root, const char *exec_root, struct spawner *sp, struct err *err)
{
	struct net_controller *nc = xcalloc(1, sizeof(*nc));
	OWN_FREE char *dir = xasprintf("%s/network", data_root);
	struct network **v = NULL;
	size_t len = 0;
	bool again;

	nc->data_root = xstrdup(data_root);
	nc->exec_root = xstrdup(exec_root);
	nc->spawner = sp;
	nc->drivers = net_drivers_new(data_root, exec_root);
	nc->ipams = net_ipams_new(nc);
	nc->announcer = announcer_new();
	lock_init(&nc->lock, LOCK_MAP);
	lock_cond_init(&nc->changed);
	if (fs_mkdir(dir, 0750, err) < 0) {
		net_close(nc);
		return NULL;
	}
	again = net_state_read(data_root, &v, &len, &nc->adopted);
	for (size_t i = 0; i < len; i++)
		net_entry_add(nc, v[i]);
	free(v);
	again = net_docker_adopt(nc) || again;
	add_predefined(nc, again);
	net_pools_set(nc, NULL, NULL);
	nc->found = net_boxes_read(exec_root);
	return nc;
}

void net_close(struct net_controller *nc)
{
	if (!nc)
		return;
	net_cluster_close(nc->cluster);
	net_removals_wait(nc);
	announcer_free(nc->announcer);
	for (size_t i = 0; i < nc->nets_len; i++)
		entry_free(nc->nets[i]);
	free(nc->nets);
	net_boxes_free(nc->boxes);
	net_boxes_free(nc->found);
	net_spaces_close(nc);
	net_drivers_close(nc->drivers);
	net_ipams_free(nc->ipams);
	strv_done(&nc->adopted);
	strmap_done(&nc->extra);
	strmap_done(&nc->default_options);
	free(nc->bases);
	pthread_cond_destroy(&nc->changed);
	lock_done(&nc->lock);
	free(nc->data_root);
	free(nc->exec_root);
	free(nc);
}

void net_set_netd(struct net_controller *nc, struct netd *netd)
{
	nc->netd = netd;
}

void net_set_kit(struct net_controller *nc, struct kit *kit)
{
	nc->kit = kit;
}

struct kit *net_kit(const struct net_controller *nc)
{
	return nc->kit;
}

/* Under nc->lock. */
static struct net_entry *look_up(struct net_controller *nc, const char *name, struct err *err)
{
	struct net_entry *by_name = NULL, *by_prefix = NULL;
	bool prefix = id_is_hex_prefix(name);
	size_t matches = 0;

	for (size_t i = 0; i < nc->nets_len; i++) {
		struct net_entry *e = nc->nets[i];

		if (e->state == NET_CREATING)
			continue;
		if (streq(e->n->id, name))
			return e;
		if (streq(e->n->name, name))
			by_name = e;
		if (prefix && str_has_prefix(e->n->id, name)) {
			by_prefix = e;
			matches++;
		}
	}
	if (by_name || matches == 1)
		return by_name ? by_name : by_prefix;
	if (matches)
		err_set(err, ERR_INVALID, "network %s is ambiguous (%zu matches found based on ID prefix)", name, matches);
	else
		err_set(err, ERR_NOT_FOUND, "network %s not found", name);
	return NULL;
}

struct network *net_find(struct net_controller *nc, const char *name, struct err *err)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = look_up(nc, name, err);
	return e ? network_ref(e->n) : NULL;
}

struct network *net_find_name(struct net_controller *nc, const char *name)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = net_entry_named(nc, name);
	return e && e->state != NET_CREATING ? network_ref(e->n) : NULL;
}

/* One whose driver did not take it over: true when it is to try again, which is then the caller's; others wait for him. */
static struct network *hold(struct net_controller *nc, const char *name, bool *ret_broken, struct err *err)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	while ((e = look_up(nc, name, err)) && e->mending)
		lock_wait(&nc->lock, &nc->changed, -1);
	if (e && e->state == NET_REMOVING) {
		err_set(err, ERR_NOT_FOUND, "network %s not found", name);
		return NULL;
	}
	if (!e)
		return NULL;
	e->held++;
	*ret_broken = e->mending = e->broken;
	return network_ref(e->n);
}

/* What a start could not do for it. The addresses that are somebody's stay so. */
static int bring_back(struct net_controller *nc, struct net_driver *d, struct network *n, bool untold, struct err *err)
{
	if ((untold && net_ipam_restore(nc, n, false, err) < 0) || (!net_space_stands(nc, n->id) && net_space_open(nc, n, err) < 0) ||
	    net_driver_create(d, n, &nc->extra, true, err) < 0)
		return -1;
	net_adopt_late(nc, d, n);
	return 0;
}

static int mend(struct net_controller *nc, struct network *n, struct err *err)
{
	struct net_driver *d = net_driver_get(nc->drivers, n->driver, err);
	struct net_entry *e;
	bool good, untold;

	lock_take(&nc->lock);
	e = net_entry_find(nc, n->id);
	untold = e && e->untold;
	lock_drop(&nc->lock);
	good = d && bring_back(nc, d, n, untold, err) == 0;
	lock_take(&nc->lock);
	e = net_entry_find(nc, n->id);
	if (e) {
		e->broken = !good;
		e->untold &= !good;
		e->mending = false;
	}
	pthread_cond_broadcast(&nc->changed);
	lock_drop(&nc->lock);
	return good ? 0 : err_wrap(err, "network %s could not be brought back", n->name);
}

struct network *net_hold(struct net_controller *nc, const char *name, struct err *err)
{
	bool broken = false;
	struct network *n;

	if (str_empty(name) || streq(name, "default"))
		name = net_default(nc);
	if (str_has_prefix(name, "container:")) {
		err_set(err, ERR_INVALID, "the network mode %s has no sandbox of its own", name);
		return NULL;
	}
	n = hold(nc, name, &broken, err);
	if (n && n->config_only)
		err_set(err, ERR_FORBIDDEN, "cannot create endpoint on configuration-only network");
	else if (!n || !broken || mend(nc, n, err) == 0)
		return n;
	net_let_go(nc, n);
	return NULL;
}

void net_let_go(struct net_controller *nc, struct network *n)
{
	if (!n)
		return;
	lock_take(&nc->lock);
	for (size_t i = 0; i < nc->nets_len; i++)
		if (streq(nc->nets[i]->n->id, n->id))
			nc->nets[i]->held--;
	lock_drop(&nc->lock);
	network_unref(n);
}

size_t net_list(struct net_controller *nc, struct network ***ret)
{
	WITH_LOCK(&nc->lock);

	return snapshot(nc, false, ret);
}

const char *net_default(const struct net_controller *nc)
{
	return nc->bridge ? "bridge" : "none";
}

size_t net_endpoints_on(const struct net_controller *nc, const char *network_id)
{
	size_t len = 0;

	for (const struct net_box *b = nc->boxes; b; b = b->next)
		len += net_box_endpoint(b, network_id) != NULL;
	return len;
}

void net_set_namer(struct net_controller *nc, net_name_fn *fn, void *ctx)
{
	WITH_LOCK(&nc->lock);
	nc->name_of = fn;
	nc->name_ctx = ctx;
}

void net_set_asked(struct net_controller *nc, net_asked_fn *fn, void *ctx)
{
	WITH_LOCK(&nc->lock);
	nc->asked = fn;
	nc->asked_ctx = ctx;
}

size_t net_users(struct net_controller *nc, const struct network *n, struct strv *ret)
{
	size_t len = 0;

	WITH_LOCK(&nc->lock);
	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		if (!net_box_endpoint(b, n->id))
			continue;
		if (ret)
			strv_add(ret, b->container);
		len++;
	}
	return len;
}
