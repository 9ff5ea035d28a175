/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/undo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#define STATE_MOST   (4 << 20)
#define GROUPS_DEPTH 32

/* The text behind "key": of a state; quotes within strings are escaped, so that this is a key. */
static const char *member(const char *state, const char *key)
{
	OWN_FREE char *quoted = xasprintf("\"%s\":", key);
	const char *at = strstr(state, quoted);

	return at ? at + strlen(quoted) : NULL;
}

static bool is_plain(const char *state)
{
	const char *hooks = member(state, "poststop"), *rdt = member(state, "intel_rdt_path");

	return (!hooks || str_has_prefix(hooks, "null")) && (!rdt || str_has_prefix(rdt, "\"\"")) && member(state, "init_process_pid");
}

static bool is_group(const char *path, const char *id, const char *groups)
{
	const char *last = strrchr(path, '/');

	return str_has_prefix(path, groups) && path[strlen(groups)] == '/' && streq(last + 1, id) && !strchr(path, '\\') &&
		!strstr(path, "/../") && !strstr(path, "//");
}

/* A quoted string without escapes at *at, which is put behind it. */
static char *string(const char **at)
{
	const char *from = *at + 1, *end = **at == '"' ? strchr(from, '"') : NULL;

	if (!end)
		return NULL;
	*at = end + 1;
	return xstrndup(from, (size_t)(end - from));
}

/* {"controllers":"path",...}. The device group comes first: through it runc finds the processes that its own delete kills. */
static bool parse_groups(const char *at, const char *id, const char *groups, struct strv *ret)
{
	OWN_STRV struct strv rest = { 0 };

	if (!at || *at != '{')
		return false;
	do {
		OWN_FREE char *name = NULL, *path = NULL;

		at++;
		if (!(name = string(&at)) || *at++ != ':' || !(path = string(&at)) || !is_group(path, id, groups))
			return false;
		strv_take(streq(name, "devices") ? ret : &rest, STEAL(path));
	} while (*at == ',');
	for (size_t i = 0; i < rest.len; i++)
		strv_add(ret, rest.v[i]);
	return *at == '}';
}

static int remove_group(int dirfd, const char *name, int depth);

static int remove_below(int dirfd, const char *name, int depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		fd_close(&fd);
		return -1;
	}
	while (r == 0 && (e = readdir(d)))
		if (e->d_type == DT_DIR && !streq(e->d_name, ".") && !streq(e->d_name, ".."))
			r = remove_group(fd, e->d_name, depth - 1);
	closedir(d);
	return r;
}

static int remove_group(int dirfd, const char *name, int depth)
{
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if ((errno != EBUSY && errno != ENOTEMPTY) || depth == 0 || remove_below(dirfd, name, depth) < 0)
		return -1;
	return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

enum undone undo_runc(const char *root, const char *id, const char *groups)
{
	OWN_FREE char *file = xasprintf("%s/%s/state.json", root, id);
	OWN_FD int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_BUF struct buf state = { 0 };
	OWN_STRV struct strv paths = { 0 };

	if (rootfd < 0 || fs_read(AT_FDCWD, file, STATE_MOST, &state, NULL) < 0 || !state.data)
		return UNDO_NOT;
	if (!is_plain(state.data) || !parse_groups(member(state.data, "cgroup_paths"), id, groups, &paths))
		return UNDO_NOT;
	for (size_t i = 0; i < paths.len; i++)
		if (remove_group(AT_FDCWD, paths.v[i], GROUPS_DEPTH) < 0)
			return UNDO_BUSY;
	return fs_remove_tree(rootfd, id, NULL) < 0 ? UNDO_NOT : UNDO_DONE;
}
