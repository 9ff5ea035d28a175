/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that joins a container: plan, control groups, namespaces, and the child that becomes the program. */
#include "shim/join.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/rights.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP)
#define MAX_GROUPS 65536

/* The runtime is to do it: nothing has happened yet. */
static _Noreturn void decline(const char *what, int sys)
{
	char text[400];
	int n = snprintf(text, sizeof(text), "%.300s%s%s", what, sys ? ": " : "", sys ? strerror(sys) : "");

	send(JOIN_RESULT_FD, text, (size_t)n, MSG_NOSIGNAL);
	_exit(1);
}

static char **strings(const struct shim_msg *m, int tag)
{
	char **v = xcalloc(1, sizeof(*v));
	const char *s;
	size_t pos = 0, n = 0;

	while ((s = shim_msg_next_str(m, (enum shim_tag)tag, &pos))) {
		v = xrealloc(v, (n + 2) * sizeof(*v));
		v[n++] = (char *)s;
		v[n] = NULL;
	}
	return v;
}

static int64_t number(const struct shim_msg *m, int tag)
{
	return shim_msg_get_int(m, (enum shim_tag)tag, 0);
}

static void read_groups(struct join_plan *p)
{
	size_t pos = 0, size;
	const void *data;
	int64_t gid;

	while (p->n_groups < MAX_GROUPS && (data = shim_msg_next_bytes(&p->msg, (enum shim_tag)PLAN_GROUP, sizeof(gid), &pos, &size))) {
		memcpy(&gid, data, sizeof(gid));
		p->groups = xrealloc(p->groups, (p->n_groups + 1) * sizeof(*p->groups));
		p->groups[p->n_groups++] = (gid_t)gid;
	}
}

static void read_rlimits(struct join_plan *p)
{
	size_t pos = 0, size;
	const void *data;

	while (p->n_rlimits < RLIM_NLIMITS && (data = shim_msg_next_bytes(&p->msg, (enum shim_tag)PLAN_RLIMIT, sizeof(*p->rlimits), &pos, &size))) {
		p->rlimits = xrealloc(p->rlimits, (p->n_rlimits + 1) * sizeof(*p->rlimits));
		memcpy(&p->rlimits[p->n_rlimits++], data, sizeof(*p->rlimits));
	}
}

static void read_filter(struct join_plan *p)
{
	size_t pos = 0, size;
	const void *data = shim_msg_next_bytes(&p->msg, (enum shim_tag)PLAN_FILTER, 0, &pos, &size);
	void *copy;

	if (!data)
		return;
	if (!size || size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		decline("the filter of the plan is none", 0);
	copy = xmalloc(size);
	memcpy(copy, data, size);
	p->filter = copy;
	p->filter_len = size / sizeof(struct sock_filter);
	p->filter_flags = (unsigned)number(&p->msg, PLAN_FILTER_FLAGS);
}

static void read_plan(struct join_plan *p)
{
	struct stat st;
	size_t pos = 0, size;
	const void *caps;

	if (fstat(JOIN_PLAN_FD, &st) < 0 || st.st_size <= 0 || st.st_size > SHIM_MAX_BODY)
		decline("there is no plan", 0);
	if (pread(JOIN_PLAN_FD, buf_reserve(&p->msg.body, (size_t)st.st_size), (size_t)st.st_size, 0) != st.st_size)
		decline("read the plan", errno);
	p->msg.body.size = (size_t)st.st_size;
	close(JOIN_PLAN_FD);
	if (number(&p->msg, PLAN_IS) != PLAN_VERSION && number(&p->msg, PLAN_IS) != PLAN_VERSION_APPARMOR)
		decline("the plan is of another version", 0);
	p->argv = strings(&p->msg, PLAN_ARG);
	p->env = strings(&p->msg, PLAN_ENV);
	p->cwd = shim_msg_get_str(&p->msg, (enum shim_tag)PLAN_CWD);
	p->keyring = shim_msg_get_str(&p->msg, (enum shim_tag)PLAN_KEYRING);
	p->apparmor = shim_msg_get_str(&p->msg, (enum shim_tag)PLAN_APPARMOR);
	caps = shim_msg_next_bytes(&p->msg, (enum shim_tag)PLAN_CAPS, sizeof(p->caps), &pos, &size);
	if (!p->argv[0] || !p->cwd || !p->keyring || !caps)
		decline("the plan is not whole", 0);
	memcpy(p->caps, caps, sizeof(p->caps));
	p->uid = (uid_t)number(&p->msg, PLAN_UID);
	p->gid = (gid_t)number(&p->msg, PLAN_GID);
	p->no_new_privs = number(&p->msg, PLAN_NO_NEW_PRIVS);
	p->tty = number(&p->msg, PLAN_TTY);
	p->rows = (uint16_t)number(&p->msg, PLAN_ROWS);
	p->cols = (uint16_t)number(&p->msg, PLAN_COLS);
	read_groups(p);
	read_rlimits(p);
	read_filter(p);
}

static bool same_namespace(const char *init, const char *name)
{
	char path[64];
	struct stat theirs, own;

	snprintf(path, sizeof(path), "/proc/%.12s/ns/%s", init, name);
	if (stat(path, &theirs) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return stat(path, &own) == 0 && own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
}

/* What was looked at by number was the container's own process if that lives now: until then nobody else can have had the number. */
static void check_init(const char *init)
{
	struct pollfd p = { .fd = JOIN_INIT_FD, .events = POLLIN };
	bool own_user = same_namespace(init, "user");

	if (poll(&p, 1, 0) != 0)
		decline("the container's process has ended", 0);
	if (!own_user)
		decline("the container has a user namespace of its own", 0);
}

/* A limit of open files that nobody set: the runtime raises it where it raised the first process's. */
static void raise_files(const char *init)
{
	struct rlimit theirs, own;

	if (prlimit((pid_t)atoi(init), RLIMIT_NOFILE, NULL, &theirs) < 0 || theirs.rlim_cur != theirs.rlim_max ||
		getrlimit(RLIMIT_NOFILE, &own) < 0)
		return;
	own.rlim_cur = own.rlim_max;
	setrlimit(RLIMIT_NOFILE, &own);
}

static void put(const char *path, const char *text)
{
	OWN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		decline(path, errno);
}

static void set_oom_score(const struct shim_msg *m)
{
	char text[24];

	/* absent: that of a new process, which command_launch() has set */
	if (shim_msg_get_int(m, (enum shim_tag)PLAN_OOM_SCORE, INT64_MIN) == INT64_MIN)
		return;
	snprintf(text, sizeof(text), "%lld", (long long)number(m, PLAN_OOM_SCORE));
	put("/proc/self/oom_score_adj", text);
}

/* Frozen, or about to be: what joins stands still. */
static bool is_frozen(const char *dir)
{
	static const char *const files[][2] = { { "freezer.state", "THAWED" }, { "cgroup.freeze", "0" } };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_FREE char *path = xasprintf("%s/%s", dir, files[i][0]);
		OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
		char text[32];
		ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

		if (fd < 0)
			continue;
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (!streq(text, files[i][1]))
			return true;
	}
	return false;
}

static void enter_cgroups(const struct shim_msg *m)
{
	const char *dir;
	size_t pos = 0, n = 0;

	while ((dir = shim_msg_next_str(m, (enum shim_tag)PLAN_CGROUP, &pos)))
		if (is_frozen(dir))
			decline("the container is paused", 0);
	for (pos = 0; (dir = shim_msg_next_str(m, (enum shim_tag)PLAN_CGROUP, &pos)); n++) {
		OWN_FREE char *procs = xasprintf("%s/cgroup.procs", dir);

		put(procs, "0");
	}
	if (!n && !number(m, PLAN_NO_CGROUP))
		decline("the container has no control group", 0);
}

/* Those that are not this process's as well. */
static int foreign_namespaces(const char *init)
{
	static const struct { const char *name; int flag; } all[] = {
		{ "mnt", CLONE_NEWNS }, { "uts", CLONE_NEWUTS }, { "ipc", CLONE_NEWIPC }, { "net", CLONE_NEWNET }, { "pid", CLONE_NEWPID },
		{ "cgroup", CLONE_NEWCGROUP },
	};
	int flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!same_namespace(init, all[i].name))
			flags |= all[i].flag;
	return flags;
}

/* Who is root of a user namespace only may not even join the machine's where it is in it already. */
static int join_namespaces(const char *init)
{
	if (setns(JOIN_INIT_FD, NAMESPACES) == 0)
		return 0;
	return errno == EPERM ? setns(JOIN_INIT_FD, foreign_namespaces(init)) : -1;
}

int join_send_master(int fd)
{
	struct iovec iov = { (char *)"t", 1 };

	return rights_send(JOIN_RESULT_FD, &iov, 1, &fd, 1, 0) == 1 ? 0 : -1;
}

/* A child of the shim's, not of this process, as this is the last that it does. */
static pid_t fork_sibling(void)
{
	struct clone_args args = { .flags = CLONE_PARENT };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int join_main(char **argv)
{
	static struct join_plan plan;
	char why[300];
	int report[2];
	ssize_t n;
	pid_t pid;

	/* the container's processes may not look into this one, nor trace it */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !argv[0] || syscall(SYS_close_range, JOIN_FDS, ~0U, 0) < 0)
		decline("begin", errno);
	read_plan(&plan);
	check_init(argv[0]);
	raise_files(argv[0]);
	set_oom_score(&plan.msg);
	plan.proc = plan.apparmor ? open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (plan.apparmor && plan.proc < 0)
		decline("open /proc", errno);
	if (pipe2(report, O_CLOEXEC) < 0)
		decline("make a pipe", errno);
	enter_cgroups(&plan.msg);
	if (join_namespaces(argv[0]) < 0)
		decline("join the namespaces", errno);
	close(JOIN_INIT_FD);
	pid = fork_sibling();
	if (pid < 0)
		decline("fork", errno);
	if (pid == 0)
		join_become(&plan, report[1]);
	close(report[1]);
	/* closed by the exec, or by the end */
	do
		n = read(report[0], why, sizeof(why) - 1);
	while (n < 0 && errno == EINTR);
	if (n != 0) {
		why[n > 0 ? n : 0] = '\0';
		decline(why, 0);
	}
	send(JOIN_RESULT_FD, &pid, sizeof(pid), MSG_NOSIGNAL);
	_exit(0);
}
