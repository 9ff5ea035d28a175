/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A container that has the folder mounted may change it meanwhile: each step is one name in a folder that is pinned, and no link is followed. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/selinux.h"

#define ATTR "security.selinux"
#define LABEL_MAX 1024
/* Of folders in each other: each holds a descriptor. */
#define DEPTH_MAX 1000

static bool is_systems(const char *path)
{
	static const char *const folders[] = { "/", "/bin", "/boot", "/dev", "/etc", "/etc/passwd", "/etc/pki", "/etc/shadow", "/home", "/lib", "/lib64", "/media",
		"/opt", "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/system", "/tmp", "/usr", "/var", "/var/lib", "/var/log" };
	const char *home = getenv("HOME");

	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (streq(folders[i], path))
			return true;
	return !str_empty(home) && streq(home, path);
}

/* One name. What vanished meanwhile, or lies on a file system without labels, stays as it is; returns 0, or -1 with errno. */
static int set_label(int dir, const char *name, const char *label)
{
	char path[NAME_MAX + 64], had[LABEL_MAX];
	size_t size = strlen(label) + 1;
	ssize_t n;

	if (snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	n = lgetxattr(path, ATTR, had, sizeof(had));
	if (n >= (ssize_t)size - 1 && n <= (ssize_t)size && memcmp(had, label, size - 1) == 0)
		return 0;
	if (lsetxattr(path, ATTR, label, size, 0) == 0 || errno == ENOENT || errno == ENOTSUP)
		return 0;
	return -1;
}

static int walk(int dir, const char *label, int depth)
{
	OWN_DIR DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
	struct dirent *e;

	if (!d)
		return errno == ENOENT ? 0 : -1;
	if (depth > DEPTH_MAX) {
		errno = ELOOP;
		return -1;
	}
	while ((e = readdir(d))) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN) {
			OWN_FD int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

			if (sub < 0 ? errno != ENOTDIR && errno != ELOOP && errno != ENOENT : walk(sub, label, depth + 1) < 0)
				return -1;
		}
		if (set_label(dir, e->d_name, label) < 0)
			return -1;
	}
	return 0;
}

/* Where the descriptor leads, whatever links were on the way. */
static char *real_path(int fd)
{
	char self[64], path[PATH_MAX];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path));
	return n > 0 && n < (ssize_t)sizeof(path) ? xstrndup(path, (size_t)n) : NULL;
}

int selinux_relabel(const char *path, const char *label, bool shared, struct err *err)
{
	OWN_FREE char *target = shared ? selinux_with_level(label, "s0") : xstrdup(label), *real = NULL;
	OWN_FD int fd = open(path, O_PATH | O_CLOEXEC), dir = -1;
	char self[64];

	real = fd >= 0 ? real_path(fd) : NULL;
	if (!real)
		return err_errno(err, errno, "open %s", path);
	if (is_systems(real))
		return err_set(err, ERR_INVALID, "SELinux relabeling of %s is not allowed", real);
	dir = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0 ? walk(dir, target, 0) < 0 : errno != ENOTDIR)
		return err_errno(err, errno, "lsetxattr below %s", real);
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (setxattr(self, ATTR, target, strlen(target) + 1, 0) < 0 && errno != ENOTSUP)
		return err_errno(err, errno, "lsetxattr %s", real);
	return 0;
}
