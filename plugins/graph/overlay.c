/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overlay2: a layer is the directory of its differences, stacked by the kernel. Layout as Docker's, in ROOT:
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
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-links.h"
#include "overlay.h"

static int32_t check_options(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, const char *fs_name, uint64_t *ret_size);

__attribute__((format(printf, 3, 4)))
static int32_t fail(struct dkd_graph *g, const struct dkd_call *call, const char *fmt, ...)
{
	int sys = errno;
	char text[PATH_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return g->host->fail(g->host, call, DKD_ERR_INTERNAL, sys, text);
}

/* Opening */

static bool has_layers(const char *root)
{
	DIR *dir = opendir(root);
	struct dirent *e;
	bool ret = false;

	while (dir && !ret && (e = readdir(dir)))
		ret = e->d_name[0] != '.' && strcmp(e->d_name, "l") != 0;
	if (dir)
		closedir(dir);
	return ret;
}

static int32_t no_d_type(const struct dkd_call *call, const struct dkd_host *host, const char *fs_name)
{
	return dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "overlay2: the backing %s filesystem is formatted without d_type support, "
		"which leads to incorrect behavior.%s Backing filesystems without d_type support are not supported.", fs_name,
		strcmp(fs_name, "xfs") == 0 ? " Reformat the filesystem with ftype=1 to enable d_type support." : "");
}

static bool kernel_has_overlay(void)
{
	FILE *f = fopen("/proc/filesystems", "re");
	char line[128];
	bool ret = access("/sys/module/overlay", F_OK) == 0;

	while (f && !ret && fgets(line, sizeof(line), f))
		ret = strstr(line, "\toverlay\n") != NULL;
	if (f)
		fclose(f);
	return ret;
}

static int32_t probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	struct overlay_facts facts;
	const char *what, *slash = root ? strrchr(root, '/') : NULL;
	char parent[PATH_MAX];
	int32_t no;

	if (!root) {
		if (kernel_has_overlay())
			return DKD_PROBE_MINE;
		host->fail(host, call, DKD_ERR_INTERNAL, 0, "this kernel has no overlay file system, or has not loaded it yet (modprobe overlay)");
		return DKD_PROBE_NOT_HERE;
	}
	snprintf(parent, sizeof(parent), "%.*s", slash && slash > root ? (int)(slash - root) : 1, root);
	overlay_check_sweep(parent);
	no = has_layers(root) ? DKD_PROBE_BROKEN : DKD_PROBE_NOT_HERE;
	if (overlay_check(parent, &facts, &what) < 0) {
		dkd_failf(host, call, DKD_ERR_INTERNAL, errno, "driver not supported: overlay2: cannot %s in %s", what, parent);
		return no;
	}
	if (!facts.d_type) {
		no_d_type(call, host, dir_fs_name(parent));
		return no;
	}
	return DKD_PROBE_MINE;
}

static void overlay_close(struct dkd_graph *g)
{
	if (g->fd >= 0)
		close(g->fd);
	free(g->root);
	free(g);
}

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
	return dir_make(g->fd, "l", 0700, g->uid, g->gid);
}

static int32_t prepare(const struct dkd_call *call, struct dkd_graph *g)
{
	const char *what;
	int made = dir_make_all(g->root, 0710) < 0 || dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) < 0 ? errno : 0;

	/* On a read-only file system what is there does, as it is. */
	g->fd = made && made != EROFS ? -1 : open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0) {
		errno = made ? made : errno;
		return fail(g, call, "make %s", g->root);
	}
	if (make_links(g) < 0 && errno != EROFS)
		return fail(g, call, "make %s/l", g->root);
	overlay_check_sweep(g->root);
	if (overlay_check(g->root, &g->facts, &what) < 0)
		return fail(g, call, "driver not supported: overlay2: cannot %s in %s", what, g->root);
	if (!g->facts.d_type)
		return no_d_type(call, g->host, g->fs_name);
	if (g->facts.guessed)
		dkd_logf(g->host, DKD_LOG_WARN, "overlay2: nothing can be written in %s: what the kernel can do there is taken from its parameters", g->root);
	if (!g->facts.native_diff)
		dkd_logf(g->host, DKD_LOG_WARN, "Not using native diff for overlay2, this may cause degraded performance for building images: "
			"the kernel follows redirects or copies metadata only");
	sweep_links(g);
	return 0;
}

static int32_t find_quotas(const struct dkd_call *call, struct dkd_graph *g)
{
	if (strcmp(g->fs_name, "xfs") != 0 || overlay_quota_open(g->fd, g->root, &g->quota) == 0 || !g->size)
		return 0;
	return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Storage option overlay2.size not supported. Filesystem does not support Project Quota: %s",
		strerror(errno));
}

static int32_t overlay_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g = calloc(1, sizeof(*g));

	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, "overlay2");
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->fd = -1;
	dir_make_all(g->root, 0710);
	g->fs_name = dir_fs_name(g->root);
	if (check_options(call, host, o, g->fs_name, &g->size) < 0 || prepare(call, g) < 0 || find_quotas(call, g) < 0)
		return overlay_close(g), -1;
	*ret = g;
	return 0;
}

static bool is_bool(const char *s)
{
	static const char *const words[] = { "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static int32_t check_options(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, const char *fs_name, uint64_t *ret_size)
{
	for (uint32_t i = 0; i < o->options_len; i++) {
		const char *full = o->options[i].key, *value = o->options[i].value;
		const char *key = strncasecmp(full, "overlay2.", 9) == 0 ? full + 9 : strncasecmp(full, "overlay.", 8) == 0 ? full + 8 : "";

		if (strcasecmp(key, "override_kernel_check") == 0) {
			if (!is_bool(value))
				return dkd_failf(host, call, DKD_ERR_INVALID, 0, "strconv.ParseBool: parsing \"%s\": invalid syntax", value);
			host->log(host, DKD_LOG_WARN, "the option overlay2.override_kernel_check has no effect: what the kernel can do is tried out");
		} else if (strcasecmp(key, "size") == 0) {
			if (!overlay_quota_parse(value, ret_size))
				return dkd_failf(host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", value);
			if (strcmp(fs_name, "xfs") != 0)
				return dkd_failf(host, call, DKD_ERR_INVALID, 0, "Storage Option overlay2.size only supported for backingFS XFS. Found %s", fs_name);
		} else {
			return dkd_failf(host, call, DKD_ERR_INVALID, 0, "overlay2: unknown option %s", full);
		}
	}
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
		if (!overlay_quota_parse(c->options[i].value, ret_size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", c->options[i].value);
	}
	if (c->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "overlay2: id maps of a single container are not supported");
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
	if (size && overlay_quota_set(&g->quota, g->fd, c->id, size) < 0)
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

	/* By hand or by a daemon that crashed it may be mounted still. */
	snprintf(path, sizeof(path), "%s/%s/merged", g->root, id);
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
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
		fail(g, call, "make %s/%s", g->root, c->id);
	remove_layer(g, c->id);
	return -1;
}

static int32_t overlay_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	if (strcmp(id, "l") == 0)
		return g->host->fail(g->host, call, DKD_ERR_INVALID, 0, "l is not a layer");
	return remove_layer(g, id) < 0 ? fail(g, call, "remove %s/%s", g->root, id) : 0;
}

/* Its files; folders and links stand in the file system's own log. */
static int32_t overlay_sync_layer(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	static const char *const files[] = { "link", "lower" };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", id, files[i]);
		fd = openat(g->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fdatasync(fd) < 0) {
			int32_t rc = fail(g, call, "sync %s/%s", g->root, path);

			if (fd >= 0)
				close(fd);
			return rc;
		}
		close(fd);
	}
	return 0;
}

static int32_t overlay_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct stat st;

	(void)call;
	return strcmp(id, "l") != 0 && fstatat(g->fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int32_t overlay_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	int fd = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return fail(g, call, "list %s", g->root);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "l") != 0 && strcmp(e->d_name, OVERLAY_QUOTA_DEVICE) != 0 && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}

/* Mounts */

static bool is_mounted(struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];
	struct stat dir, merged;

	snprintf(path, sizeof(path), "%s/merged", id);
	return fstatat(g->fd, id, &dir, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(g->fd, path, &merged, AT_SYMLINK_NOFOLLOW) == 0 &&
		dir.st_dev != merged.st_dev;
}

/*
 * The kernel's mark of a volatile mount: it refuses the layer until the mark is gone. Each step by itself, as one of them may have
 * been the last before a crash.
 */
static void drop_volatile_mark(struct dkd_graph *g, const char *id)
{
	static const struct { const char *name; int flags; } marks[] = {
		{ "/dirty", 0 }, { "", AT_REMOVEDIR },
	};
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		snprintf(path, sizeof(path), "%s/work/work/incompat/volatile%s", id, marks[i].name);
		unlinkat(g->fd, path, marks[i].flags);
	}
}

static int mount_layer(struct dkd_graph *g, const char *id, const char *label, bool unsynced, struct lowers *l)
{
	char diff[PATH_MAX], work[PATH_MAX], merged[PATH_MAX], committed[PATH_MAX];
	const char *all[MAX_LOWER + 2];
	struct overlay_mount m = {
		.root = g->root, .lower = l->v, .lower_len = l->len, .upper = diff, .work = work, .target = merged, .label = label,
		.index_off = g->facts.index_off, .userxattr = g->facts.userxattr,
		.unsynced = unsynced,
	};
	int rc;

	snprintf(diff, sizeof(diff), "%s/diff", id);
	snprintf(work, sizeof(work), "%s/work", id);
	snprintf(merged, sizeof(merged), "%s/merged", id);
	snprintf(committed, sizeof(committed), "%s/committed", id);
	if (faccessat(g->fd, committed, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		all[0] = diff;
		memcpy(all + 1, l->v, l->len * sizeof(*all));
		m.lower = all;
		m.lower_len++;
		m.upper = m.work = NULL;
		m.unsynced = false;
	}
	if (dir_make(g->fd, merged, 0700, g->uid, g->gid) < 0)
		return -1;
	rc = overlay_mount(&m);
	/* Of a kernel that does not know volatile mounts, or of a layer that a power cut left with its mark. */
	if (rc < 0 && errno == EINVAL && m.upper) {
		m.unsynced = false;
		drop_volatile_mark(g, id);
		rc = overlay_mount(&m);
	}
	/* The work folder is the kernel's and holds nothing that lasts: a lost one is made anew. */
	if (rc < 0 && errno == ENOENT && m.work && dir_make(g->fd, work, 0700, g->uid, g->gid) == 0)
		rc = overlay_mount(&m);
	if (rc < 0) {
		int sys = errno;

		unlinkat(g->fd, merged, AT_REMOVEDIR);
		errno = sys;
		return -1;
	}
	if (!m.upper || (g->uid == 0 && g->gid == 0))
		return 0;
	strcat(work, "/work");
	return fchownat(g->fd, work, g->uid, g->gid, AT_SYMLINK_NOFOLLOW);
}

static int32_t overlay_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	char path[PATH_MAX];
	struct lowers l;

	if (m->idmaps)
		return g->host->fail(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "overlay2: id maps of a single mount are not supported");
	if (!overlay_exists(call, g, m->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", m->id);
	if (overlay_lowers(g, m->id, &l) < 0)
		return fail(g, call, "read %s/%s/lower", g->root, m->id);
	snprintf(path, sizeof(path), "%s/%s/%s", g->root, m->id, l.len ? "merged" : "diff");
	if (l.len && !is_mounted(g, m->id) && mount_layer(g, m->id, m->label, m->flags & DKD_GRAPH_VOLATILE, &l) < 0)
		return fail(g, call, "error creating overlay mount to %s", path);
	emit(to, path);
	return 0;
}

static int32_t overlay_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/merged", g->root, id);
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return fail(g, call, "unmount %s", path);
	drop_volatile_mark(g, id);
	/* It goes with the layer at the latest. */
	if (rmdir(path) < 0 && errno != ENOENT)
		dkd_logf(g->host, DKD_LOG_DEBUG, "remove %s: %s", path, strerror(errno));
	return 0;
}

/* Facts and trees */

static int32_t overlay_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	(void)call;
	emit(to, "Backing Filesystem", g->fs_name);
	emit(to, "Supports d_type", g->facts.d_type ? "true" : "false");
	emit(to, "Using metacopy", g->facts.metacopy ? "true" : "false");
	emit(to, "Native Overlay Diff", g->facts.native_diff ? "true" : "false");
	emit(to, "userxattr", g->facts.userxattr ? "true" : "false");
	return 0;
}

static int32_t emit_lower_dirs(const struct dkd_call *call, struct dkd_graph *g, const struct lowers *l, dkd_emit_pair *emit, void *to)
{
	size_t room = l->len * (strlen(g->root) + NAME_MAX + sizeof("//diff:")), n = 0;
	char id[NAME_MAX + 1], *text = malloc(room);

	for (size_t i = 0; text && i < l->len; i++) {
		if (overlay_link_target(g, l->v[i], id, sizeof(id)) < 0) {
			free(text);
			return fail(g, call, "read %s/%s", g->root, l->v[i]);
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
		return fail(g, call, "read %s/%s/%s", g->root, id, what);
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
		return fail(g, call, "read %s/%s/lower", g->root, t->id);
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
	(void)call, (void)g;
	*ret = DKD_GRAPH_CAP_PARALLEL;
	return 0;
}

static const struct dkd_graph_ops ops = {
	.probe = probe, .open = overlay_open, .close = overlay_close, .create = overlay_create, .remove = overlay_remove,
	.exists = overlay_exists, .get = overlay_get, .put = overlay_put, .status = overlay_status, .metadata = overlay_metadata,
	.tree = overlay_tree, .list = overlay_list, .capabilities = capabilities, .sync_layer = overlay_sync_layer,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "overlay2", .aliases = "overlay",
	.version = PACKAGE_VERSION, .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
