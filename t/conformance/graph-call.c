/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "graph.h"

struct graph_box box;
static pthread_mutex_t lists = PTHREAD_MUTEX_INITIALIZER; /* box.made, box.held */

/* Opening */

int graph_open_with(struct check *c, const char *key, const char *value, struct dkd_graph **ret)
{
	const struct dkd_graph_ops *ops = c->driver->ops;
	struct dkd_graph_open open = { .size = sizeof(open), .root = box.root, .instance = c->instance };
	OWN_FREE struct dkd_pair *options = kit_options(key, value, &open.options_len);

	open.options = options;
	return call_driver(ops->open, driver_host(c->driver), &open, ret);
}

bool graph_begin(struct check *c)
{
	struct driver_call call;

	kit_begin(c);
	box.ops = c->driver->ops;
	snprintf(box.root, sizeof(box.root), "%s/%s", c->root, c->driver->desc->name);
	if (!works(graph_open_with(c, NULL, NULL, &box.g) == 0, "open"))
		return false;
	if (!box.ops->capabilities)
		return true;
	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->capabilities(&call.abi, box.g, &box.caps)) == 0 || works(false, "capabilities");
}

void graph_leave(void)
{
	if (box.ops->close)
		box.ops->close(box.g);
	box.g = NULL;
}

void graph_shut(void)
{
	struct driver_call call;

	if (box.ops->cleanup) {
		kit_call_begin(&call);
		works(kit_call_end(&call, box.ops->cleanup(&call.abi, box.g)) == 0, "cleanup");
	}
	graph_leave();
}

void graph_end(void)
{
	unsigned left = 0;
	bool good = true;

	kit.deadline = 0;
	kit.cancel_fd = -1;
	for (size_t i = box.made.len; i-- > 0; ) {
		graph_put(box.made.v[i]);
		good = graph_remove(box.made.v[i]) == 0 && good;
		left += graph_exists(box.made.v[i]) != 0 || graph_lists(box.made.v[i]);
	}
	works(good && !left, "all layers are removed, the youngest first");
	graph_shut();
	strv_done(&box.made);
	strv_done(&box.held);
	err_done(&why);
}

/* Layers */

const char *layer(unsigned n)
{
	/* a thread's own: another that is faster does not write over them */
	static _Thread_local char text[512][65];
	static _Thread_local unsigned turn;
	char *ret = text[turn++ % ARRAY_LEN(text)];

	snprintf(ret, sizeof(text[0]), "%02x%062x", kit.c->number, n);
	return ret;
}

int graph_create_with(const char *id, const char *parent, uint32_t flags, const char *key, const char *value, const struct dkd_idmaps *maps)
{
	struct dkd_pair pair = { key, value };
	struct dkd_graph_create create = {
		.size = sizeof(create), .flags = flags, .id = id, .parent = parent, .options = key ? &pair : NULL, .options_len = key != NULL, .idmaps = maps,
	};
	struct driver_call call;
	int rc;

	kit_call_begin(&call);
	rc = kit_call_end(&call, box.ops->create(&call.abi, box.g, &create));
	pthread_mutex_lock(&lists);
	if (rc == 0)
		strv_add(&box.made, id);
	pthread_mutex_unlock(&lists);
	return rc;
}

int graph_create(const char *id, const char *parent, bool rw)
{
	return graph_create_with(id, parent, rw ? DKD_GRAPH_RW : 0, NULL, NULL, NULL);
}

int graph_remove(const char *id)
{
	struct driver_call call;

	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->remove(&call.abi, box.g, id));
}

int graph_exists(const char *id)
{
	struct driver_call call;

	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->exists(&call.abi, box.g, id));
}

static int32_t keep(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

static void hold(const char *id, bool held)
{
	pthread_mutex_lock(&lists);
	strv_del(&box.held, id);
	if (held)
		strv_add(&box.held, id);
	pthread_mutex_unlock(&lists);
}

bool graph_holds(const char *id)
{
	bool ret;

	pthread_mutex_lock(&lists);
	ret = strv_contains(&box.held, id);
	pthread_mutex_unlock(&lists);
	return ret;
}

char *graph_get_with(const char *id, uint32_t flags, const struct dkd_idmaps *maps)
{
	OWN_FD int userns = maps ? kit_userns(maps->uids) : -1;
	struct dkd_graph_mount mount = { .size = sizeof(mount), .flags = flags, .id = id, .idmaps = maps, .userns = userns };
	struct driver_call call;
	char *path = NULL;

	kit_call_begin(&call);
	if (kit_call_end(&call, box.ops->get(&call.abi, box.g, &mount, keep, &path)) == 0) {
		if (path && *path == '/') {
			hold(id, true);
			return path;
		}
		err_set(&why, ERR_INTERNAL, "get() emits %s, which is no absolute path", path ? path : "nothing");
	}
	free(path);
	return NULL;
}

char *graph_get(const char *id)
{
	return graph_get_with(id, 0, NULL);
}

int graph_put(const char *id)
{
	struct driver_call call;

	hold(id, false);
	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->put(&call.abi, box.g, id));
}

static int32_t add(void *to, const char *text)
{
	strv_add(to, text);
	return 0;
}

int graph_list(struct strv *ret)
{
	struct driver_call call;

	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->list(&call.abi, box.g, add, ret));
}

/* False also where the driver cannot tell. */
bool graph_lists(const char *id)
{
	OWN_STRV struct strv all = { 0 };

	return box.ops->list && graph_list(&all) == 0 && strv_contains(&all, id);
}

int graph_sync(void)
{
	struct driver_call call;

	if (!box.ops->sync)
		return 0;
	kit_call_begin(&call);
	return kit_call_end(&call, box.ops->sync(&call.abi, box.g));
}

/* Trees */

int graph_tree(const char *id, const char *parent, uint32_t access, struct graph_tree *t)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = access, .id = id, .parent = parent };
	struct driver_call call;
	int rc = 1;

	*t = (struct graph_tree){ .fd = -1, .access = access, .id = xstrdup(id), .parent = xstrdup(parent) };
	if (box.ops->tree) {
		kit_call_begin(&call);
		rc = kit_call_end(&call, box.ops->tree(&call.abi, box.g, &tree, keep, &t->path));
	}
	if (rc < 0)
		return graph_tree_done(t), -1;
	t->mounted = rc == 1;
	t->held = t->mounted && graph_holds(id);
	t->whiteout = rc == 1 ? DKD_GRAPH_WHITEOUT_DELETE : tree.whiteout;
	if (t->mounted)
		t->path = graph_get(id);
	t->fd = t->path ? open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (t->fd < 0)
		return err_errno(&why, errno, "the tree %s", t->path ? t->path : "that has no path"), graph_tree_done(t), -1;
	return 0;
}

int graph_tree_done(struct graph_tree *t)
{
	struct dkd_graph_tree tree = { .size = sizeof(tree), .access = t->access, .id = t->id, .parent = t->parent, .whiteout = t->whiteout };
	struct driver_call call;
	int rc = 0;

	if (t->fd >= 0 && t->mounted) {
		rc = t->held ? 0 : graph_put(t->id);
	} else if (t->fd >= 0 && box.ops->tree_done) {
		kit_call_begin(&call);
		rc = kit_call_end(&call, box.ops->tree_done(&call.abi, box.g, &tree));
	}
	fd_close(&t->fd);
	free(t->path);
	free(t->id);
	free(t->parent);
	t->path = t->id = t->parent = NULL;
	return rc;
}

/* In a tree of differences the folders above may be missing. */
static int make_above(struct graph_tree *t, const char *path)
{
	OWN_FREE char *part = xstrdup(path);

	for (char *p = part; (p = strchr(p + 1, '/')); *p = '/') {
		*p = '\0';
		if (mkdirat(t->fd, part, 0755) < 0 && errno != EEXIST)
			return -1;
	}
	return 0;
}

static int touch(int dir, const char *path)
{
	OWN_FD int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? -1 : 0;
}

int tree_delete(struct graph_tree *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0;
	OWN_FREE char *wh = xasprintf("%.*s.wh.%s", dir, path, path + dir);

	if (make_above(t, path) < 0 || fs_remove_tree(t->fd, path, NULL) < 0)
		return -1;
	switch (t->whiteout) {
	case DKD_GRAPH_WHITEOUT_OVERLAY: return mknodat(t->fd, path, S_IFCHR, 0);
	case DKD_GRAPH_WHITEOUT_AUFS: return touch(t->fd, wh);
	default: return 0;
	}
}

int tree_opaque(struct graph_tree *t, const char *path)
{
	OWN_FREE char *mark = xasprintf("%s/.wh..wh..opq", path), *full = xasprintf("%s/%s", t->path, path);

	if (make_above(t, path) < 0 || fs_remove_tree(t->fd, path, NULL) < 0 || mkdirat(t->fd, path, 0755) < 0)
		return -1;
	switch (t->whiteout) {
	case DKD_GRAPH_WHITEOUT_OVERLAY: return setxattr(full, "trusted.overlay.opaque", "y", 1, 0);
	case DKD_GRAPH_WHITEOUT_AUFS: return touch(t->fd, mark);
	default: return 0;
	}
}

int tree_write(struct graph_tree *t, const char *path, const char *text)
{
	OWN_FD int fd = -1;

	if (make_above(t, path) < 0)
		return -1;
	unlinkat(t->fd, path, 0); /* as the daemon does: what lies there may be another layer's, too */
	fd = openat(t->fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return fd < 0 ? -1 : fs_write_all(fd, text, strlen(text));
}

/* Files */

const char *below(const char *dir, const char *name)
{
	static _Thread_local char text[16][4096];
	static _Thread_local unsigned turn;
	char *ret = text[turn++ % ARRAY_LEN(text)];

	snprintf(ret, sizeof(text[0]), "%s/%s", dir ? dir : "/nowhere", name);
	return ret;
}

bool put_text(const char *dir, const char *name, const char *text)
{
	OWN_FD int fd = open(below(dir, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd >= 0 && fs_write_all(fd, text, strlen(text)) == 0;
}

bool has_text(const char *dir, const char *name, const char *text)
{
	OWN_FD int fd = open(below(dir, name), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char got[4096];
	ssize_t n = fd < 0 ? -1 : fs_read_all(fd, got, sizeof(got));

	return n >= 0 && (size_t)n == strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

bool missing(const char *dir, const char *name)
{
	struct stat st;

	return dir && lstat(below(dir, name), &st) < 0 && errno == ENOENT;
}

static bool put_files(struct graph_tree *t, va_list ap)
{
	for (const char *file; (file = va_arg(ap, const char *)); ) {
		const char *eq = strchr(file, '=');
		OWN_FREE char *name = xstrndup(file, eq ? (size_t)(eq - file) : strlen(file));

		if (eq ? tree_write(t, name, eq + 1) < 0 : make_above(t, name) < 0)
			return false;
	}
	return true;
}

bool make_layer(const char *id, const char *parent, ...)
{
	struct graph_tree t;
	va_list ap;
	bool good;

	if (graph_create(id, parent, false) < 0 || graph_tree(id, parent, DKD_GRAPH_TREE_WRITE, &t) < 0)
		return works(false, "a layer is made and opened to be written");
	va_start(ap, parent);
	good = put_files(&t, ap);
	va_end(ap);
	return (graph_tree_done(&t) == 0 && good) || works(false, "a layer is written");
}

bool layer_has(const char *id, const char *name, const char *text)
{
	OWN_FREE char *dir = graph_get(id);
	bool ret = dir && (text ? has_text(dir, name, text) : missing(dir, name));

	return dir && graph_put(id) == 0 && ret;
}
