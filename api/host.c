/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/lock.h"

#define RUNTIMES_MAX 16 /* remembered */

static struct utsname uts;
static pthread_once_t uts_once = PTHREAD_ONCE_INIT;

static void read_uts(void)
{
	uname(&uts);
}

const char *host_kernel(void)
{
	pthread_once(&uts_once, read_uts);
	return uts.release;
}

const char *host_machine(void)
{
	pthread_once(&uts_once, read_uts);
	return uts.machine;
}

const char *host_arch(void)
{
	static const struct { const char *machine, *arch; } names[] = {
		{ "x86_64", "amd64" },
		{ "aarch64", "arm64" },
		{ "armv7l", "arm" },
		{ "armv6l", "arm" },
		{ "i686", "386" },
		{ "i386", "386" },
		{ "loongarch64", "loong64" },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (streq(names[i].machine, host_machine()))
			return names[i].arch;
	return host_machine();
}

char *host_name(void)
{
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	return xstrdup(name);
}

/* Whole small file; empty when it cannot be read. */
static void slurp(const char *path, struct buf *ret)
{
	fs_read(AT_FDCWD, path, 1u << 16, ret, NULL);
	buf_adds(ret, "");
	buf_reserve(ret, 1);
	ret->data[ret->size] = '\0';
}

char *host_os_release(const char *key)
{
	OWN_BUF struct buf b = { 0 };
	OWN_STRV struct strv lines = { 0 };
	size_t n = strlen(key);

	slurp("/etc/os-release", &b);
	if (!b.size)
		slurp("/usr/lib/os-release", &b);
	strv_split(&lines, b.data, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *s = lines.v[i];
		size_t len;

		if (strncmp(s, key, n) != 0 || s[n] != '=')
			continue;
		s += n + 1;
		len = strlen(s);
		if (len >= 2 && (*s == '"' || *s == '\'') && s[len - 1] == *s)
			return xstrndup(s + 1, len - 2);
		return xstrdup(s);
	}
	return NULL;
}

int64_t host_memory(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

int host_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int host_count(const char *dir)
{
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

bool host_sysctl_on(const char *path)
{
	OWN_BUF struct buf b = { 0 };

	slurp(path, &b);
	return b.data[0] == '1';
}

/* What a program said of itself; NULL: nothing. */
struct runtime { char *path, *name, *version, *commit, *features; time_t mtime; ino_t ino; };

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards known */
static struct runtime known[RUNTIMES_MAX];

static void runtime_done(struct runtime *r)
{
	free(r->path);
	free(r->name);
	free(r->version);
	free(r->commit);
	free(r->features);
}

static bool recall(const char *path, const struct stat *st, struct runtime *ret)
{
	WITH_LOCK(&lock);

	for (size_t i = 0; i < RUNTIMES_MAX; i++) {
		const struct runtime *r = &known[i];

		if (!r->path || !streq(r->path, path) || r->mtime != st->st_mtime || r->ino != st->st_ino)
			continue;
		str_set(&ret->name, r->name);
		str_set(&ret->version, r->version);
		str_set(&ret->commit, r->commit);
		str_set(&ret->features, r->features);
		return true;
	}
	return false;
}

static void remember(const char *path, const struct stat *st, const struct runtime *r)
{
	struct runtime *slot = &known[0];
	WITH_LOCK(&lock);

	for (size_t i = 0; i < RUNTIMES_MAX; i++)
		if (!known[i].path || streq(known[i].path, path)) {
			slot = &known[i];
			break;
		}
	str_set(&slot->path, path);
	str_set(&slot->name, r->name);
	str_set(&slot->version, r->version);
	str_set(&slot->commit, r->commit);
	str_set(&slot->features, r->features);
	slot->mtime = st->st_mtime;
	slot->ino = st->st_ino;
}

/* "runc version 1.1.5+ds1" and "commit: 1.1.5+ds1-1+deb12u1"; "tini version 0.19.0 - git.de40ad0" */
static void parse_version(const char *text, struct runtime *r)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *s = lines.v[i], *at = strstr(s, " version "), *git = strstr(s, " - git.");

		if (at && !r->version && at - s < 32) {
			r->name = xstrndup(s, (size_t)(at - s));
			r->version = xstrndup(at + 9, strcspn(at + 9, " \r"));
		}
		if (git && !r->commit)
			r->commit = xstrndup(git + 7, strcspn(git + 7, " \r"));
		if (str_has_prefix(s, "commit: ") && !r->commit)
			r->commit = xstrndup(s + 8, strcspn(s + 8, " \r"));
	}
}

/* What a program prints that is run with this word; false when it cannot be run now. */
static bool ask(struct spawner *sp, const char *path, const char *word, struct buf *ret)
{
	char *argv[] = { (char *)path, (char *)word, NULL };
	int status;

	if (spawner_run(sp, argv, NULL, -1, 5000, NULL, &status, ret, NULL) < 0)
		return false;
	if (status != 0)
		buf_reset(ret);
	return true;
}

static bool learn(struct spawner *sp, const char *path, bool features, struct runtime *ret)
{
	OWN_BUF struct buf version = { 0 }, words = { 0 };
	OWN_JSON json_t *js = NULL;
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return false;
	if (recall(path, &st, ret))
		return true;
	if (!sp || !ask(sp, path, "--version", &version) || (features && !ask(sp, path, "features", &words)))
		return false;
	if (version.size)
		parse_version(version.data, ret);
	js = words.size ? json_read(words.data, words.size, NULL) : NULL;
	if (json_is_object(js))
		ret->features = json_dumps(js, JSON_COMPACT);
	remember(path, &st, ret);
	return true;
}

static bool tell_version(struct spawner *sp, const char *path, bool features, char **name, char **version, char **commit)
{
	CLEANUP(runtime_done) struct runtime r = { 0 };

	*name = *version = *commit = NULL;
	if (!learn(sp, path, features, &r))
		return false;
	*name = STEAL(r.name);
	*version = STEAL(r.version);
	*commit = STEAL(r.commit);
	return *version != NULL;
}

bool host_runtime_version(struct spawner *sp, const char *path, char **ret_name, char **ret_version, char **ret_commit)
{
	return tell_version(sp, path, true, ret_name, ret_version, ret_commit);
}

bool host_init_version(struct spawner *sp, const char *path, char **ret_version, char **ret_commit)
{
	OWN_FREE char *name = NULL;

	return tell_version(sp, path, false, &name, ret_version, ret_commit);
}

char *host_runtime_features(struct spawner *sp, const char *path)
{
	CLEANUP(runtime_done) struct runtime r = { 0 };

	return learn(sp, path, true, &r) ? STEAL(r.features) : NULL;
}

char *host_runtime_warning(const char *name, const char *version)
{
	int a = 0, b = 0, c = 0;

	if (sscanf(version, "%d.%d.%d", &a, &b, &c) < 2)
		return NULL;
	if (streq(name, "runc") && (a < 1 || (a == 1 && (b < 2 || (b == 2 && c < 8) || (b == 3 && c < 3)))))
		return xasprintf("WARNING: runc %s is older than 1.2.8 and 1.3.3, which close known ways out of a container: "
			"see whether your distribution has backported them", version);
	if (streq(name, "crun") && (a < 1 || (a == 1 && b < 28)))
		return xasprintf("WARNING: crun %s is older than 1.28, which closes known ways out of a container: "
			"see whether your distribution has backported it", version);
	return NULL;
}
