/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose processes are a container's: those of its control groups. Without groups those of its PID namespace, and all that they have started;
 * in the host's PID namespace the latter alone.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "container/bundle/cgroup.h"
#include "container/internal.h"

#define TEXT_MAX (1u << 20)

/* The cgroup paths of a process, as one text: a line a hierarchy. */
static bool read_cgroup(const char *pid, struct buf *b)
{
	OWN_FREE char *path = xasprintf("/proc/%s/cgroup", pid);

	buf_reset(b);
	return fs_read(AT_FDCWD, path, TEXT_MAX, b, NULL) == 0 && b->size;
}

/* Whether each path of have is that of want, or one below: a container may sort its processes into groups of its own. */
static bool is_within(const char *have, const char *want)
{
	while (*want) {
		size_t len = strcspn(want, "\n"), path = len && want[len - 1] == '/' ? len - 1 : len;

		if (strncmp(have, want, path) != 0 || !strchr("/\n", have[path]))
			return false;
		have += strcspn(have, "\n");
		have += *have == '\n';
		want += len + (want[len] == '\n');
	}
	return true;
}

static void pids_by_groups(DIR *d, pid_t init, struct strv *ret)
{
	OWN_FREE char *own = xasprintf("%d", (int)init);
	OWN_BUF struct buf want = { 0 };
	OWN_BUF struct buf have = { 0 };
	struct dirent *e;

	if (!read_cgroup(own, &want))
		return;
	while ((e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]) && read_cgroup(e->d_name, &have) && is_within(have.data, want.data))
			strv_add(ret, e->d_name);
}

struct process { int pid, parent; ino_t ns; bool in; };

static ino_t pid_namespace(const char *pid)
{
	OWN_FREE char *path = xasprintf("/proc/%s/ns/pid", pid);
	struct stat st;

	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* Field 4 of stat; a name may hold anything, brackets as well. */
static int parent_of(const char *pid)
{
	OWN_FREE char *path = xasprintf("/proc/%s/stat", pid);
	OWN_FILE FILE *f = fopen(path, "re");
	char line[512], *end = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	int parent = 0;

	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static bool has_parent(const struct process *v, size_t n, int parent)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].in && v[i].pid == parent)
			return true;
	return false;
}

static void pids_by_namespace(DIR *d, pid_t init, struct strv *ret)
{
	OWN_FREE char *own = xasprintf("%d", (int)init);
	OWN_FREE struct process *v = NULL;
	ino_t inside = pid_namespace(own), host = pid_namespace("self");
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		v = xrealloc(v, (n + 1) * sizeof(*v));
		v[n] = (struct process){ .pid = atoi(e->d_name), .parent = parent_of(e->d_name), .ns = pid_namespace(e->d_name) };
		v[n].in = v[n].pid == init || (inside && inside != host && v[n].ns == inside);
		n++;
	}
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < n; i++)
			if (!v[i].in && has_parent(v, n, v[i].parent))
				more = v[i].in = true;
	}
	for (size_t i = 0; i < n; i++)
		if (v[i].in)
			strv_addf(ret, "%d", v[i].pid);
}

void container_pids(pid_t init, struct strv *ret)
{
	OWN_DIR DIR *d = opendir("/proc");

	if (!d)
		return;
	if (cgroup_none())
		pids_by_namespace(d, init, ret);
	else
		pids_by_groups(d, init, ret);
	strv_sort(ret);
}
