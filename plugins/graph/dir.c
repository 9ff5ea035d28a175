/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAX_DEPTH 64

int32_t dir_failf(const struct dkd_host *host, const struct dkd_call *call, const char *fmt, ...)
{
	int sys = errno;
	char text[PATH_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return host->fail(host, call, DKD_ERR_INTERNAL, sys, text);
}

int dir_make_all(const char *path, mode_t mode)
{
	char *copy = strdup(path);
	int rc = 0;

	if (!copy)
		return -1;
	for (char *p = copy + 1; rc == 0; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			rc = -1;
		if (c == '\0')
			break;
		*p = c;
	}
	free(copy);
	return rc;
}

int dir_make(int at, const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		return -1;
	if (fchownat(at, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return fchmodat(at, name, mode, 0);
}

static bool is_dot(const char *s)
{
	return s[0] == '.' && (s[1] == '\0' || (s[1] == '.' && s[2] == '\0'));
}

/*
 * A tree that is removed. Directories far down are moved up to its root and removed from there, so that neither
 * descriptors nor stack grow with its depth.
 */
struct removal {
	int root;
	unsigned moved; /* directories, since the root was last read */
	unsigned names;
};

static int remove_entry(struct removal *r, int at, const char *name, int depth);

/* Everything in the directory fd, which is closed. */
static int remove_content(struct removal *r, int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	int rc = 0, sys;

	if (!dir)
		return close(fd), errno = ENOMEM, -1;
	while (rc == 0 && (e = readdir(dir)))
		if (!is_dot(e->d_name))
			rc = remove_entry(r, fd, e->d_name, depth);
	sys = errno;
	closedir(dir);
	errno = sys;
	return rc;
}

static int move_up(struct removal *r, int at, const char *name)
{
	char up[32];

	do
		snprintf(up, sizeof(up), ".removed-%u", r->names++);
	while (renameat2(at, name, r->root, up, RENAME_NOREPLACE) < 0 && errno == EEXIST);
	r->moved++;
	return faccessat(at, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -1 : 0;
}

static int remove_entry(struct removal *r, int at, const char *name, int depth)
{
	int fd;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -1;
	if (depth >= MAX_DEPTH)
		return move_up(r, at, name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (remove_content(r, fd, depth + 1) < 0)
		return -1;
	return unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : 0;
}

int dir_remove(int at, const char *name)
{
	struct removal r = { .root = -1 };
	int rc = 0, sys;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	r.root = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (r.root < 0)
		return errno == ENOENT ? 0 : -1;
	do {
		int fd = openat(r.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r.moved = 0;
		rc = fd < 0 ? -1 : remove_content(&r, fd, 0);
	} while (rc == 0 && r.moved);
	sys = errno;
	close(r.root);
	errno = sys;
	return rc == 0 && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -1 : rc;
}

ssize_t dir_read_file(int at, const char *name, char *ret, size_t size)
{
	/* Not blocked by what is no file, however it came there. */
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, ret, size);
	close(fd);
	if (n == (ssize_t)size)
		return errno = EFBIG, -1;
	if (n < 0)
		return -1;
	while (n > 0 && strchr(" \t\r\n", ret[n - 1]))
		n--;
	ret[n] = '\0';
	return n;
}

int dir_write_file(int at, const char *name, const char *text, mode_t mode)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	size_t size = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, size);
	if (n >= 0 && (size_t)n < size)
		n = -1, errno = ENOSPC;
	if (n >= 0 && fchmod(fd, mode) < 0)
		n = -1;
	if (close(fd) < 0)
		n = -1;
	return n < 0 ? -1 : 0;
}

int dir_set_aside(int at, const char *name)
{
	char aside[NAME_MAX * 2];

	if (snprintf(aside, sizeof(aside), "%s.damaged", name) >= (int)sizeof(aside))
		return errno = ENAMETOOLONG, -1;
	if (renameat(at, name, at, aside) == 0 || errno == ENOENT)
		return 0;
	/* a folder is in the way: of an earlier time */
	return dir_remove(at, aside) < 0 ? -1 : renameat(at, name, at, aside);
}

bool dir_is_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool ret = true;

	while (dir && ret && (e = readdir(dir)))
		ret = e->d_name[0] == '.';
	if (dir)
		closedir(dir);
	return ret;
}

const char *dir_fs_name(const char *path)
{
	static const struct { unsigned magic; const char *name; } names[] = {
		{ 0x61756673, "aufs" }, { BTRFS_SUPER_MAGIC, "btrfs" }, { CRAMFS_MAGIC, "cramfs" }, { ECRYPTFS_SUPER_MAGIC, "ecryptfs" },
		{ EXT4_SUPER_MAGIC, "extfs" }, { F2FS_SUPER_MAGIC, "f2fs" }, { 0x65735546, "fuse" }, { 0x47504653, "gpfs" },
		{ 0x3153464a, "jfs" }, { NFS_SUPER_MAGIC, "nfs" }, { OVERLAYFS_SUPER_MAGIC, "overlayfs" }, { RAMFS_MAGIC, "ramfs" },
		{ REISERFS_SUPER_MAGIC, "reiserfs" }, { SMB_SUPER_MAGIC, "smb" }, { SQUASHFS_MAGIC, "squashfs" },
		{ TMPFS_MAGIC, "tmpfs" }, { 0x565a4653, "vxfs" }, { 0x58465342, "xfs" }, { 0x2fc12fc1, "zfs" },
	};
	struct statfs st;

	if (statfs(path, &st) == 0)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if ((unsigned)st.f_type == names[i].magic)
				return names[i].name;
	return "<unknown>";
}
