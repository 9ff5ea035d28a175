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
#include "container/shim-client.h"

#define GROUPS_ROOT  "/sys/fs/cgroup"
#define GROUPS_DEPTH 12
#define END_NS       (2 * NSEC_PER_SEC)
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

static void write_kernel(int dirfd, const char *file, const char *text)
{
	OWN_FD int fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

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

/* The groups below fd: those named after the id, and all that are in one. False when one of them stays. */
static bool drop_groups(int fd, const char *id, bool within, int depth)
{
	int copy = depth ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	OWN_DIR DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *e;
	bool all = true;

	if (!d && copy >= 0)
		close(copy);
	while (d && (e = readdir(d))) {
		bool named = within || strstr(e->d_name, id);
		OWN_FD int sub = -1;

		if (e->d_type != DT_DIR || *e->d_name == '.')
			continue;
		sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			continue;
		if (named)
			kill_group(sub);
		all = drop_groups(sub, id, named, depth - 1) && all;
		if (named && unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			all = false;
	}
	return all;
}

int shim_sweep_runtime(const char *root, const char *id, struct err *err)
{
	OWN_FD int groups = open(GROUPS_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC), at = -1;
	int64_t end = clock_mono() + END_NS;

	BUG_ON(!id_is_hex64(id));
	while (groups >= 0 && !drop_groups(groups, id, false, GROUPS_DEPTH)) {
		if (clock_mono() > end)
			return err_set(err, ERR_INTERNAL, "control groups of container %.12s cannot be removed", id);
		usleep(20000);
	}
	at = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return at < 0 ? 0 : fs_remove_tree(at, id, err);
}
