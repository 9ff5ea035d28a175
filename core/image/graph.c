/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/graph.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "dockerd/graph.h"
#include "driver.h"
#include "image/graph-cache.h"
#include "image/graph-choose.h"

#define BUCKETS 256

/*
 * One layer somebody works on or has mounted. busy is its operation: who set it may call the driver for this layer, and
 * nobody else does. Lives in the table while busy, waited for or mounted.
 */
struct mounted {
	struct mounted *next;
	char *id, *path;
	unsigned refs;    /* of the mount */
	unsigned waiting;
	bool busy;
};

struct graph {
	const struct driver *driver;
	const struct dkd_graph_ops *ops;
	struct dkd_graph *d;
	char *root;
	uint64_t caps;
	struct graph_cache *cache; /* of graph_metadata() */
	struct lock lock;      /* table */
	pthread_cond_t idle;   /* some layer is not busy any more */
	struct mounted *table[BUCKETS];
};

static int open_driver(struct graph *g, const struct strv *storage_opts, uint32_t uid, uint32_t gid, struct err *err);

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
	g->root = xasprintf("%s/%s", data_root, driver->desc->name);
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
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct mounted *m = g->table[i], *next; m; m = next) {
			next = m->next;
			free(m->id);
			free(m->path);
			free(m);
		}
	}
	pthread_cond_destroy(&g->idle);
	lock_done(&g->lock);
	graph_cache_free(g->cache);
	free(g->root);
	free(g);
}

const char *graph_name(const struct graph *g)
{
	return g->driver->desc->name;
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
	for (p = &g->table[h % BUCKETS]; *p && !streq((*p)->id, id); p = &(*p)->next)
		;
	return p;
}

/* Makes the layer this thread's; end with op_end(). */
static struct mounted *op_begin(struct graph *g, const char *id)
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

static void op_end(struct graph *g, struct mounted *m)
{
	WITH_LOCK(&g->lock);
	m->busy = false;
	if (m->waiting) {
		pthread_cond_broadcast(&g->idle);
	} else if (!m->refs) {
		*slot(g, m->id) = m->next;
		free(m->id);
		free(m->path);
		free(m);
	}
}

/* Names the driver and the layer in what is no client's fault; texts for clients stay as the driver gave them. */
static int call_end(struct graph *g, struct driver_call *c, int32_t rc, const char *what, const char *id, struct err *err)
{
	if (driver_call_end(c, rc, err) >= 0)
		return rc;
	if (err && (err->class == ERR_INTERNAL || err->class == ERR_NO_SPACE))
		err_wrap(err, "%s: %s layer %s", graph_name(g), what, id);
	return -1;
}

static int check_id(const char *id, struct err *err)
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

	if (check_id(id, err) < 0 || (parent && check_id(parent, err) < 0))
		return -1;
	for (size_t i = 0; storage_opts && i < storage_opts->len; i++)
		options_add(&o, storage_opts->v[i].key, storage_opts->v[i].value);
	create.options = o.v;
	create.options_len = o.len;
	m = op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = call_end(g, &c, g->ops->create(&c.abi, g->d, &create), "create", id, err);
	op_end(g, m);
	/* an image's layer may take a damaged one's place below others */
	graph_cache_forget(g->cache, rw ? id : NULL);
	return rc;
}

int graph_remove(struct graph *g, const char *id, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (check_id(id, err) < 0)
		return -1;
	m = op_begin(g, id);
	if (m->refs) {
		rc = err_set(err, ERR_CONFLICT, "%s: remove layer %s: it is mounted", graph_name(g), id);
	} else {
		driver_call_begin(&c, g->driver);
		rc = call_end(g, &c, g->ops->remove(&c.abi, g->d, id), "remove", id, err);
	}
	op_end(g, m);
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
	m = op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = call_end(g, &c, g->ops->exists(&c.abi, g->d, id), "look for", id, &err);
	op_end(g, m);
	if (rc < 0)
		log_warn("%s", err_text(&err));
	return rc > 0;
}

static int32_t keep_text(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

/* The driver's get(), under the layer's operation. */
static int mount(struct graph *g, struct mounted *m, const char *label, uint32_t flags, struct err *err)
{
	struct dkd_graph_mount mount = { .size = sizeof(mount), .flags = flags, .id = m->id, .label = label };
	struct driver_call c;

	str_set(&m->path, NULL);
	driver_call_begin(&c, g->driver);
	if (call_end(g, &c, g->ops->get(&c.abi, g->d, &mount, keep_text, &m->path), "mount", m->id, err) < 0)
		return -1;
	if (!m->path || *m->path != '/')
		return err_set(err, ERR_INTERNAL, "%s: mount layer %s: the driver gave no path", graph_name(g), m->id);
	return 0;
}

static char *get(struct graph *g, const char *id, const char *mount_label, uint32_t flags, struct err *err)
{
	struct mounted *m;
	char *path = NULL;

	if (check_id(id, err) < 0)
		return NULL;
	m = op_begin(g, id);
	if (m->refs || mount(g, m, mount_label, flags, err) == 0) {
		m->refs++;
		path = xstrdup(m->path);
	}
	op_end(g, m);
	return path;
}

char *graph_get(struct graph *g, const char *id, const char *mount_label, struct err *err)
{
	return get(g, id, mount_label, 0, err);
}

char *graph_get_brief(struct graph *g, const char *id, const char *mount_label, struct err *err)
{
	return get(g, id, mount_label, DKD_GRAPH_VOLATILE, err);
}

int graph_put(struct graph *g, const char *id, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc = 0;

	if (check_id(id, err) < 0)
		return -1;
	m = op_begin(g, id);
	/* A count of 0 with something mounted: left by the daemon before this one. */
	if (m->refs <= 1) {
		driver_call_begin(&c, g->driver);
		rc = call_end(g, &c, g->ops->put(&c.abi, g->d, id), "unmount", id, err);
	}
	if (rc == 0 && m->refs)
		m->refs--;
	op_end(g, m);
	return rc;
}

/* Facts */

static int32_t status_line(void *to, const char *key, const char *value)
{
	struct jw *w = to;

	jw_arr(w);
	jw_str(w, key);
	jw_str(w, value);
	jw_arr_end(w);
	return 0;
}

void graph_status(struct graph *g, struct jw *w)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call c;

	jw_arr(w);
	if (g->ops->status) {
		driver_call_begin(&c, g->driver);
		if (driver_call_end(&c, g->ops->status(&c.abi, g->d, status_line, w), &err) < 0)
			log_warn("%s: status: %s", graph_name(g), err_text(&err));
	}
	jw_arr_end(w);
}

static int32_t keep_pair(void *to, const char *key, const char *value)
{
	if (key && value)
		strmap_set(to, key, value);
	return 0;
}

static int describe(struct graph *g, const char *id, struct strmap *ret, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (!g->ops->metadata || !id_is_name(id, 1))
		return 0;
	m = op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = call_end(g, &c, g->ops->metadata(&c.abi, g->d, id, keep_pair, ret), "describe", id, err);
	op_end(g, m);
	return rc < 0 ? -1 : 0;
}

/* "/root/overlay2/ID/diff:..." */
static char *first_lower(const struct strmap *map)
{
	const char *text = strmap_get(map, "LowerDir"), *end, *start;
	size_t n = text ? strcspn(text, ":") : 0;

	if (n < 5 || memcmp(text + n - 5, "/diff", 5) != 0)
		return NULL;
	end = start = text + n - 5;
	while (start > text && start[-1] != '/')
		start--;
	return xstrndup(start, (size_t)(end - start));
}

int graph_check(struct graph *g, const char *id, const char *parent, char **ret_why, char **ret_below, struct err *err)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = DKD_GRAPH_TREE_READ, .id = id, .parent = parent };
	OWN_STRMAP struct strmap map = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	OWN_FREE char *path = NULL;
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (check_id(id, err) < 0)
		return -1;
	if (!graph_exists(g, id))
		return err_set(err, ERR_NOT_FOUND, "%s: there is no layer %s", graph_name(g), id);
	rc = describe(g, id, &map, &why);
	if (rc < 0 && g->ops->tree) {
		m = op_begin(g, id);
		driver_call_begin(&c, g->driver);
		rc = call_end(g, &c, g->ops->tree(&c.abi, g->d, &tree, keep_text, &path), "repair", id, NULL);
		if (rc == 0 && g->ops->tree_done) {
			driver_call_begin(&c, g->driver);
			call_end(g, &c, g->ops->tree_done(&c.abi, g->d, &tree), "close", id, NULL);
		}
		op_end(g, m);
		graph_cache_forget(g->cache, NULL);
		rc = rc < 0 || describe(g, id, &map, NULL) < 0 ? -1 : 1;
	}
	if (rc < 0)
		return err_move(err, &why);
	if (rc > 0 && ret_why)
		*ret_why = STEAL(why.msg);
	if (ret_below)
		*ret_below = first_lower(&map);
	return rc;
}

void graph_metadata(struct graph *g, const char *id, struct jw *w)
{
	OWN_STRMAP struct strmap map = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf text = { 0 };
	struct jw own;
	int rc;

	if (graph_cache_write(g->cache, id, w))
		return;
	rc = describe(g, id, &map, &err);
	if (rc < 0)
		log_debug("%s", err_text(&err));
	map.set = map.len > 0;
	jw_init(&own, &text);
	jw_strmap(&own, &map);
	if (rc == 0)
		graph_cache_put(g->cache, id, text.data);
	jw_raw(w, text.data);
}

/* Trees */

static int open_dir(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_errno(err, errno, "open %s", path) : fd;
}

/* 0 with the driver's own tree open in t, 1 when it has none. */
static int native_tree(struct graph *g, uint32_t access, struct graph_tree *t, struct err *err)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = access, .id = t->id, .parent = t->parent };
	OWN_FREE char *path = NULL;
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (!g->ops->tree)
		return 1;
	m = op_begin(g, t->id);
	driver_call_begin(&c, g->driver);
	rc = call_end(g, &c, g->ops->tree(&c.abi, g->d, &tree, keep_text, &path), "open", t->id, err);
	op_end(g, m);
	if (rc != 0)
		return rc;
	t->native = access + 1;
	switch (tree.whiteout) {
	case DKD_GRAPH_WHITEOUT_DELETE: t->whiteout = GRAPH_WHITEOUT_DELETE; break;
	case DKD_GRAPH_WHITEOUT_OVERLAY: t->whiteout = GRAPH_WHITEOUT_OVERLAY; break;
	case DKD_GRAPH_WHITEOUT_AUFS: t->whiteout = GRAPH_WHITEOUT_AUFS; break;
	default:
		return err_set(err, ERR_INTERNAL, "%s: layer %s: unknown whiteout style %u", graph_name(g), t->id, tree.whiteout);
	}
	if (!path)
		return err_set(err, ERR_INTERNAL, "%s: layer %s: the driver gave no path", graph_name(g), t->id);
	t->fd = open_dir(path, err);
	return t->fd < 0 ? -1 : 0;
}

/* The layer mounted, and for a comparison its parent. */
static int mounted_tree(struct graph *g, bool compare, struct graph_tree *t, struct err *err)
{
	OWN_FREE char *path = graph_get(g, t->id, NULL, err), *parent_path = NULL;

	if (!path)
		return -1;
	t->mounted = true;
	t->fd = open_dir(path, err);
	if (t->fd < 0)
		return -1;
	if (!compare || !t->parent)
		return 0;
	parent_path = graph_get(g, t->parent, NULL, err);
	if (!parent_path)
		return -1;
	t->parent_mounted = true;
	t->parent_fd = open_dir(parent_path, err);
	return t->parent_fd < 0 ? -1 : 0;
}

static int tree_open(struct graph *g, uint32_t access, const char *id, const char *parent, struct graph_tree *t, struct err *err)
{
	int rc;

	*t = (struct graph_tree){ .fd = -1, .parent_fd = -1 };
	if (check_id(id, err) < 0 || (parent && check_id(parent, err) < 0))
		return -1;
	t->id = xstrdup(id);
	t->parent = xstrdup(parent);
	rc = native_tree(g, access, t, err);
	if (rc > 0)
		rc = mounted_tree(g, access == DKD_GRAPH_TREE_READ, t, err);
	if (rc < 0)
		graph_tree_done(g, t);
	return rc;
}

int graph_tree_write(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err)
{
	return tree_open(g, DKD_GRAPH_TREE_WRITE, id, parent, ret, err);
}

int graph_tree_read(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err)
{
	return tree_open(g, DKD_GRAPH_TREE_READ, id, parent, ret, err);
}

static void native_done(struct graph *g, const struct graph_tree *t, struct err *err)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = t->native - 1, .id = t->id, .parent = t->parent };
	struct driver_call c;
	struct mounted *m;

	if (!g->ops->tree_done)
		return;
	m = op_begin(g, t->id);
	driver_call_begin(&c, g->driver);
	call_end(g, &c, g->ops->tree_done(&c.abi, g->d, &tree), "close", t->id, err);
	op_end(g, m);
}

void graph_tree_done(struct graph *g, struct graph_tree *t)
{
	OWN_ERR struct err err = ERR_INIT;

	fd_close(&t->fd);
	fd_close(&t->parent_fd);
	if (t->native)
		native_done(g, t, &err);
	if (t->parent_mounted)
		graph_put(g, t->parent, &err);
	if (t->mounted)
		graph_put(g, t->id, &err);
	if (err.msg)
		log_warn("%s", err_text(&err));
	free(t->id);
	free(t->parent);
	*t = (struct graph_tree){ .fd = -1, .parent_fd = -1 };
}

int graph_sync(struct graph *g, struct err *err)
{
	struct driver_call c;
	OWN_FD int fd = -1;

	if (g->ops->sync) {
		driver_call_begin(&c, g->driver);
		return driver_call_end(&c, g->ops->sync(&c.abi, g->d), err);
	}
	lock_none_held();
	fd = open_dir(g->root, err);
	if (fd < 0)
		return -1;
	return syncfs(fd) < 0 ? err_errno(err, errno, "sync %s", g->root) : 0;
}

int graph_sync_layer(struct graph *g, const char *id, struct err *err)
{
	struct driver_call c;
	struct mounted *m;
	int rc;

	if (!g->ops->sync_layer)
		return graph_sync(g, err);
	if (check_id(id, err) < 0)
		return -1;
	m = op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = call_end(g, &c, g->ops->sync_layer(&c.abi, g->d, id), "sync", id, err);
	op_end(g, m);
	return rc;
}

static int32_t add_id(void *to, const char *id)
{
	if (id && id_is_name(id, 1))
		strv_add(to, id);
	return 0;
}

int graph_list(struct graph *g, struct strv *ret, struct err *err)
{
	struct driver_call c;

	if (!g->ops->list)
		return err_set(err, ERR_NOT_IMPLEMENTED, "driver %s cannot list its layers", graph_name(g));
	driver_call_begin(&c, g->driver);
	return driver_call_end(&c, g->ops->list(&c.abi, g->d, add_id, ret), err);
}

bool graph_takes_quota(const struct graph *g)
{
	return g->caps & DKD_GRAPH_CAP_QUOTA;
}
