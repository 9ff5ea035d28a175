/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Layers that are directories of their differences, stacked by an overlay: by the kernel's (overlay2.c), or by that of a program
 * (fuse-overlayfs.c). Layout as Docker's, in ROOT:
 *   ID/diff      what the layer adds (and its whiteouts)
 *   ID/link      26 letters and digits, the layer's short name: l/NAME -> ../ID/diff
 *   ID/lower     "l/NAME:l/NAME...", the layers below, nearest first; absent for a layer without parent
 *   ID/work      the kernel's, for a layer with parent
 *   ID/committed an empty file: has children, so it is never mounted writable again
 *   ID/merged    where the layer is mounted, while it is
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
#include "overlay-links.h"
#include "size.h"

/* Opening */

/* A power cut leaves links to layers that it took along; one of their names may be drawn again. */
static void sweep_links(struct dkd_graph *g)
{
	int fd = openat(g->fd, "l", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct stat st;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && fstatat(fd, e->d_name, &st, 0) < 0 && errno == ENOENT && unlinkat(fd, e->d_name, 0) == 0)
			dkd_logf(g->host, DKD_LOG_INFO, "removed the dangling link %s/l/%s", g->root, e->d_name);
	if (dir)
		closedir(dir);
}

/* The folder of the short names, which are made again where it is lost. */
static int make_links(struct dkd_graph *g)
{
	struct stat st;

	if (fstatat(g->fd, "l", &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode) && dir_set_aside(g->fd, "l") < 0)
		return -1;
	/* not the containers' root's: who may change a name in it chooses what others' layers are */
	return dir_make(g->fd, "l", 0700, geteuid(), getegid());
}

int32_t overlay_folders(const struct dkd_call *call, struct dkd_graph *g)
{
	if (make_links(g) < 0 && errno != EROFS)
		return dir_failf(g->host, call, "make %s/l", g->root);
	sweep_links(g);
	return 0;
}

/* Layers */

static int32_t check_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c, uint64_t *ret_size)
{
	struct stat st;

	*ret_size = c->flags & DKD_GRAPH_RW ? g->size : 0;
	for (uint32_t i = 0; i < c->options_len; i++) {
		if (strcasecmp(c->options[i].key, "size") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Unknown option %s", c->options[i].key);
		if (!(c->flags & DKD_GRAPH_RW))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt size is only supported for ReadWrite Layers");
		if (!*g->quota.device)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
		if (!size_parse(c->options[i].value, ret_size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", c->options[i].value);
	}
	if (c->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "%s: id maps of a single container are not supported", overlay_flavour.name);
	if (fstatat(g->fd, c->id, &st, AT_SYMLINK_NOFOLLOW) == 0 || strcmp(c->id, "l") == 0)
		return dkd_failf(g->host, call, DKD_ERR_CONFLICT, 0, "layer %s exists already", c->id);
	if (c->parent && (fstatat(g->fd, c->parent, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode)))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "parent layer %s", c->parent);
	return 0;
}

static int make_layer(struct dkd_graph *g, const struct dkd_graph_create *c, uint64_t size)
{
	char path[PATH_MAX], link[LINK_LEN + 1];

	if (dir_make(g->fd, c->id, 0710, geteuid(), g->gid) < 0)
		return -1;
	if (size && quota_set(&g->quota, g->fd, c->id, size) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/diff", c->id);
	if (dir_make(g->fd, path, 0755, g->uid, g->gid) < 0 || overlay_make_link(g, c->id, link) < 0)
		return -1;
	if (!c->parent)
		return 0;
	snprintf(path, sizeof(path), "%s/work", c->id);
	if (dir_make(g->fd, path, 0700, g->uid, g->gid) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/committed", c->parent);
	if (dir_write_file(g->fd, path, "", 0600) < 0)
		return -1;
	return overlay_write_lower(g, c->id, c->parent);
}

static int remove_layer(struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX], link[64];

	overlay_unmount_left(g, id);
	if (overlay_link_file(g, id, link, sizeof(link)) || (faccessat(g->fd, id, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && overlay_link_by_target(g, id, link))) {
		snprintf(path, sizeof(path), "l/%s", link);
		unlinkat(g->fd, path, 0);
	}
	return dir_remove(g->fd, id);
}

static int32_t overlay_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	uint64_t size;
	int rc;

	if (check_create(call, g, c, &size) < 0)
		return -1;
	rc = make_layer(g, c, size);
	if (rc == 0)
		return 0;
	if (rc > 0)
		g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "max depth exceeded");
	else
		dir_failf(g->host, call, "make %s/%s", g->root, c->id);
	remove_layer(g, c->id);
	return -1;
}

static int32_t overlay_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	if (strcmp(id, "l") == 0)
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "l is not a layer");
	return remove_layer(g, id) < 0 ? dir_failf(g->host, call, "remove %s/%s", g->root, id) : 0;
}

/* Folders and links stand in the file system's own log. */
static int32_t overlay_sync_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	static const char *const files[] = { "link", "lower" };

	return overlay_sync_files(call, g, id, files, sizeof(files) / sizeof(files[0]));
}

/* Mounts */

/* 0, or -1 after a fail(). */
static int32_t mount_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *asked, struct lowers *l)
{
	char diff[PATH_MAX], work[PATH_MAX], committed[PATH_MAX];
	const char *all[MAX_LOWER + 2];
	struct overlay_mount m = { .lower = l->v, .lower_len = l->len, .upper = diff, .work = work };

	snprintf(diff, sizeof(diff), "%s/diff", asked->id);
	snprintf(work, sizeof(work), "%s/work", asked->id);
	snprintf(committed, sizeof(committed), "%s/committed", asked->id);
	/* where the container's root looks the names up, with no rights over the host's root's */
	if (asked->idmaps && g->gid && dir_make(g->fd, "l", 0710, geteuid(), g->gid) < 0)
		return dir_failf(g->host, call, "let the containers' root into %s/l", g->root);
	if (faccessat(g->fd, committed, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		all[0] = diff;
		memcpy(all + 1, l->v, l->len * sizeof(*all));
		m.lower = all;
		m.lower_len++;
		m.upper = m.work = NULL;
	}
	return overlay_mount_layer(call, g, asked, &m);
}

static int32_t overlay_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	struct lowers l;

	if (m->idmaps && (!overlay_flavour.idmaps || g->facts.userxattr))
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "%s: layers cannot be mounted with other ids here", overlay_flavour.name);
	if (!overlay_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	if (overlay_lowers(g, m->id, &l) < 0)
		return dir_failf(g->host, call, "read %s/%s/lower", g->root, m->id);
	snprintf(path, sizeof(path), "%s/%s/%s", g->root, m->id, l.len ? "merged" : "diff");
	if (l.len && !overlay_is_mounted(g, m->id) && mount_layer(call, g, m, &l) < 0)
		return -1;
	emit(to, path);
	return 0;
}

/* Facts and trees */

static int32_t emit_lower_dirs(const struct dkd_call *call, struct dkd_graph *g, const struct lowers *l, dkd_emit_pair *emit, void *to)
{
	size_t room = l->len * (strlen(g->root) + NAME_MAX + sizeof("//diff:")), n = 0;
	char id[NAME_MAX + 1], *text = malloc(room);

	for (size_t i = 0; text && i < l->len; i++) {
		if (overlay_link_target(g, l->v[i], id, sizeof(id)) < 0) {
			free(text);
			return dir_failf(g->host, call, "read %s/%s", g->root, l->v[i]);
		}
		n += (size_t)snprintf(text + n, room - n, "%s%s/%s/diff", i ? ":" : "", g->root, id);
	}
	if (text)
		emit(to, "LowerDir", text);
	free(text);
	return 0;
}

static int32_t overlay_metadata(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to)
{
	static const struct { const char *key, *name; } rows[] = { { "WorkDir", "work" }, { "MergedDir", "merged" }, { "UpperDir", "diff" } };
	char path[PATH_MAX];
	struct lowers l;

	const char *what;

	if (!overlay_exists(call, g, id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", id);
	if (overlay_check_layer(g, id, &what) < 0 || overlay_lowers(g, id, &l) < 0)
		return dir_failf(g->host, call, "read %s/%s/%s", g->root, id, what);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", g->root, id, rows[i].name);
		emit(to, rows[i].key, path);
	}
	return l.len ? emit_lower_dirs(call, g, &l, emit, to) : 0;
}

/* Is parent what the layer stands on? */
static int is_parent(struct dkd_graph *g, const char *id, const char *parent)
{
	char below[NAME_MAX + 1];
	struct lowers l;

	if (overlay_lowers(g, id, &l) < 0)
		return -1;
	if (!l.len || !parent)
		return !l.len && !parent;
	return overlay_link_target(g, l.v[0], below, sizeof(below)) < 0 ? -1 : strcmp(below, parent) == 0;
}

static int32_t overlay_tree(const struct dkd_call *call, struct dkd_graph *g, struct dkd_graph_tree *t, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	int rc;

	if (!overlay_exists(call, g, t->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", t->id);
	rc = t->access == DKD_GRAPH_TREE_READ ? overlay_repair_layer(g, t->id, t->parent) : 0;
	if (rc == 0)
		rc = is_parent(g, t->id, t->parent);
	if (rc < 0)
		return dir_failf(g->host, call, "read %s/%s/lower", g->root, t->id);
	/* What is written follows this driver's own rules; what is read may have been written through a mount. */
	if (rc == 0 || g->facts.userxattr || (t->access == DKD_GRAPH_TREE_READ && !g->facts.native_diff))
		return 1;
	snprintf(path, sizeof(path), "%s/%s/diff", g->root, t->id);
	t->whiteout = DKD_GRAPH_WHITEOUT_OVERLAY;
	emit(to, path);
	return 0;
}

static int32_t capabilities(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret)
{
	(void)call;
	/* in a user namespace layers are written through a mount, on what lies below */
	*ret = (g->facts.userxattr ? 0 : DKD_GRAPH_CAP_PARALLEL | (overlay_flavour.idmaps ? DKD_GRAPH_CAP_IDMAP : 0)) | (*g->quota.device ? DKD_GRAPH_CAP_QUOTA : 0);
	return 0;
}

const struct dkd_graph_ops overlay_ops = {
	.probe = overlay_probe, .open = overlay_open, .close = overlay_close, .create = overlay_create, .remove = overlay_remove,
	.exists = overlay_exists, .get = overlay_get, .put = overlay_put, .status = overlay_status, .metadata = overlay_metadata,
	.tree = overlay_tree, .list = overlay_list, .capabilities = capabilities, .sync_layer = overlay_sync_layer,
};
