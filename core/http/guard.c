/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard of a kept-alive connection. Between two requests the connection's thread waits here until the next header block
 * is whole and well-formed in the socket; only then it is served (kept.c), or the library may read it. The library reads ahead: what it took out of
 * the socket is counted, and a connection whose count is not the sum of its requests ends, so that no request is ever read
 * that was not looked at.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "http/conn.h"

#define FIRST_LOOK 2048      /* most header blocks */
#define COUNT_FROM (1 << 30) /* a Unix socket's peek offset goes down with every byte read */
#define NAP_MAX_MS 50

static int64_t tcp_taken(int fd);
static int wait_input(struct conn *c);
static int look(struct conn *c, char *data, size_t size, size_t *ret_size, struct http_head *head, const char **why);
static enum http_kept next_block(struct conn *c);
static enum http_kept refuse(struct conn *c, int status, const char *why);

static bool is_unix(const struct conn *c) { return c->addr.ss_family != AF_INET && c->addr.ss_family != AF_INET6; }

void http_guard_pass(struct conn *c, const struct http_head *head)
{
	int from = COUNT_FROM;

	c->request_size = head->chunked ? -1 : (int64_t)head->size + (head->content_length > 0 ? head->content_length : 0);
	c->passed = true;
	c->counting = is_unix(c);
	if (!c->counting)
		c->taken = tcp_taken(c->fd);
	else
		c->taken = setsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &from, sizeof(from)) < 0 ? -1 : 0;
}

bool http_guard_begin(struct conn *c)
{
	bool ret = c->passed;

	c->passed = false;
	return ret;
}

bool http_guard_even(const struct conn *c)
{
	int64_t now;
	int off = 0;
	socklen_t size = sizeof(off);

	if (c->request_size < 0 || c->request_size >= COUNT_FROM || c->taken < 0)
		return false;
	if (!is_unix(c))
		return (now = tcp_taken(c->fd)) >= 0 && now - c->taken == c->request_size;
	return getsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &off, &size) == 0 && COUNT_FROM - off == c->request_size;
}

bool http_guard_next(struct conn *c)
{
	int off = -1;

	if (c->counting)
		setsockopt(c->fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off));
	c->counting = false;
	for (;;) {
		enum http_kept kept = next_block(c);

		if (kept != KEPT_ANSWERED)
			return kept == KEPT_NOT;
	}
}

/* KEPT_NOT: a block that passed, for the library. */
static enum http_kept next_block(struct conn *c)
{
	const struct http_limits *l = &c->srv->limits;
	char small[FIRST_LOOK];
	OWN_FREE char *large = NULL;
	size_t got = 0, before = 0, room = sizeof(small);
	struct http_head head;
	const char *why = NULL;
	int status, nap = 1;
	int64_t until;
	enum http_kept ret;

	if (wait_input(c) <= 0)
		return KEPT_ENDS;
	until = 0;
	while ((status = look(c, large ? large : small, room, &got, &head, &why)) == 0) {
		if (got == room && !large) {
			room = l->header_size + FIRST_LOOK;
			large = xmalloc(room);
			continue;
		}
		if (!until)
			until = clock_mono() + l->header_timeout_ms * NSEC_PER_MSEC;
		if (clock_mono() >= until)
			return refuse(c, 408, "the request header took too long");
		/* Part of a block keeps the socket readable, so that poll() cannot wait for the rest. */
		nap = got > before ? 1 : nap * 2 > NAP_MAX_MS ? NAP_MAX_MS : nap * 2;
		before = got;
		nanosleep(&(struct timespec){ .tv_nsec = nap * NSEC_PER_MSEC }, NULL);
	}
	if (status < 0)
		return KEPT_ENDS;
	if (status != 200)
		return refuse(c, status, why);
	ret = http_kept_serve(c, large ? large : small, got, &head);
	if (ret == KEPT_NOT)
		http_guard_pass(c, &head);
	http_head_done(&head);
	return ret;
}

/* Bytes of the client that are out of the socket; -1: the kernel does not tell. */
static int64_t tcp_taken(int fd)
{
	for (int i = 0; i < 8; i++) {
		struct tcp_info before = { 0 }, after = { 0 };
		socklen_t size = sizeof(before), again = sizeof(after);
		int waiting;

		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &size) < 0 || ioctl(fd, SIOCINQ, &waiting) < 0 ||
			getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &again) < 0 ||
			size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(before.tcpi_bytes_received))
			return -1;
		if (before.tcpi_bytes_received == after.tcpi_bytes_received)
			return (int64_t)before.tcpi_bytes_received - waiting;
	}
	return -1;
}

/* 1: bytes, or the end of them, are here; 0: the time is over. */
static int wait_input(struct conn *c)
{
	int64_t begin = clock_mono(), until = begin + c->srv->limits.idle_timeout_s * NSEC_PER_SEC, left;
	struct pollfd p = { c->fd, POLLIN, 0 };
	enum spun spun = http_spin(c, begin);
	int n = spun == SPUN_HIT;

	while (!n) {
		left = until - clock_mono();
		n = poll(&p, 1, left > 0 ? (int)(left / NSEC_PER_MSEC) + 1 : 0);
		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		n = n > 0;
	}
	http_spin_note(&c->spin, spun, clock_mono() - begin);
	return n;
}

/* As http_head_check(); -1: the client is gone. */
static int look(struct conn *c, char *data, size_t size, size_t *ret_size, struct http_head *head, const char **why)
{
	const struct http_limits *l = &c->srv->limits;
	struct pollfd p = { c->fd, POLLRDHUP, 0 };
	ssize_t n = recv(c->fd, data, size, MSG_PEEK | MSG_DONTWAIT);
	int status;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		return -1;
	*ret_size = n > 0 ? (size_t)n : 0;
	status = http_head_check(data, *ret_size, l->header_size, l->uri_size, head, why);
	/* No more bytes will come. */
	if (status == 0 && *ret_size < size && poll(&p, 1, 0) > 0)
		return -1;
	if (status == 200 && head->chunked && !http_chunks_check(data + head->size, *ret_size - head->size)) {
		http_head_done(head);
		*why = "malformed chunk";
		status = 400;
	}
	return status;
}

static enum http_kept refuse(struct conn *c, int status, const char *why)
{
	http_say_refused(c->fd, status, why);
	raw_linger(c->fd, LINGER_MS);
	return KEPT_ENDS;
}
