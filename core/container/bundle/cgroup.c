/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"

#define MOUNT_POINT "/sys/fs/cgroup"

static struct {
	const char *name;
	char path[64];
	bool there;
} controllers[] = {
	{ "cpu", "", false }, { "cpuacct", "", false }, { "cpuset", "", false }, { "memory", "", false }, { "devices", "", false },
	{ "freezer", "", false }, { "blkio", "", false }, { "io", "", false }, { "pids", "", false }, { "hugetlb", "", false },
};
static const struct feature { const char *controller[2], *files[2]; } features[] = {
#define CG(name, c1, f1, c2, f2) [CGROUP_##name] = { { c1, c2 }, { f1, f2 } },
	CGROUP_FEATURES(CG)
#undef CG
};
static const char *root = "";
static bool none, v2, can[CGROUP_FEATURE_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void probe_v1(FILE *mounts)
{
	char line[1024];

	while (mounts && fgets(line, sizeof(line), mounts)) {
		OWN_STRV struct strv words = { 0 };
		char dir[64], type[16], opts[512];

		if (sscanf(line, "%*s %63s %15s %511s", dir, type, opts) != 3)
			continue;
		v2 |= streq(type, "cgroup2") && streq(dir, MOUNT_POINT);
		if (!streq(type, "cgroup"))
			continue;
		strv_split(&words, opts, ",");
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
			if (!strv_contains(&words, controllers[i].name))
				continue;
			strcpy(controllers[i].path, dir);
			controllers[i].there = true;
		}
	}
}

static bool lists(const char *dir, const char *controller)
{
	OWN_FREE char *path = xasprintf("%s%s/cgroup.controllers", root, dir);
	OWN_BUF struct buf b = { 0 };
	OWN_STRV struct strv words = { 0 };

	if (fs_read(AT_FDCWD, path, 4096, &b, NULL) == 0)
		strv_split(&words, b.data, " \n");
	return strv_contains(&words, controller);
}

static void probe_v2(void)
{
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		const char *n = controllers[i].name;

		/* the kernel's own or done by BPF: never in the list */
		controllers[i].there = streq(n, "devices") || streq(n, "freezer") || streq(n, "cpuacct") || lists(MOUNT_POINT, n);
		strcpy(controllers[i].path, MOUNT_POINT);
	}
}

static bool any_file(const char *dir, const char *files)
{
	OWN_STRV struct strv names = { 0 };

	strv_split(&names, files, "|");
	for (size_t i = 0; i < names.len; i++) {
		OWN_FREE char *path = xasprintf("%s%s/%s", root, dir, names.v[i]);

		if (fs_exists(path))
			return true;
	}
	return false;
}

/* The root of v2 has no control files: some group below it that has the controller tells. Without one, the controller does. */
static bool any_file_v2(const char *controller, const char *files)
{
	OWN_FREE char *top = xasprintf("%s%s", root, MOUNT_POINT);
	OWN_DIR DIR *d = opendir(top);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *dir = xasprintf("%s/%s", MOUNT_POINT, e->d_name);

		if (e->d_name[0] != '.' && lists(dir, controller))
			return any_file(dir, files);
	}
	return true;
}

static const char *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (streq(controllers[i].name, name))
			return controllers[i].there ? controllers[i].path : NULL;
	return NULL;
}

static void probe(void)
{
	OWN_FREE char *mounts = xasprintf("%s/proc/self/mounts", root);
	OWN_FILE FILE *f = fopen(mounts, "re");

	probe_v1(f);
	if (v2)
		probe_v2();
	for (int i = 0; i < CGROUP_FEATURE_COUNT; i++) {
		const char *controller = features[i].controller[v2], *files = features[i].files[v2];
		const char *dir = controller ? find(controller) : NULL;

		can[i] = dir && (!files || (v2 ? any_file_v2(controller, files) : any_file(dir, files)));
	}
}

bool cgroup_is_v2(void)
{
	pthread_once(&once, probe);
	return v2;
}

const char *cgroup_controller(const char *name)
{
	pthread_once(&once, probe);
	return find(name);
}

bool cgroup_can(enum cgroup_feature feature)
{
	pthread_once(&once, probe);
	return can[feature];
}

static int write_number(const char *dir, const char *file, int64_t n, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, file), *text = xasprintf("%lld", (long long)n);
	OWN_FD int fd = n ? open(path, O_WRONLY | O_CLOEXEC) : -1;

	if (n && (fd < 0 || write(fd, text, strlen(text)) < 0))
		return err_errno(err, errno, "write %s to %s", text, path);
	return 0;
}

int cgroup_allow_realtime(const char *parent, int64_t period, int64_t runtime, struct err *err)
{
	OWN_STRV struct strv parts = { 0 };
	OWN_FREE char *dir = NULL;

	if (!cgroup_can(CGROUP_CPU_RT))
		return err_set(err, ERR_INVALID, "daemon-scoped cpu-rt-period and cpu-rt-runtime are not supported by the kernel");
	dir = xasprintf("%s%s", root, cgroup_controller("cpu"));
	strv_split(&parts, parent, "/");
	for (size_t i = 0; i < parts.len; i++) {
		OWN_FREE char *up = dir;

		dir = NULL;
		if (!*parts.v[i]) {
			dir = STEAL(up);
			continue;
		}
		dir = xasprintf("%s/%s", up, parts.v[i]);
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return err_errno(err, errno, "mkdir %s", dir);
		if (write_number(dir, "cpu.rt_period_us", period, err) < 0 || write_number(dir, "cpu.rt_runtime_us", runtime, err) < 0)
			return -1;
	}
	return 0;
}

void cgroup_sweep(const char *path, bool kill)
{
	OWN_FREE char *top = xasprintf("%s" MOUNT_POINT, root);
	OWN_DIR DIR *d = opendir(top);
	int64_t until = clock_mono() + (kill ? CGROUP_END_NS : CGROUP_EMPTY_NS);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *dir = xasprintf("%s%s", e->d_name, path);

		if (e->d_name[0] != '.')
			cgroup_drop(dirfd(d), dir, kill, until);
	}
	if (d)
		cgroup_drop(dirfd(d), path + 1, kill, until);
}

void cgroup_have_none(void)
{
	pthread_once(&once, probe);
	none = true;
	memset(can, 0, sizeof(can));
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		controllers[i].there = false;
}

bool cgroup_none(void)
{
	return none;
}

void cgroup_set_root(const char *path)
{
	root = path;
	v2 = none = false;
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		controllers[i].there = false;
	once = (pthread_once_t)PTHREAD_ONCE_INIT;
}
