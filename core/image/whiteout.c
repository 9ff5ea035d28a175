/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deletions in layers: aufs names in the archive (.wh.NAME, .wh..wh..opq), the tree's own style on disk. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "image/untar-priv.h"

#define PREFIX ".wh."
#define META   ".wh..wh."
#define OPAQUE ".wh..wh..opq"
#define DEPTH_MAX 4096

bool whiteout_is(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

int whiteout_set_opaque(struct untar *u, int fd, struct err *err)
{
	return untar_set_xattr(u, fd, "trusted.overlay.opaque", "y", 1) < 0 ? untar_fail(u, errno, "mark opaque", err) : 0;
}

static int bad_name(struct untar *u, struct err *err)
{
	return err_set(err, ERR_INVALID, "invalid whiteout \"%s\"", u->what);
}

int whiteout_name(struct untar *u, const char *path, const char **ret_name, struct err *err)
{
	const char *base = path, *slash;

	for (; (slash = strchr(base, '/')); base = slash + 1) {
		if (str_has_prefix(base, META))
			return UNTAR_IGNORE;
		if (str_has_prefix(base, PREFIX))
			return bad_name(u, err);
	}
	if (!str_has_prefix(base, PREFIX))
		return UNTAR_PLAIN;
	if (streq(base, OPAQUE))
		return u->opts->whiteout == GRAPH_WHITEOUT_AUFS ? UNTAR_PLAIN : UNTAR_OPAQUE;
	if (str_has_prefix(base, META))
		return UNTAR_IGNORE;
	*ret_name = base + strlen(PREFIX);
	if (!**ret_name || streq(*ret_name, ".") || streq(*ret_name, ".."))
		return bad_name(u, err);
	return u->opts->whiteout == GRAPH_WHITEOUT_AUFS ? UNTAR_PLAIN : UNTAR_WHITEOUT;
}

/* Did this layer bring path, or something below it? path has room for one byte more. */
static bool brought(struct untar *u, char *path, size_t len)
{
	bool yes;

	path[len] = '/';
	yes = pathset_has(&u->seen, path, len) || pathset_has(&u->seen, path, len + 1);
	path[len] = '\0';
	return yes;
}

/* Removes what dirfd holds but this layer did not bring. path is that folder's, with room to grow; len its length. */
static int prune(struct untar *u, int dirfd, char *path, size_t len, int depth, struct err *err)
{
	OWN_DIR DIR *dir = NULL;
	OWN_FD int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	if (fd < 0 || !(dir = fdopendir(fd)) || depth > DEPTH_MAX)
		return untar_fail(u, depth > DEPTH_MAX ? ENAMETOOLONG : errno, "read folder", err);
	STEAL_FD(fd);
	while ((e = readdir(dir))) {
		size_t n = strlen(e->d_name);
		OWN_FD int child = -1;

		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (len + 1 + n > TAR_NAME_MAX)
			return untar_fail(u, ENAMETOOLONG, "read folder", err);
		if (len)
			path[len] = '/';
		memcpy(path + len + (len > 0), e->d_name, n + 1);
		if (!brought(u, path, len + (len > 0) + n)) {
			if (fs_remove_tree(dirfd, e->d_name, err) < 0)
				return -1;
			continue;
		}
		child = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0 && prune(u, child, path, len + (len > 0) + n, depth + 1, err) < 0)
			return -1;
	}
	return 0;
}

static int apply_opaque(struct untar *u, struct err *err)
{
	char path[TAR_NAME_MAX + 2];

	u->parent_dirty = true;
	if (u->opts->whiteout == GRAPH_WHITEOUT_OVERLAY)
		return whiteout_set_opaque(u, u->parent_fd, err);
	memcpy(path, u->parent, strlen(u->parent) + 1);
	return prune(u, u->parent_fd, path, strlen(path), 0, err);
}

/* In overlay trees: what this layer itself brought stays, but hides what is below. */
static int whiteout_overlay(struct untar *u, const char *name, struct err *err)
{
	OWN_FD int fd = -1;

	if (mknodat(u->parent_fd, name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return untar_fail(u, errno, "whiteout", err);
	fd = openat(u->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : whiteout_set_opaque(u, fd, err);
}

static int whiteout_delete(struct untar *u, const char *name, struct err *err)
{
	char path[TAR_NAME_MAX + 2];
	size_t len = (size_t)snprintf(path, sizeof(path), "%s%s%s", u->parent, *u->parent ? "/" : "", name);
	OWN_FD int fd = -1;

	if (!brought(u, path, len))
		return fs_remove_tree(u->parent_fd, name, err);
	fd = openat(u->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : prune(u, fd, path, len, 0, err);
}

int whiteout_apply(struct untar *u, enum untar_name kind, const char *name, struct err *err)
{
	if (kind == UNTAR_OPAQUE)
		return apply_opaque(u, err);
	u->parent_dirty = true;
	return u->opts->whiteout == GRAPH_WHITEOUT_OVERLAY ? whiteout_overlay(u, name, err) : whiteout_delete(u, name, err);
}
