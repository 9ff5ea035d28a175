/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/cleanup.h"
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

/* Of /proc/PID/cgroup; the lines are "hierarchy:controllers:path". Owned by the caller; NULL for none but the root. */
static char *memory_group(const char *pid)
{
	OWN_FREE char *proc = xasprintf("/proc/%s/cgroup", pid);
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
	return v1 || v2 ? xasprintf("%s%s", v1 ? V1_ROOT : V2_ROOT, v1 ? v1 : v2) : NULL;
}

/* A group that this process is in as well tells of others. */
static char *from_proc(pid_t pid)
{
	OWN_FREE char *text = xasprintf("%d", (int)pid), *own = memory_group("self"), *dir = memory_group(text);

	return dir && !(own && streq(own, dir)) ? oom_file_in(dir) : NULL;
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

int64_t cgroup_oom_kills(const char *file)
{
	char text[1024], *at;
	ssize_t n;
	int fd;

	if (!file || (fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	n = fs_read_all(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* "oom_kill_disable" stands before it in the old hierarchy's file */
	at = strstr(text, "oom_kill ");
	return at ? strtoll(at + 9, NULL, 10) : 0;
}

/* The old hierarchy signals an eventfd that is registered with the control file. */
static int watch_v1(const char *file)
{
	OWN_FREE char *dir = xstrndup(file, (size_t)(strrchr(file, '/') - file));
	OWN_FREE char *registry = xasprintf("%s/cgroup.event_control", dir);
	OWN_FD int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), control = open(file, O_RDONLY | O_CLOEXEC);
	OWN_FD int to = open(registry, O_WRONLY | O_CLOEXEC);
	char line[32];
	int n = snprintf(line, sizeof(line), "%d %d", event, control);

	return event >= 0 && control >= 0 && to >= 0 && write(to, line, (size_t)n) == n ? STEAL_FD(event) : -1;
}

int cgroup_oom_watch(const char *file)
{
	OWN_FD int fd = -1;

	if (!file)
		return -1;
	if (str_has_suffix(file, "/memory.oom_control"))
		return watch_v1(file);
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return fd >= 0 && inotify_add_watch(fd, file, IN_MODIFY) >= 0 ? STEAL_FD(fd) : -1;
}
