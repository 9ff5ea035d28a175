/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The spawner process: one thread, one poll loop. It never waits for a child or a peer outside the loop. Locals of the
 * forked children are never freed: they exec or _exit.
 */
#include "base/spawner-wire.h"
#include "base/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
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
#include "base/spawner-ns.h"
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

void spawner_reply_two(int fd, int sys, int status, pid_t pid, int pidfd, int second, const struct buf *out)
{
	struct spawner_answer a = { .sys = sys, .status = status, .pid = pid };
	struct iovec iov[2] = { { &a, sizeof(a) }, { out ? out->data : NULL, out ? out->size : 0 } };

	/* a socket of its own with room for one packet: never waits; a requester that has gone is no error */
	(void)!rights_send(fd, iov, 2, (int[]){ pidfd, second }, pidfd < 0 ? 0 : second < 0 ? 1 : 2, MSG_DONTWAIT);
}

void spawner_reply(int fd, int sys, int status, pid_t pid, int pidfd, const struct buf *out)
{
	spawner_reply_two(fd, sys, status, pid, pidfd, -1, out);
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

	spawner_reply(j->answer, sys, status, j->pid, j->op == SPAWNER_SPAWN && !sys ? j->pidfd : output, &j->output);
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

static void start_job(struct request *r)
{
	int exec_pipe[2] = { -1, -1 }, out[2] = { -1, -1 };
	struct job *j;
	pid_t pid = -1;

	if (pipe2(exec_pipe, O_CLOEXEC) == 0 && (r->head.op != SPAWNER_RUN || pipe2(out, O_CLOEXEC) == 0))
		pid = fork();
	if (pid == 0) {
		if (r->head.op == SPAWNER_NETNS)
			errno = spawner_make_netns(r->strings.data, r->n_fds > 2 ? r->fds[2] : -1, r->head.with_packet, r->fds[0]);
		else if (r->head.op == SPAWNER_NETNS_ENTER)
			errno = spawner_enter_netns(r->strings.data, r->head.envc, r->head.with_packet, r->fds[0]);
		else if (r->head.op == SPAWNER_USERNS)
			errno = spawner_make_userns(r->strings.data, r->fds[0]);
		else
			child_exec(r, out[1], exec_pipe[1]);
		if (errno)
			child_fail(exec_pipe[1]);
		_exit(0);
	}
	if (pid < 0)
		spawner_reply(r->fds[0], errno, 0, 0, -1, NULL);
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
		spawner_reply(r->fds[0], spawner_drop_netns(r->strings.data), 0, 0, -1, NULL);
	else if (r->head.op == SPAWNER_NETNS_ENTER && r->head.argc && !r->head.envc)
		spawner_visit_netns(r->strings.data, r->head.with_packet, r->fds[0]);
	else if (r->head.argc)
		start_job(r);
	else
		spawner_reply(r->fds[0], EINVAL, 0, 0, -1, NULL);
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
