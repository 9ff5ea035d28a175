/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-flavour.h"

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
	return dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "%s: the backing %s filesystem is formatted without d_type support, "
		"which leads to incorrect behavior.%s Backing filesystems without d_type support are not supported.", overlay_flavour.name, fs_name,
		strcmp(fs_name, "xfs") == 0 ? " Reformat the filesystem with ftype=1 to enable d_type support." : "");
}

int32_t overlay_probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	struct overlay_facts facts;
	const char *what, *slash = root ? strrchr(root, '/') : NULL;
	char parent[PATH_MAX];
	int32_t no;

	if (!root)
		return overlay_flavour.here(call, host) < 0 ? DKD_PROBE_NOT_HERE : DKD_PROBE_MINE;
	snprintf(parent, sizeof(parent), "%.*s", slash && slash > root ? (int)(slash - root) : 1, root);
	no = has_layers(root) ? DKD_PROBE_BROKEN : DKD_PROBE_NOT_HERE;
	if (overlay_flavour.check(parent, &facts, &what) < 0) {
		dkd_failf(host, call, DKD_ERR_INTERNAL, errno, "driver not supported: %s: cannot %s in %s", overlay_flavour.name, what, parent);
		return no;
	}
	if (!facts.d_type) {
		no_d_type(call, host, dir_fs_name(parent));
		return no;
	}
	return DKD_PROBE_MINE;
}

void overlay_close(struct dkd_graph *g)
{
	if (g->fd >= 0)
		close(g->fd);
	free(g->root);
	free(g);
}


static int32_t prepare(const struct dkd_call *call, struct dkd_graph *g)
{
	const char *what;
	int made = dir_make_all(g->root, 0710) < 0 || dir_make(AT_FDCWD, g->root, 0710, geteuid(), g->gid) < 0 ? errno : 0;

	/* On a read-only file system what is there does, as it is. */
	g->fd = made && made != EROFS ? -1 : open(g->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (g->fd < 0) {
		errno = made ? made : errno;
		return dir_failf(g->host, call, "make %s", g->root);
	}
	if (overlay_flavour.check(g->root, &g->facts, &what) < 0)
		return dir_failf(g->host, call, "driver not supported: %s: cannot %s in %s", overlay_flavour.name, what, g->root);
	if (!g->facts.d_type)
		return no_d_type(call, g->host, g->fs_name);
	return overlay_flavour.folders ? overlay_flavour.folders(call, g) : 0;
}

static int32_t check_options(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_open *o)
{
	for (uint32_t i = 0; i < o->options_len; i++)
		if (overlay_flavour.option(call, g, o->options[i].key, o->options[i].value) < 0)
			return -1;
	return 0;
}

int32_t overlay_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret)
{
	struct dkd_graph *g = calloc(1, sizeof(*g));

	if (!g || !(g->root = strdup(o->root)))
		return free(g), host->fail(host, call, DKD_ERR_INTERNAL, ENOMEM, overlay_flavour.name);
	g->host = host;
	g->uid = o->root_uid;
	g->gid = o->root_gid;
	g->fd = -1;
	dir_make_all(g->root, 0710);
	g->fs_name = dir_fs_name(g->root);
	if (check_options(call, g, o) < 0 || prepare(call, g) < 0 || (overlay_flavour.opened && overlay_flavour.opened(call, g) < 0))
		return overlay_close(g), -1;
	*ret = g;
	return 0;
}

/* Layers */

int32_t overlay_sync_files(const struct dkd_call *call, struct dkd_graph *g, const char *id, const char *const *files, size_t len)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < len; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", id, files[i]);
		fd = openat(g->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0 || fdatasync(fd) < 0) {
			int32_t rc = dir_failf(g->host, call, "sync %s/%s", g->root, path);

			if (fd >= 0)
				close(fd);
			return rc;
		}
		close(fd);
	}
	return 0;
}


int32_t overlay_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	struct stat st;

	(void)call;
	return strcmp(id, "l") != 0 && fstatat(g->fd, id, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

int32_t overlay_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	int fd = openat(g->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return dir_failf(g->host, call, "list %s", g->root);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && strcmp(e->d_name, "l") != 0 && strcmp(e->d_name, QUOTA_DEVICE) != 0 && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}


/* Mounts */

bool overlay_is_mounted(struct dkd_graph *g, const char *id)
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
void overlay_drop_volatile_mark(struct dkd_graph *g, const char *id)
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

static uint32_t shown_as(const struct dkd_idmap *v, uint32_t len, uint32_t id)
{
	for (uint32_t i = 0; i < len; i++)
		if (id >= v[i].inside && id - v[i].inside < v[i].count)
			return v[i].outside + (id - v[i].inside);
	return id;
}

int32_t overlay_mount_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *asked, struct overlay_mount *m)
{
	char work[PATH_MAX], merged[PATH_MAX], place[PATH_MAX], at[PATH_MAX];
	struct overlay_mapped mapped = { .at = at, .userns = asked->userns };

	snprintf(merged, sizeof(merged), "%s/merged", asked->id);
	snprintf(place, sizeof(place), "%s/%s/merged", g->root, asked->id);
	snprintf(at, sizeof(at), "%s/%s/mapped", g->root, asked->id);
	m->root = g->root;
	m->target = merged;
	m->place = place;
	m->label = asked->label;
	m->index_off = g->facts.index_off;
	m->userxattr = g->facts.userxattr;
	m->unsynced = m->upper && asked->flags & DKD_GRAPH_VOLATILE;
	if (asked->idmaps) {
		mapped.uid = shown_as(asked->idmaps->uids, asked->idmaps->uids_len, g->uid);
		mapped.gid = shown_as(asked->idmaps->gids, asked->idmaps->gids_len, g->gid);
		m->mapped = &mapped;
	}
	if (dir_make(g->fd, merged, 0700, g->uid, g->gid) < 0)
		return dir_failf(g->host, call, "make %s/%s", g->root, merged);
	if (overlay_flavour.mount(call, g, asked->id, m) < 0)
		return unlinkat(g->fd, merged, AT_REMOVEDIR), -1;
	if (!m->upper || (g->uid == 0 && g->gid == 0))
		return 0;
	snprintf(work, sizeof(work), "%s/work", m->work);
	return fchownat(g->fd, work, g->uid, g->gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT ? dir_failf(g->host, call, "give %s/%s away", g->root, work) : 0;
}

void overlay_unmount_left(struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/merged", g->root, id);
	umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

int32_t overlay_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s/merged", g->root, id);
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return dir_failf(g->host, call, "unmount %s", path);
	overlay_drop_volatile_mark(g, id);
	/* It goes with the layer at the latest. */
	if (rmdir(path) < 0 && errno != ENOENT)
		dkd_logf(g->host, DKD_LOG_DEBUG, "remove %s: %s", path, strerror(errno));
	return 0;
}

/* Facts */

int32_t overlay_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	(void)call;
	emit(to, "Backing Filesystem", g->fs_name);
	emit(to, "Supports d_type", g->facts.d_type ? "true" : "false");
	if (overlay_flavour.status)
		overlay_flavour.status(g, emit, to);
	return 0;
}
