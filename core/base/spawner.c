/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of the spawner. A request is one packet on the shared socket: a fixed head, and as descriptors the
 * requester's own answer socket, a memfd with the strings, and what the child is to inherit. Packets are atomic and answers
 * private, so callers need neither lock nor dispatcher.
 */
#include "base/spawner.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/rights.h"
#include "base/spawner-wire.h"

extern char **environ;

struct spawner {
	pid_t pid;
	int fd;
};

struct spawner *spawner_start(struct err *err)
{
	struct spawner *s;
	int sv[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		err_errno(err, errno, "make the spawner's socket");
		return NULL;
	}
	pid = fork();
	if (pid == 0) {
		close(sv[0]);
		spawner_main(sv[1]);
	}
	close(sv[1]);
	if (pid < 0) {
		err_errno(err, errno, "fork the spawner");
		close(sv[0]);
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->pid = pid;
	s->fd = sv[0];
	return s;
}

void spawner_stop(struct spawner *s)
{
	if (!s)
		return;
	close(s->fd);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(s);
}

static int put_strings(int fd, char *const v[], uint32_t *ret_n)
{
	OWN_BUF struct buf b = { 0 };

	for (*ret_n = 0; v && v[*ret_n]; ++*ret_n)
		buf_add(&b, v[*ret_n], strlen(v[*ret_n]) + 1);
	return b.size ? fs_write_all(fd, b.data, b.size) : 0;
}

/* Sends the request; *ret_answer is the socket on which its answer comes. */
static int send_request(struct spawner *s, struct spawner_head *head, char *const argv[], char *const env[], const int *fds, size_t nfds,
	int *ret_answer, struct err *err)
{
	struct iovec iov = { head, sizeof(*head) };
	OWN_FD int strings = memfd_create("spawner", MFD_CLOEXEC), mine = -1, theirs = -1;
	int sv[2], all[SPAWNER_FDS];

	lock_none_held();
	if (nfds + 2 > SPAWNER_FDS)
		return err_set(err, ERR_INTERNAL, "too many descriptors for a child: %zu", nfds);
	if (strings < 0 || put_strings(strings, argv, &head->argc) < 0 || put_strings(strings, env ? env : environ, &head->envc) < 0)
		return err_errno(err, errno, "hand a command to the spawner");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_errno(err, errno, "make a socket");
	mine = sv[0], theirs = sv[1];
	all[0] = theirs, all[1] = strings;
	for (size_t i = 0; i < nfds; i++)
		all[2 + i] = fds[i];
	if (rights_send(s->fd, &iov, 1, all, nfds + 2, 0) < 0)
		return err_errno(err, errno, "ask the spawner");
	*ret_answer = STEAL_FD(mine);
	return 0;
}

/* ret_second: what rides along behind a first descriptor. */
static int take_two(int fd, struct spawner_answer *ret, int *ret_pidfd, int *ret_second, struct buf *out, struct err *err)
{
	OWN_FREE char *text = xmalloc(SPAWNER_PACKET);
	struct iovec iov[2] = { { ret, sizeof(*ret) }, { text, SPAWNER_PACKET } };
	OWN_FD int pidfd = -1, second = -1;
	int fds[2];
	size_t nfds;
	ssize_t n;

	/* an answer that crossed our asking to kill comes behind a reset, which is told once */
	do {
		nfds = 2;
		n = rights_recv(fd, iov, 2, fds, &nfds, 0);
	} while (n < 0 && errno == ECONNRESET);
	if (n < (ssize_t)sizeof(*ret))
		return err_set(err, ERR_INTERNAL, "the spawner has ended");
	if (nfds > 0)
		pidfd = fds[0];
	if (nfds > 1)
		second = fds[1];
	if (out)
		buf_add(out, text, (size_t)n - sizeof(*ret));
	if (ret_pidfd)
		*ret_pidfd = STEAL_FD(pidfd);
	else if (out && pidfd >= 0 && lseek(pidfd, 0, SEEK_SET) == 0)
		while ((n = read(pidfd, text, SPAWNER_PACKET)) > 0)
			buf_add(out, text, (size_t)n);
	if (ret_second)
		*ret_second = STEAL_FD(second);
	return 0;
}

static int take_answer(int fd, struct spawner_answer *ret, int *ret_pidfd, struct buf *out, struct err *err)
{
	return take_two(fd, ret, ret_pidfd, NULL, out, err);
}

int spawner_run(struct spawner *s, char *const argv[], char *const env[], int stdin_fd, int timeout_ms, const struct cancel *c,
	int *ret_status, struct buf *out, struct err *err)
{
	struct spawner_head head = { .op = SPAWNER_RUN, .with_stdin = stdin_fd >= 0 };
	struct spawner_answer a;
	OWN_FD int fd = -1;
	int n;

	if (send_request(s, &head, argv, env, &stdin_fd, stdin_fd >= 0, &fd, err) < 0)
		return -1;
	n = cancel_wait(c, fd, POLLIN, timeout_ms);
	if (n <= 0) {
		char kill_it = 'k';

		/* the answer is awaited all the same: nothing of the command is left when this returns */
		if (send(fd, &kill_it, 1, MSG_NOSIGNAL) < 0 || take_answer(fd, &a, NULL, out, err) < 0)
			return -1;
		if (n == 0)
			return err_set(err, ERR_INTERNAL, "%s did not end within %d ms", argv[0], timeout_ms);
		return err_set(err, ERR_CANCELLED, "%s was cancelled", argv[0]);
	}
	if (take_answer(fd, &a, NULL, out, err) < 0)
		return -1;
	if (a.sys)
		return err_errno(err, a.sys, "run %s", argv[0]);
	*ret_status = a.status;
	return 0;
}

int spawner_spawn(struct spawner *s, char *const argv[], char *const env[], const int *fds, size_t nfds, pid_t *ret_pid, int *ret_pidfd, struct err *err)
{
	struct spawner_head head = { .op = SPAWNER_SPAWN };
	OWN_FD int fd = -1, pidfd = -1;
	struct spawner_answer a;

	if (send_request(s, &head, argv, env, fds, nfds, &fd, err) < 0 || take_answer(fd, &a, &pidfd, NULL, err) < 0)
		return -1;
	if (a.sys)
		return err_errno(err, a.sys, "run %s", argv[0]);
	*ret_pid = a.pid;
	if (ret_pidfd)
		*ret_pidfd = STEAL_FD(pidfd);
	return 0;
}

int spawner_task(struct spawner *s, int program, char *const argv[], char *const env[], const int *fds, size_t nfds, int *ret_task, struct err *err)
{
	struct spawner_head head = { .op = SPAWNER_TASK };
	int all[SPAWNER_FDS];

	if (nfds >= SPAWNER_FDS)
		return err_set(err, ERR_INTERNAL, "too many descriptors for a child: %zu", nfds);
	memcpy(all, fds, nfds * sizeof(*fds));
	all[nfds] = program;
	return send_request(s, &head, argv, env, all, nfds + 1, ret_task, err);
}

int spawner_task_end(int *task, bool kill, int *ret_status, struct err *err)
{
	OWN_FD int fd = STEAL_FD(*task);
	struct spawner_answer a;
	char kill_it = 'k';

	/* one that has ended is not asked any more: its answer is there */
	if (kill)
		(void)!send(fd, &kill_it, 1, MSG_NOSIGNAL);
	if (take_answer(fd, &a, NULL, NULL, err) < 0)
		return -1;
	if (a.sys)
		return err_errno(err, a.sys, "start a process");
	*ret_status = a.status;
	return 0;
}

static int netns_request(struct spawner *s, uint32_t op, const char *path, int userns, const struct strv *sysctls, struct spawner_inside *io,
	struct err *err)
{
	static const char *const verbs[] = { [SPAWNER_NETNS] = "make", [SPAWNER_NETNS_DROP] = "drop", [SPAWNER_NETNS_ENTER] = "enter" };
	struct spawner_head head = { .op = op, .with_packet = io && io->packet_wanted };
	char *const argv[] = { (char *)path, NULL }, *const none[] = { NULL };
	char *const *env = sysctls && sysctls->len ? sysctls->v : none;
	OWN_FD int fd = -1, rtnl = -1, packet = -1;
	struct spawner_answer a;

	if (io)
		io->rtnl = io->packet = -1;
	if (send_request(s, &head, argv, env, &userns, userns >= 0, &fd, err) < 0 || take_two(fd, &a, &rtnl, &packet, NULL, err) < 0)
		return -1;
	if (a.sys && a.status)
		return err_errno(err, a.sys, "set %s in the network namespace %s", env[a.status - 1], path);
	if (a.sys)
		return err_errno(err, a.sys, "%s the network namespace %s", verbs[op], path);
	if (io) {
		io->rtnl = STEAL_FD(rtnl);
		io->packet = STEAL_FD(packet);
	}
	return 0;
}

int spawner_netns(struct spawner *s, const char *path, int userns, struct spawner_inside *io, struct err *err)
{
	return netns_request(s, SPAWNER_NETNS, path, userns, NULL, io, err);
}

int spawner_netns_drop(struct spawner *s, const char *path, struct err *err)
{
	return netns_request(s, SPAWNER_NETNS_DROP, path, -1, NULL, NULL, err);
}

int spawner_netns_enter(struct spawner *s, const char *path, const struct strv *sysctls, struct spawner_inside *io, struct err *err)
{
	return netns_request(s, SPAWNER_NETNS_ENTER, path, -1, sysctls, io, err);
}

int spawner_userns(struct spawner *s, const struct idmaps *maps, struct err *err)
{
	struct spawner_head head = { .op = SPAWNER_USERNS };
	OWN_BUF struct buf uids = { 0 }, gids = { 0 };
	char *const none[] = { NULL };
	OWN_FD int fd = -1, ns = -1;
	struct spawner_answer a;

	idmap_kernel(&maps->uids, &uids);
	idmap_kernel(&maps->gids, &gids);
	if (!uids.size || !gids.size)
		return err_set(err, ERR_INTERNAL, "a user namespace without ids");
	if (send_request(s, &head, (char *const[]){ uids.data, gids.data, NULL }, none, NULL, 0, &fd, err) < 0 ||
		take_answer(fd, &a, &ns, NULL, err) < 0)
		return -1;
	if (a.sys == ENOSPC)
		return err_errno(err, a.sys, "make a user namespace: the sysctl user.max_user_namespaces allows no more");
	if (a.sys)
		return err_errno(err, a.sys, "make a user namespace");
	return STEAL_FD(ns);
}
