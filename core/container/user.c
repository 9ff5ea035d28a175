/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Users and groups by the image's own passwd and group files, read inside the root only: no NSS, no link out of it, a
 * regular file of at most 1 MiB with lines of at most 64 KiB. A number is always a number, never a name.
 */
#include "container/bundle/bundle.h"

#include "base/fs.h"

#define FILE_MAX_SIZE (1u << 20)
#define LINE_MAX_SIZE (64u << 10)
#define ID_LAST 2147483647u /* as Docker: uids and gids are 0..2147483647 */

struct entry { char *name, *field[7]; size_t fields; };

/* Cuts one line "a:b:c" into fields, in place. */
static void split_line(char *line, struct entry *e)
{
	e->fields = 0;
	e->name = line;
	for (char *p = line; p && e->fields < ARRAY_LEN(e->field);) {
		e->field[e->fields++] = p;
		p = strchr(p, ':');
		if (p)
			*p++ = '\0';
	}
}

/*
 * Calls fn for each line until it returns true. A file that is not there counts as empty; so does, where no name has to be
 * looked up (optional), one that cannot be read: a number needs no file.
 */
static int each_line(int rootfd, const char *path, bool optional, bool (*fn)(void *ctx, struct entry *e), void *ctx, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	char *save = NULL;

	if (fs_beneath_read(rootfd, path, FILE_MAX_SIZE, &b, &why) < 0)
		return optional || why.class == ERR_NOT_FOUND ? 0 : err_set(err, ERR_INVALID, "%s of the image: %s", path, err_text(&why));
	for (char *line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct entry e;

		if (strlen(line) > LINE_MAX_SIZE)
			return optional ? 0 : err_set(err, ERR_INVALID, "%s of the image: a line is longer than %u bytes", path, LINE_MAX_SIZE);
		split_line(line, &e);
		if (fn(ctx, &e))
			break;
	}
	return 0;
}

static bool to_id(const char *s, uint32_t *ret)
{
	uint64_t n;

	if (!str_to_u64(s, &n) || n > ID_LAST)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static void add_group(struct user_ids *u, uint32_t gid)
{
	for (size_t i = 0; i < u->groups.len; i++)
		if (u->groups.v[i] == gid)
			return;
	u->groups.v = xrealloc(u->groups.v, (u->groups.len + 1) * sizeof(*u->groups.v));
	u->groups.v[u->groups.len++] = gid;
}

struct passwd_query { const char *name; bool by_id, found; uint32_t uid, gid; char *user, *home; };

static bool passwd_line(void *ctx, struct entry *e)
{
	struct passwd_query *q = ctx;
	uint32_t uid, gid;

	if (e->fields < 4 || !to_id(e->field[2], &uid) || !to_id(e->field[3], &gid))
		return false;
	if (q->by_id ? uid != q->uid : !streq(e->name, q->name))
		return false;
	q->found = true;
	q->uid = uid;
	q->gid = gid;
	q->user = xstrdup(e->name);
	q->home = e->fields > 5 ? xstrdup(e->field[5]) : NULL;
	return true;
}

struct group_query { const char *name; bool found; uint32_t gid; };

static bool group_line(void *ctx, struct entry *e)
{
	struct group_query *q = ctx;

	q->found = e->fields >= 3 && streq(e->name, q->name) && to_id(e->field[2], &q->gid);
	return q->found;
}

struct member_query { const char *user; struct user_ids *ids; };

static bool member_line(void *ctx, struct entry *e)
{
	struct member_query *q = ctx;
	OWN_STRV struct strv users = { 0 };
	uint32_t gid;

	if (e->fields < 4 || !to_id(e->field[2], &gid))
		return false;
	strv_split(&users, e->field[3], ",");
	if (strv_contains(&users, q->user))
		add_group(q->ids, gid);
	return false;
}

/* unable: Docker writes the word in two ways. */
static int find_group(int rootfd, const char *name, const char *unable, uint32_t *ret, struct err *err)
{
	struct group_query q = { .name = name };

	if (strspn(name, "-0123456789") == strlen(name) && *name) {
		if (!to_id(name, ret))
			return err_set(err, ERR_INVALID, "uids and gids must be in range 0-2147483647");
		return 0;
	}
	if (each_line(rootfd, "/etc/group", false, group_line, &q, err) < 0)
		return err_wrap(err, "%s to find group %s", unable, name);
	if (!q.found)
		return err_set(err, ERR_INVALID, "%s to find group %s: no matching entries in group file", unable, name);
	*ret = q.gid;
	return 0;
}

/* The runtime opens both files for a number, too, and would wait for ever for somebody to write into a FIFO. */
static int check_fifo(int rootfd, const char *path, struct err *err)
{
	OWN_FD int fd = fs_beneath(rootfd, path, O_PATH, 0);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode))
		return err_set(err, ERR_INVALID, "%s of the image: is a FIFO", path);
	return 0;
}

int user_lookup(int rootfd, const char *user, const struct strv *group_add, struct user_ids *ret, struct err *err)
{
	OWN_FREE char *copy = xstrdup(user ? user : ""), *name_of = NULL;
	char *group = strchr(copy, ':');
	struct passwd_query q = { 0 };
	bool numeric;

	*ret = (struct user_ids){ 0 };
	if (strpbrk(copy, "\n\r"))
		return err_set(err, ERR_INVALID, "invalid user: line breaks are not allowed");
	if (group) {
		*group++ = '\0';
		group[strcspn(group, ":")] = '\0'; /* what stands behind a second colon is not looked at, as in Docker */
	}
	numeric = *copy && strspn(copy, "-0123456789") == strlen(copy);
	if (numeric && !to_id(copy, &q.uid))
		return err_set(err, ERR_INVALID, "uids and gids must be in range 0-2147483647");
	q.name = copy;
	q.by_id = numeric || !*copy;
	if (check_fifo(rootfd, "/etc/passwd", err) < 0 || check_fifo(rootfd, "/etc/group", err) < 0 ||
		each_line(rootfd, "/etc/passwd", q.by_id, passwd_line, &q, err) < 0)
		return err_wrap(err, "unable to find user %s", copy);
	name_of = q.user;
	ret->home = q.home;
	if (!q.found && !q.by_id)
		return err_set(err, ERR_INVALID, "unable to find user %s: no matching entries in passwd file", copy);
	ret->uid = q.uid;
	ret->gid = q.found ? q.gid : 0;
	if (group && *group) {
		if (find_group(rootfd, group, "unable", &ret->gid, err) < 0)
			return -1;
	} else if (name_of) {
		struct member_query m = { name_of, ret };

		if (each_line(rootfd, "/etc/group", true, member_line, &m, err) < 0)
			return -1;
	}
	/* the primary group is among the supplementary ones, so that a group's denial holds */
	add_group(ret, ret->gid);
	for (size_t i = 0; group_add && i < group_add->len; i++) {
		uint32_t gid;

		if (find_group(rootfd, group_add->v[i], "Unable", &gid, err) < 0)
			return -1;
		add_group(ret, gid);
	}
	return 0;
}

void user_ids_done(struct user_ids *u)
{
	free(u->groups.v);
	free(u->home);
	*u = (struct user_ids){ 0 };
}
