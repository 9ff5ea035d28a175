/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs whose files in the exec-root are damaged: what the daemon and the kernel still know of them. Slow (it reads /proc, or all
 * control groups), and right for that case alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "container/bundle/cgroup.h"
#include "container/shim-client.h"

#define GROUPS_ROOT  "/sys/fs/cgroup"
#define GROUPS_DEPTH 12
#define SHIM_END_MS  5000

/* Of a file of the kernel's, which has no size; "" when it cannot be read. */
static size_t read_kernel(const char *path, char *text, size_t size)
{
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : fs_read_all(fd, text, size - 1);

	n = n < 0 ? 0 : n;
	text[n] = '\0';
	return (size_t)n;
}

/* A process in a control group of that id is the container's, whoever had its number before. */
static int open_member(pid_t pid, const char *id)
{
	OWN_FD int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	char path[64], text[16384];

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	read_kernel(path, text, sizeof(text));
	return strstr(text, id) ? STEAL_FD(fd) : -1;
}

bool shim_take_trace(struct shim *s, const struct shim_trace *t, int *ret_pidfd, pid_t *ret_pid)
{
	OWN_FREE char *record = t->runtime_root ? xasprintf("%s/%s", t->runtime_root, s->id) : NULL;

	s->traced = true;
	s->runtime = xstrdup(t->runtime);
	s->runtime_root = xstrdup(t->runtime_root);
	if (t->runtime_args)
		strv_copy(&s->runtime_args, t->runtime_args);
	s->systemd_cgroup = t->systemd_cgroup;
	*ret_pid = t->pid;
	*ret_pidfd = open_member(t->pid, s->id);
	if (t->foreign && *ret_pidfd >= 0) {
		log_warn("container %.12s: process %d is in its control group, but sees no file of this data-root: it is another daemon's, and left alone", s->id,
			(int)t->pid);
		fd_close(ret_pidfd);
	}
	return *ret_pidfd >= 0 || (record && fs_exists(record)) || fs_exists(s->dir);
}

/* A shim is called by its id. Who takes the name ends with it: what a container runs is not protected from that. */
static bool is_shim(const char *pid, const char *id)
{
	OWN_FREE char *path = xasprintf("/proc/%s/cmdline", pid);
	char text[4096];
	size_t n = read_kernel(path, text, sizeof(text)), name = strlen(text) + 1;

	return n > name && str_has_suffix(text, "dockerd-shim") && streq(text + name, id);
}

void shim_kill_named(const char *id)
{
	OWN_DIR DIR *d = opendir("/proc");
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct pollfd p = { .fd = -1, .events = POLLIN };
		int64_t pid;

		if (!str_to_i64(e->d_name, &pid) || pid <= 1 || pid > INT32_MAX || !is_shim(e->d_name, id))
			continue;
		p.fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
		/* again: by now the number is its own */
		if (p.fd >= 0 && is_shim(e->d_name, id) && syscall(SYS_pidfd_send_signal, p.fd, SIGKILL, NULL, 0) == 0)
			poll(&p, 1, SHIM_END_MS);
		fd_close(&p.fd);
	}
}

/* The groups below fd that are named after the id, ended. False when one of them stays. */
static bool drop_groups(int fd, const char *id, int depth, int64_t until)
{
	OWN_DIR DIR *d = depth ? fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : NULL;
	struct dirent *e;
	bool all = true;

	while (d && (e = readdir(d))) {
		OWN_FD int sub = -1;

		if (e->d_type != DT_DIR || *e->d_name == '.')
			continue;
		if (strstr(e->d_name, id)) {
			all = cgroup_drop(fd, e->d_name, true, until) && all;
			continue;
		}
		sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		all = (sub < 0 || drop_groups(sub, id, depth - 1, until)) && all;
	}
	return all;
}

int shim_sweep_runtime(const char *root, const char *id, struct err *err)
{
	OWN_FD int groups = open(GROUPS_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC), at = -1;

	BUG_ON(!id_is_hex64(id));
	if (groups >= 0 && !drop_groups(groups, id, GROUPS_DEPTH, clock_mono() + CGROUP_END_NS))
		return err_set(err, ERR_INTERNAL, "control groups of container %.12s cannot be removed", id);
	at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return at < 0 ? 0 : fs_remove_tree(at, id, err);
}
