/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "image/untar-priv.h"

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

void untar_parent_drop(struct untar *u)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, u->parent_mtime };

	if (u->parent_fd < 0)
		return;
	if (u->parent_dirty)
		futimens(u->parent_fd, times);
	fd_close(&u->parent_fd);
	u->parent_dirty = false;
}

static int parent_set(struct untar *u, const char *path, int fd, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		err_errno(err, errno, "stat %s", path);
		close(fd);
		return -1;
	}
	memcpy(u->parent, path, strlen(path) + 1);
	u->parent_fd = fd;
	u->parent_mtime = st.st_mtim;
	return 1;
}

/* Makes one folder in the directory cur, whose time stays. Owner root, mode 0755, as Docker makes folders nobody describes. */
static int make_folder(struct untar *u, int cur, const char *name, bool opaque, struct err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	OWN_FD int fd = -1;
	struct stat st;

	if (untar_count(u, err) < 0)
		return -1;
	if (fstat(cur, &st) < 0 || mkdirat(cur, name, 0755) < 0)
		return untar_fail(u, errno, "mkdir", err);
	times[1] = st.st_mtim;
	futimens(cur, times);
	fd = openat(cur, name, DIR_FLAGS | O_NOFOLLOW);
	if (fd < 0 || fchown(fd, idmaps_root_uid(u->opts->ids), idmaps_root_gid(u->opts->ids)) < 0 || fchmod(fd, 0755) < 0)
		return untar_fail(u, errno, "mkdir", err);
	if (opaque && whiteout_set_opaque(u, fd, err) < 0)
		return -1;
	return STEAL_FD(fd);
}

static bool clear_whiteout(struct untar *u, int cur, const char *name)
{
	struct stat st;

	return u->opts->whiteout == GRAPH_WHITEOUT_OVERLAY && u->opts->flags & UNTAR_LAYER &&
		fstatat(cur, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && whiteout_is(&st) && unlinkat(cur, name, 0) == 0;
}

/* One step down: name in cur, or prefix (the same place as a path from the root) when it is a link. */
static int step(struct untar *u, int cur, const char *prefix, const char *name, struct err *err)
{
	struct stat st;
	int fd = openat(cur, name, DIR_FLAGS | O_NOFOLLOW);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return make_folder(u, cur, name, false, err);
	if (errno != ENOTDIR && errno != ELOOP)
		return untar_fail(u, errno, "open folder", err);
	if (clear_whiteout(u, cur, name))
		return make_folder(u, cur, name, true, err);
	if (fstatat(cur, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode))
		return untar_fail(u, ENOTDIR, "open folder", err);
	fd = fs_beneath(u->root, prefix, DIR_FLAGS, 0);
	return fd < 0 ? untar_fail(u, errno, "open folder", err) : fd;
}

/* Walks from the root; each step is relative to the folder before, so that deep paths cost no more than their length. */
static int make_path(struct untar *u, const char *path, struct err *err)
{
	char prefix[TAR_NAME_MAX + 1];
	OWN_FD int cur = fs_beneath(u->root, ".", DIR_FLAGS, 0);
	char *p = prefix;

	if (cur < 0)
		return untar_fail(u, errno, "open root", err);
	memcpy(prefix, path, strlen(path) + 1);
	while (p) {
		char *slash = strchr(p, '/');
		int next;

		if (slash)
			*slash = '\0';
		next = step(u, cur, prefix, p, err);
		if (next < 0)
			return -1;
		close(cur);
		cur = next;
		if (slash)
			*slash = '/';
		p = slash ? slash + 1 : NULL;
	}
	return STEAL_FD(cur);
}

int untar_parent(struct untar *u, const char *path, bool make, struct err *err)
{
	int fd;

	if (u->parent_fd >= 0 && streq(u->parent, path))
		return 1;
	untar_parent_drop(u);
	fd = fs_beneath(u->root, path, DIR_FLAGS, 0);
	if (fd < 0 && !make && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 && make && (errno == ENOENT || errno == ENOTDIR)) {
		fd = make_path(u, path, err);
		if (fd < 0)
			return -1;
	}
	if (fd < 0)
		return untar_fail(u, errno, "open folder", err);
	return parent_set(u, path, fd, err);
}
