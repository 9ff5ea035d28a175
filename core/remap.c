/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "remap.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/spawner.h"
#include "base/str.h"
#include "base/subid.h"
#include "root.h"

#define NEW_RANGE      65536
#define NEW_FIRST      100000
#define TOOL_MS        60000

void remap_done(struct remap *r)
{
	idmaps_done(&r->maps);
	r->on = false;
}

/* Databases of the host */

static bool is_number(const char *s, uint32_t *ret)
{
	uint64_t n;

	if (!str_to_u64(s, &n) || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool group_exists(const char *word)
{
	OWN_FILE FILE *f = fopen("/etc/group", "re");
	uint32_t number = 0;
	bool by_id = is_number(word, &number);
	struct group *g;

	while (f && (g = fgetgrent(f)))
		if (by_id ? g->gr_gid == number : streq(g->gr_name, word))
			return true;
	return false;
}

/* Runs one of the tools for accounts. Where there is none of that name, or it fails: false. */
static bool run_tool(const char *const *argv)
{
	static const char *const places[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin" };
	OWN_ERR struct err err = ERR_INIT;
	struct spawner *s = spawner_start(&err); /* of its own: the daemon's comes later */
	bool ret = false;

	for (size_t i = 0; s && i < ARRAY_LEN(places); i++) {
		OWN_FREE char *program = xasprintf("%s/%s", places[i], argv[0]);
		char *v[12] = { program };
		int status = 0;

		if (access(program, X_OK) < 0)
			continue;
		for (size_t k = 1; argv[k] && k < ARRAY_LEN(v) - 1; k++)
			v[k] = (char *)argv[k];
		ret = spawner_run(s, v, NULL, -1, TOOL_MS, NULL, &status, NULL, &err) == 0 && status == 0;
		break;
	}
	spawner_stop(s);
	return ret;
}

/* The first id behind all ranges of a file that leaves room for another. */
static uint32_t next_free(const char *path)
{
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err ignored = ERR_INIT;
	OWN_STRV struct strv lines = { 0 };
	uint64_t next = NEW_FIRST;

	if (fs_read(AT_FDCWD, path, SUBID_FILE_MAX, &b, &ignored) == 0 && b.size)
		strv_split(&lines, b.data, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		OWN_STRV struct strv parts = { 0 };
		uint64_t first, count;

		strv_split(&parts, lines.v[i], ":");
		if (parts.len == 3 && str_to_u64(parts.v[1], &first) && str_to_u64(parts.v[2], &count) && count <= UINT32_MAX &&
			first <= UINT32_MAX && first + count > next)
			next = first + count;
	}
	return next <= UINT32_MAX - NEW_RANGE - 1 ? (uint32_t)next : 0;
}

static bool has_range(const char *path, const char *what, const struct subid_user *a)
{
	struct idmap_list l = { 0 };
	bool ret = subid_ranges(path, what, a->name, a->id, &l, NULL) == 0;

	free(l.v);
	return ret;
}

static int add_range(const char *path, const char *what, const char *flag, const struct subid_user *a, struct err *err)
{
	uint32_t first = next_free(path);
	OWN_FREE char *range = xasprintf("%" PRIu32 "-%" PRIu32, first, first + NEW_RANGE - 1);
	const char *const usermod[] = { "usermod", flag, range, REMAP_USER, NULL };

	if (has_range(path, what, a))
		return 0;
	if (!first)
		return err_set(err, ERR_INTERNAL, "cannot give the user %s a range of ids: %s has no room for another", REMAP_USER, path);
	if (!run_tool(usermod))
		return err_set(err, ERR_INTERNAL, "cannot give the user %s a range of ids: 'usermod %s %s %s' failed or is not installed; add the line "
			"'%s:%" PRIu32 ":%d' to %s yourself", REMAP_USER, flag, range, REMAP_USER, REMAP_USER, first, NEW_RANGE, path);
	return 0;
}

/* The user that "default" means, with ranges. */
static int make_user(struct err *err)
{
	const char *const useradd[] = { "useradd", "--system", "--user-group", "--shell", "/bin/false", "--home-dir", "/nonexistent", "--no-create-home",
		REMAP_USER, NULL };
	struct subid_user a = { 0 };
	bool there = subid_user_find(REMAP_USER, &a);
	int rc;

	if (!there && !run_tool(useradd))
		return err_set(err, ERR_INTERNAL, "cannot make the user %s for --userns-remap=default: 'useradd --system %s' failed or is not "
			"installed; make the user yourself, or name another", REMAP_USER, REMAP_USER);
	if (!there && !subid_user_find(REMAP_USER, &a))
		return err_set(err, ERR_INTERNAL, "the user %s is not there after 'useradd'", REMAP_USER);
	if (!there)
		log_info("made the user %s for --userns-remap=default", REMAP_USER);
	rc = add_range("/etc/subuid", "uid", "--add-subuids", &a, err);
	if (rc == 0)
		rc = add_range("/etc/subgid", "gid", "--add-subgids", &a, err);
	subid_user_done(&a);
	return rc;
}

static int check_user(const char *word, struct subid_user *ret, struct err *err)
{
	uint32_t id;

	if (*word && subid_user_find(word, ret))
		return 0;
	if (is_number(word, &id))
		return err_set(err, ERR_INVALID, "Uid %" PRIu32 " has no entry in /etc/passwd: getent unable to find entry \"%" PRIu32 "\" in passwd database",
			id, id);
	return err_set(err, ERR_INVALID, "Error during uid lookup for \"%s\": getent unable to find entry \"%s\" in passwd database", word, word);
}

static int check_group(const char *word, struct err *err)
{
	uint32_t id;

	if (*word && group_exists(word))
		return 0;
	if (is_number(word, &id))
		return err_set(err, ERR_INVALID, "Gid %" PRIu32 " has no entry in /etc/group: getent unable to find entry \"%" PRIu32 "\" in group database",
			id, id);
	return err_set(err, ERR_INVALID, "Error during groupname lookup for \"%s\": getent unable to find entry \"%s\" in group database", word, word);
}

/* The setting */

static int read_maps(const struct subid_user *a, struct idmaps *ret, struct err *err)
{
	if (subid_ranges("/etc/subuid", "uid", a->name, a->id, &ret->uids, err) < 0 ||
		subid_ranges("/etc/subgid", "gid", a->name, a->id, &ret->gids, err) < 0 || idmaps_check(ret, err) < 0)
		return err_wrap(err, "Can't create ID mappings");
	log_info("User namespaces: ID ranges will be mapped to subuid/subgid ranges of: %s", a->name);
	return 0;
}

int remap_setup(const char *spec, bool make, struct remap *ret, struct err *err)
{
	OWN_STRV struct strv parts = { 0 };
	struct subid_user a = { 0 };
	const char *user;
	int rc = 0;

	*ret = (struct remap){ 0 };
	if (str_empty(spec))
		return 0;
	strv_split(&parts, spec, ":");
	if (parts.len > 2)
		return err_set(err, ERR_INVALID, "Invalid user/group specification in --userns-remap: \"%s\"", spec);
	user = streq(parts.v[0], "default") ? REMAP_USER : parts.v[0];
	if (make && streq(parts.v[0], "default") && make_user(err) < 0)
		return -1;
	if (parts.len == 2 && !streq(parts.v[1], "default") && check_group(parts.v[1], err) < 0)
		return -1;
	if (check_user(user, &a, err) < 0)
		return -1;
	ret->on = true;
	if (streq(a.name, "root"))
		log_warn("User namespaces: root cannot be remapped with itself; user namespaces are OFF");
	else
		rc = read_maps(&a, &ret->maps, err);
	subid_user_done(&a);
	if (rc < 0)
		remap_done(ret);
	return rc;
}

/* The data-root */

/* Whether somebody with these ids and no more gets through a folder. */
static bool passable(const char *dir, uint32_t uid, uint32_t gid)
{
	struct stat st;

	if (stat(dir, &st) < 0)
		return false;
	return st.st_uid == uid ? st.st_mode & S_IXUSR : st.st_gid == gid ? st.st_mode & S_IXGRP : st.st_mode & S_IXOTH;
}

char *remap_path(const struct remap *r, const char *base)
{
	return xasprintf("%s/%" PRIu32 ".%" PRIu32, base, idmaps_root_uid(&r->maps), idmaps_root_gid(&r->maps));
}

char *remap_data_root(const struct remap *r, const char *base, struct err *err)
{
	uint32_t uid = idmaps_root_uid(&r->maps), gid = idmaps_root_gid(&r->maps);
	OWN_FREE char *real = root_make_data(base, 0, gid, err);
	OWN_FREE char *wanted = real ? remap_path(r, real) : NULL;
	OWN_FREE char *ret = wanted ? root_make_data(wanted, 0, gid, err) : NULL;
	OWN_FREE char *above = ret ? xstrdup(ret) : NULL;

	if (!ret)
		return NULL;
	for (char *slash; (slash = strrchr(above, '/')) && slash != above;) {
		*slash = '\0';
		if (!passable(above, uid, gid)) {
			err_set(err, ERR_INVALID, "a subdirectory in your graphroot path (%s) restricts access to the remapped root uid/gid; please fix by "
				"allowing 'o+x' permissions on existing directories (%s)", ret, above);
			return NULL;
		}
	}
	return STEAL(ret);
}
