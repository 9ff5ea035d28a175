/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What changed between two layers: read from a tree of differences in either style, or found by comparing whole trees. */
#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "graph.h"

static bool is_dot(const char *s)
{
	return streq(s, ".") || streq(s, "..");
}

static void names(int fd, const char *dir, struct strv *ret)
{
	OWN_FD int at = openat(fd, *dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	OWN_DIR DIR *d = at >= 0 ? fdopendir(at) : NULL;

	if (d)
		STEAL_FD(at);
	for (struct dirent *e; d && (e = readdir(d)); )
		if (!is_dot(e->d_name))
			strv_add(ret, e->d_name);
}

static char *join(const char *dir, const char *name)
{
	return xasprintf("%s%s%s", dir, *dir ? "/" : "", name);
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_rdev == b->st_rdev &&
		(S_ISDIR(a->st_mode) || (a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec));
}

static void compare(int parent, int child, const char *dir, struct strv *ret)
{
	OWN_STRV struct strv here = { 0 }, there = { 0 };

	names(child, dir, &here);
	names(parent, dir, &there);
	for (size_t i = 0; i < here.len; i++) {
		OWN_FREE char *path = join(dir, here.v[i]);
		struct stat a, b;

		if (fstatat(child, path, &a, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (parent < 0 || fstatat(parent, path, &b, AT_SYMLINK_NOFOLLOW) < 0)
			strv_addf(ret, "A /%s", path);
		else if (!same(&a, &b) && !(S_ISDIR(a.st_mode) && S_ISDIR(b.st_mode)))
			strv_addf(ret, "C /%s", path);
		if (S_ISDIR(a.st_mode))
			compare(parent, child, path, ret);
	}
	for (size_t i = 0; i < there.len; i++)
		if (!strv_contains(&here, there.v[i]))
			strv_addf(ret, "D /%s%s%s", dir, *dir ? "/" : "", there.v[i]);
}

/* A tree of differences */

static bool is_opaque(const struct graph_tree *t, const char *dir)
{
	OWN_FREE char *full = xasprintf("%s/%s", t->path, dir), *mark = xasprintf("%s/.wh..wh..opq", full);
	char value;
	struct stat st;

	if (t->whiteout == DKD_GRAPH_WHITEOUT_OVERLAY)
		return lgetxattr(full, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
	return lstat(mark, &st) == 0;
}

static void read_tree(const struct graph_tree *t, int parent, const char *dir, struct strv *ret);

static void read_entry(const struct graph_tree *t, int parent, const char *dir, const char *name, struct strv *ret)
{
	OWN_FREE char *path = join(dir, name);
	struct stat a, b;
	bool there, aufs = t->whiteout == DKD_GRAPH_WHITEOUT_AUFS;

	if (fstatat(t->fd, path, &a, AT_SYMLINK_NOFOLLOW) < 0 || (aufs && str_has_prefix(name, ".wh..wh.")))
		return;
	if (aufs && str_has_prefix(name, ".wh.")) {
		strv_addf(ret, "D /%s%s%s", dir, *dir ? "/" : "", name + 4);
		return;
	}
	if (!aufs && S_ISCHR(a.st_mode) && a.st_rdev == 0) {
		strv_addf(ret, "D /%s", path);
		return;
	}
	there = parent >= 0 && fstatat(parent, path, &b, AT_SYMLINK_NOFOLLOW) == 0;
	if (!there || !S_ISDIR(a.st_mode) || !S_ISDIR(b.st_mode))
		strv_addf(ret, "%c /%s", there ? 'C' : 'A', path);
	if (S_ISDIR(a.st_mode))
		read_tree(t, parent, path, ret);
}

static void read_tree(const struct graph_tree *t, int parent, const char *dir, struct strv *ret)
{
	OWN_STRV struct strv here = { 0 }, there = { 0 };

	names(t->fd, dir, &here);
	for (size_t i = 0; i < here.len; i++)
		read_entry(t, parent, dir, here.v[i], ret);
	if (parent < 0 || !*dir || !is_opaque(t, dir))
		return;
	names(parent, dir, &there);
	for (size_t i = 0; i < there.len; i++)
		if (!strv_contains(&here, there.v[i]))
			strv_addf(ret, "D /%s/%s", dir, there.v[i]);
}

int graph_changes(const char *id, const char *parent, struct strv *ret)
{
	OWN_FREE char *dir = NULL;
	OWN_FD int parent_fd = -1;
	struct graph_tree t;
	bool held = parent && graph_holds(parent);

	if (graph_tree(id, parent, DKD_GRAPH_TREE_READ, &t) < 0)
		return -1;
	if (parent) {
		dir = graph_get(parent);
		parent_fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
		if (parent_fd < 0)
			return graph_tree_done(&t), -1;
	}
	if (t.whiteout == DKD_GRAPH_WHITEOUT_DELETE)
		compare(parent_fd, t.fd, "", ret);
	else
		read_tree(&t, parent_fd, "", ret);
	strv_sort(ret);
	fd_close(&parent_fd);
	if (parent && !held && graph_put(parent) < 0)
		return graph_tree_done(&t), -1;
	return graph_tree_done(&t);
}

bool changes_are(const char *id, const char *parent, const char *want, const char *what)
{
	OWN_STRV struct strv got = { 0 };
	OWN_FREE char *text = NULL;
	int rc = graph_changes(id, parent, &got);

	text = strv_join(&got, ", ");
	if (!check_ok(rc == 0 && streq(text ? text : "", want), "%s", what)) {
		check_note(" got: %s", rc < 0 ? err_text(&why) : text);
		check_note("want: %s", want);
		return false;
	}
	return true;
}
