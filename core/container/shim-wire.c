/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request to a shim and its answer. Each has a connection of its own, so that none waits for another and none needs a dispatcher. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/rights.h"
#include "container/shim-client.h"

int shim_connect(const char *dir, bool wait, int *ret_sys)
{
	OWN_FD int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct timeval limit = { .tv_sec = SHIM_SOON_MS / 1000 };
	struct sockaddr_un a;

	*ret_sys = ENOENT;
	if (dirfd < 0)
		return -1;
	shim_address(dir, dirfd, SHIM_SOCKET, &a);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		*ret_sys = errno;
		return -1;
	}
	return STEAL_FD(fd);
}

/* Exactly size bytes, with the descriptor that comes along. timeout_ms -1: as long as the shim lives. */
static int receive(int fd, void *data, size_t size, int timeout_ms, int *ret_fd)
{
	size_t done = 0;

	while (done < size) {
		struct iovec iov = { (char *)data + done, size - done };
		size_t nfds = 1;
		ssize_t n;
		int got;

		if (cancel_wait(NULL, fd, POLLIN, timeout_ms) <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		n = rights_recv(fd, &iov, 1, &got, &nfds, 0);
		if (n <= 0) {
			errno = n < 0 ? errno : ECONNRESET;
			return -1;
		}
		if (nfds) {
			fd_close(ret_fd);
			*ret_fd = got;
		}
		done += (size_t)n;
	}
	return 0;
}

static enum err_class class_of(int64_t status)
{
	for (int c = 0; c < ERR_CLASSES; c++)
		if (err_status((enum err_class)c) == status)
			return (enum err_class)c;
	return ERR_INTERNAL;
}

static int too_new(int64_t version, struct err *err)
{
	return err_set(err, ERR_NOT_IMPLEMENTED, "the container was started by a newer version: its shim speaks protocol %lld, this daemon "
		"%d; it runs on untouched", (long long)version, SHIM_VERSION);
}

int shim_answer(int fd, int timeout_ms, struct shim_msg *ret, int *ret_fd, struct err *err)
{
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	OWN_FD int with = -1;

	if (receive(fd, &m.head, sizeof(m.head), timeout_ms, &with) < 0)
		return err_errno(err, errno, "the container's shim does not answer");
	if (m.head.size > SHIM_MAX_BODY || m.head.version == 0)
		return err_set(err, ERR_INTERNAL, "the container's shim answers nonsense");
	if (m.head.version > SHIM_VERSION && m.head.type != SHIM_ERROR)
		return too_new(m.head.version, err);
	buf_reserve(&m.body, m.head.size);
	m.body.size = m.head.size;
	if (receive(fd, m.body.data, m.head.size, SHIM_ANSWER_MS, &with) < 0)
		return err_errno(err, errno, "the container's shim does not answer");
	if (m.head.type == SHIM_ERROR) {
		const char *text = shim_msg_get_str(&m, TAG_TEXT);

		return err_set(err, class_of(shim_msg_get_int(&m, TAG_STATUS, 500)), "%s", text ? text : "the container's shim refused");
	}
	if (ret_fd)
		*ret_fd = STEAL_FD(with);
	if (ret) {
		*ret = m;
		m = (struct shim_msg){ 0 };
	}
	return 0;
}

int shim_ask(struct shim *s, const struct shim_msg *m, int timeout_ms, struct shim_msg *ret, int *ret_fd, int *ret_conn,
	struct err *err)
{
	OWN_FD int fd = -1;
	int sys;

	lock_none_held();
	if (s->version > SHIM_VERSION)
		return too_new(s->version, err);
	fd = shim_connect(s->dir, true, &sys);
	if (fd < 0) {
		err_errno(err, sys, "reach the container's shim");
		if (err && sys != EAGAIN)
			err->class = ERR_NOT_FOUND;
		return -1;
	}
	if (shim_msg_send(fd, m, -1, 0) < 0)
		return err_errno(err, errno, "ask the container's shim");
	if (shim_answer(fd, timeout_ms, ret, ret_fd, err) < 0)
		return -1;
	if (ret_conn)
		*ret_conn = STEAL_FD(fd);
	return 0;
}
