/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/packtar.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deep.h"
#include "base/filecap.h"
#include "base/fs.h"
#include "base/inode-map.h"
#include "base/log.h"
#include "base/str.h"
#include "image/list-dir.h"

#define MQUEUE_MAGIC 0x19800202 /* not in the kernel's headers */
#define READ_SIZE (256 * 1024)
#define XATTRS_MAX 64

struct pack {
	const struct packtar_opts *opts;
	struct tar_writer *tar;
	struct inode_map links;
	struct buf name;  /* of the object at hand */
	char *copy;       /* READ_SIZE bytes */
	int64_t bytes;    /* of files so far */
};

static int fail(struct pack *p, struct err *err)
{
	return err_errno(err, errno, "archive %s", p->name.data);
}

/* The attributes of one object, kept until its header is written. */
struct xattrs {
	struct tar_xattr v[XATTRS_MAX];
	size_t len;
	char *list;
};

static void xattrs_done(struct xattrs *x)
{
	for (size_t i = 0; i < x->len; i++)
		free((char *)x->v[i].value);
	free(x->list);
}

static bool wanted(const char *name)
{
	return streq(name, FILECAP_XATTR) || (str_has_prefix(name, "user.") && !str_has_prefix(name, "user.overlay."));
}

static void xattr_add(struct xattrs *x, const char *path, const char *name)
{
	ssize_t n = getxattr(path, name, NULL, 0);
	OWN_FREE char *value = n < 0 ? NULL : xmalloc((size_t)n + 1);

	if (!value || x->len == XATTRS_MAX)
		return;
	n = getxattr(path, name, value, (size_t)n);
	if (n < 0)
		return;
	x->v[x->len].name = name;
	x->v[x->len].size = streq(name, FILECAP_XATTR) ? filecap_plain(value, (size_t)n) : (size_t)n;
	x->v[x->len++].value = STEAL(value);
}

/* path leads through a descriptor to the very object, links included. File systems without attributes have none. */
static void xattrs_read(struct xattrs *x, const char *path)
{
	ssize_t n = listxattr(path, NULL, 0);

	if (n <= 0)
		return;
	x->list = xmalloc((size_t)n + 1);
	n = listxattr(path, x->list, (size_t)n);
	for (const char *p = x->list; n > 0 && p < x->list + n; p += strlen(p) + 1)
		if (wanted(p))
			xattr_add(x, path, p);
}

/* size bytes of the file from where it stands, or zeros with fd -1. A file that shrank is filled up with zeros. */
static int pack_bytes(struct pack *p, int fd, int64_t size, struct err *err)
{
	if (fd < 0)
		memset(p->copy, 0, size < READ_SIZE ? (size_t)size : READ_SIZE);
	while (size) {
		size_t want = size < READ_SIZE ? (size_t)size : READ_SIZE;
		ssize_t n = fd < 0 ? (ssize_t)want : fs_read_all(fd, p->copy, want);

		if (n < 0)
			return fail(p, err);
		if (cancel_fired(p->opts->cancel))
			return err_set(err, ERR_CANCELLED, "cancelled");
		memset(p->copy + n, 0, want - (size_t)n);
		if (tar_write_data(p->tar, p->copy, want, err) < 0)
			return -1;
		size -= (int64_t)want;
	}
	return 0;
}

/* Of at, the next byte that is (SEEK_DATA) or is not (SEEK_HOLE) on disk, at most size. */
static int64_t next_of(int fd, int64_t at, int whence, int64_t size)
{
	off_t next = lseek(fd, at, whence);

	if (next < 0)
		return whence == SEEK_DATA && errno != ENXIO ? at : size;
	return next < size ? next : size;
}

/* The header promised size bytes: a file that grew is cut. What is not on disk is not read. */
static int pack_sparse(struct pack *p, int fd, int64_t size, struct err *err)
{
	for (int64_t at = 0; at < size;) {
		int64_t data = next_of(fd, at, SEEK_DATA, size), end;

		if (data > at && pack_bytes(p, -1, data - at, err) < 0)
			return -1;
		if (data == size)
			return 0;
		end = next_of(fd, data, SEEK_HOLE, size);
		if (lseek(fd, data, SEEK_SET) < 0)
			return fail(p, err);
		/* data that went meanwhile: a step of it, in whatever state, so that there is an end */
		end = end > data ? end : data + (size - data < READ_SIZE ? size - data : READ_SIZE);
		if (pack_bytes(p, fd, end - data, err) < 0)
			return -1;
		at = end;
	}
	return 0;
}

static int pack_content(struct pack *p, int fd, const struct stat *st, struct err *err)
{
	return st->st_blocks * INT64_C(512) < st->st_size ? pack_sparse(p, fd, st->st_size, err) : pack_bytes(p, fd, st->st_size, err);
}

/* A file of terabytes without a block is small for its container only: before the disk is filled up. */
static int check_room(struct pack *p, int64_t size, struct err *err)
{
	p->bytes += size;
	if (!p->opts->room || p->bytes <= p->opts->room)
		return 0;
	return err_errno(err, ENOSPC, "archive %s of %lld bytes", p->name.data, (long long)size);
}

static bool entry_type(const struct stat *st, struct tar_entry *e)
{
	switch (st->st_mode & S_IFMT) {
	case S_IFREG: e->type = TAR_FILE; e->size = st->st_size; return true;
	case S_IFDIR: e->type = TAR_DIR; return true;
	case S_IFLNK: e->type = TAR_SYMLINK; return true;
	case S_IFIFO: e->type = TAR_FIFO; return true;
	case S_IFCHR: e->type = TAR_CHARDEV; break;
	case S_IFBLK: e->type = TAR_BLOCKDEV; break;
	default: return false;
	}
	e->major = major(st->st_rdev);
	e->minor = minor(st->st_rdev);
	return e->type != TAR_CHARDEV || st->st_rdev; /* 0:0 is a whiteout */
}

/* One object, without what is below. */
static int pack_object(struct pack *p, int fd, const struct stat *st, struct err *err)
{
	__attribute__((cleanup(xattrs_done))) struct xattrs x = { .len = 0 };
	struct tar_entry e = {
		.name = p->name.data, .link = "", .mode = st->st_mode & 07777, .uid = st->st_uid, .gid = st->st_gid,
		.mtime = { .tv_sec = st->st_mtim.tv_sec }, .atime = { .tv_nsec = UTIME_OMIT },
	};
	char path[32], link[TAR_NAME_MAX + 1];
	OWN_FD int content = -1;
	const char *first;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!entry_type(st, &e)) {
		log_debug("%s is left out of an archive: a socket or whiteout", p->name.data);
		return 0;
	}
	if (e.type == TAR_SYMLINK) {
		n = readlinkat(fd, "", link, sizeof(link));
		if (n < 0 || n == sizeof(link))
			return fail(p, err);
		link[n] = '\0';
		e.link = link;
	}
	idmaps_owner_in(p->opts->ids, &e.uid, &e.gid);
	first = S_ISDIR(st->st_mode) || st->st_nlink < 2 ? NULL : inode_map_note(&p->links, st, p->name.data);
	if (first) {
		e.type = TAR_HARDLINK;
		e.link = first;
		e.size = 0;
	} else {
		xattrs_read(&x, path);
		e.xattrs = x.v;
		e.xattrs_len = x.len;
	}
	if (e.type == TAR_FILE) {
		content = open(path, O_RDONLY | O_CLOEXEC);
		if (content < 0)
			return fail(p, err);
		if (check_room(p, e.size, err) < 0)
			return -1;
	}
	if (tar_write_header(p->tar, &e, err) < 0)
		return -1;
	return e.type == TAR_FILE ? pack_content(p, content, st, err) : 0;
}

static deep_walk pack_tree;

static bool is_kernels(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC: case SYSFS_MAGIC: case CGROUP_SUPER_MAGIC: case CGROUP2_SUPER_MAGIC: case DEVPTS_SUPER_MAGIC:
	case DEBUGFS_MAGIC: case TRACEFS_MAGIC: case SECURITYFS_MAGIC: case BPF_FS_MAGIC: case MQUEUE_MAGIC:
		return true;
	}
	return false;
}

static int pack_below(struct pack *p, int fd, int depth, struct err *err)
{
	OWN_STRV struct strv names = { 0 };
	size_t size = p->name.size;

	if (p->opts->live && is_kernels(fd))
		return 0;
	if (depth == DEEP_MAX)
		return err_set(err, ERR_INVALID, "archive %s: folders are nested too deeply", p->name.data);
	if (list_dir(fd, &names) < 0)
		return fail(p, err);
	for (size_t i = 0; i < names.len; i++) {
		OWN_FD int child = openat(fd, names.v[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);

		if (child < 0 && errno == ENOENT)
			continue; /* gone meanwhile */
		buf_adds(&p->name, names.v[i]);
		if (child < 0)
			return fail(p, err);
		if (deep_step(pack_tree, p, child, -1, depth + 1, err) < 0)
			return -1;
		p->name.size = size;
		p->name.data[size] = '\0';
	}
	return 0;
}

static int pack_tree(void *ctx, int fd, int other, int depth, struct err *err)
{
	struct pack *p = ctx;
	struct stat st;

	(void)other;
	if (fstat(fd, &st) < 0)
		return fail(p, err);
	if (cancel_fired(p->opts->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	if (p->name.size) {
		if (S_ISDIR(st.st_mode) && p->name.data[p->name.size - 1] != '/')
			buf_addc(&p->name, '/');
		if (pack_object(p, fd, &st, err) < 0)
			return -1;
	}
	return S_ISDIR(st.st_mode) ? pack_below(p, fd, depth, err) : 0;
}

static void pack_init(struct pack *p, const struct packtar_opts *opts, struct tar_writer *tar)
{
	*p = (struct pack){ .opts = opts, .tar = tar, .copy = xmalloc(READ_SIZE) };
	buf_add(&p->name, "", 0);
}

static void pack_done(struct pack *p)
{
	inode_map_done(&p->links);
	buf_done(&p->name);
	free(p->copy);
}

int packtar(int fd, const char *name, const struct packtar_opts *opts, struct tar_writer *tar, struct err *err)
{
	struct pack p;
	int rc;

	pack_init(&p, opts, tar);
	buf_adds(&p.name, name);
	rc = pack_tree(&p, fd, -1, 0, err);
	pack_done(&p);
	return rc;
}

static int pack_whiteout(struct pack *p, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	OWN_FREE char *name = xasprintf("%.*s.wh.%s", (int)(slash - path), path + 1, slash + 1);
	struct tar_entry e = {
		.type = TAR_FILE, .link = "", .mode = 0600, .mtime = { .tv_sec = clock_now() / NSEC_PER_SEC }, .atime = { .tv_nsec = UTIME_OMIT },
	};

	e.name = name;
	return tar_write_header(p->tar, &e, err);
}

static int pack_change(struct pack *p, int fd, const struct change *c, struct err *err)
{
	OWN_FD int object = -1;
	struct stat st;

	if (c->kind == CHANGE_DELETE)
		return pack_whiteout(p, c->path, err);
	buf_reset(&p->name);
	buf_adds(&p->name, c->path + 1);
	object = fs_beneath(fd, p->name.data, O_PATH | O_NOFOLLOW, 0);
	if (object < 0 && errno == ENOENT)
		return 0; /* gone meanwhile */
	if (object < 0 || fstat(object, &st) < 0)
		return fail(p, err);
	if (S_ISDIR(st.st_mode))
		buf_addc(&p->name, '/');
	return pack_object(p, object, &st, err);
}

int packtar_changes(int fd, const struct changes *c, const struct packtar_opts *opts, struct tar_writer *tar, struct err *err)
{
	struct pack p;
	int rc = 0;

	pack_init(&p, opts, tar);
	for (size_t i = 0; rc == 0 && i < c->len; i++)
		rc = pack_change(&p, fd, &c->v[i], err);
	pack_done(&p);
	return rc;
}
