/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overlay: the layout that Docker had before overlay2. Layers of images are whole trees made of hard links, so that an overlay of
 * the kernel never has more than one layer below. In ROOT:
 *   ID/root      the whole tree of an image's layer: what its parent has under other names of the same files, and what it adds
 * or, for a container:
 *   ID/upper     what it changes
 *   ID/lower-id  the layer whose root lies below
 *   ID/work      the kernel's
 *   ID/merged    where it is mounted, while it is
 * A container's layer on top of another begins as a copy of that one's upper. A file in a root is never written in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-flavour.h"

/* Layers */

static bool has(struct dkd_graph *g, const char *id, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", id, name);
	return faccessat(g->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The layer below a container's. -1 with errno; EUCLEAN: the file says nothing sensible. */
static int read_lower(struct dkd_graph *g, const char *id, char ret[NAME_MAX + 1])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/lower-id", id);
	if (dir_read_file(g->fd, path, ret, NAME_MAX + 1) < 0)
		return -1;
	return !*ret || *ret == '.' || strchr(ret, '/') ? (errno = EUCLEAN, -1) : 0;
}

static int make_dir(struct dkd_graph *g, const char *id, const char *name, mode_t mode)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", id, name);
	return dir_make(g->fd, path, mode, g->uid, g->gid);
}

static int open_dir(struct dkd_graph *g, const char *id, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", id, name);
	return openat(g->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

typedef int between(const struct dkd_call *call, int src, int dst);

/* The folder "to" of a new layer, made and filled from the folder "from" of its parent. */
static int from_parent(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c, const char *from, const char *to, between *fill)
{
	int src = open_dir(g, c->parent, from), dst = src >= 0 && make_dir(g, c->id, to, 0755) == 0 ? open_dir(g, c->id, to) : -1;
	int rc = dst < 0 ? -1 : fill(call, src, dst), sys = errno;

	if (src >= 0)
		close(src);
	if (dst >= 0)
		close(dst);
	errno = sys;
	return rc;
}

/* An empty folder that stands for another: the container's root has its owner and mode. */
static int stand_for(const struct dkd_call *call, int src, int dst)
{
	struct stat st;

	(void)call;
	return fstat(src, &st) < 0 || fchown(dst, st.st_uid, st.st_gid) < 0 ? -1 : fchmod(dst, st.st_mode & 07777);
}

/* What a layer on top of parent has below. */
static int lower_of(struct dkd_graph *g, const char *parent, char ret[NAME_MAX + 1])
{
	if (!has(g, parent, "root"))
		return read_lower(g, parent, ret);
	snprintf(ret, NAME_MAX + 1, "%s", parent);
	return 0;
}

static int write_lower(struct dkd_graph *g, const char *id, const char *lower)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/lower-id", id);
	return dir_write_file(g->fd, path, lower, 0600);
}

static int make_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	char lower[NAME_MAX + 1];
	bool on_root = c->parent && has(g, c->parent, "root");

	if (dir_make(g->fd, c->id, 0710, geteuid(), g->gid) < 0)
		return -1;
	if (!c->parent)
		return make_dir(g, c->id, "root", 0755);
	if (on_root && !(c->flags & DKD_GRAPH_RW))
		return from_parent(call, g, c, "root", "root", dir_link);
	if (lower_of(g, c->parent, lower) < 0 || make_dir(g, c->id, "work", 0700) < 0 || write_lower(g, c->id, lower) < 0)
		return -1;
	return on_root ? from_parent(call, g, c, "root", "upper", stand_for) : from_parent(call, g, c, "upper", "upper", dir_copy);
}

static int32_t check_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	if (c->options_len)
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is not supported for overlay");
	if (c->idmaps)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "overlay: id maps of a single container are not supported");
	if (faccessat(g->fd, c->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return dkd_failf(g->host, call, DKD_ERR_CONFLICT, 0, "layer %s exists already", c->id);
	if (c->parent && !overlay_exists(call, g, c->parent))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "parent layer %s", c->parent);
	return 0;
}

static int32_t create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	int sys;

	if (check_create(call, g, c) < 0)
		return -1;
	if (make_layer(call, g, c) == 0)
		return 0;
	sys = errno;
	dkd_failf(g->host, call, sys == ECANCELED ? DKD_ERR_CANCELLED : DKD_ERR_INTERNAL, sys, "make %s/%s", g->root, c->id);
	dir_remove(g->fd, c->id);
	return -1;
}

static int32_t layer_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	overlay_unmount_left(g, id);
	return dir_remove(g->fd, id) < 0 ? dir_failf(g->host, call, "remove %s/%s", g->root, id) : 0;
}

static int32_t sync_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	static const char *const files[] = { "lower-id" };

	return overlay_sync_files(call, g, id, files, 1);
}

/* Mounts */

static int32_t mount_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *asked)
{
	char below[NAME_MAX + 1], lower[PATH_MAX], upper[PATH_MAX], work[PATH_MAX];
	const char *lowers[] = { lower };
	struct overlay_mount m = { .lower = lowers, .lower_len = 1, .upper = upper, .work = work };

	if (read_lower(g, asked->id, below) < 0)
		return dir_failf(g->host, call, "read %s/%s/lower-id", g->root, asked->id);
	snprintf(lower, sizeof(lower), "%s/root", below);
	snprintf(upper, sizeof(upper), "%s/upper", asked->id);
	snprintf(work, sizeof(work), "%s/work", asked->id);
	return overlay_mount_layer(call, g, asked, &m);
}

static int32_t get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	bool whole;

	if (m->idmaps && g->facts.userxattr)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "overlay: layers cannot be mounted with other ids here");
	if (!overlay_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	whole = has(g, m->id, "root");
	if (!whole && !overlay_is_mounted(g, m->id) && mount_layer(call, g, m) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s/%s", g->root, m->id, whole ? "root" : "merged");
	emit(to, path);
	return 0;
}

/* Facts */

static int32_t metadata(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to)
{
	static const struct { const char *key, *name; } rows[] = { { "MergedDir", "merged" }, { "UpperDir", "upper" }, { "WorkDir", "work" } };
	char below[NAME_MAX + 1], path[PATH_MAX];

	if (!overlay_exists(call, g, id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", id);
	if (has(g, id, "root")) {
		snprintf(path, sizeof(path), "%s/%s/root", g->root, id);
		emit(to, "RootDir", path);
		return 0;
	}
	if (read_lower(g, id, below) < 0)
		return dir_failf(g->host, call, "read %s/%s/lower-id", g->root, id);
	if (!has(g, id, "upper"))
		return errno = ENOENT, dir_failf(g->host, call, "look for %s/%s/upper", g->root, id);
	snprintf(path, sizeof(path), "%s/%s/root", g->root, below);
	emit(to, "LowerDir", path);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", g->root, id, rows[i].name);
		emit(to, rows[i].key, path);
	}
	return 0;
}

/* There are none: layers are read and written as they are mounted. A container's, which a power cut may have left without what is below it, gets that again. */
static int32_t tree(const struct dkd_call *call, struct dkd_graph *g, struct dkd_graph_tree *t, dkd_emit *emit, void *to)
{
	char lower[NAME_MAX + 1];

	(void)emit, (void)to;
	if (!overlay_exists(call, g, t->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", t->id);
	if (!has(g, t->id, "upper") || read_lower(g, t->id, lower) == 0 || !t->parent)
		return 1;
	if (lower_of(g, t->parent, lower) < 0 || write_lower(g, t->id, lower) < 0)
		return dir_failf(g->host, call, "put %s/%s/lower-id right", g->root, t->id);
	return 1;
}

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call;
	*ret = g->facts.userxattr ? 0 : DKD_GRAPH_CAP_IDMAP;
	return 0;
}

/* The flavour */

static int32_t option(const struct dkd_call *call, struct dkd_graph *g, const char *key, const char *value)
{
	(void)value;
	return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "overlay: unknown option %s", key);
}

const struct overlay_flavour overlay_flavour = {
	.name = "overlay", .here = overlay_kernel_here, .check = overlay_kernel_check, .option = option, .mount = overlay_kernel_mount,
};

static const struct dkd_graph_ops ops = {
	.probe = overlay_probe, .open = overlay_open, .close = overlay_close, .create = create, .remove = layer_remove,
	.exists = overlay_exists, .get = get, .put = overlay_put, .status = overlay_status, .metadata = metadata, .tree = tree,
	.list = overlay_list, .capabilities = capabilities, .sync_layer = sync_layer,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "overlay", .version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
