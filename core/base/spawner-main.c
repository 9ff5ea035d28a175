/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The spawner process: one thread, one poll loop. It never waits for a child or a peer outside the loop. Locals of the
 * forked children are never freed: they exec or _exit.
 */
#include "base/spawner-wire.h"
#include "base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/rights.h"
#include "base/sanitized.h"
#include "base/str.h"

/* One child that somebody waits for; gone once answered. */
struct job {
	enum spawner_op op;
	pid_t pid;
	int answer;    /* the requester's socket */
	int exec_pipe; /* the child's errno, or its end at exec; -1 afterwards */
	int out;       /* output, -1 for none or after its end */
	int pidfd;
	struct buf output;
};

static struct job **jobs;
static size_t n_jobs;

struct request {
	struct spawner_head head;
	struct buf strings;
	int fds[SPAWNER_FDS];
	size_t n_fds;
};

static void request_done(struct request *r)
{
	for (size_t i = 0; i < r->n_fds; i++)
		fd_close(&r->fds[i]);
	buf_done(&r->strings);
}

/* second: another descriptor behind pidfd, or -1. */
static void answer_two(int fd, int sys, int status, pid_t pid, int pidfd, int second, const struct buf *out)
{
	struct spawner_answer a = { .sys = sys, .status = status, .pid = pid };
	struct iovec iov[2] = { { &a, sizeof(a) }, { out ? out->data : NULL, out ? out->size : 0 } };

	/* a socket of its own with room for one packet: never waits; a requester that has gone is no error */
	(void)!rights_send(fd, iov, 2, (int[]){ pidfd, second }, pidfd < 0 ? 0 : second < 0 ? 1 : 2, MSG_DONTWAIT);
}

static void answer(int fd, int sys, int status, pid_t pid, int pidfd, const struct buf *out)
{
	answer_two(fd, sys, status, pid, pidfd, -1, out);
}

/* Output that one packet does not take; -1: it does, or there is no memory for it. */
static int large_output(struct buf *out)
{
	OWN_FD int fd = out->size > SPAWNER_PACKET ? memfd_create("output", MFD_CLOEXEC) : -1;

	if (out->size <= SPAWNER_PACKET)
		return -1;
	if (fd < 0 || fs_write_all(fd, out->data, out->size) < 0) {
		out->size = SPAWNER_PACKET;
		return -1;
	}
	out->size = 0;
	return STEAL_FD(fd);
}

static void job_end(struct job *j, int sys, int status)
{
	OWN_FD int output = large_output(&j->output);

	answer(j->answer, sys, status, j->pid, j->op == SPAWNER_SPAWN && !sys ? j->pidfd : output, &j->output);
	fd_close(&j->answer);
	fd_close(&j->exec_pipe);
	fd_close(&j->out);
	fd_close(&j->pidfd);
	buf_done(&j->output);
	for (size_t i = 0; i < n_jobs; i++) {
		if (jobs[i] != j)
			continue;
		jobs[i] = jobs[--n_jobs];
		break;
	}
	free(j);
}

/* True when the job is over (and freed). */
static bool job_exec_pipe(struct job *j)
{
	int sys = 0;
	ssize_t n = read(j->exec_pipe, &sys, sizeof(sys));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	fd_close(&j->exec_pipe);
	if (n == sizeof(sys)) {
		job_end(j, sys ? sys : EIO, 0);
		return true;
	}
	if (j->op == SPAWNER_SPAWN) {
		job_end(j, 0, 0);
		return true;
	}
	return false;
}

static void job_output(struct job *j)
{
	char text[16384];
	ssize_t n;

	while ((n = read(j->out, text, sizeof(text))) > 0) {
		size_t room = SPAWNER_OUTPUT - j->output.size;

		if (room)
			buf_add(&j->output, text, (size_t)n < room ? (size_t)n : room);
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fd_close(&j->out);
}

static void reap(int sigfd)
{
	struct signalfd_siginfo si;
	int status;
	pid_t pid;

	while (read(sigfd, &si, sizeof(si)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct job *j = NULL;

		for (size_t i = 0; i < n_jobs; i++)
			if (jobs[i]->pid == pid)
				j = jobs[i];
		if (!j || (j->exec_pipe >= 0 && job_exec_pipe(j)))
			continue;
		if (j->out >= 0)
			job_output(j);
		job_end(j, 0, status);
	}
}

static _Noreturn void child_fail(int exec_pipe)
{
	int sys = errno;

	(void)!write(exec_pipe, &sys, sizeof(sys));
	_exit(127);
}

/* Puts fds[i] at first + i and marks everything behind them close-on-exec. */
static void child_place(int *fds, size_t n, int first, int *exec_pipe)
{
	int above = first + (int)n + SPAWNER_FDS;

	for (size_t i = 0; i < n; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, above);
		if (fds[i] < 0)
			child_fail(*exec_pipe);
	}
	*exec_pipe = fcntl(*exec_pipe, F_DUPFD_CLOEXEC, above);
	for (size_t i = 0; i < n; i++)
		if (dup2(fds[i], first + (int)i) < 0)
			child_fail(*exec_pipe);
	if (syscall(SYS_close_range, first + (int)n, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */) < 0)
		child_fail(*exec_pipe);
}

/* All of them: the C library does not touch the two that it uses itself, and who started the daemon may have ignored even those. */
static void child_signals(void)
{
	static const long by_default[16]; /* the kernel's struct sigaction: SIG_DFL, no flags */
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		syscall(SYS_rt_sigaction, sig, by_default, NULL, 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static char **child_strings(char **at, uint32_t n)
{
	char **v = xcalloc(n + 1, sizeof(*v));

	for (uint32_t i = 0; i < n; i++, *at += strlen(*at) + 1)
		v[i] = *at;
	return v;
}

static _Noreturn void child_exec(struct request *r, int out, int exec_pipe)
{
	char *at = r->strings.data, **argv = child_strings(&at, r->head.argc), **env = child_strings(&at, r->head.envc);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[SPAWNER_FDS];
	size_t n = 0;

	setsid();
	child_signals();
	if (null < 0)
		child_fail(exec_pipe);
	fds[n++] = r->head.op == SPAWNER_RUN && r->head.with_stdin && r->n_fds > 2 ? r->fds[2] : null;
	fds[n++] = out >= 0 ? out : null;
	fds[n++] = out >= 0 ? out : null;
	if (r->head.op != SPAWNER_RUN)
		for (size_t i = 2; i < r->n_fds; i++)
			fds[n++] = r->fds[i];
	child_place(fds, n, 0, &exec_pipe);
	if (r->head.op == SPAWNER_TASK) {
		/* the last descriptor is the program */
		fcntl((int)n - 1, F_SETFD, FD_CLOEXEC);
		syscall(SYS_execveat, (int)n - 1, "", argv, env, AT_EMPTY_PATH);
	} else {
		execve(argv[0], argv, env);
	}
	child_fail(exec_pipe);
}

/* New interfaces of this namespace have no IPv6, which a network that has it turns on. A kernel without it is fine. */
static void no_ipv6(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, "1", 1);
		close(fd);
	}
}

/* It is bound to no protocol: it hears nothing. */
static int packet_socket(uint32_t wanted)
{
	return wanted ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1;
}

/*
 * A helper's helper: goes into namespaces, or makes them, and waits with them until it is killed. Its pid, or -1 with errno. From a
 * process that has nothing but its own memory to lose: it ends with _exit(0) in any case.
 */
static pid_t stand_in(int (*go)(int arg), int arg)
{
	int ready[2], sys = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = SANITIZED_FORK();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sys = go(arg) < 0 ? errno : 0;
		(void)!write(ready[1], &sys, sizeof(sys));
		while (!sys)
			pause();
		_exit(0);
	}
	close(ready[1]);
	n = pid < 0 ? 0 : read(ready[0], &sys, sizeof(sys));
	close(ready[0]);
	if (pid > 0 && (n != sizeof(sys) || sys)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = n == sizeof(sys) ? sys : EIO;
		return -1;
	}
	return pid;
}

static void stand_down(pid_t pid)
{
	int sys = errno;

	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = sys;
}

static int open_ns(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, what);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int go_owned(int userns)
{
	return setns(userns, CLONE_NEWUSER) < 0 ? -1 : unshare(CLONE_NEWNET);
}

/* Into a new network namespace that belongs to userns. The rights of the host's root stay: they are what the rest takes. */
static int enter_owned_net(int userns)
{
	pid_t pid = stand_in(go_owned, userns);
	int fd, rc;

	if (pid < 0)
		return -1;
	fd = open_ns(pid, "net");
	rc = fd < 0 ? -1 : setns(fd, CLONE_NEWNET);
	stand_down(pid);
	return rc;
}

static int go_userns(int arg)
{
	(void)arg;
	return unshare(CLONE_NEWUSER);
}

static int write_map(pid_t pid, const char *what, const char *text)
{
	size_t size = strlen(text);
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s_map", (int)pid, what);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	/* the kernel takes a map in one piece, or not at all */
	n = write(fd, text, size);
	close(fd);
	return n == (ssize_t)size ? 0 : -1;
}

/* strings: the maps of users and of groups. Answers itself with the namespace; 0, or an errno for the caller to answer. */
static int make_userns(const char *strings, int requester)
{
	pid_t pid = stand_in(go_userns, 0);
	int fd = -1;

	if (pid < 0)
		return errno;
	if (write_map(pid, "uid", strings) == 0 && write_map(pid, "gid", strings + strlen(strings) + 1) == 0)
		fd = open_ns(pid, "user");
	stand_down(pid);
	if (fd < 0)
		return errno;
	answer(requester, 0, 0, getpid(), fd, NULL);
	return 0;
}

/*
 * In a child of its own: a new network namespace with lo up, kept alive by a bind mount. The answer, with a socket made
 * inside, goes out from here; that of the parent, after the child's end, finds nobody who listens.
 */
static int make_netns(const char *path, int userns, uint32_t packet, int requester)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444), rtnl, sys;

	if (fd < 0)
		return errno;
	close(fd);
	if ((userns < 0 ? unshare(CLONE_NEWNET) : enter_owned_net(userns)) < 0)
		goto fail;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		goto fail;
	ifr.ifr_flags |= IFF_UP;
	no_ipv6();
	rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (rtnl < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 || mount("/proc/self/ns/net", path, NULL, MS_BIND, NULL) < 0)
		goto fail;
	answer_two(requester, 0, 0, getpid(), rtnl, packet_socket(packet), NULL);
	return 0;
fail:
	sys = errno;
	unlink(path);
	return sys;
}

/* "net/...=value", below /proc/sys; the namespace is this process's. */
static int set_sysctl(char *entry)
{
	char path[256], *value = strchr(entry, '=');
	size_t size;
	ssize_t n;
	int fd;

	if (!value || strncmp(entry, "net/", 4) != 0 || strstr(entry, "..") ||
	    snprintf(path, sizeof(path), "/proc/sys/%.*s", (int)(value - entry), entry) >= (int)sizeof(path))
		return EINVAL;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno;
	size = strlen(++value);
	n = write(fd, value, size);
	close(fd);
	return n == (ssize_t)size ? 0 : n < 0 ? errno : EIO;
}

/* strings: the path, then sysctls. Answers itself; 0, or an errno for the caller to answer. */
static int enter_netns(char *strings, uint32_t sysctls, uint32_t packet, int requester)
{
	int fd = open(strings, O_RDONLY | O_CLOEXEC), sys;
	char *at = strings;

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return errno;
	for (uint32_t i = 0; i < sysctls; i++) {
		at += strlen(at) + 1;
		if ((sys = set_sysctl(at))) {
			answer(requester, sys, (int)i + 1, getpid(), -1, NULL);
			return 0;
		}
	}
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0)
		return errno;
	answer_two(requester, 0, 0, getpid(), fd, packet_socket(packet), NULL);
	return 0;
}

/* Without sysctls, which may have to wait, there is nothing in it that takes longer than a child's birth: no child. */
static void visit_netns(const char *path, uint32_t packet, int requester)
{
	OWN_FD int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = open(path, O_RDONLY | O_CLOEXEC);
	OWN_FD int rtnl = -1, heard = -1;
	int sys;

	if (home < 0 || fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
		answer(requester, errno, 0, 0, -1, NULL);
		return;
	}
	rtnl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	sys = rtnl < 0 ? errno : 0;
	heard = sys ? -1 : packet_socket(packet);
	BUG_ON(setns(home, CLONE_NEWNET) < 0);
	answer_two(requester, sys, 0, getpid(), rtnl, heard, NULL);
}

static int drop_netns(const char *path)
{
	/* EINVAL: no mount point (the machine was restarted), the file alone is left */
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return errno;
	return unlink(path) < 0 && errno != ENOENT ? errno : 0;
}

static void start_job(struct request *r)
{
	int exec_pipe[2] = { -1, -1 }, out[2] = { -1, -1 };
	struct job *j;
	pid_t pid = -1;

	if (pipe2(exec_pipe, O_CLOEXEC) == 0 && (r->head.op != SPAWNER_RUN || pipe2(out, O_CLOEXEC) == 0))
		pid = fork();
	if (pid == 0) {
		if (r->head.op == SPAWNER_NETNS)
			errno = make_netns(r->strings.data, r->n_fds > 2 ? r->fds[2] : -1, r->head.with_packet, r->fds[0]);
		else if (r->head.op == SPAWNER_NETNS_ENTER)
			errno = enter_netns(r->strings.data, r->head.envc, r->head.with_packet, r->fds[0]);
		else if (r->head.op == SPAWNER_USERNS)
			errno = make_userns(r->strings.data, r->fds[0]);
		else
			child_exec(r, out[1], exec_pipe[1]);
		if (errno)
			child_fail(exec_pipe[1]);
		_exit(0);
	}
	if (pid < 0)
		answer(r->fds[0], errno, 0, 0, -1, NULL);
	fd_close(&exec_pipe[1]);
	fd_close(&out[1]);
	if (pid < 0) {
		fd_close(&exec_pipe[0]);
		fd_close(&out[0]);
		return;
	}
	fcntl(exec_pipe[0], F_SETFL, O_NONBLOCK);
	if (out[0] >= 0)
		fcntl(out[0], F_SETFL, O_NONBLOCK);
	j = xcalloc(1, sizeof(*j));
	*j = (struct job){ .op = r->head.op, .pid = pid, .answer = STEAL_FD(r->fds[0]), .exec_pipe = exec_pipe[0], .out = out[0],
		.pidfd = r->head.op == SPAWNER_SPAWN ? (int)syscall(SYS_pidfd_open, pid, 0) : -1 };
	jobs = xrealloc(jobs, (n_jobs + 1) * sizeof(*jobs));
	jobs[n_jobs++] = j;
}

/* False when the daemon has gone. */
static bool receive(int fd, struct request *r)
{
	struct iovec iov = { &r->head, sizeof(r->head) };
	struct stat st;
	ssize_t n;

	r->n_fds = SPAWNER_FDS;
	n = rights_recv(fd, &iov, 1, r->fds, &r->n_fds, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN;
	if (n == 0)
		return false;
	if (n != sizeof(r->head) || r->n_fds < 2 || fstat(r->fds[1], &st) < 0)
		return true;
	buf_reserve(&r->strings, (size_t)st.st_size);
	n = pread(r->fds[1], r->strings.data, (size_t)st.st_size, 0);
	r->strings.size = n > 0 ? (size_t)n : 0;
	r->strings.data[r->strings.size] = '\0';
	if (r->head.op == SPAWNER_NETNS_DROP)
		answer(r->fds[0], drop_netns(r->strings.data), 0, 0, -1, NULL);
	else if (r->head.op == SPAWNER_NETNS_ENTER && r->head.argc && !r->head.envc)
		visit_netns(r->strings.data, r->head.with_packet, r->fds[0]);
	else if (r->head.argc)
		start_job(r);
	else
		answer(r->fds[0], EINVAL, 0, 0, -1, NULL);
	return true;
}

/* The requester's socket: a byte asks to kill; its mere end leaves a command running, and ends a task. */
static void job_asked(struct job *j)
{
	char c;
	ssize_t n = recv(j->answer, &c, 1, MSG_DONTWAIT);

	/* the child may not have come to its setsid() yet */
	if (((n == 1 && j->op == SPAWNER_RUN) || (n >= 0 && j->op == SPAWNER_TASK)) && kill(-j->pid, SIGKILL) < 0)
		kill(j->pid, SIGKILL);
	if (n == 0)
		fd_close(&j->answer);
}

static void serve(int fd, int sigfd)
{
	struct pollfd *p = NULL;

	for (;;) {
		size_t n = n_jobs;

		p = xrealloc(p, (2 + 3 * n) * sizeof(*p));
		p[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = sigfd, .events = POLLIN };
		for (size_t i = 0; i < n; i++) {
			p[2 + 3 * i] = (struct pollfd){ .fd = jobs[i]->exec_pipe, .events = POLLIN };
			p[3 + 3 * i] = (struct pollfd){ .fd = jobs[i]->out, .events = POLLIN };
			p[4 + 3 * i] = (struct pollfd){ .fd = jobs[i]->answer, .events = POLLIN };
		}
		if (poll(p, 2 + 3 * n, -1) < 0)
			continue;
		/* from the end: a job that is over is replaced by the last one, which was looked at already */
		for (size_t i = n; i-- > 0;) {
			struct job *j = jobs[i];

			if (p[4 + 3 * i].revents)
				job_asked(j);
			if (p[3 + 3 * i].revents && j->out >= 0)
				job_output(j);
			if (p[2 + 3 * i].revents && j->exec_pipe >= 0)
				job_exec_pipe(j);
		}
		if (p[1].revents)
			reap(sigfd);
		if (p[0].revents) {
			struct request r = { .fds = { -1 } };
			bool alive = receive(fd, &r);

			request_done(&r);
			if (!alive)
				return;
		}
	}
}

void spawner_main(int fd)
{
	sigset_t chld, all;
	int sigfd;

	/* the terminal's signals are the daemon's business; its end is seen on the socket */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "dockerd-spawner");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (fd != 3) {
		if (dup3(fd, 3, O_CLOEXEC) < 0)
			_exit(1);
		fd = 3;
	}
	syscall(SYS_close_range, 4, ~0U, 0);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigfd = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		_exit(1);
	serve(fd, sigfd);
	_exit(0);
}
