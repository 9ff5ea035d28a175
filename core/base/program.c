/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/program.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/lock.h"
#include "base/str.h"

#define PROGRAMS_MAX 16 /* remembered */
#define ANSWER_MS 10000

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards known */
static struct known {
	char *path;
	time_t mtime;
	ino_t ino;
	struct program said;
} known[PROGRAMS_MAX];

static void copy(struct program *to, const struct program *from)
{
	str_set(&to->name, from->name);
	str_set(&to->version, from->version);
	str_set(&to->commit, from->commit);
	str_set(&to->features, from->features);
	to->rro = from->rro;
}

static bool recall(const char *path, const struct stat *st, struct program *ret)
{
	WITH_LOCK(&lock);

	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		const struct known *k = &known[i];

		if (k->path && streq(k->path, path) && k->mtime == st->st_mtime && k->ino == st->st_ino) {
			copy(ret, &k->said);
			return true;
		}
	}
	return false;
}

static void remember(const char *path, const struct stat *st, const struct program *said)
{
	struct known *slot = &known[0];
	WITH_LOCK(&lock);

	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		if (!known[i].path || streq(known[i].path, path)) {
			slot = &known[i];
			break;
		}
	str_set(&slot->path, path);
	slot->mtime = st->st_mtime;
	slot->ino = st->st_ino;
	copy(&slot->said, said);
}

/* "runc version 1.1.5+ds1" and "commit: 1.1.5+ds1-1+deb12u1"; "tini version 0.19.0 - git.de40ad0" */
static void parse_version(const char *text, struct program *p)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *s = lines.v[i], *at = strstr(s, " version "), *git = strstr(s, " - git.");

		if (at && !p->version && at - s < 32) {
			p->name = xstrndup(s, (size_t)(at - s));
			p->version = xstrndup(at + 9, strcspn(at + 9, " \r"));
		}
		if (git && !p->commit)
			p->commit = xstrndup(git + 7, strcspn(git + 7, " \r"));
		if (str_has_prefix(s, "commit: ") && !p->commit)
			p->commit = xstrndup(s + 8, strcspn(s + 8, " \r"));
	}
}

static void parse_features(const struct buf *text, struct program *p)
{
	OWN_JSON json_t *js = text->size ? json_read(text->data, text->size, NULL) : NULL;
	json_t *word;
	size_t i;

	if (!json_is_object(js))
		return;
	p->features = json_dumps(js, JSON_COMPACT);
	json_array_foreach(json_object_get(js, "mountOptions"), i, word)
		p->rro |= json_is_string(word) && streq(json_string_value(word), "rro");
}

/* The daemon's, without the folder where a runtime would make one of its own just to tell its version. */
static void asking_environment(struct strv *ret)
{
	for (char **e = environ; *e; e++)
		if (!str_has_prefix(*e, "XDG_RUNTIME_DIR="))
			strv_add(ret, *e);
}

/* What a program prints that is run with this word; false when it cannot be run now. */
static bool ask(struct spawner *sp, const char *path, const char *word, struct buf *ret)
{
	char *argv[] = { (char *)path, (char *)word, NULL };
	OWN_STRV struct strv env = { 0 };
	int status;

	asking_environment(&env);
	if (spawner_run(sp, argv, env.v, -1, ANSWER_MS, NULL, &status, ret, NULL) < 0)
		return false;
	if (status != 0)
		buf_reset(ret);
	return true;
}

bool program_ask(struct spawner *sp, const char *path, bool features, struct program *ret)
{
	OWN_BUF struct buf version = { 0 }, words = { 0 };
	struct stat st;

	*ret = (struct program){ 0 };
	if (!path || stat(path, &st) < 0)
		return false;
	if (recall(path, &st, ret))
		return true;
	if (!sp || !ask(sp, path, "--version", &version) || (features && !ask(sp, path, "features", &words)))
		return false;
	if (version.size)
		parse_version(version.data, ret);
	parse_features(&words, ret);
	remember(path, &st, ret);
	return true;
}

void program_done(struct program *p)
{
	free(p->name);
	free(p->version);
	free(p->commit);
	free(p->features);
	*p = (struct program){ 0 };
}

char *program_find(const char *name)
{
	const char *path = getenv("PATH");
	OWN_STRV struct strv dirs = { 0 };

	if (strchr(name, '/'))
		return *name == '/' && access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	strv_split(&dirs, path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ":");
	for (size_t i = 0; i < dirs.len; i++) {
		OWN_FREE char *full = xasprintf("%s/%s", dirs.v[i], name);

		if (*full == '/' && access(full, X_OK) == 0)
			return STEAL(full);
	}
	return NULL;
}
