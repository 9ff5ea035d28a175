/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/untar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/filecap.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/rootless.h"
#include "base/str.h"
#include "image/untar-priv.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* since Linux 6.6 */
#endif

#define NEW_FLAGS (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)

int untar_fail(struct untar *u, int sys, const char *what, struct err *err)
{
	err_errno(err, sys, "%s \"%s\"", what, u->what);
	switch (sys) {
	case ENOENT: case EEXIST: case ENOTDIR: case EISDIR: case ELOOP: case ENAMETOOLONG: case EINVAL: case EXDEV: case EPERM:
	case EMLINK: case ENOTEMPTY: case E2BIG: case ERANGE:
		if (err)
			err->class = ERR_INVALID;
	}
	return -1;
}

int untar_count(struct untar *u, struct err *err)
{
	uint64_t max = u->opts->entries_max ? u->opts->entries_max : UNTAR_ENTRIES_MAX;

	if (++u->entries > max)
		return err_set(err, ERR_INVALID, "the archive has more than %" PRIu64 " entries", max);
	return 0;
}

bool untar_clean(const char *name, char ret[TAR_NAME_MAX + 1])
{
	size_t len = 0;

	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && name[0] == '.' && name[1] == '.') {
			if (len == 0)
				return false;
			while (len > 0 && ret[len - 1] != '/')
				len--;
			if (len > 0)
				len--;
		} else if (n > 0 && !(n == 1 && name[0] == '.')) {
			if (len)
				ret[len++] = '/';
			memcpy(ret + len, name, n);
			len += n;
		}
		name += n;
		name += *name == '/';
	}
	ret[len] = '\0';
	return true;
}

static bool xattr_wanted(const char *name)
{
	/* The overlay's own marks would open or hide what they like; system.* is the file system's. */
	return !str_has_prefix(name, "trusted.overlay.") && !str_has_prefix(name, "user.overlay.") &&
		(!str_has_prefix(name, "system.") || str_has_prefix(name, "system.posix_acl_"));
}

static void warn(struct untar *u, bool *once, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void warn(struct untar *u, bool *once, const char *fmt, ...)
{
	OWN_FREE char *text = NULL;
	va_list ap;

	if (*once)
		return;
	*once = true;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (u->opts->host && u->opts->host->warn)
		u->opts->host->warn(u->opts->host, text);
	else
		log_warn("%s", text);
}

static bool by_host(const struct untar_host *h, const char *name)
{
	return h && h->set_xattr && (str_has_prefix(name, "trusted.") || str_has_prefix(name, "security."));
}

int untar_set_xattr(struct untar *u, int fd, const char *name, const void *value, size_t size)
{
	struct untar_host *h = u->opts->host;

	return by_host(h, name) ? h->set_xattr(h, fd, name, value, size) : fsetxattr(fd, name, value, size, 0);
}

/* Of a link, device or FIFO in the current parent, which fd only names: no kernel sets them relative to a folder. */
static int set_node_xattr(struct untar *u, int fd, const char *node, const struct tar_xattr *x)
{
	struct untar_host *h = u->opts->host;

	if (by_host(h, x->name))
		return h->set_xattr(h, fd, x->name, x->value, x->size);
	return fchdir(u->parent_fd) < 0 ? -1 : lsetxattr(node, x->name, x->value, x->size, 0);
}

static bool xattr_refused(struct untar *u, const char *name)
{
	if (xattr_wanted(name))
		return false;
	warn(u, &u->warned_xattr, "attribute %s of \"%s\" in an archive is not stored", name, u->what);
	return true;
}

/* node: NULL, or the name of what fd only names. */
static int set_xattrs(struct untar *u, const struct tar_entry *e, int fd, const char *node, struct err *err)
{
	for (size_t i = 0; i < e->xattrs_len; i++) {
		struct tar_xattr own = e->xattrs[i], *x = &own;
		struct filecap cap;
		int rc;

		if (xattr_refused(u, x->name))
			continue;
		if (streq(x->name, FILECAP_XATTR) && filecap_own(x->value, x->size, idmaps_root_uid(u->opts->ids), &cap)) {
			x->value = (const char *)&cap;
			x->size = sizeof(cap);
		}
		rc = node ? set_node_xattr(u, fd, node, x) : untar_set_xattr(u, fd, x->name, x->value, x->size);
		if (rc == 0)
			continue;
		if (errno != EOPNOTSUPP && errno != EPERM)
			return untar_fail(u, errno, "set attribute of", err);
		/* not every file system takes every attribute, nor does every kind of file */
		warn(u, &u->warned_kind, "attribute %s of \"%s\" in an archive is not stored: %s", x->name, u->what, strerror(errno));
	}
	return 0;
}

static void entry_times(const struct tar_entry *e, struct timespec ret[2])
{
	ret[0] = e->atime.tv_nsec == UTIME_OMIT ? e->mtime : e->atime;
	ret[1] = e->mtime;
}

/* An id that the daemon's user namespace has none for is the archive's, with Docker's hint. */
static int owner_failed(struct untar *u, const struct tar_entry *e, const char *what, struct err *err)
{
	if (errno != EINVAL || !rootless_userns())
		return untar_fail(u, errno, what, err);
	what = str_has_prefix(u->what, "./") ? u->what + 2 : u->what;
	return err_set(err, ERR_INVALID, "failed to Lchown \"/%s\" for UID %u, GID %u (try increasing the number of subordinate IDs in /etc/subuid and "
		"/etc/subgid): lchown /%s: invalid argument", what, e->uid, e->gid, what);
}

/* Owner first: changing it takes set-id bits and capabilities away. */
static int set_fd_metadata(struct untar *u, const struct tar_entry *e, int fd, struct err *err)
{
	struct timespec times[2];

	entry_times(e, times);
	if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode) < 0)
		return owner_failed(u, e, "set owner and mode of", err);
	if (set_xattrs(u, e, fd, NULL, err) < 0)
		return -1;
	return futimens(fd, times) < 0 ? untar_fail(u, errno, "set times of", err) : 0;
}

/*
 * A device or FIFO that was just made here, without opening it. Kernels without the call follow a link that somebody put in
 * its place meanwhile (a running container may), which leads nowhere but into that container's own root.
 */
static int set_node_mode(struct untar *u, int fd, const char *name, uint32_t mode)
{
	if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	return errno == ENOSYS ? fchmodat(u->parent_fd, name, mode, 0) : -1;
}

/* Links, devices and FIFOs, which must not be opened: by an O_PATH descriptor. */
static int set_node_metadata(struct untar *u, const struct tar_entry *e, const char *name, struct err *err)
{
	OWN_FD int fd = openat(u->parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct timespec times[2];

	if (fd < 0 || fchownat(fd, "", e->uid, e->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0)
		return owner_failed(u, e, "set owner of", err);
	if (e->type != TAR_SYMLINK && set_node_mode(u, fd, name, e->mode) < 0)
		return untar_fail(u, errno, "set mode of", err);
	if (set_xattrs(u, e, fd, name, err) < 0)
		return -1;
	entry_times(e, times);
	return utimensat(u->parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? untar_fail(u, errno, "set times of", err) : 0;
}

static int refuse_type_change(struct untar *u, const char *name, bool dir, struct err *err)
{
	const char *base = u->opts->base ? u->opts->base : "", *slash = *u->parent ? "/" : "";

	return err_set(err, ERR_INVALID, "cannot overwrite %s \"/%s%s%s\" with %s \"/%s\"", dir ? "non-directory" : "directory", u->parent,
		slash, name, dir ? "directory" : "non-directory", base);
}

static int duplicate(struct err *err)
{
	return err_set(err, ERR_INVALID, "duplicates of file paths not supported");
}

/*
 * Something of another kind is where a member goes: away with it. An overlay tree holds nothing but this layer, so that there
 * it came from the same archive under another name, and the archive could not be put together again.
 */
static int make_room(struct untar *u, const char *name, bool dir, bool *ret_opaque, struct err *err)
{
	OWN_ERR struct err cause = ERR_INIT;
	struct stat st;

	*ret_opaque = false;
	if (fstatat(u->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : untar_fail(u, errno, "stat", err);
	if (u->opts->flags & UNTAR_KEEP_TYPES && (dir || S_ISDIR(st.st_mode)))
		return refuse_type_change(u, name, dir, err);
	if (u->opts->flags & UNTAR_LAYER && u->opts->whiteout == GRAPH_WHITEOUT_OVERLAY) {
		if (!whiteout_is(&st))
			return duplicate(err);
		*ret_opaque = true;
	}
	if (u->opts->flags & UNTAR_LAYER)
		return fs_remove_tree(u->parent_fd, name, err);
	if (fs_remove_unmounted(u->parent_fd, name, &cause) == 0)
		return 0;
	if (cause.sys == EBUSY)
		return err_set(err, ERR_INTERNAL, "unlinkat /%s%s%s: device or resource busy", u->opts->base ? u->opts->base : "",
			u->opts->base ? "/" : "", u->what);
	return err_move(err, &cause);
}

static int put_dir(struct untar *u, const struct tar_entry *e, const char *name, struct err *err)
{
	OWN_FD int fd = -1;
	bool opaque = false;
	struct stat st;

	if (mkdirat(u->parent_fd, name, 0700) < 0) {
		if (errno != EEXIST || fstatat(u->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return untar_fail(u, errno, "mkdir", err);
		if (!S_ISDIR(st.st_mode)) {
			if (make_room(u, name, true, &opaque, err) < 0)
				return -1;
			if (mkdirat(u->parent_fd, name, 0700) < 0)
				return untar_fail(u, errno, "mkdir", err);
		}
	}
	fd = openat(u->parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return untar_fail(u, errno, "open", err);
	if (opaque && whiteout_set_opaque(u, fd, err) < 0)
		return -1;
	return set_fd_metadata(u, e, fd, err);
}

static int open_new(struct untar *u, const char *name, struct err *err)
{
	int fd = openat(u->parent_fd, name, NEW_FLAGS, 0600);
	bool opaque;

	if (fd < 0 && errno == EEXIST) {
		if (make_room(u, name, false, &opaque, err) < 0)
			return -1;
		fd = openat(u->parent_fd, name, NEW_FLAGS, 0600);
	}
	return fd < 0 ? untar_fail(u, errno, "create", err) : fd;
}

/* What cannot be written whole does not stay. */
static int drop_file(struct untar *u, const char *name)
{
	unlinkat(u->parent_fd, name, 0);
	return -1;
}

static int put_file(struct untar *u, struct tar_reader *tar, const struct tar_entry *e, const char *name, struct err *err)
{
	OWN_FD int fd = open_new(u, name, err);
	const void *data;
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		int64_t hole = tar_hole(tar);

		n = tar_data(tar, &data, err);
		if ((hole && lseek(fd, hole, SEEK_CUR) < 0) || (n > 0 && fs_write_all(fd, data, (size_t)n) < 0)) {
			untar_fail(u, errno, "write", err);
			return drop_file(u, name);
		}
	} while (n > 0);
	if (n == 0 && e->sparse && ftruncate(fd, e->size) < 0)
		n = untar_fail(u, errno, "write", err);
	if (n < 0)
		return drop_file(u, name);
	if (__builtin_add_overflow(u->size, e->size, &u->size))
		return err_set(err, ERR_INVALID, "archive/tar: files of more bytes than can be counted");
	return set_fd_metadata(u, e, fd, err);
}

static int make_node(struct untar *u, const struct tar_entry *e, const char *name)
{
	switch (e->type) {
	case TAR_SYMLINK:
		return symlinkat(e->link, u->parent_fd, name);
	case TAR_CHARDEV:
		return mknodat(u->parent_fd, name, S_IFCHR | 0600, makedev(e->major, e->minor));
	case TAR_BLOCKDEV:
		return mknodat(u->parent_fd, name, S_IFBLK | 0600, makedev(e->major, e->minor));
	default:
		return mkfifoat(u->parent_fd, name, 0600);
	}
}

static int put_node(struct untar *u, const struct tar_entry *e, const char *name, struct err *err)
{
	bool opaque;

	if (e->type == TAR_CHARDEV && e->major == 0 && e->minor == 0) {
		/* It would be a whiteout, which archives spell otherwise. */
		warn(u, &u->warned_device, "character device 0:0 \"%s\" in a layer is not stored", u->what);
		return 0;
	}
	if ((e->type == TAR_CHARDEV || e->type == TAR_BLOCKDEV) && rootless_userns()) {
		/* no device can be made there; Docker leaves them out as well */
		warn(u, &u->warned_device, "device \"%s\" in an archive is not stored: the daemon is in a user namespace", u->what);
		return 0;
	}
	if (make_node(u, e, name) < 0) {
		if (errno != EEXIST)
			return untar_fail(u, errno, "create", err);
		if (make_room(u, name, false, &opaque, err) < 0)
			return -1;
		if (make_node(u, e, name) < 0)
			return untar_fail(u, errno, "create", err);
	}
	if (e->type == TAR_SYMLINK)
		u->size += (int64_t)strlen(e->link);
	return set_node_metadata(u, e, name, err);
}

/* Makes a clean path one from the root. False when it is too long then. */
static bool below_base(const struct untar *u, char path[TAR_NAME_MAX + 1])
{
	size_t n = u->opts->base ? strlen(u->opts->base) : 0, len = strlen(path);

	if (n == 0)
		return true;
	if (n + 1 + len > TAR_NAME_MAX)
		return false;
	memmove(path + n + 1, path, len + 1);
	memcpy(path, u->opts->base, n);
	path[n] = '/';
	return true;
}

/* A folder inside the root for the link's target, opened without touching the current parent. */
static int link_folder(struct untar *u, char *target, const char **ret_base, struct err *err)
{
	char *slash = strrchr(target, '/');
	int fd;

	*ret_base = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	fd = fs_beneath(u->root, slash ? target : ".", O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? untar_fail(u, errno, "hard link", err) : fd;
}

static int put_hardlink(struct untar *u, const struct tar_entry *e, const char *name, struct err *err)
{
	char target[TAR_NAME_MAX + 1];
	OWN_FD int folder = -1;
	const char *base;
	struct stat st;
	bool opaque;

	if (!untar_clean(e->link, target) || !*target || !below_base(u, target))
		return err_set(err, ERR_INVALID, "invalid hardlink \"%s\" -> \"%s\"", u->what, e->link);
	folder = link_folder(u, target, &base, err);
	if (folder < 0)
		return -1;
	if (fstatat(folder, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return untar_fail(u, errno, "hard link", err);
	if (S_ISDIR(st.st_mode) || whiteout_is(&st))
		return err_set(err, ERR_INVALID, "invalid hardlink \"%s\" -> \"%s\"", u->what, e->link);
	if (linkat(folder, base, u->parent_fd, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return untar_fail(u, errno, "hard link", err);
	if (make_room(u, name, false, &opaque, err) < 0)
		return -1;
	return linkat(folder, base, u->parent_fd, name, 0) < 0 ? untar_fail(u, errno, "hard link", err) : 0;
}

static int put_root(struct untar *u, const struct tar_entry *e, struct err *err)
{
	struct tar_entry owned = *e;
	OWN_FD int fd = -1;

	if (e->type != TAR_DIR)
		return err_set(err, ERR_INVALID, "\"%s\" is the root and must be a directory", u->what);
	if (idmaps_owner_out(u->opts->ids, &owned.uid, &owned.gid, err) < 0)
		return err_wrap(err, "\"%s\"", u->what);
	untar_parent_drop(u);
	fd = fs_beneath(u->root, u->opts->base ? u->opts->base : ".", O_RDONLY | O_DIRECTORY, 0);
	return fd < 0 ? untar_fail(u, errno, "open", err) : set_fd_metadata(u, &owned, fd, err);
}

/*
 * A member named twice could not be told apart when the archive is put together again. Trees that delete for real also note
 * the folders above, spelled with their slash: whiteouts spare them.
 */
static int note_seen(struct untar *u, const char *path, struct err *err)
{
	size_t len = strlen(path);

	if (!pathset_add(&u->seen, path, len))
		return duplicate(err);
	while (u->opts->whiteout == GRAPH_WHITEOUT_DELETE && len) {
		len--;
		while (len && path[len - 1] != '/')
			len--;
		if (len && !pathset_add(&u->seen, path, len))
			break;
	}
	return 0;
}

static int put_member(struct untar *u, struct tar_reader *tar, const struct tar_entry *e, const char *name, struct err *err)
{
	struct tar_entry owned = *e;

	u->parent_dirty = true;
	if (u->opts->owner) {
		owned.uid = u->opts->owner->uid;
		owned.gid = u->opts->owner->gid;
	}
	if (idmaps_owner_out(u->opts->ids, &owned.uid, &owned.gid, err) < 0)
		return err_wrap(err, "\"%s\"", u->what);
	e = &owned;
	switch (e->type) {
	case TAR_DIR:
		return put_dir(u, e, name, err);
	case TAR_FILE:
		return put_file(u, tar, e, name, err);
	case TAR_HARDLINK:
		return put_hardlink(u, e, name, err);
	default:
		return put_node(u, e, name, err);
	}
}

static int put(struct untar *u, struct tar_reader *tar, const struct tar_entry *e, struct err *err)
{
	char path[TAR_NAME_MAX + 1];
	const char *hidden = NULL;
	char *slash, *name;
	int kind = UNTAR_PLAIN, found;

	if (!untar_clean(e->name, path))
		return u->opts->base ? err_set(err, ERR_INVALID, "\"%s\" is outside of \"/%s\"", e->name, u->opts->base) :
			err_set(err, ERR_INVALID, "\"%s\" is outside of the archive's root", e->name);
	if (untar_count(u, err) < 0)
		return -1;
	if (!*path)
		return put_root(u, e, err);
	if (!below_base(u, path))
		return untar_fail(u, ENAMETOOLONG, "create", err);
	if (u->opts->flags & UNTAR_LAYER)
		kind = whiteout_name(u, path, &hidden, err);
	if (kind < 0 || kind == UNTAR_IGNORE)
		return kind < 0 ? -1 : 0;
	if (u->opts->flags & UNTAR_LAYER && kind == UNTAR_PLAIN && note_seen(u, path, err) < 0)
		return -1;
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	found = untar_parent(u, slash ? path : "", kind == UNTAR_PLAIN || u->opts->whiteout != GRAPH_WHITEOUT_DELETE, err);
	if (found <= 0)
		return found;
	return kind == UNTAR_PLAIN ? put_member(u, tar, e, name, err) : whiteout_apply(u, (enum untar_name)kind, hidden, err);
}

int untar(int rootfd, struct tar_reader *tar, const struct untar_opts *opts, int64_t *ret_size, struct err *err)
{
	struct untar u = { .root = rootfd, .opts = opts, .parent_fd = -1 };
	const struct tar_entry *e;
	int n;

	pathset_init(&u.seen);
	while ((n = tar_next(tar, &e, err)) > 0) {
		u.what = e->name;
		n = put(&u, tar, e, err);
		if (n < 0)
			break;
	}
	untar_parent_drop(&u);
	pathset_done(&u.seen);
	if (ret_size)
		*ret_size = u.size;
	return n < 0 ? -1 : 0;
}
