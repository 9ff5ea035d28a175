/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/program.h"

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

static bool tell_version(struct spawner *sp, const char *path, bool features, char **name, char **version, char **commit)
{
	OWN_PROGRAM struct program r = { 0 };

	*name = *version = *commit = NULL;
	if (!program_ask(sp, path, features, &r))
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
	OWN_PROGRAM struct program r = { 0 };

	return program_ask(sp, path, true, &r) ? STEAL(r.features) : NULL;
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
