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
	if (w->ctx)
		w->layer->close(w->ctx);
	w->ctx = NULL;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static int broken(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const char *what, int sys)
{
	wire_close(w);
	return dkd_failf(host, call, sys == ETIMEDOUT ? DKD_ERR_CANCELLED : DKD_ERR_UNAVAILABLE, sys, "%s %s://%s%s%s", what,
		w->layer ? "tls" : names[w->kind], w->host, *w->port ? ":" : "", w->port);
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

/* After a hitch: 0, or -1 as broken(). */
static int get_over(struct wire *w, const struct dkd_host *host, const struct dkd_call *call, const char *what, const struct wire_hitch *h)
{
	int sys = h->wait ? wait_for(w->fd, h->wait, call) : h->sys;

	if (sys || h->wait)
		return sys ? broken(w, host, call, what, sys) : 0;
	wire_close(w);
	return dkd_failf(host, call, DKD_ERR_UNAVAILABLE, 0, "%s tls://%s:%s: %s", what, w->host, w->port, h->why);
}

static ssize_t hitched(short wait, struct wire_hitch *h)
{
	*h = (struct wire_hitch){ .wait = errno == EAGAIN || errno == EINTR ? wait : 0, .sys = errno };
	return -1;
}

static ssize_t send_some(struct wire *w, const void *data, size_t size, struct wire_hitch *h)
{
	ssize_t n;

	if (w->ctx)
		return w->layer->send(w->ctx, data, size, h);
	n = send(w->fd, data, size, MSG_NOSIGNAL);
	return n < 0 ? hitched(POLLOUT, h) : n;
}

static ssize_t receive_some(struct wire *w, void *data, size_t size, struct wire_hitch *h)
{
	ssize_t n;

	if (w->ctx)
		return w->layer->receive(w->ctx, data, size, h);
	n = recv(w->fd, data, size, MSG_DONTWAIT);
	return n < 0 ? hitched(POLLIN, h) : n;
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
	struct addrinfo hints = { .ai_socktype = w->kind == WIRE_UDP ? SOCK_DGRAM : SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *all = NULL;
	int r = getaddrinfo(*w->host ? w->host : "localhost", w->port, &hints, &all), sys = EADDRNOTAVAIL;

	if (r)
		return dkd_failf(host, call, DKD_ERR_UNAVAILABLE, 0, "look up %s: %s", w->host, gai_strerror(r));
	for (struct addrinfo *a = all; a && w->fd < 0; a = a->ai_next)
		sys = try_address(w, a->ai_family, a->ai_socktype, a->ai_addr, a->ai_addrlen, call);
	freeaddrinfo(all);
	return w->fd < 0 ? broken(w, host, call, "connect to", sys) : 0;
}

static int begin_layer(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	struct wire_hitch h;

	w->ctx = w->layer->open(w->layer_options, *w->host ? w->host : "localhost", w->fd, &h);
	if (!w->ctx)
		return get_over(w, host, call, "connect to", &h);
	while (w->layer->begin(w->ctx, &h) < 0)
		if (get_over(w, host, call, "connect to", &h) < 0)
			return -1;
	return 0;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/*
 * A server that has gone is noticed before something is sent after it. Nobody waits for what came unasked. A layer may take what is
 * its own, and only then come to the end. -1: told, why it broke: a server of TLS may refuse a client that thinks itself connected.
 */
static int look_closed(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	struct wire_hitch h;
	char nothing[256];

	if (w->kind != WIRE_TCP && w->kind != WIRE_UNIX)
		return 0;
	for (int i = 0; w->fd >= 0 && i < 64 && is_readable(w->fd); i++) {
		ssize_t n = receive_some(w, nothing, sizeof(nothing), &h);

		if (n < 0 && !h.wait && w->layer)
			return get_over(w, host, call, "read from", &h);
		if (n == 0 || (n < 0 && !h.wait))
			wire_close(w);
	}
	return 0;
}

static int connect_once(struct wire *w, const struct dkd_host *host, const struct dkd_call *call)
{
	if (look_closed(w, host, call) < 0)
		return -1;
	if (w->fd >= 0)
		return 0;
	if ((w->kind == WIRE_UNIX || w->kind == WIRE_UNIXGRAM ? connect_unix : connect_inet)(w, host, call) < 0)
		return -1;
	return w->layer ? begin_layer(w, host, call) : 0;
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
		struct wire_hitch h;
		ssize_t n = send_some(w, at, (size_t)(end - at), &h);

		if (n >= 0)
			at += n;
		else if (get_over(w, host, call, "write to", &h) < 0)
			return -1;
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
		struct wire_hitch h;
		ssize_t n = w->fd < 0 ? 0 : receive_some(w, data, size, &h);

		if (n == 0)
			return broken(w, host, call, "read from", ECONNRESET);
		if (n > 0) {
			*ret = (size_t)n;
			return 0;
		}
		if (get_over(w, host, call, "read from", &h) < 0)
			return -1;
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
