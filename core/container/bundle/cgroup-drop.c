/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Control groups that outlived what ran in them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "container/bundle/cgroup.h"

#define DEPTH   32
#define WAIT_US 2000

static void write_kernel(int at, const char *file, const char *text)
{
	OWN_FD int fd = openat(at, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0)
		(void)!write(fd, text, strlen(text));
}

/* All processes of the group; what is frozen must go on to die. */
static void kill_group(int fd)
{
	OWN_FD int procs = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	OWN_BUF struct buf b = { 0 };
	char *line, *save = NULL;
	int64_t pid;
	ssize_t n;

	while (procs >= 0 && (n = fs_read_all(procs, buf_reserve(&b, 4096), 4095)) > 0)
		b.size += (size_t)n;
	buf_addc(&b, '\0');
	for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (str_to_i64(line, &pid) && pid > 1 && pid <= INT32_MAX)
			kill((pid_t)pid, SIGKILL);
	write_kernel(fd, "freezer.state", "THAWED");
	write_kernel(fd, "cgroup.freeze", "0");
}

/* 0 or an errno. */
static int remove_group(int at, const char *path)
{
	return unlinkat(at, path, AT_REMOVEDIR) == 0 || errno == ENOENT || errno == ENOTDIR ? 0 : errno;
}

/* One try. As remove_group(). */
static int end_group(int at, const char *path, int depth)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	OWN_DIR DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return remove_group(at, path);
	kill_group(dirfd(d));
	while (depth && (e = readdir(d)))
		if (e->d_type == DT_DIR && *e->d_name != '.' && remove_group(dirfd(d), e->d_name) != 0)
			end_group(dirfd(d), e->d_name, depth - 1);
	return remove_group(at, path);
}

bool cgroup_drop(int at, const char *path, bool kill, int64_t until)
{
	int r = remove_group(at, path);

	while (r == EBUSY && clock_mono() < until) {
		r = kill ? end_group(at, path, DEPTH) : remove_group(at, path);
		if (r == EBUSY)
			usleep(WAIT_US);
	}
	return r == 0;
}
