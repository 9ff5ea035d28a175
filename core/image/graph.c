/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/graph.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "image/graph-choose.h"
#include "image/graph-clone.h"
#include "image/graph-priv.h"

#define IN_THE_WAY_WAIT  50000 /* us */
#define IN_THE_WAY_TRIES 200

/*
 * One layer somebody works on or has mounted. busy is its operation: who set it may call the driver for this layer, and
 * nobody else does. Lives in the table while busy, waited for or mounted.
 */
struct mounted {
	struct mounted *next;
	char *id, *path;  /* path: what the driver gave */
	char *clone;      /* of path, with other ids; or NULL */
	struct idmaps shown; /* what of the mount at path: ids on disk (inside) show as these (outside) */
	unsigned refs;    /* of the mount */
	unsigned waiting;
	bool busy;
};

static int open_driver(struct graph *g, const struct strv *storage_opts, uint32_t uid, uint32_t gid, struct err *err);

static void forget_mount(struct mounted *m)
{
	str_set(&m->path, NULL);
	str_set(&m->clone, NULL);
	idmaps_done(&m->shown);
}

static void mounted_free(struct mounted *m)
{
	forget_mount(m);
	free(m->id);
	free(m);
}

struct graph *graph_open(const char *want, const char *data_root, const struct strv *storage_opts, uint32_t root_uid, uint32_t root_gid, struct err *err)
{
	const struct driver *driver = graph_choose(want, data_root, err);
	struct graph *g;

	if (!driver) {
		err_wrap(err, "error initializing graphdriver");
		return NULL;
	}
	g = xcalloc(1, sizeof(*g));
	g->cache = graph_cache_new();
	lock_init(&g->lock, LOCK_MAP);
	lock_cond_init(&g->idle);
	g->driver = driver;
	g->ops = driver->ops;
	g->name = xstrdup(driver->desc->provider ? want : driver->desc->name);
	g->root = xasprintf("%s/%s", data_root, g->name);
	g->clones = xasprintf("%s/image/%s/mapped", data_root, g->name);
	if (open_driver(g, storage_opts, root_uid, root_gid, err) < 0) {
		err_wrap(err, "error initializing graphdriver");
		graph_close(g);
		return NULL;
	}
	return g;
}

void graph_close(struct graph *g)
{
	if (!g)
		return;
	if (g->d && g->ops->cleanup) {
		OWN_ERR struct err err = ERR_INIT;
		struct driver_call c;

		driver_call_begin(&c, g->driver);
		if (driver_call_end(&c, g->ops->cleanup(&c.abi, g->d), &err) < 0)
			log_warn("%s: cleanup: %s", graph_name(g), err_text(&err));
	}
	if (g->d && g->ops->close)
		g->ops->close(g->d);
	for (size_t i = 0; i < GRAPH_BUCKETS; i++) {
		for (struct mounted *m = g->table[i], *next; m; m = next) {
			next = m->next;
			mounted_free(m);
		}
	}
	pthread_cond_destroy(&g->idle);
	lock_done(&g->lock);
	graph_cache_free(g->cache);
	free(g->clones);
	free(g->root);
	free(g->name);
	free(g);
}

const char *graph_name(const struct graph *g)
{
	return g->name;
}

/* Opening */

struct options { struct dkd_pair *v; uint32_t len; struct strv text; };

static void options_add(struct options *o, const char *key, const char *value)
{
	char *k = xstrdup(key), *v = xstrdup(value);

	strv_take(&o->text, k);
	strv_take(&o->text, v);
	o->v = xrealloc(o->v, (o->len + 1) * sizeof(*o->v));
	o->v[o->len++] = (struct dkd_pair){ k, v };
}

static void options_done(struct options *o)
{
	free(o->v);
	strv_done(&o->text);
}

struct section { struct options *o; const char *name; };

static int32_t add_from_section(void *to, const char *key, const char *value)
{
	struct section *s = to;
	OWN_FREE char *full = xasprintf("%s.%s", s->name, key);

	options_add(s->o, full, value);
	return 0;
}

static int gather_options(struct graph *g, const struct strv *storage_opts, struct options *o, struct err *err)
{
	const struct dkd_host *host = driver_host(g->driver);

	host->each_option(host, add_from_section, &(struct section){ o, graph_name(g) });
	for (size_t i = 0; storage_opts && i < storage_opts->len; i++) {
		const char *opt = storage_opts->v[i], *eq = strchr(opt, '=');
		OWN_FREE char *key = eq ? xstrndup(opt, (size_t)(eq - opt)) : NULL;

		if (!eq)
			return err_set(err, ERR_INVALID, "Unable to parse key/value option: %s", opt);
		options_add(o, key, eq + 1);
	}
	return 0;
}

static int open_driver(struct graph *g, const struct strv *storage_opts, uint32_t uid, uint32_t gid, struct err *err)
{
	__attribute__((cleanup(options_done))) struct options o = { 0 };
	struct dkd_graph_open open = { .size = sizeof(open), .root = g->root, .root_uid = uid, .root_gid = gid };
	struct driver_call c;

	if (gather_options(g, storage_opts, &o, err) < 0)
		return -1;
	open.instance = g->driver->desc->provider ? g->name : NULL;
	open.options = o.v;
	open.options_len = o.len;
	driver_call_begin(&c, g->driver);
	if (driver_call_end(&c, g->ops->open(&c.abi, driver_host(g->driver), &open, &g->d), err) < 0)
		return -1;
	if (!g->ops->capabilities)
		return 0;
	driver_call_begin(&c, g->driver);
	return driver_call_end(&c, g->ops->capabilities(&c.abi, g->d, &g->caps), err);
}

/* Operations of layers */

static struct mounted **slot(struct graph *g, const char *id)
{
	unsigned h = 5381;
	struct mounted **p;

	for (const char *s = id; *s; s++)
		h = h * 33 ^ (unsigned char)*s;
	for (p = &g->table[h % GRAPH_BUCKETS]; *p && !streq((*p)->id, id); p = &(*p)->next)
		;
	return p;
}

struct mounted *graph_op_begin(struct graph *g, const char *id)
{
	struct mounted **p, *m;

	WITH_LOCK(&g->lock);
	p = slot(g, id);
	m = *p;
	if (!m) {
		m = *p = xcalloc(1, sizeof(*m));
		m->id = xstrdup(id);
	}
	m->waiting++;
	while (m->busy)
		lock_wait(&g->lock, &g->idle, -1);
	m->waiting--;
	m->busy = true;
	return m;
}

void graph_op_end(struct graph *g, struct mounted *m)
{
	WITH_LOCK(&g->lock);
	m->busy = false;
	if (m->waiting) {
		pthread_cond_broadcast(&g->idle);
	} else if (!m->refs) {
		*slot(g, m->id) = m->next;
		mounted_free(m);
	}
}

int graph_call_end(struct graph *g, struct driver_call *c, int32_t rc, const char *what, const char *id, struct err *err)
{
	if (driver_call_end(c, rc, err) >= 0)
		return rc;
	if (err && (err->class == ERR_INTERNAL || err->class == ERR_NO_SPACE))
		err_wrap(err, "%s: %s layer %s", graph_name(g), what, id);
	return -1;
}

int graph_check_id(const char *id, struct err *err)
{
	return id_is_name(id, 1) ? 0 : err_set(err, ERR_INVALID, "invalid layer id \"%.300s\"", id);
}

int graph_create(struct graph *g, const char *id, const char *parent, bool rw, const char *mount_label, const struct strmap *storage_opts, struct err *err)
{
	__attribute__((cleanup(options_done))) struct options o = { 0 };
	struct dkd_graph_create create = {
		.size = sizeof(create), .flags = rw ? DKD_GRAPH_RW : 0, .id = id, .parent = parent, .label = mount_label,
	};
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (graph_check_id(id, err) < 0 || (parent && graph_check_id(parent, err) < 0))
		return -1;
	for (size_t i = 0; storage_opts && i < storage_opts->len; i++)
		options_add(&o, storage_opts->v[i].key, storage_opts->v[i].value);
	create.options = o.v;
	create.options_len = o.len;
	m = graph_op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = graph_call_end(g, &c, g->ops->create(&c.abi, g->d, &create), "create", id, err);
	graph_op_end(g, m);
	/* an image's layer may take a damaged one's place below others */
	graph_cache_forget(g->cache, rw ? id : NULL);
	return rc;
}

/* One of this daemon, or of the one before. */
static void drop_clone(struct graph *g, const char *id)
{
	OWN_FREE char *at = xasprintf("%s/%s", g->clones, id);

	graph_clone_drop(at);
}

int graph_remove(struct graph *g, const char *id, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (graph_check_id(id, err) < 0)
		return -1;
	m = graph_op_begin(g, id);
	if (m->refs) {
		rc = err_set(err, ERR_CONFLICT, "%s: remove layer %s: it is mounted", graph_name(g), id);
	} else {
		drop_clone(g, id);
		driver_call_begin(&c, g->driver);
		rc = graph_call_end(g, &c, g->ops->remove(&c.abi, g->d, id), "remove", id, err);
	}
	graph_op_end(g, m);
	graph_cache_forget(g->cache, id);
	return rc;
}

bool graph_exists(struct graph *g, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (!id_is_name(id, 1))
		return false;
	m = graph_op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = graph_call_end(g, &c, g->ops->exists(&c.abi, g->d, id), "look for", id, &err);
	graph_op_end(g, m);
	if (rc < 0)
		log_warn("%s", err_text(&err));
	return rc > 0;
}

int32_t graph_keep_text(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

/* The driver's get(), under the layer's operation. ids only with DKD_GRAPH_CAP_IDMAP. */
static int mount(struct graph *g, struct mounted *m, const char *label, uint32_t flags, const struct graph_ids *ids, struct err *err)
{
	struct dkd_graph_mount mount = { .size = sizeof(mount), .flags = flags, .id = m->id, .label = label, .userns = ids ? ids->userns : -1 };
	struct dkd_idmaps maps = { .size = sizeof(maps) };
	OWN_FREE struct dkd_idmap *uids = NULL, *gids = NULL;
	struct driver_call c;

	if (ids) {
		maps.uids = uids = driver_idmap(&ids->maps->uids, &maps.uids_len);
		maps.gids = gids = driver_idmap(&ids->maps->gids, &maps.gids_len);
		mount.idmaps = &maps;
	}
	forget_mount(m);
	driver_call_begin(&c, g->driver);
	if (graph_call_end(g, &c, g->ops->get(&c.abi, g->d, &mount, graph_keep_text, &m->path), "mount", m->id, err) < 0)
		return -1;
	if (!m->path || *m->path != '/')
		return err_set(err, ERR_INTERNAL, "%s: mount layer %s: the driver gave no path", graph_name(g), m->id);
	if (ids)
		idmaps_copy(&m->shown, ids->maps);
	return 0;
}

static int unmount(struct graph *g, struct mounted *m, struct err *err)
{
	struct driver_call c;

	if (m->clone || !m->refs) /* without a count: left by the daemon before this one */
		drop_clone(g, m->id);
	driver_call_begin(&c, g->driver);
	return graph_call_end(g, &c, g->ops->put(&c.abi, g->d, m->id), "unmount", m->id, err);
}

/* With other ids than on disk: by the driver, or else as a clone of its directory. */
static int mount_mapped(struct graph *g, struct mounted *m, const char *label, uint32_t flags, const struct graph_ids *ids, struct err *err)
{
	bool own = g->caps & DKD_GRAPH_CAP_IDMAP;
	OWN_FREE char *at = xasprintf("%s/%s", g->clones, m->id);

	if (!m->refs && mount(g, m, label, flags, own ? ids : NULL, err) < 0)
		return -1;
	if (!own && !m->clone) {
		if (graph_clone(m->path, at, ids->userns, err) < 0) {
			if (!m->refs)
				unmount(g, m, NULL);
			return err_wrap(err, "the storage driver %s", graph_name(g));
		}
		m->clone = STEAL(at);
	}
	atomic_store(&g->maps, true);
	return 0;
}

/* Somebody reads the layer where it is mounted with the ids on disk, and it can only be mounted once. */
static bool in_the_way(struct graph *g, const struct mounted *m, const struct graph_ids *ids)
{
	return ids && m->refs && g->caps & DKD_GRAPH_CAP_IDMAP && idmaps_none(&m->shown);
}

static struct mounted *op_begin_mapped(struct graph *g, const char *id, const struct graph_ids *ids, struct err *err)
{
	for (int tries = 0; tries < IN_THE_WAY_TRIES; tries++) {
		struct mounted *m = graph_op_begin(g, id);

		if (!in_the_way(g, m, ids))
			return m;
		graph_op_end(g, m);
		usleep(IN_THE_WAY_WAIT);
	}
	err_set(err, ERR_CONFLICT, "%s: mount layer %s: it is being read; try again", graph_name(g), id);
	return NULL;
}

/* ret_shown: as in graph_get_shown(), or NULL. */
static char *get(struct graph *g, const char *id, const char *mount_label, uint32_t flags, const struct graph_ids *ids, struct idmaps *ret_shown, struct err *err)
{
	struct mounted *m;
	char *path = NULL;

	if (graph_check_id(id, err) < 0)
		return NULL;
	m = op_begin_mapped(g, id, ids, err);
	if (!m)
		return NULL;
	if ((ids ? mount_mapped(g, m, mount_label, flags, ids, err) : m->refs ? 0 : mount(g, m, mount_label, flags, NULL, err)) == 0) {
		m->refs++;
		path = xstrdup(m->clone && !ret_shown ? m->clone : m->path);
		if (ret_shown)
			idmaps_copy(ret_shown, &m->shown);
	}
	graph_op_end(g, m);
	return path;
}

char *graph_get(struct graph *g, const char *id, const char *mount_label, struct err *err)
{
	return get(g, id, mount_label, 0, NULL, NULL, err);
}

char *graph_get_brief(struct graph *g, const char *id, const char *mount_label, struct err *err)
{
	return get(g, id, mount_label, DKD_GRAPH_VOLATILE, NULL, NULL, err);
}

char *graph_get_mapped(struct graph *g, const char *id, const char *mount_label, bool brief, const struct graph_ids *ids, struct err *err)
{
	return get(g, id, mount_label, brief ? DKD_GRAPH_VOLATILE : 0, ids, NULL, err);
}

char *graph_get_shown(struct graph *g, const char *id, struct idmaps *ret_shown, struct err *err)
{
	return get(g, id, NULL, 0, NULL, ret_shown, err);
}

bool graph_maps_ids(struct graph *g)
{
	return atomic_load(&g->maps);
}

int graph_put(struct graph *g, const char *id, struct err *err)
{
	struct mounted *m;
	int rc = 0;

	if (graph_check_id(id, err) < 0)
		return -1;
	m = graph_op_begin(g, id);
	/* A count of 0 with something mounted: left by the daemon before this one. */
	if (m->refs <= 1)
		rc = unmount(g, m, err);
	if (rc == 0 && m->refs)
		m->refs--;
	graph_op_end(g, m);
	return rc;
}

bool graph_takes_quota(const struct graph *g)
{
	return g->caps & DKD_GRAPH_CAP_QUOTA;
}

bool graph_writes_parallel(const struct graph *g)
{
	return g->caps & DKD_GRAPH_CAP_PARALLEL;
}
