/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfs: a layer is a whole directory, made as a copy of its parent's. Works everywhere. Layout as Docker's: ROOT/dir/ID.
 * Nothing is ever mounted; trees are compared and written by the daemon.
 */
#include <dirent.h>
#include <dockerd/graph.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"

struct dkd_graph {
	const struct dkd_host *host;
	char *root;
	int dir; /* ROOT/dir */
	uint32_t uid, gid;
};

static int32_t fail(struct dkd_graph *g, const struct dkd_call *call, const char *what, const char *id)
{
	int sys = errno;

	return dkd_failf(g->host, call, sys == ECANCELED ? DKD_ERR_CANCELLED : DKD_ERR_INTERNAL, sys, "%s %s/dir/%s", what, g->root, id);
}

static void vfs_close(struct dkd_graph *g)
{
	if (g->dir >= 0)
		close(g->dir);
	free(g->root);
	free(g);
}

static int32_t vfs_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g;
	int root;

	if (o->options_len) {
		const char *key = o->options[0].key;

		if (strcmp(key, "size") == 0 || strcmp(key, "vfs.size") == 0)
			return dkd_failf(host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "Storage option %s is not supported by vfs", key);
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "unknown option %s for vfs", key);
	}
	g = calloc(1, sizeof(*g));
	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "vfs");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->dir = -1;
	root = dir_make_all(g->root, 0710) == 0 && dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) == 0 ?
		open(g->root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (root >= 0 && dir_make(root, "dir", 0710, geteuid(), g->gid) == 0)
		g->dir = openat(root, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->dir < 0)
		fail(g, call, "make", "");
	if (root >= 0)
		close(root);
	if (g->dir < 0)
		return vfs_close(g), -1;
	*ret = g;
	return 0;
}

static int copy_parent(const struct dkd_call *call, struct dkd_graph *g, const char *id, const char *parent)
{
	int src = openat(g->dir, parent, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int dst = openat(g->dir, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = src < 0 || dst < 0 ? -1 : dir_copy(call, src, dst), sys = errno;

	if (src >= 0)
		close(src);
	if (dst >= 0)
		close(dst);
	errno = sys;
	return rc;
}

static int32_t vfs_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	if (c->options_len && !(c->flags & DKD_GRAPH_RW))
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is not supported for vfs on read-only layers");
	if (c->options_len)
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is not supported for vfs");
	if (faccessat(g->dir, c->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return errno = EEXIST, dkd_failf(g->host, call, DKD_ERR_CONFLICT, EEXIST, "layer %s", c->id);
	if (dir_make(g->dir, c->id, 0755, g->uid, g->gid) < 0)
		return fail(g, call, "make", c->id);
	if (c->parent && copy_parent(call, g, c->id, c->parent) < 0) {
		fail(g, call, "copy the parent to", c->id);
		dir_remove(g->dir, c->id);
		return -1;
	}
	return 0;
}

static int32_t vfs_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return dir_remove(g->dir, id) < 0 ? fail(g, call, "remove", id) : 0;
}

static int32_t vfs_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct stat st;

	(void)call;
	return fstatat(g->dir, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int32_t vfs_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char *path;

	if (!vfs_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	path = malloc(strlen(g->root) + strlen(m->id) + sizeof("/dir/"));
	if (!path)
		return fail(g, call, "name", m->id);
	sprintf(path, "%s/dir/%s", g->root, m->id);
	emit(to, path);
	free(path);
	return 0;
}

static int32_t vfs_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	(void)call, (void)g, (void)id;
	return 0; /* nothing is mounted */
}

static int32_t vfs_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	int fd = openat(g->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return fail(g, call, "list", "");
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}

static const struct dkd_graph_ops ops = {
	.open = vfs_open, .close = vfs_close, .create = vfs_create, .remove = vfs_remove, .exists = vfs_exists,
	.get = vfs_get, .put = vfs_put, .list = vfs_list,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "vfs", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
