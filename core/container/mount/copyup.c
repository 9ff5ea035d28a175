/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies a tree of the image into a volume: names, owners, modes, times, hard links, extended attributes. Nothing outside the two trees is
 * reached. */
#include <dirent.h>
#include <errno.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/deep.h"
#include "base/inode-map.h"
#include "container/internal.h"

#define XATTR_MAX 65536

struct copying {
	int to;                 /* the volume */
	struct buf path;        /* of the folder being copied, "a/b/" */
	struct inode_map links; /* where a file with several names went */
};

static deep_walk copy_dir;

static bool is_empty(int fd)
{
	OWN_DIR DIR *d = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			return false;
	return d != NULL;
}

static void copy_xattrs(int from, int to)
{
	OWN_FREE char *names = xmalloc(XATTR_MAX), *value = xmalloc(XATTR_MAX);
	ssize_t n = flistxattr(from, names, XATTR_MAX);

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t size = str_has_prefix(p, "trusted.overlay.") ? -1 : fgetxattr(from, p, value, XATTR_MAX);

		if (size >= 0)
			(void)!fsetxattr(to, p, value, (size_t)size, 0);
	}
}

/* Owner first: chown clears set-id bits and capabilities. */
static int copy_attributes(int from, int to, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -1;
	copy_xattrs(from, to);
	return futimens(to, times);
}

static int copy_bytes(int in, int out)
{
	ssize_t n;

	while ((n = copy_file_range(in, NULL, out, NULL, 1 << 20, 0)) > 0)
		;
	if (n == 0)
		return 0;
	while ((n = sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	return (int)n;
}

static int copy_file(int from, int to, const char *name, const struct stat *st)
{
	OWN_FD int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	OWN_FD int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (in < 0 || out < 0 || copy_bytes(in, out) < 0)
		return -1;
	return copy_attributes(in, out, st);
}

static int copy_other(int from, int to, const char *name, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	char target[4096];
	ssize_t n;

	if (S_ISSOCK(st->st_mode))
		return 0;
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, name, target, sizeof(target) - 1);
		if (n < 0)
			return -1;
		target[n] = '\0';
		if (symlinkat(target, to, name) < 0)
			return -1;
	} else if (mknodat(to, name, st->st_mode, st->st_rdev) < 0 || fs_chmod_entry(to, name, st->st_mode & 07777) < 0) {
		return -1;
	}
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW);
}

/* Another name of a file that is there already: 1 when it could be given one. Others may write to the volume meanwhile. */
static int copy_link(struct copying *k, int to, const char *name, const struct stat *st)
{
	OWN_FREE char *path = xasprintf("%.*s%s", (int)k->path.size, k->path.data ? k->path.data : "", name), *self = NULL;
	const char *first = inode_map_note(&k->links, st, path);
	OWN_FD int fd = first ? fs_within(k->to, first, O_PATH | O_NOFOLLOW) : -1;

	if (fd < 0)
		return 0;
	self = xasprintf("/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, to, name, AT_SYMLINK_FOLLOW) == 0;
}

static int copy_entry(struct copying *k, int from, int to, const char *name, int depth, struct err *err)
{
	size_t above = k->path.size;
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, errno, "cannot copy %s", name);
	if (S_ISDIR(st.st_mode)) {
		OWN_FD int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		OWN_FD int out = in < 0 || mkdirat(to, name, 0700) < 0
					 ? -1
					 : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (in < 0 || out < 0)
			return err_errno(err, errno, "cannot copy %s", name);
		buf_addf(&k->path, "%s/", name);
		if (deep_step(copy_dir, k, in, out, depth + 1, err) < 0)
			return err_wrap(err, "%s", name);
		k->path.size = above;
		return 0;
	}
	if (st.st_nlink > 1 && copy_link(k, to, name, &st))
		return 0;
	if ((S_ISREG(st.st_mode) ? copy_file(from, to, name, &st) : copy_other(from, to, name, &st)) < 0)
		return err_errno(err, errno, "cannot copy %s", name);
	return 0;
}

static int copy_dir(void *ctx, int from, int to, int depth, struct err *err)
{
	struct copying *k = ctx;
	OWN_DIR DIR *d = fdopendir(openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	struct stat st;

	if (depth > DEEP_MAX)
		return err_set(err, ERR_INVALID, "more than %d levels of folders", DEEP_MAX);
	if (!d)
		return err_errno(err, errno, "cannot read a folder");
	while ((e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && copy_entry(k, from, to, e->d_name, depth, err) < 0)
			return -1;
	if (fstat(from, &st) < 0 || copy_attributes(from, to, &st) < 0)
		return err_errno(err, errno, "cannot set the attributes of a folder");
	return 0;
}

int tree_copy(int from, int to, struct err *err)
{
	struct copying k = { .to = to };
	int r;

	lock_none_held();
	if (!is_empty(to))
		return 0;
	r = copy_dir(&k, from, to, 0, err);
	inode_map_done(&k.links);
	buf_done(&k.path);
	return r < 0 ? -1 : 1;
}
