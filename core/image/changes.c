/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/changes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/deep.h"
#include "base/filecap.h"
#include "base/fs.h"
#include "base/inode-map.h"
#include "base/str.h"
#include "base/tar.h"
#include "image/changes-exact.h"
#include "image/list-dir.h"

#define CAPABILITY_MAX 64
#define BYTES_MAX (128u << 20) /* of all paths together: a container chooses how many files it makes, and how deep */
#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct walk {
	struct changes *out;
	struct buf path;       /* of the folder at hand, "" for the root */
	size_t bytes;          /* of the paths noted */
	bool upper;            /* the new tree holds changes only */
	enum graph_whiteout style;
	bool exact;            /* what looks the same is read */
	const struct idmaps *shown; /* what owners of the old tree are in the new one; NULL: the same */
	const struct cancel *cancel;
};

void changes_done(struct changes *c)
{
	for (size_t i = 0; i < c->len; i++)
		free(c->v[i].path);
	free(c->v);
	*c = (struct changes){ 0 };
}

static void add(struct walk *w, const char *name, enum change_kind kind)
{
	struct changes *c = w->out;

	w->bytes += w->path.size + strlen(name) + sizeof(*c->v);
	if (w->bytes > BYTES_MAX)
		return;
	if (c->len == c->room) {
		c->room = c->room ? c->room * 2 : 32;
		c->v = xrealloc(c->v, c->room * sizeof(*c->v));
	}
	c->v[c->len++] = (struct change){ xasprintf("%s/%s", w->path.size ? w->path.data : "", name), kind };
}

static bool same_time(struct timespec a, struct timespec b)
{
	/* Archives may have cut the fraction. */
	return a.tv_sec == b.tv_sec && (a.tv_nsec == b.tv_nsec || a.tv_nsec == 0 || b.tv_nsec == 0);
}

static ssize_t capability(int dirfd, const char *name, char ret[CAPABILITY_MAX])
{
	OWN_FREE char *path = xasprintf("/proc/self/fd/%d/%s", dirfd, name);

	return lgetxattr(path, "security.capability", ret, CAPABILITY_MAX);
}

/* For the root of which namespace it holds is a matter of owners. */
static bool same_capability(const struct walk *w, int a, int b, const char *name)
{
	char x[CAPABILITY_MAX], y[CAPABILITY_MAX];
	ssize_t n = capability(a, name, x), m = capability(b, name, y);

	if (w->shown && n > 0 && m > 0) {
		n = (ssize_t)filecap_plain(x, (size_t)n);
		m = (ssize_t)filecap_plain(y, (size_t)m);
	}
	return (n < 0 && m < 0) || (n == m && memcmp(x, y, (size_t)n) == 0);
}

static bool same_id(const struct idmap_list *shown, uint32_t now, uint32_t before)
{
	uint32_t id;

	if (!shown)
		return now == before;
	return !idmap_out(shown, before, &id) || id == now;
}

static bool differs(const struct walk *w, int new_fd, int old_fd, const char *name, const struct stat *a, const struct stat *b)
{
	const struct idmaps *m = w->shown;

	if (a->st_mode != b->st_mode || a->st_rdev != b->st_rdev || !same_id(m ? &m->uids : NULL, a->st_uid, b->st_uid) ||
	    !same_id(m ? &m->gids : NULL, a->st_gid, b->st_gid))
		return true;
	/* A folder's size and time tell nothing about the folder itself. */
	if (!S_ISDIR(a->st_mode) && (!same_time(a->st_mtim, b->st_mtim) || a->st_size != b->st_size))
		return true;
	return S_ISREG(a->st_mode) && !same_capability(w, new_fd, old_fd, name);
}

static int fail(struct walk *w, const char *name, struct err *err)
{
	return err_errno(err, errno, "compare %s/%s", w->path.size ? w->path.data : "", name);
}

static deep_walk walk_dir;

/* Goes into the folder name; old_fd -1 where there is nothing to compare with. */
static int enter(struct walk *w, int new_fd, int old_fd, const char *name, int depth, struct err *err)
{
	OWN_FD int new_child = openat(new_fd, name, DIR_FLAGS), old_child = -1;
	size_t size = w->path.size;
	int rc;

	if (new_child < 0)
		return errno == ENOENT ? 0 : fail(w, name, err);
	if (old_fd >= 0) {
		old_child = openat(old_fd, name, DIR_FLAGS);
		if (old_child < 0)
			return fail(w, name, err);
	}
	if (depth == DEEP_MAX || size + strlen(name) >= TAR_NAME_MAX)
		return err_set(err, ERR_INVALID, "%s/%s: folders are nested too deeply", size ? w->path.data : "", name);
	if (w->bytes > BYTES_MAX)
		return err_set(err, ERR_INVALID, "too many changes to list");
	buf_addc(&w->path, '/');
	buf_adds(&w->path, name);
	rc = deep_step(walk_dir, w, new_child, old_child, depth + 1, err);
	w->path.size = size;
	w->path.data[size] = '\0';
	return rc;
}

static int visit(struct walk *w, int new_fd, int old_fd, const char *name, int depth, struct err *err)
{
	struct stat now, before;
	size_t len = w->out->len;
	bool changed, both;

	if (fstatat(new_fd, name, &now, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(w, name, err);
	if (old_fd < 0 || fstatat(old_fd, name, &before, AT_SYMLINK_NOFOLLOW) < 0) {
		add(w, name, CHANGE_ADD);
		return S_ISDIR(now.st_mode) ? enter(w, new_fd, -1, name, depth, err) : 0;
	}
	if (cancel_fired(w->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	changed = differs(w, new_fd, old_fd, name, &now, &before) || (w->exact && changes_within(new_fd, old_fd, name, &now, &before));
	if (changed)
		add(w, name, CHANGE_MODIFY);
	both = S_ISDIR(before.st_mode);
	if (S_ISDIR(now.st_mode) && enter(w, new_fd, both ? old_fd : -1, name, depth, err) < 0)
		return -1;
	/* A folder with changes inside counts as changed, so that its owner and mode go with them. */
	if (!changed && w->out->len > len && S_ISDIR(now.st_mode))
		add(w, name, CHANGE_MODIFY);
	return 0;
}

/* The name that an entry of a changes-only tree deletes, or NULL. */
static const char *deleted_name(struct walk *w, int fd, const char *name)
{
	struct stat st;

	if (w->style == GRAPH_WHITEOUT_AUFS)
		return str_has_prefix(name, ".wh.") ? name + 4 : NULL;
	return fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0 ? name : NULL;
}

static bool is_opaque(struct walk *w, int fd)
{
	char value = 0;

	if (w->style == GRAPH_WHITEOUT_AUFS)
		return faccessat(fd, ".wh..wh..opq", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static bool exists(int fd, const char *name)
{
	return fd >= 0 && faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int walk_upper(struct walk *w, int new_fd, int old_fd, const struct strv *names, int depth, struct err *err)
{
	OWN_STRV struct strv below = { 0 };

	for (size_t i = 0; i < names->len; i++) {
		const char *gone = deleted_name(w, new_fd, names->v[i]);

		if (gone) {
			if (!str_has_prefix(gone, ".wh.") && exists(old_fd, gone))
				add(w, gone, CHANGE_DELETE);
		} else if (visit(w, new_fd, old_fd, names->v[i], depth, err) < 0) {
			return -1;
		}
	}
	if (old_fd < 0 || !is_opaque(w, new_fd))
		return 0;
	if (list_dir(old_fd, &below) < 0)
		return fail(w, "", err);
	for (size_t i = 0; i < below.len; i++)
		if (!exists(new_fd, below.v[i]))
			add(w, below.v[i], CHANGE_DELETE);
	return 0;
}

static int walk_whole(struct walk *w, int new_fd, int old_fd, const struct strv *names, int depth, struct err *err)
{
	OWN_STRV struct strv before = { 0 };
	size_t k = 0;

	if (old_fd >= 0 && list_dir(old_fd, &before) < 0)
		return fail(w, "", err);
	for (size_t i = 0; i < names->len; i++) {
		for (; k < before.len && strcmp(before.v[k], names->v[i]) < 0; k++)
			add(w, before.v[k], CHANGE_DELETE);
		k += k < before.len && streq(before.v[k], names->v[i]);
		if (visit(w, new_fd, old_fd, names->v[i], depth, err) < 0)
			return -1;
	}
	for (; k < before.len; k++)
		add(w, before.v[k], CHANGE_DELETE);
	return 0;
}

static int walk_dir(void *ctx, int new_fd, int old_fd, int depth, struct err *err)
{
	struct walk *w = ctx;
	OWN_STRV struct strv names = { 0 };

	if (list_dir(new_fd, &names) < 0)
		return fail(w, "", err);
	return w->upper ? walk_upper(w, new_fd, old_fd, &names, depth, err) : walk_whole(w, new_fd, old_fd, &names, depth, err);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct change *)a)->path, ((const struct change *)b)->path);
}

static int run(struct walk *w, int new_fd, int old_fd, struct err *err)
{
	int rc = walk_dir(w, new_fd, old_fd, 0, err);

	buf_done(&w->path);
	if (rc == 0 && w->bytes > BYTES_MAX)
		rc = err_set(err, ERR_INVALID, "too many changes to list");
	if (w->out->len)
		qsort(w->out->v, w->out->len, sizeof(*w->out->v), by_path);
	return rc;
}

int changes_compare(int new_fd, int old_fd, const struct idmaps *shown, struct changes *ret, struct err *err)
{
	struct walk w = { .out = ret, .shown = idmaps_none(shown) ? NULL : shown };

	return run(&w, new_fd, old_fd, err);
}

/* The root itself has no name in a list; "/." is one that archives take. */
static void compare_roots(struct walk *w, int new_fd, int old_fd)
{
	struct stat now, before;

	if (fstat(new_fd, &now) == 0 && fstat(old_fd, &before) == 0 && differs(w, new_fd, old_fd, ".", &now, &before))
		add(w, ".", CHANGE_MODIFY);
}

int changes_compare_exact(int new_fd, int old_fd, const struct cancel *c, struct changes *ret, struct err *err)
{
	struct walk w = { .out = ret, .exact = true, .cancel = c };

	compare_roots(&w, new_fd, old_fd);
	return run(&w, new_fd, old_fd, err);
}

int changes_upper(int upper_fd, enum graph_whiteout style, int lower_fd, const struct idmaps *shown, struct changes *ret, struct err *err)
{
	struct walk w = { .out = ret, .upper = true, .style = style, .shown = idmaps_none(shown) ? NULL : shown };

	return run(&w, upper_fd, lower_fd, err);
}

int64_t changes_size(const struct changes *c, int fd)
{
	OWN_INODE_MAP struct inode_map seen = { 0 };
	int64_t size = 0;

	for (size_t i = 0; i < c->len; i++) {
		OWN_FD int file = c->v[i].kind == CHANGE_DELETE ? -1 : fs_beneath(fd, c->v[i].path, O_PATH | O_NOFOLLOW, 0);
		struct stat st;

		if (file < 0 || fstat(file, &st) < 0 || S_ISDIR(st.st_mode))
			continue;
		if (st.st_nlink == 1 || !inode_map_note(&seen, &st, ""))
			size += st.st_size;
	}
	return size;
}
