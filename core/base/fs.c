/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/str.h"

int fs_mkdir(const char *path, mode_t mode, struct err *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	return err_errno(err, errno == EEXIST ? ENOTDIR : errno, "mkdir %s", path);
}

int fs_mkdir_anew(const char *path, mode_t mode, struct err *err)
{
	OWN_ERR struct err first = ERR_INIT;
	struct stat st;

	if (fs_mkdir(path, mode, &first) == 0)
		return 0;
	if (first.sys != ENOTDIR && (first.sys != ENOENT || lstat(path, &st) < 0))
		return err_move(err, &first);
	return fs_set_aside(AT_FDCWD, path, err) < 0 ? -1 : fs_mkdir(path, mode, err);
}

int fs_mkdirs(const char *path, mode_t mode, struct err *err)
{
	OWN_FREE char *copy = xstrdup(path);

	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (fs_mkdir(copy, mode, err) < 0)
			return -1;
		*p = '/';
	}
	return fs_mkdir(copy, mode, err);
}

int fs_mkdirs_owned(const char *path, mode_t mode, struct fs_owner owner, struct err *err)
{
	OWN_FREE char *copy = xstrdup(path);

	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, mode) == 0 ? lchown(copy, owner.uid, owner.gid) < 0 : errno != EEXIST)
			return err_errno(err, errno, "mkdir %s", copy);
		*p = c;
		if (!c)
			return fs_mkdir(copy, mode, err); /* as a folder, whoever made it */
	}
}

ssize_t fs_read_all(int fd, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)data + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int fs_write_all(int fd, const void *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data = (const char *)data + n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_fd(int fd, const char *path, size_t max, struct buf *ret, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is not a regular file", path);
	for (;;) {
		size_t room = 4096 > st.st_size ? 4096 : (size_t)st.st_size + 1;
		ssize_t n;

		if (room > max - ret->size + 1)
			room = max - ret->size + 1;
		n = fs_read_all(fd, buf_reserve(ret, room), room);
		if (n < 0)
			return err_errno(err, errno, "read %s", path);
		ret->size += (size_t)n;
		ret->data[ret->size] = '\0';
		if (ret->size > max)
			return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
		if ((size_t)n < room)
			return 0;
	}
}

int fs_read(int dirfd, const char *path, size_t max, struct buf *ret, struct err *err)
{
	OWN_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		int sys = errno;

		err_errno(err, sys, "open %s", path);
		if (err && (sys == ENOENT || sys == ENOTDIR))
			err->class = ERR_NOT_FOUND;
		return -1;
	}
	return read_fd(fd, path, max, ret, err);
}

int fs_sync_dir(const char *path, struct err *err)
{
	OWN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	lock_none_held();
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, errno, "sync %s", path);
	return 0;
}

static int sync_parent(int dirfd, const char *path, struct err *err)
{
	OWN_FREE char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	OWN_FD int fd = -1;

	if (slash)
		*(slash == dir ? slash + 1 : slash) = '\0';
	fd = openat(dirfd, slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, errno, "sync the folder of %s", path);
	return 0;
}

static bool (*relief)(void); /* set while one thread runs */

void fs_set_relief(bool (*give)(void))
{
	relief = give;
}

static int settle_data(int fd, enum fs_sync sync)
{
	/* A file system that cannot is no reason to fail: there the rename alone has to do. */
	if (sync == FS_ORDERED && sync_file_range(fd, 0, 0,
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0 && errno != ESPIPE &&
		errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -1;
	return sync == FS_SYNC_DATA || sync == FS_SYNC ? fdatasync(fd) : 0;
}

static int write_once(int dirfd, const char *path, const void *data, size_t size, mode_t mode, enum fs_sync sync, struct err *err)
{
	OWN_FREE char *tmp = NULL;
	OWN_FD int fd = -1;
	const char *slash = strrchr(path, '/');
	char suffix[13];

	if (sync != FS_RENAME_ONLY)
		lock_none_held();
	id_random_hex(suffix, 12);
	tmp = xasprintf("%.*s.tmp-%s-%s", slash ? (int)(slash + 1 - path) : 0, path, slash ? slash + 1 : path, suffix);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_errno(err, errno, "create %s (%zu bytes)", path, size);
	if (fchmod(fd, mode) < 0 || fs_write_all(fd, data, size) < 0 || settle_data(fd, sync) < 0 ||
	    renameat(dirfd, tmp, dirfd, path) < 0) {
		err_errno(err, errno, "write %s (%zu bytes)", path, size);
		unlinkat(dirfd, tmp, 0);
		return -1;
	}
	return sync == FS_SYNC ? sync_parent(dirfd, path, err) : 0;
}

int fs_write_atomic(int dirfd, const char *path, const void *data, size_t size, mode_t mode, enum fs_sync sync, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (write_once(dirfd, path, data, size, mode, sync, &why) == 0)
		return 0;
	if (why.class != ERR_NO_SPACE || !relief || !relief())
		return err_move(err, &why);
	return write_once(dirfd, path, data, size, mode, sync, err);
}

int fs_write_copied(int dirfd, const char *path, const void *data, size_t size, mode_t mode, enum fs_sync sync, struct err *err)
{
	OWN_FREE char *copy = xasprintf("%s.copy", path);
	OWN_ERR struct err why = ERR_INIT;

	if (fs_write_atomic(dirfd, path, data, size, mode, sync, &why) < 0) {
		if (why.class != ERR_NO_SPACE || unlinkat(dirfd, copy, 0) < 0)
			return err_move(err, &why);
		if (fs_write_atomic(dirfd, path, data, size, mode, sync, err) < 0)
			return -1;
	}
	if (write_once(dirfd, copy, data, size, mode, FS_RENAME_ONLY, NULL) < 0)
		unlinkat(dirfd, copy, 0);
	return 0;
}

void fs_sweep_temporary(const char *dir)
{
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, ".tmp-", 5) == 0)
			unlinkat(dirfd(d), e->d_name, 0);
}

bool fs_exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_confined(int rootfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0,
		.resolve = resolve | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	do /* EAGAIN: a rename raced with the walk; the kernel asks to try again */
		fd = (int)syscall(SYS_openat2, rootfd, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd;
}

int fs_beneath(int rootfd, const char *path, int flags, mode_t mode)
{
	return open_confined(rootfd, path, flags, mode, RESOLVE_IN_ROOT);
}

int fs_within(int rootfd, const char *path, int flags)
{
	return open_confined(rootfd, path, flags, 0, RESOLVE_BENEATH);
}

/* Looked at before it is opened: to open a device can be an act, and what is no file is read by nobody. */
static int open_file(int rootfd, const char *path)
{
	OWN_FD int at = fs_beneath(rootfd, path, O_PATH, 0);
	char name[32];
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode))
		return STEAL_FD(at);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", at);
	return open(name, O_RDONLY | O_CLOEXEC);
}

int fs_beneath_read(int rootfd, const char *path, size_t max, struct buf *ret, struct err *err)
{
	OWN_FD int fd = open_file(rootfd, path);

	if (fd < 0) {
		int sys = errno;

		err_errno(err, sys, "open %s", path);
		if (err && (sys == ENOENT || sys == ENOTDIR))
			err->class = ERR_NOT_FOUND;
		return -1;
	}
	return read_fd(fd, path, max, ret, err);
}

int fs_chmod_entry(int dirfd, const char *name, mode_t mode)
{
	OWN_FD int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[32];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (S_ISLNK(st.st_mode)) {
		errno = ELOOP;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode);
}

/* What mkdirs_beneath() makes. */
struct making { int rootfd; mode_t mode; struct fs_owner owner; };

static int mkdirs_beneath(const struct making *m, const char *path, int links);

/* A link whose target is missing: its target is made instead, as mkdir -p on the resolved path would. */
static int make_target(const struct making *m, int dir, const char *prefix, const char *name, int links)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);
	OWN_FREE char *path = NULL;
	int fd;

	if (n < 0)
		return -1;
	if (links <= 0) {
		errno = ELOOP;
		return -1;
	}
	target[n] = '\0';
	path = *target == '/' ? xstrdup(target) : xasprintf("%s/%s", prefix, target);
	fd = mkdirs_beneath(m, path, links - 1);
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int make_one(const struct making *m, int dir, const char *name)
{
	if (mkdirat(dir, name, m->mode) < 0)
		return -1;
	return m->owner.uid || m->owner.gid ? fchownat(dir, name, m->owner.uid, m->owner.gid, AT_SYMLINK_NOFOLLOW) : 0;
}

static int mkdirs_beneath(const struct making *m, const char *path, int links)
{
	OWN_FREE char *copy = xstrdup(path);
	OWN_FD int dir = fs_beneath(m->rootfd, ".", O_PATH | O_DIRECTORY, 0);
	char *p = copy;

	if (dir < 0)
		return -1;
	for (;;) {
		OWN_FREE char *prefix = NULL;
		char *slash;
		int next;

		while (*p == '/')
			p++;
		if (!*p)
			return STEAL_FD(dir);
		prefix = xstrndup(copy, (size_t)(p - copy));
		slash = strchr(p, '/');
		if (slash)
			*slash = '\0';
		/* The prefix is resolved from the root each time, so that links and ".." in it stay inside. */
		next = fs_beneath(m->rootfd, copy, O_PATH | O_DIRECTORY, 0);
		if (next < 0 && errno == ENOENT && !streq(p, ".") && !streq(p, "..")) {
			if (make_one(m, dir, p) < 0 && (errno != EEXIST || make_target(m, dir, prefix, p, links) < 0) && errno != EEXIST)
				return -1;
			next = fs_beneath(m->rootfd, copy, O_PATH | O_DIRECTORY, 0);
		}
		if (next < 0)
			return -1;
		close(dir);
		dir = next;
		if (!slash)
			return STEAL_FD(dir);
		*slash = '/';
		p = slash + 1;
	}
}

int fs_beneath_mkdirs(int rootfd, const char *path, mode_t mode, struct fs_owner owner)
{
	const struct making m = { rootfd, mode, owner };

	return mkdirs_beneath(&m, path, 40);
}
