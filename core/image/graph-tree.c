/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer's tree to read or to write, the driver's own or a mount of it, and its way to the disk. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "image/graph-priv.h"

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
	m = graph_op_begin(g, t->id);
	driver_call_begin(&c, g->driver);
	rc = graph_call_end(g, &c, g->ops->tree(&c.abi, g->d, &tree, graph_keep_text, &path), "open", t->id, err);
	graph_op_end(g, m);
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
	OWN_FREE char *path = graph_get_shown(g, t->id, &t->shown, err), *parent_path = NULL;

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
	if (graph_check_id(id, err) < 0 || (parent && graph_check_id(parent, err) < 0))
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
	m = graph_op_begin(g, t->id);
	driver_call_begin(&c, g->driver);
	graph_call_end(g, &c, g->ops->tree_done(&c.abi, g->d, &tree), "close", t->id, err);
	graph_op_end(g, m);
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
	idmaps_done(&t->shown);
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
	if (graph_check_id(id, err) < 0)
		return -1;
	m = graph_op_begin(g, id);
	driver_call_begin(&c, g->driver);
	rc = graph_call_end(g, &c, g->ops->sync_layer(&c.abi, g->d, id), "sync", id, err);
	graph_op_end(g, m);
	return rc;
}
