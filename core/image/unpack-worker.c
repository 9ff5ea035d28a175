/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/unpack-worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/rights.h"
#include "base/sanitized.h"
#include "base/str.h"

#define PIPE_SIZE (1024 * 1024)
#define WARNINGS_MAX 8
#define TEXT_SHOWN 8192 /* of an error's text */

int worker_start(struct worker *w, struct spawner *s, int program, const char *const argv[], int out, int split, struct err *err)
{
	char *const none[] = { NULL };
	OWN_STRV struct strv env = { 0 };
	OWN_FD int control = -1, in = -1;
	int sv[2], p[2];

	lock_none_held();
	sanitized_confined_environment(&env);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_errno(err, errno, "make a socket");
	w->control = sv[0], control = sv[1];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(err, errno, "make a pipe");
	in = p[0], w->pipe = p[1];
	(void)!fcntl(w->pipe, F_SETPIPE_SZ, PIPE_SIZE); /* less will do */
	fcntl(w->pipe, F_SETFL, O_NONBLOCK);
	return spawner_task(s, program, (char *const *)argv, env.v ? env.v : none, (int[]){ control, in, out, split }, split >= 0 ? 4 : 3, &w->task, err);
}

ssize_t worker_send(struct worker *w, const void *data, size_t size)
{
	ssize_t n;

	if (w->pipe < 0)
		return -1;
	do
		n = write(w->pipe, data, size);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN)
		return 0;
	fd_close(&w->pipe);
	return -1;
}

static bool is_data(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

/* What a process without rights may have set for it: attributes in its own tree, but no overlay's marks. */
static bool xattr_allowed(const struct worker *w, int fd, const char *name, const char *value, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || (w->layer && st.st_dev != w->dev) || (!w->layer && !is_data(&st)))
		return false;
	if (streq(name, "trusted.overlay.opaque"))
		return w->overlay && S_ISDIR(st.st_mode) && size == 1 && *value == 'y';
	return str_has_prefix(name, "security.") || (str_has_prefix(name, "trusted.") && !str_has_prefix(name, "trusted.overlay."));
}

static int set_xattr(int fd, const char *name, const char *value, size_t size)
{
	char self[32];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	if (is_data(&st))
		return fsetxattr(fd, name, value, size, 0);
	/* a descriptor that only names a link or device: the kernel goes to that itself and follows it no further */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return setxattr(self, name, value, size, 0);
}

static int serve_xattr(struct worker *w, const char *text, size_t size, int fd)
{
	size_t n = strnlen(text, size);
	int32_t answer = 0;

	if (fd < 0 || n == size || !xattr_allowed(w, fd, text, text + n + 1, size - n - 1))
		answer = EPERM;
	else if (set_xattr(fd, text, text + n + 1, size - n - 1) < 0)
		answer = errno;
	return send(w->control, &answer, sizeof(answer), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

static int rules_broken(struct err *err)
{
	return err_set(err, ERR_INTERNAL, "the process that unpacks sent nonsense");
}

static int serve_message(struct worker *w, const struct unpack_msg *m, const char *text, size_t size, int fd, struct err *err)
{
	switch (m->kind) {
	case UNPACK_WARN:
		if (w->warned++ < WARNINGS_MAX)
			log_warn("%.*s", (int)(size < TEXT_SHOWN ? size : TEXT_SHOWN), text);
		return 0;
	case UNPACK_XATTR:
		return serve_xattr(w, text, size, fd) < 0 ? rules_broken(err) : 0;
	case UNPACK_FAILED:
		if (m->class < 0 || m->class >= (int32_t)ERR_CLASSES)
			return rules_broken(err);
		err_set(&w->failure, (enum err_class)m->class, "%.*s", (int)(size < TEXT_SHOWN ? size : TEXT_SHOWN), text);
		w->failure.sys = m->sys;
		break;
	case UNPACK_DONE:
		break;
	default:
		return rules_broken(err);
	}
	w->result = *m;
	w->result.digest[DIGEST_TEXT - 1] = '\0';
	w->answered = true;
	return 0;
}

/* One packet, if there is one. */
static int take_message(struct worker *w, struct err *err)
{
	OWN_FREE char *text = xmalloc(UNPACK_TEXT_MAX + 1);
	struct unpack_msg m = { 0 };
	struct iovec iov[2] = { { &m, sizeof(m) }, { text, UNPACK_TEXT_MAX } };
	OWN_FD int fd = -1;
	size_t nfds = 1;
	ssize_t n = rights_recv(w->control, iov, 2, &fd, &nfds, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0 && errno == EPROTO)
		return rules_broken(err);
	if (n <= 0) {
		fd_close(&w->control);
		return 0;
	}
	if (n < (ssize_t)sizeof(m))
		return rules_broken(err);
	text[n - (ssize_t)sizeof(m)] = '\0';
	return serve_message(w, &m, text, (size_t)n - sizeof(m), fd, err);
}

/* How it ended without an answer. */
static int ended(struct worker *w, struct err *err)
{
	int status = 0;

	if (spawner_task_end(&w->task, false, &status, err) < 0)
		return err_wrap(err, "unpacking");
	if (WIFSIGNALED(status))
		return err_set(err, ERR_INTERNAL, "the process that unpacks was killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	return err_set(err, ERR_INTERNAL, "the process that unpacks ended with status %d", WEXITSTATUS(status));
}

int worker_wait(struct worker *w, bool room, int extra_fd, struct err *err)
{
	struct pollfd p[6] = {
		{ .fd = w->control, .events = POLLIN }, { .fd = w->task, .events = POLLIN },
		{ .fd = room ? w->pipe : -1, .events = POLLOUT }, { .fd = extra_fd, .events = POLLIN },
		{ .fd = w->cancel ? w->cancel->client_fd : -1, .events = POLLRDHUP },
		{ .fd = w->cancel ? w->cancel->stop_fd : -1, .events = POLLIN },
	};

	if (worker_over(w))
		return 0;
	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return err_errno(err, errno, "poll");
	if (p[4].revents || p[5].revents)
		return err_set(err, ERR_CANCELLED, "cancelled");
	if (p[0].revents && take_message(w, err) < 0)
		return -1;
	/* its last words come before its end */
	while (p[1].revents && w->control >= 0 && !w->answered) {
		if (take_message(w, err) < 0)
			return -1;
		if (w->control >= 0 && !w->answered && poll(&p[0], 1, 0) <= 0)
			break;
	}
	return p[1].revents && !w->answered ? ended(w, err) : 0;
}

int worker_finish(struct worker *w, struct err *err)
{
	int status, rc;

	while (!worker_over(w))
		if (worker_wait(w, false, -1, err) < 0)
			return -1;
	/* it has nothing left to do; one that would not end by itself does now */
	rc = w->task >= 0 ? spawner_task_end(&w->task, true, &status, err) : 0;
	if (rc < 0)
		return -1;
	if (w->result.kind == UNPACK_FAILED)
		return err_move(err, &w->failure);
	return 0;
}

void worker_drop(struct worker *w)
{
	int status;

	if (w->task >= 0)
		spawner_task_end(&w->task, true, &status, NULL);
	fd_close(&w->control);
	fd_close(&w->pipe);
	err_done(&w->failure);
}
