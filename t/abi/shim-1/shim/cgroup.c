/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/cgroup.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"

#define V1_ROOT "/sys/fs/cgroup/memory"
#define V2_ROOT "/sys/fs/cgroup"

static char *oom_file_in(const char *dir)
{
	char *file = xasprintf("%s/memory.oom_control", dir);

	if (fs_exists(file))
		return file;
	free(file);
	file = xasprintf("%s/memory.events", dir);
	if (fs_exists(file))
		return file;
	free(file);
	return NULL;
}

/* Lines "hierarchy:controllers:path". */
static char *from_proc(pid_t pid)
{
	OWN_FREE char *proc = xasprintf("/proc/%d/cgroup", (int)pid);
	OWN_FREE char *v1 = NULL, *v2 = NULL;
	OWN_BUF struct buf b = { 0 };
	int fd = open(proc, O_RDONLY | O_CLOEXEC);
	char *line, *save = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = fs_read_all(fd, buf_reserve(&b, 16384), 16383);
	close(fd);
	if (n <= 0)
		return NULL;
	b.data[n] = '\0';
	for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path || streq(path, ":/"))
			continue;
		*path++ = '\0';
		if (streq(names + 1, "memory"))
			str_set(&v1, path);
		else if (names[1] == '\0')
			str_set(&v2, path);
	}
	if (v1 || v2) {
		OWN_FREE char *dir = xasprintf("%s%s", v1 ? V1_ROOT : V2_ROOT, v1 ? v1 : v2);

		return oom_file_in(dir);
	}
	return NULL;
}

/* runc: "cgroup_paths":{"memory":"/sys/fs/cgroup/memory/...", or "":"/sys/fs/cgroup/..." on the unified hierarchy. */
static char *from_state(const char *state_file)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *dir = NULL;
	const char *at;

	if (fs_read(AT_FDCWD, state_file, 1 << 20, &b, NULL) < 0 || !b.data)
		return NULL;
	at = strstr(b.data, "\"cgroup_paths\":{");
	if (!at)
		return NULL;
	if (strstr(at, "\"memory\":\"/"))
		at = strstr(at, "\"memory\":\"/") + 10;
	else if (strstr(at, "\"\":\"/"))
		at = strstr(at, "\"\":\"/") + 4;
	else
		return NULL;
	dir = xstrndup(at, strcspn(at, "\""));
	return oom_file_in(dir);
}

char *cgroup_oom_file(pid_t pid, const char *state_file)
{
	char *file = from_proc(pid);

	return file ? file : from_state(state_file);
}

bool cgroup_oom_killed(const char *file)
{
	char text[1024], *at;
	ssize_t n;
	int fd;

	if (!file || (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		return false;
	n = fs_read_all(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* "oom_kill_disable" stands before it in the old hierarchy's file */
	at = strstr(text, "oom_kill ");
	return at && strtol(at + 9, NULL, 10) > 0;
}
