/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/fs.h"
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

struct runtime {
	char *path, *name, *version, *commit;
	time_t mtime;
	ino_t ino;
};

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards known */
static struct runtime known[RUNTIMES_MAX];

static bool recall(const char *path, const struct stat *st, char **ret_name, char **ret_version, char **ret_commit)
{
	WITH_LOCK(&lock);

	for (size_t i = 0; i < RUNTIMES_MAX; i++) {
		const struct runtime *r = &known[i];

		if (!r->path || !streq(r->path, path) || r->mtime != st->st_mtime || r->ino != st->st_ino)
			continue;
		*ret_name = xstrdup(r->name);
		*ret_version = xstrdup(r->version);
		*ret_commit = xstrdup(r->commit);
		return true;
	}
	return false;
}

static void remember(const char *path, const struct stat *st, const char *name, const char *version, const char *commit)
{
	struct runtime *slot = &known[0];
	WITH_LOCK(&lock);

	for (size_t i = 0; i < RUNTIMES_MAX; i++)
		if (!known[i].path || streq(known[i].path, path)) {
			slot = &known[i];
			break;
		}
	str_set(&slot->path, path);
	str_set(&slot->name, name);
	str_set(&slot->version, version);
	str_set(&slot->commit, commit);
	slot->mtime = st->st_mtime;
	slot->ino = st->st_ino;
}

/* "runc version 1.1.5+ds1" and "commit: 1.1.5+ds1-1+deb12u1" */
static void parse_version(const char *text, char **name, char **version, char **commit)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *s = lines.v[i], *at = strstr(s, " version ");

		if (at && !*version && at - s < 32) {
			*name = xstrndup(s, (size_t)(at - s));
			*version = xstrndup(at + 9, strcspn(at + 9, " \r"));
		}
		if (str_has_prefix(s, "commit: ") && !*commit)
			*commit = xstrndup(s + 8, strcspn(s + 8, " \r"));
	}
}

bool host_runtime_version(struct spawner *sp, const char *path, char **ret_name, char **ret_version, char **ret_commit)
{
	char *argv[] = { (char *)path, (char *)"--version", NULL };
	OWN_BUF struct buf out = { 0 };
	struct stat st;
	int status;

	*ret_name = *ret_version = *ret_commit = NULL;
	if (!path || stat(path, &st) < 0)
		return false;
	if (recall(path, &st, ret_name, ret_version, ret_commit))
		return *ret_version != NULL;
	if (!sp || spawner_run(sp, argv, NULL, -1, 5000, NULL, &status, &out, NULL) < 0)
		return false;
	if (status == 0 && out.size)
		parse_version(out.data, ret_name, ret_version, ret_commit);
	remember(path, &st, *ret_name, *ret_version, *ret_commit);
	return *ret_version != NULL;
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
