/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* Files with more than one name, as they were copied first: a path below the root of the copy. */
struct linked {
	struct linked *next;
	dev_t dev;
	ino_t ino;
	char path[];
};

struct copy {
	const struct dkd_call *call;
	int root; /* of the copy */
	bool link; /* files are names of those in src */
	bool no_clone, no_range;
	struct linked *links[1024];
	char *xattr;     /* scratch for values */
	size_t xattr_room;
	char buf[65536]; /* scratch for names of attributes, and for content */
};

/* A directory that is being copied, the deepest first. */
struct level {
	struct level *up;
	DIR *in;
	int out;
	char *path; /* of out below the root of the copy */
};

static int copy_tree(struct copy *c, int src, int dst);

static int copy(const struct dkd_call *call, int src, int dst, bool link)
{
	struct copy *c = calloc(1, sizeof(*c));
	int rc, sys;

	if (!c)
		return -1;
	c->call = call;
	c->link = link;
	c->root = dst;
	rc = copy_tree(c, src, dst);
	sys = errno;
	for (size_t i = 0; i < sizeof(c->links) / sizeof(c->links[0]); i++) {
		for (struct linked *l = c->links[i], *next; l; l = next) {
			next = l->next;
			free(l);
		}
	}
	free(c->xattr);
	free(c);
	errno = sys;
	return rc;
}

int dir_copy(const struct dkd_call *call, int src, int dst)
{
	return copy(call, src, dst, false);
}

int dir_link(const struct dkd_call *call, int src, int dst)
{
	return copy(call, src, dst, true);
}

static bool given_up(const struct dkd_call *call)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN | POLLRDHUP };
	struct timespec now;

	if (call->cancel_fd >= 0 && poll(&p, 1, 0) > 0)
		return true;
	if (!call->deadline)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec > call->deadline;
}

/* Attributes of an open file, or of a link through /proc (which has no descriptor to ask). */
static int copy_xattrs(struct copy *c, const char *from, const char *to)
{
	char *names = c->buf;
	ssize_t n = llistxattr(from, names, sizeof(c->buf));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -1;
	for (const char *name = names; name < names + n; name += strlen(name) + 1) {
		ssize_t size = lgetxattr(from, name, NULL, 0);

		if (size < 0)
			return -1;
		if ((size_t)size >= c->xattr_room) {
			char *p = realloc(c->xattr, (size_t)size + 1);

			if (!p)
				return -1;
			c->xattr = p;
			c->xattr_room = (size_t)size + 1;
		}
		size = lgetxattr(from, name, c->xattr, c->xattr_room);
		if (size < 0 || (lsetxattr(to, name, c->xattr, (size_t)size, 0) < 0 && errno != ENOTSUP))
			return -1;
	}
	return 0;
}

static int copy_meta(struct copy *c, int src_dir, int dst_dir, const char *name, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	char from[NAME_MAX + 64], to[NAME_MAX + 64];

	snprintf(from, sizeof(from), "/proc/self/fd/%d/%s", src_dir, name);
	snprintf(to, sizeof(to), "/proc/self/fd/%d/%s", dst_dir, name);
	if (fchownat(dst_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	if (!S_ISLNK(st->st_mode) && fchmodat(dst_dir, name, st->st_mode & 07777, 0) < 0)
		return -1;
	/* After the owner: changing it drops file capabilities. */
	if (copy_xattrs(c, from, to) < 0)
		return -1;
	return utimensat(dst_dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_range(struct copy *c, int in, int out, off_t at, off_t end)
{
	while (at < end) {
		size_t want = end - at > 0x40000000 ? 0x40000000 : (size_t)(end - at);
		loff_t from = at, to = at;
		ssize_t n = -1;

		if (given_up(c->call))
			return errno = ECANCELED, -1;
		if (!c->no_range) {
			n = copy_file_range(in, &from, out, &to, want, 0);
			if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
				return -1;
			c->no_range = n < 0;
		}
		if (n < 0) {
			n = pread(in, c->buf, want < sizeof(c->buf) ? want : sizeof(c->buf), at);
			if (n > 0 && pwrite(out, c->buf, (size_t)n, at) != n)
				return errno = errno ? errno : ENOSPC, -1;
		}
		if (n < 0)
			return -1;
		if (n == 0)
			break; /* shorter than it was */
		at += n;
	}
	return 0;
}

static int copy_content(struct copy *c, int in, int out, off_t size)
{
	off_t at = 0;

	if (!c->no_clone) {
		if (ioctl(out, FICLONE, in) == 0)
			return 0;
		c->no_clone = true;
	}
	while (at < size) {
		off_t data = lseek(in, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		if (data < 0)
			data = at, hole = size;
		else
			hole = lseek(in, data, SEEK_HOLE);
		if (hole < 0 || copy_range(c, in, out, data, hole) < 0)
			return -1;
		at = hole;
	}
	return ftruncate(out, size);
}

static int copy_file(struct copy *c, int src, int dst, const char *name, const struct stat *st)
{
	int in = openat(src, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), out, rc;

	if (in < 0)
		return -1;
	out = openat(dst, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return close(in), -1;
	rc = copy_content(c, in, out, st->st_size);
	close(in);
	if (close(out) < 0)
		rc = -1;
	return rc;
}

static int copy_link(int src, int dst, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(src, name, target, sizeof(target));

	if (n < 0 || n == (ssize_t)sizeof(target))
		return -1;
	target[n] = '\0';
	return symlinkat(target, dst, name);
}

/* 1 when the file stands already under another name and was linked; 0 when it is new, and noted. */
static int copy_hard_link(struct copy *c, int dst, const char *name, const char *path, const struct stat *st)
{
	struct linked **head = &c->links[(st->st_ino ^ st->st_dev) % (sizeof(c->links) / sizeof(c->links[0]))], *l;
	size_t size = strlen(path) + 1;

	for (l = *head; l; l = l->next)
		if (l->dev == st->st_dev && l->ino == st->st_ino)
			return linkat(c->root, l->path, dst, name, 0) < 0 ? -1 : 1;
	l = malloc(sizeof(*l) + size);
	if (!l)
		return -1;
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	memcpy(l->path, path, size);
	l->next = *head;
	*head = l;
	return 0;
}

static int copy_file_of_any_kind(struct copy *c, int src, int dst, const char *name, const char *path, const struct stat *st)
{
	int rc;

	if (c->link) {
		if (linkat(src, name, dst, name, 0) == 0)
			return 0;
		if (errno != EMLINK) /* such a file gets a copy, which has room for more names */
			return -1;
	}
	if (st->st_nlink > 1) {
		rc = copy_hard_link(c, dst, name, path, st);
		if (rc)
			return rc < 0 ? -1 : 0;
	}
	if (S_ISREG(st->st_mode))
		rc = copy_file(c, src, dst, name, st);
	else if (S_ISLNK(st->st_mode))
		rc = copy_link(src, dst, name);
	else
		rc = mknodat(dst, name, st->st_mode & (S_IFMT | 07777), st->st_rdev);
	return rc < 0 ? -1 : copy_meta(c, src, dst, name, st);
}

static int copy_dir_meta(struct copy *c, int src, int dst)
{
	struct stat st;

	return fstat(src, &st) < 0 ? -1 : copy_meta(c, src, dst, ".", &st);
}

/* Goes down into a directory. path is taken over, also on failure. */
static int enter(struct level **top, int src, int dst, const char *name, char *path)
{
	struct level *l = calloc(1, sizeof(*l));
	int fd = openat(src, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (!l || fd < 0 || !(l->in = fdopendir(fd))) {
		int sys = errno;

		if (fd >= 0)
			close(fd);
		free(l);
		free(path);
		errno = sys;
		return -1;
	}
	l->path = path;
	l->up = *top;
	*top = l;
	l->out = openat(dst, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return l->out < 0 ? -1 : 0;
}

static void leave(struct level **top)
{
	struct level *l = *top;

	*top = l->up;
	closedir(l->in);
	if (l->out >= 0)
		close(l->out);
	free(l->path);
	free(l);
}

/* One entry of the directory on top; a directory becomes the new top. path is taken over. */
static int copy_entry(struct copy *c, struct level **top, const char *name, char *path)
{
	int src = dirfd((*top)->in), dst = (*top)->out, rc;
	struct stat st;

	if (given_up(c->call)) {
		free(path);
		return errno = ECANCELED, -1;
	}
	rc = fstatat(src, name, &st, AT_SYMLINK_NOFOLLOW);
	if (rc == 0 && S_ISDIR(st.st_mode) && mkdirat(dst, name, 0700) == 0)
		return enter(top, src, dst, name, path); /* its attributes come last */
	if (rc == 0 && !S_ISDIR(st.st_mode))
		rc = copy_file_of_any_kind(c, src, dst, name, path, &st);
	else
		rc = -1;
	int sys = errno;

	free(path);
	errno = sys;
	return rc;
}

/* Without recursion: the depth of an image's directories is not ours to choose. */
static int copy_tree(struct copy *c, int src, int dst)
{
	struct level *top = NULL;
	int rc = enter(&top, src, dst, ".", strdup("")), sys;

	while (rc == 0 && top) {
		struct dirent *e = (errno = 0, readdir(top->in));
		char *path;

		if (e && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0))
			continue;
		if (e) {
			rc = asprintf(&path, "%s%s%s", top->path, *top->path ? "/" : "", e->d_name) < 0 ? -1 :
				copy_entry(c, &top, e->d_name, path);
			continue;
		}
		rc = errno ? -1 : copy_dir_meta(c, dirfd(top->in), top->out);
		sys = errno;
		leave(&top);
		errno = sys;
	}
	sys = errno;
	while (top)
		leave(&top);
	errno = sys;
	return rc;
}
