/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A graph driver of plain folders under fake_root, for tests of the layer store: copies (vfs's way) or diffs (overlay's). */
#ifndef T_FAKE_GRAPH_H
#define T_FAKE_GRAPH_H

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/graph.h"

static const char *fake_root; /* folder of the layers */
static enum graph_whiteout fake_style;
static int fake_fail_create;  /* fails that many calls from now on */

static char *fake_path(const char *id) { return xasprintf("%s/%s", fake_root, id); }

const char *graph_name(const struct graph *g) { return "fake"; }

int graph_create(struct graph *g, const char *id, const char *parent, bool rw, const char *label, const struct strmap *opts, struct err *err)
{
	OWN_FREE char *path = fake_path(id), *cmd = NULL;

	if (fake_fail_create && !--fake_fail_create)
		return err_set(err, ERR_INTERNAL, "create fails as told");
	if (fake_style == GRAPH_WHITEOUT_DELETE && parent) {
		cmd = xasprintf("cp -a %s/%s %s", fake_root, parent, path);
		return system(cmd) == 0 ? 0 : err_set(err, ERR_INTERNAL, "copy");
	}
	return fs_mkdir(path, 0755, err);
}

int graph_remove(struct graph *g, const char *id, struct err *err)
{
	OWN_FD int fd = open(fake_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fs_remove_tree(fd, id, err);
}

static int fake_fail_sync; /* fails that many calls from now on */

int graph_sync(struct graph *g, struct err *err)
{
	return fake_fail_sync && fake_fail_sync-- ? err_set(err, ERR_INTERNAL, "sync fails as told") : 0;
}

int graph_sync_layer(struct graph *g, const char *id, struct err *err)
{
	return graph_sync(g, err);
}

bool graph_writes_parallel(const struct graph *g) { return fake_style == GRAPH_WHITEOUT_OVERLAY; }

bool graph_exists(struct graph *g, const char *id)
{
	OWN_FREE char *path = fake_path(id);

	return fs_exists(path);
}

int graph_check(struct graph *g, const char *id, const char *parent, char **ret_why, char **ret_below, struct err *err)
{
	return graph_exists(g, id) ? 0 : err_set(err, ERR_NOT_FOUND, "there is no layer %s", id);
}

int graph_list(struct graph *g, struct strv *ret, struct err *err)
{
	OWN_DIR DIR *dir = opendir(fake_root);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (*e->d_name != '.')
			strv_add(ret, e->d_name);
	return 0;
}

char *graph_get(struct graph *g, const char *id, const char *label, struct err *err) { return fake_path(id); }
char *graph_get_mapped(struct graph *g, const char *id, const char *label, bool brief, const struct graph_ids *ids, struct err *err) { return fake_path(id); }
char *graph_get_brief(struct graph *g, const char *id, const char *label, struct err *err) { return fake_path(id); }
int graph_put(struct graph *g, const char *id, struct err *err) { return 0; }
void graph_metadata(struct graph *g, const char *id, struct jw *w) { jw_str(w, id); }

static int fake_tree(const char *id, const char *parent, struct graph_tree *ret)
{
	OWN_FREE char *path = fake_path(id), *below = parent ? fake_path(parent) : NULL;

	*ret = (struct graph_tree){ .fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .whiteout = fake_style, .parent_fd = -1 };
	if (below && fake_style == GRAPH_WHITEOUT_DELETE)
		ret->parent_fd = open(below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->fd < 0 ? -1 : 0;
}

int graph_tree_write(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err)
{
	return fake_tree(id, NULL, ret);
}

int graph_tree_read(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err)
{
	return fake_tree(id, parent, ret);
}

void graph_tree_done(struct graph *g, struct graph_tree *t)
{
	fd_close(&t->fd);
	fd_close(&t->parent_fd);
}

#endif
