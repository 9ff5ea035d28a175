/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The server as such: its limits, its listeners, what is open. Nothing here knows the HTTP library. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fs.h"
#include "http/conn.h"
#include "http/tls.h"

#define KEEP_MAX 64
#define FDS_APART 64      /* descriptors that connections leave to the rest of the daemon */
#define FDS_EACH 3        /* of a direct connection */
#define FDS_TLS 2         /* of one that comes through the relay, beside those */

static void limit_by_descriptors(struct http_limits *l, int each)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY && rl.rlim_cur < 1u << 20) {
		int most = ((int)rl.rlim_cur - FDS_APART) / each;

		if (l->max_connections > most)
			l->max_connections = most > 8 ? most : 8;
	}
}

void http_limit_tls(struct http_limits *l)
{
	limit_by_descriptors(l, FDS_EACH + FDS_TLS);
}

static void set_limits(struct http_limits *l, const struct http_limits *given)
{
	if (given)
		*l = *given;
	if (l->max_connections <= 0)
		l->max_connections = 4096;
	limit_by_descriptors(l, FDS_EACH);
	if (!l->max_handshakes)
		l->max_handshakes = 256;
	if (l->header_timeout_ms <= 0)
		l->header_timeout_ms = 10000;
	if (l->idle_timeout_s <= 0)
		l->idle_timeout_s = 60;
	if (!l->header_size)
		l->header_size = 64u << 10;
	if (!l->uri_size)
		l->uri_size = 32u << 10;
	if (!l->ring_size)
		l->ring_size = 256u << 10;
}

struct http_server *http_server_new(struct router *r, const struct http_limits *limits, struct err *err)
{
	struct http_server *s = xcalloc(1, sizeof(*s));

	s->router = r;
	set_limits(&s->limits, limits);
	lock_init(&s->lock, LOCK_LEAF);
	lock_cond_init(&s->changed);
	s->conns = xcalloc((size_t)s->limits.max_connections + SLOTS_APART, sizeof(*s->conns));
	s->peek = xmalloc(s->limits.header_size + PEEK_EXTRA);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->spinners = (int)http_spinners();
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->arrivals[0] = s->arrivals[1] = -1;
	if (s->epoll_fd >= 0 && s->wake_fd >= 0 && s->spare_fd >= 0 && pipe2(s->arrivals, O_CLOEXEC | O_NONBLOCK) == 0)
		return s;
	err_errno(err, errno, "cannot set up the HTTP server");
	http_server_free(s);
	return NULL;
}

int http_server_add_listener(struct http_server *s, int fd, const struct http_listen *how, struct err *err)
{
	struct http_listener *l;
	int on = fcntl(fd, F_GETFL), domain = AF_UNIX;
	socklen_t size = sizeof(domain);

	if (on < 0 || fcntl(fd, F_SETFL, on | O_NONBLOCK) < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return err_errno(err, errno, "cannot use listener %d", fd);
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->host = xstrdup(how && how->host ? how->host : "");
	l->policy = xstrdup(how && how->policy ? how->policy : "");
	l->secure = how && how->tls && domain != AF_UNIX;
	if (l->secure)
		l->tls = tls_creds_ref(how->tls);
	s->listeners = xrealloc(s->listeners, (s->n_listeners + 1) * sizeof(*s->listeners));
	s->listeners[s->n_listeners++] = l;
	return 0;
}

void http_server_set_tls(struct http_server *s, struct tls_creds *tls)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct tls_creds *before = NULL;

		lock_take(&s->lock);
		if (s->listeners[i]->tls) {
			before = s->listeners[i]->tls;
			s->listeners[i]->tls = tls_creds_ref(tls);
		}
		lock_drop(&s->lock);
		tls_creds_unref(before);
	}
}

bool http_speaks_tls(const struct http_server *s)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (s->listeners[i]->secure)
			return true;
	return false;
}

static bool wait_for_requests(struct http_server *s, int timeout_ms)
{
	int64_t end = clock_mono() + timeout_ms * NSEC_PER_MSEC, left;
	WITH_LOCK(&s->lock);

	while (s->n_requests) {
		left = end - clock_mono();
		if (left <= 0)
			return false;
		lock_wait(&s->lock, &s->changed, left);
	}
	return true;
}

static void cut_connections(struct http_server *s)
{
	WITH_LOCK(&s->lock);

	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->conns[i].state == CONN_ACTIVE)
			shutdown(s->conns[i].fd, SHUT_RDWR);
}

bool http_requests_end(struct http_server *s, int timeout_ms)
{
	wait_for_requests(s, timeout_ms);
	cut_connections(s);
	return wait_for_requests(s, timeout_ms);
}

void http_server_free(struct http_server *s)
{
	if (!s)
		return;
	BUG_ON(s->started || s->mhd);
	tls_relay_free(s);
	for (size_t i = 0; i < s->n_listeners; i++) {
		close(s->listeners[i]->fd);
		tls_creds_unref(s->listeners[i]->tls);
		free(s->listeners[i]->host);
		free(s->listeners[i]->policy);
		free(s->listeners[i]);
	}
	free(s->listeners);
	fd_close(&s->arrivals[0]);
	fd_close(&s->arrivals[1]);
	fd_close(&s->epoll_fd);
	fd_close(&s->wake_fd);
	fd_close(&s->spare_fd);
	free(s->conns);
	free(s->by_fd);
	free(s->peek);
	pthread_cond_destroy(&s->changed);
	lock_done(&s->lock);
	free(s);
}

size_t http_server_connections(struct http_server *s)
{
	WITH_LOCK(&s->lock);

	return s->n_conns;
}

bool http_crowded(struct http_server *s)
{
	WITH_LOCK(&s->lock);

	return s->n_active > KEEP_MAX;
}
