/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/changes-exact.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#define READ_SIZE  65536
#define XATTR_MAX  65536

/* One object as two file systems show it: an overlay's objects keep the numbers and times of what is below. */
static bool same_inode(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int open_one(int dir, const char *name)
{
	OWN_FD int path = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char self[32];
	struct stat st;

	if (path < 0 || fstat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path);
	return open(self, O_RDONLY | O_CLOEXEC);
}

static bool same_bytes(int new_fd, int old_fd, const char *name)
{
	OWN_FD int a = open_one(new_fd, name), b = open_one(old_fd, name);
	OWN_FREE char *data = xmalloc(2 * READ_SIZE);
	ssize_t n, m;

	if (a < 0 || b < 0)
		return false;
	do {
		n = fs_read_all(a, data, READ_SIZE);
		m = fs_read_all(b, data + READ_SIZE, READ_SIZE);
		if (n < 0 || n != m || memcmp(data, data + READ_SIZE, (size_t)n) != 0)
			return false;
	} while (n);
	return true;
}

static bool same_target(int new_fd, int old_fd, const char *name)
{
	char a[PATH_MAX], b[PATH_MAX];
	ssize_t n = readlinkat(new_fd, name, a, sizeof(a)), m = readlinkat(old_fd, name, b, sizeof(b));

	return n >= 0 && n == m && memcmp(a, b, (size_t)n) == 0;
}

/* Every attribute user.* of a is one of b. */
static bool has_users(const char *a, const char *b)
{
	OWN_FREE char *list = xmalloc(3 * XATTR_MAX);
	char *x = list + XATTR_MAX, *y = x + XATTR_MAX;
	ssize_t n = llistxattr(a, list, XATTR_MAX);

	for (const char *p = list; n > 0 && p < list + n; p += strlen(p) + 1) {
		ssize_t i, k;

		if (!str_has_prefix(p, "user."))
			continue;
		i = lgetxattr(a, p, x, XATTR_MAX);
		k = lgetxattr(b, p, y, XATTR_MAX);
		if (i < 0 || i != k || memcmp(x, y, (size_t)i) != 0)
			return false;
	}
	return true;
}

static bool same_users(int new_fd, int old_fd, const char *name)
{
	OWN_FREE char *a = xasprintf("/proc/self/fd/%d/%s", new_fd, name), *b = xasprintf("/proc/self/fd/%d/%s", old_fd, name);

	return has_users(a, b) && has_users(b, a);
}

bool changes_within(int new_fd, int old_fd, const char *name, const struct stat *now, const struct stat *before)
{
	if (S_ISLNK(now->st_mode))
		return !same_target(new_fd, old_fd, name);
	if (!S_ISREG(now->st_mode) && !S_ISDIR(now->st_mode))
		return false;
	if (S_ISREG(now->st_mode) && now->st_nlink != before->st_nlink)
		return true;
	if (same_inode(now, before))
		return false;
	return !same_users(new_fd, old_fd, name) || (S_ISREG(now->st_mode) && !same_bytes(new_fd, old_fd, name));
}
