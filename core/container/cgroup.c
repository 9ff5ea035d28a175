/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/cgroup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/str.h"

#define CGROUP2_MAGIC 0x63677270

static struct {
	const char *name;
	char path[64];
	bool there;
} controllers[] = {
	{ "cpu", "", false }, { "cpuacct", "", false }, { "cpuset", "", false }, { "memory", "", false }, { "devices", "", false },
	{ "freezer", "", false }, { "blkio", "", false }, { "io", "", false }, { "pids", "", false }, { "hugetlb", "", false },
};
static bool v2;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* /proc/mounts: v1 hierarchies by their options, v2 by cgroup.controllers. */
static void probe(void)
{
	struct statfs st;
	char line[1024];
	OWN_FILE FILE *f = fopen("/proc/self/mounts", "re");

	v2 = statfs("/sys/fs/cgroup", &st) == 0 && st.f_type == CGROUP2_MAGIC;
	if (v2) {
		OWN_BUF struct buf b = { 0 };
		OWN_STRV struct strv words = { 0 };

		if (fs_read(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &b, NULL) == 0)
			strv_split(&words, b.data, " \n");
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
			const char *n = controllers[i].name;

			controllers[i].there = strv_contains(&words, n) || streq(n, "devices") || streq(n, "freezer") || streq(n, "cpuacct");
			strcpy(controllers[i].path, "/sys/fs/cgroup");
		}
		return;
	}
	while (f && fgets(line, sizeof(line), f)) {
		char dir[64], type[16], opts[512];

		if (sscanf(line, "%*s %63s %15s %511s", dir, type, opts) != 3 || !streq(type, "cgroup"))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
			OWN_STRV struct strv words = { 0 };

			strv_split(&words, opts, ",");
			if (strv_contains(&words, controllers[i].name)) {
				strcpy(controllers[i].path, dir);
				controllers[i].there = true;
			}
		}
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
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
		if (streq(controllers[i].name, name))
			return controllers[i].there ? controllers[i].path : NULL;
	return NULL;
}

bool cgroup_has(const char *controller, const char *file)
{
	const char *dir = cgroup_controller(controller);
	OWN_FREE char *path = NULL;

	if (!dir)
		return false;
	if (v2) /* control files do not exist in the root; the controller's presence is the answer */
		return true;
	path = xasprintf("%s/%s", dir, file);
	return fs_exists(path);
}
