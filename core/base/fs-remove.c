/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rm -rf, and putting out of the way. What is removed may be as deep as an image made it, and the caller's stack small. */
#include <dirent.h>
#include <errno.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#define DEPTH_MAX 64

/* Directories further down are moved up to the root and removed from there: neither descriptors nor stack grow with the depth. */
struct removal {
	int root;
	unsigned moved; /* since the root was last read */
	unsigned names;
	bool careful; /* of mounts in other namespaces, which the kernel would take away */
};

static int remove_entry(struct removal *r, int at, const char *name, int depth, struct err *err);

static bool is_mount(int at, const char *name)
{
	struct statx st;

	return statx(at, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 && st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int failed(const char *name, struct err *err)
{
	return err_errno(err, errno, "remove %s", name);
}

/* Everything in the directory fd, which is closed. */
static int remove_content(struct removal *r, int fd, const char *name, int depth, struct err *err)
{
	OWN_DIR DIR *dir = fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		close(fd);
		return err_errno(err, ENOMEM, "remove %s", name);
	}
	while ((e = readdir(dir)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && remove_entry(r, fd, e->d_name, depth, err) < 0)
			return -1;
	return 0;
}

/* A folder in at, but no mount: what somebody mounted there is not the tree's. */
static int open_folder(int at, const char *name)
{
	const struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };
	int fd;

	do
		fd = (int)syscall(SYS_openat2, at, name, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	if (fd < 0 && errno == EXDEV)
		errno = EBUSY;
	return fd;
}

static int move_up(struct removal *r, int at, const char *name, struct err *err)
{
	char up[32];

	for (;;) {
		snprintf(up, sizeof(up), ".removed-%u", r->names++);
		if (renameat2(at, name, r->root, up, RENAME_NOREPLACE) == 0)
			break;
		if (errno == ENOENT)
			return 0;
		if (errno != EEXIST)
			return failed(name, err);
	}
	r->moved++;
	return 0;
}

static int remove_entry(struct removal *r, int at, const char *name, int depth, struct err *err)
{
	int fd;

	if (r->careful && is_mount(at, name)) {
		errno = EBUSY;
		return failed(name, err);
	}
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return failed(name, err);
	if (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return failed(name, err);
	if (depth >= DEPTH_MAX)
		return move_up(r, at, name, err);
	fd = open_folder(at, name);
	if (fd < 0)
		return errno == ENOENT ? 0 : failed(name, err);
	if (remove_content(r, fd, name, depth + 1, err) < 0)
		return -1;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? failed(name, err) : 0;
}

static int remove_tree(int dirfd, const char *name, bool careful, struct err *err)
{
	OWN_FD int root = -1;
	struct removal r = { .careful = careful };

	if (careful && is_mount(dirfd, name)) {
		errno = EBUSY;
		return failed(name, err);
	}
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return failed(name, err);
	root = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return errno == ENOENT ? 0 : failed(name, err);
	r.root = root;
	do {
		int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r.moved = 0;
		if (fd < 0)
			return failed(name, err);
		if (remove_content(&r, fd, name, 0, err) < 0)
			return -1;
	} while (r.moved);
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? failed(name, err) : 0;
}

int fs_remove_tree(int dirfd, const char *name, struct err *err)
{
	return remove_tree(dirfd, name, false, err);
}

int fs_remove_unmounted(int dirfd, const char *name, struct err *err)
{
	return remove_tree(dirfd, name, true, err);
}

int fs_set_aside(int dirfd, const char *path, struct err *err)
{
	OWN_FREE char *aside = xasprintf("%s.damaged", path);

	if (renameat(dirfd, path, dirfd, aside) == 0 || errno == ENOENT)
		return 0;
	/* a folder of that name is in the way, from an earlier time */
	if ((errno == ENOTEMPTY || errno == EEXIST || errno == EISDIR || errno == ENOTDIR) && fs_remove_tree(dirfd, aside, NULL) == 0 &&
	    renameat(dirfd, path, dirfd, aside) == 0)
		return 0;
	return err_errno(err, errno, "set %s aside", path);
}
