/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vfs: a layer is a whole directory, made as a copy of its parent's. Works everywhere. Layout as Docker's: ROOT/dir/ID. Sizes of
 * layers are project quotas, which count what was copied.
 * Nothing is ever mounted; trees are compared and written by the daemon.
 */
#include <dirent.h>
#include <dockerd/graph.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "quota.h"
#include "size.h"

struct dkd_graph {
	const struct dkd_host *host;
	char *root;
	int dir; /* ROOT/dir */
	uint32_t uid, gid;
	struct quota quota;
	uint64_t size; /* of containers that ask for none; 0: no limit */
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

static int32_t check_options(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_open *o)
{
	for (uint32_t i = 0; i < o->options_len; i++) {
		const char *key = o->options[i].key;

		if (strcasecmp(key, "size") != 0 && strcasecmp(key, "vfs.size") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "unknown option %s for vfs", key);
		if (!size_parse(o->options[i].value, &g->size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", o->options[i].value);
	}
	return 0;
}

#define NO_QUOTA "Filesystem does not support, or has not enabled quotas"

static int32_t find_quotas(const struct dkd_call *call, struct dkd_graph *g)
{
	char device[PATH_MAX];

	if (snprintf(device, sizeof(device), "%s/" QUOTA_DEVICE, g->root) >= (int)sizeof(device))
		return errno = ENAMETOOLONG, fail(g, call, "name", "");
	if (quota_open(g->dir, device, QUOTA_LAYERS, &g->quota) == 0 || !g->size)
		return 0;
	return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, NO_QUOTA);
}

static int32_t vfs_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g;
	int root;

	g = calloc(1, sizeof(*g));
	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "vfs");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->dir = -1;
	if (check_options(call, g, o) < 0)
		return vfs_close(g), -1;
	root = dir_make_all(g->root, 0710) == 0 && dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) == 0 ?
		open(g->root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (root >= 0 && dir_make(root, "dir", 0710, geteuid(), g->gid) == 0)
		g->dir = openat(root, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->dir < 0)
		fail(g, call, "make", "");
	if (root >= 0)
		close(root);
	if (g->dir < 0 || find_quotas(call, g) < 0)
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

static int32_t no_idmaps(const struct dkd_call *call, struct dkd_graph *g)
{
	return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "vfs: id maps of a single container are not supported");
}

static int32_t vfs_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct stat st;

	(void)call;
	return fstatat(g->dir, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int32_t check_size(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c, uint64_t *ret)
{
	*ret = c->flags & DKD_GRAPH_RW ? g->size : 0;
	if (c->options_len && !(c->flags & DKD_GRAPH_RW))
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is not supported for vfs on read-only layers");
	for (uint32_t i = 0; i < c->options_len; i++) {
		if (strcasecmp(c->options[i].key, "size") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Storage opt %s not supported", c->options[i].key);
		if (!*g->quota.device)
			return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, NO_QUOTA);
		if (!size_parse(c->options[i].value, ret))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", c->options[i].value);
	}
	return 0;
}

static int32_t vfs_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	uint64_t size;

	if (check_size(call, g, c, &size) < 0)
		return -1;
	if (c->idmaps)
		return no_idmaps(call, g);
	if (c->parent && !vfs_exists(call, g, c->parent))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "parent layer %s", c->parent);
	if (faccessat(g->dir, c->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return errno = EEXIST, dkd_failf(g->host, call, DKD_ERR_CONFLICT, EEXIST, "layer %s", c->id);
	if (dir_make(g->dir, c->id, 0755, g->uid, g->gid) < 0)
		return fail(g, call, "make", c->id);
	if (size && quota_set(&g->quota, g->dir, c->id, size) < 0) {
		fail(g, call, "limit", c->id);
		dir_remove(g->dir, c->id);
		return -1;
	}
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

static int32_t vfs_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char *path;

	if (m->idmaps)
		return no_idmaps(call, g);
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

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call;
	*ret = *g->quota.device ? DKD_GRAPH_CAP_QUOTA : 0;
	return 0;
}

static const struct dkd_graph_ops ops = {
	.open = vfs_open, .close = vfs_close, .create = vfs_create, .remove = vfs_remove, .exists = vfs_exists,
	.get = vfs_get, .put = vfs_put, .list = vfs_list, .capabilities = capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "vfs", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
