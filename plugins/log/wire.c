/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "wire.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LEAST_PAUSE INT64_C(10000000)

static const char *const names[] = { "unix", "unixgram", "udp", "tcp" };

void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static int broken(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const char *what, int sys)
{
	wire_close(w);
	return dkd_failf(host, call, sys == ETIMEDOUT ? DKD_ERR_CANCELLED : DKD_ERR_UNAVAILABLE, sys, "%s %s://%s%s%s", what,
		names[w->kind], w->host, *w->port ? ":" : "", w->port);
}

int64_t wire_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* 0, or an errno. */
static int wait_for(int fd, short events, const struct dkd_call *call)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = events }, { .fd = call->cancel_fd, .events = POLLIN } };
		int64_t left = call->deadline ? (call->deadline - wire_now()) / 1000000 : -1;

		if (call->deadline && left <= 0)
			return ETIMEDOUT;
		if (poll(p, 2, left > 60000 ? 60000 : (int)left) < 0 && errno != EINTR)
			return errno;
		if (p[1].revents)
			return ETIMEDOUT;
		if (p[0].revents)
			return 0;
	}
}

static int join(int fd, const struct sockaddr *to, socklen_t size, const struct dkd_call *call)
{
	int sys = 0;
	socklen_t len = sizeof(sys);

	if (connect(fd, to, size) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return errno;
	sys = wait_for(fd, POLLOUT, call);
	return sys ? sys : getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0 ? errno : sys;
}

/* 0, or an errno. */
static int try_address(struct wire *w, int family, int type, const struct sockaddr *to, socklen_t size, const struct dkd_call *call)
{
	int sys;

	w->fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0)
		return errno;
	sys = join(w->fd, to, size, call);
	if (sys)
		wire_close(w);
	return sys;
}

/* 0, or an errno. */
static int join_path(struct wire *w, const struct dkd_call *call)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (strlen(w->host) >= sizeof(to.sun_path))
		return ENAMETOOLONG;
	strcpy(to.sun_path, w->host);
	return try_address(w, AF_UNIX, w->kind == WIRE_UNIX ? SOCK_STREAM : SOCK_DGRAM, (struct sockaddr *)&to, sizeof(to), call);
}

static int connect_unix(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	int sys = join_path(w, call);

	return sys ? broken(w, host, call, "connect to", sys) : 0;
}

static int connect_inet(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	struct addrinfo hints = { .ai_socktype = w->kind == WIRE_TCP ? SOCK_STREAM : SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG }, *all = NULL;
	int r = getaddrinfo(*w->host ? w->host : "localhost", w->port, &hints, &all), sys = EADDRNOTAVAIL;

	if (r)
		return dkd_failf(host, call, DKD_ERR_UNAVAILABLE, 0, "look up %s: %s", w->host, gai_strerror(r));
	for (struct addrinfo *a = all; a && w->fd < 0; a = a->ai_next)
		sys = try_address(w, a->ai_family, a->ai_socktype, a->ai_addr, a->ai_addrlen, call);
	freeaddrinfo(all);
	return w->fd < 0 ? broken(w, host, call, "connect to", sys) : 0;
}

/* A server that has gone is noticed before something is sent after it. */
static void look_closed(struct wire *w)
{
	char c;
	ssize_t n;

	if (w->fd < 0 || (w->kind != WIRE_TCP && w->kind != WIRE_UNIX))
		return;
	n = recv(w->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		wire_close(w);
}

static int connect_once(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	look_closed(w);
	if (w->fd >= 0)
		return 0;
	return (w->kind == WIRE_UNIX || w->kind == WIRE_UNIXGRAM ? connect_unix : connect_inet)(w, host, call);
}

int wire_reaches(struct wire *w, const struct dkd_call *call)
{
	return join_path(w, call) == 0;
}

int wire_send(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const void *data, size_t size)
{
	const char *at = data, *end = at + size;

	if (connect_once(w, host, call) < 0)
		return -1;
	while (at < end) {
		ssize_t n = send(w->fd, at, (size_t)(end - at), MSG_NOSIGNAL);
		int sys = n < 0 ? errno : 0;

		if (n >= 0)
			at += n;
		else if (sys == EAGAIN && (sys = wait_for(w->fd, POLLOUT, call)) != 0)
			return broken(w, host, call, "write to", sys);
		else if (sys && sys != EINTR)
			return broken(w, host, call, "write to", sys);
	}
	return 0;
}

int wire_send_message(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const struct msghdr *message)
{
	if (connect_once(w, host, call) < 0)
		return -1;
	for (;;) {
		int sys = sendmsg(w->fd, message, MSG_NOSIGNAL) < 0 ? errno : 0;

		if (!sys)
			return 0;
		if (sys == EMSGSIZE || sys == ENOBUFS)
			return 1;
		if (sys == EAGAIN)
			sys = wait_for(w->fd, POLLOUT, call);
		if (sys && sys != EINTR)
			return broken(w, host, call, "write to", sys);
	}
}

int wire_receive(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, void *data, size_t size, size_t *ret)
{
	for (;;) {
		ssize_t n = w->fd < 0 ? 0 : recv(w->fd, data, size, MSG_DONTWAIT);
		int sys = n < 0 ? errno : 0;

		if (n > 0) {
			*ret = (size_t)n;
			return 0;
		}
		if (n == 0)
			return broken(w, host, call, "read from", ECONNRESET);
		if (sys == EAGAIN)
			sys = wait_for(w->fd, POLLIN, call);
		if (sys && sys != EINTR)
			return broken(w, host, call, "read from", sys);
	}
}

bool wire_pause(const struct dkd_call *call, int64_t ns)
{
	int64_t until = wire_now() + (ns < LEAST_PAUSE ? LEAST_PAUSE : ns);

	if (call->deadline && until >= call->deadline)
		return false;
	for (int64_t left; (left = (until - wire_now()) / 1000000) > 0;) {
		struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };

		if (poll(&p, 1, left > 60000 ? 60000 : (int)left) > 0)
			return false;
	}
	return true;
}
