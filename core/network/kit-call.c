/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request to rootlesskit: HTTP/1.0 over its socket, so that the answer ends with the connection and is in one piece. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lock.h"
#include "network/kit.h"

#define ANSWER_MOST (32u << 20)
#define WAIT_NS     (20 * NSEC_PER_SEC)

static int wait_for(int fd, short events, int64_t end)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;

	do {
		left = end - clock_mono();
		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
	} while (poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1) <= 0);
	return 0;
}

static int open_socket(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -1;
	return STEAL_FD(fd);
}

static int send_all(int fd, const struct buf *b, int64_t end)
{
	for (size_t sent = 0; sent < b->size;) {
		ssize_t n = send(fd, b->data + sent, b->size - sent, MSG_NOSIGNAL);

		if (n >= 0)
			sent += (size_t)n;
		else if ((errno != EAGAIN && errno != EINTR) || wait_for(fd, POLLOUT, end) < 0)
			return -1;
	}
	return 0;
}

static int take_all(int fd, struct buf *b, int64_t end)
{
	for (;;) {
		ssize_t n = recv(fd, buf_reserve(b, 16384), 16384, 0);

		if (n == 0)
			return 0;
		if (n > 0)
			b->size += (size_t)n;
		else if ((errno != EAGAIN && errno != EINTR) || wait_for(fd, POLLIN, end) < 0)
			return -1;
		if (b->size > ANSWER_MOST) {
			errno = EFBIG;
			return -1;
		}
	}
}

int kit_call(const char *socket, const char *method, const char *path, const char *body, struct buf *ret, struct err *err)
{
	OWN_BUF struct buf ask = { 0 }, answer = { 0 };
	int64_t end = clock_mono() + WAIT_NS;
	OWN_FD int fd = -1;
	const char *text;
	int status = 0;

	lock_none_held();
	buf_addf(&ask, "%s %s HTTP/1.0\r\nHost: rootlesskit\r\n", method, path);
	if (body)
		buf_addf(&ask, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	buf_addf(&ask, "\r\n%s", body ? body : "");
	fd = open_socket(socket);
	if (fd < 0 || send_all(fd, &ask, end) < 0 || take_all(fd, &answer, end) < 0)
		return err_errno(err, errno, "ask rootlesskit at %s", socket);
	buf_addc(&answer, '\0');
	text = strstr(answer.data, "\r\n\r\n");
	if (!text || sscanf(answer.data, "HTTP/1.%*1[01] %3d", &status) != 1)
		return err_set(err, ERR_INTERNAL, "rootlesskit at %s does not answer as it should", socket);
	text += strlen("\r\n\r\n");
	buf_reset(ret);
	buf_adds(ret, text);
	return status;
}
