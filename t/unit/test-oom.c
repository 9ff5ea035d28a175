/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The counters of kills for want of memory, on both layouts of control groups: by files in their form. */
#include "shim/cgroup.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

#include "tap.h"

static char top[] = "/tmp/test-oom-XXXXXX";

static char *put(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", top, name);
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
	return path;
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void test_counters(void)
{
	OWN_FREE char *v1 = put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
	OWN_FREE char *old = put("old", "oom_kill_disable 1\nunder_oom 0\n");
	OWN_FREE char *v2 = put("memory.events", "low 0\nhigh 3\nmax 21\noom 5\noom_kill 4\noom_group_kill 9\n");

	is_int(cgroup_oom_kills(v1), 7, "the old hierarchy's counter");
	is_int(cgroup_oom_kills(old), 0, "a kernel without one");
	is_int(cgroup_oom_kills(v2), 4, "the unified hierarchy's");
	is_int(cgroup_oom_kills("/no/such"), 0, "a group that is gone");
	is_int(cgroup_oom_kills(NULL), 0, "none known");
}

static void test_watch(void)
{
	OWN_FREE char *v2 = put("memory.events", "oom_kill 0\n"), *v1 = put("memory.oom_control", "oom_kill 0\n");
	OWN_FD int fd = cgroup_oom_watch(v2);

	ok(fd >= 0 && !readable(fd), "the unified hierarchy's file is watched");
	free(put("memory.events", "oom_kill 1\n"));
	ok(readable(fd), "and tells of a change");
	is_int(cgroup_oom_watch(v1), -1, "no watch where the kernel has no registry");
	is_int(cgroup_oom_watch(NULL), -1, "none where nothing is known");
}

int main(void)
{
	if (!mkdtemp(top))
		return 99;
	test_counters();
	test_watch();
	fs_remove_tree(AT_FDCWD, top, NULL);
	return tap_done();
}
