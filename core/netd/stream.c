/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netd/log.h"
#include "netd/ports.h"

#define CHUNK       (1u << 20)
#define PIPE_SIZE   (256 << 10)
#define POOL        64
#define COPY_SIZE   65536
#define LITTLE      16384
#define ROUNDS      4
#define CONNECT_NS  (30 * NSEC_PER_SEC)

static struct list connecting = LIST_INIT(connecting); /* by deadline */
static struct timer connect_timer;
static int pool[POOL][2];
static size_t pooled, count, limit = 1024;
static void (*on_end)(void);

size_t stream_count(void)
{
	return count;
}

void stream_set_limit(size_t n)
{
	limit = n;
}

size_t stream_limit(void)
{
	return limit;
}

void stream_on_end(void (*fn)(void))
{
	on_end = fn;
}

/* False where there are no descriptors left: then bytes are copied. */
static bool pipe_get(struct half *h)
{
	if (h->pipe[0] >= 0)
		return true;
	if (h->copy)
		return false;
	if (pooled) {
		pooled--;
		h->pipe[0] = pool[pooled][0];
		h->pipe[1] = pool[pooled][1];
		return true;
	}
	if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		h->pipe[0] = h->pipe[1] = -1;
		return false;
	}
	fcntl(h->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
	return true;
}

/* Only an empty one may serve somebody else. */
static void pipe_put(struct half *h)
{
	if (h->pipe[0] < 0)
		return;
	if (h->held == 0 && pooled < POOL) {
		pool[pooled][0] = h->pipe[0];
		pool[pooled][1] = h->pipe[1];
		pooled++;
	} else {
		close(h->pipe[0]);
		close(h->pipe[1]);
	}
	h->pipe[0] = h->pipe[1] = -1;
}

static void stream_free(struct stream *s)
{
	list_del(&s->by_time);
	list_del(&s->of_port);
	loop_close(&s->client);
	loop_close(&s->target);
	pipe_put(&s->up);
	pipe_put(&s->down);
	free(s);
	count--;
	if (on_end)
		on_end();
}

void stream_cut(struct stream *s)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(s->client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(s->target.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	stream_free(s);
}

static uint32_t wanted(const struct half *out, const struct half *in)
{
	/* out: what this side sends; in: what it receives */
	return (!out->eof && !out->held && !out->blocked ? EPOLLIN : 0u) | (in->held || in->blocked ? EPOLLOUT : 0u);
}

/* Watches each side for what it is waited for. False: the stream was cut. */
static bool update(struct stream *s)
{
	if (s->up.done && s->down.done) {
		stream_free(s);
		return false;
	}
	if ((s->connecting || loop_watch(&s->client, wanted(&s->up, &s->down)) == 0) &&
	    loop_watch(&s->target, s->connecting ? (uint32_t)EPOLLOUT : wanted(&s->down, &s->up)) == 0)
		return true;
	stream_cut(s);
	return false;
}

/* Without a pipe: what the receiver took is taken from the sender. 1, 0 for nothing to do, -1 for a broken stream. */
static int move_copy(struct half *h, int from, int to)
{
	static char bytes[COPY_SIZE];
	ssize_t n = recv(from, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT), sent;

	h->blocked = false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0) {
		h->eof = true;
		return 1;
	}
	sent = send(to, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	h->blocked = sent < n;
	while (sent > 0) {
		n = recv(from, bytes, (size_t)sent, MSG_DONTWAIT);
		if (n <= 0)
			return -1;
		sent -= n;
	}
	return 1;
}

/*
 * A request or an answer: two copies cost less than what two splices do with pages. 1, 0 or -1 as move_copy(). Who fills the buffer
 * has more to say.
 */
static int move_little(struct half *h, int from, int to)
{
	static char bytes[LITTLE];
	ssize_t n = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT), sent;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	h->eof = n == 0;
	h->bulk = n == sizeof(bytes);
	sent = n ? send(to, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	n -= sent > 0 ? sent : 0;
	/* an empty pipe has room for all of it */
	if (n && write(h->pipe[1], bytes + (sent > 0 ? sent : 0), (size_t)n) != n)
		return -1;
	h->held = (size_t)n;
	return 1;
}

static int move_splice(struct half *h, int from, int to)
{
	ssize_t n;

	if (!h->held && !h->eof) {
		n = splice(from, NULL, h->pipe[1], NULL, CHUNK, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		h->eof = n == 0;
		h->held = (size_t)n;
		h->bulk = n >= LITTLE;
	}
	if (!h->held)
		return 1;
	n = splice(h->pipe[0], NULL, to, NULL, h->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	h->held -= (size_t)n;
	return 1;
}

/* -1: the stream is broken. */
static int move(struct half *h, int from, int to)
{
	int r = 0;

	if (h->done || (h->eof && !h->held && !h->blocked))
		return 0;
	if (!h->held && (h->blocked || !pipe_get(h)))
		r = move_copy(h, from, to);
	else if (!h->held && !h->bulk)
		r = move_little(h, from, to);
	else
		/* who sends much has more when the first of it is passed on */
		for (int i = 0; i < ROUNDS && (i == 0 || (r > 0 && h->bulk && !h->held && !h->eof)); i++)
			r = move_splice(h, from, to);
	if (r < 0)
		return -1;
	if (!h->held)
		pipe_put(h);
	if (h->eof && !h->held) {
		h->done = true;
		if (shutdown(to, SHUT_WR) < 0 && errno != ENOTCONN)
			return -1;
	}
	return 0;
}

static void connected(struct stream *s)
{
	int sys = 0;
	socklen_t size = sizeof(sys);

	getsockopt(s->target.fd, SOL_SOCKET, SO_ERROR, &sys, &size);
	if (sys) {
		char text[ADDRESS_TEXT];

		netd_log(LOG_DEBUG, "no connection to %s: %s", address_text(&s->port->target, text), strerror(sys));
		stream_cut(s);
		return;
	}
	s->connecting = false;
	list_del(&s->by_time);
	update(s);
}

/* out: what this side sends. */
static void side_ready(struct stream *s, struct source *side, uint32_t events, struct half *out, struct half *in)
{
	struct source *other = side == &s->client ? &s->target : &s->client;

	if (events & EPOLLERR) {
		stream_cut(s);
		return;
	}
	if ((events & EPOLLOUT && move(in, other->fd, side->fd) < 0) ||
	    (events & (EPOLLIN | EPOLLHUP) && move(out, side->fd, other->fd) < 0)) {
		stream_cut(s);
		return;
	}
	if (!update(s))
		return;
	/* it would be told again and again */
	if (events & EPOLLHUP && !side->events)
		loop_unwatch(side);
}

static void client_ready(struct source *src, uint32_t events)
{
	struct stream *s = CONTAINER_OF(src, struct stream, client);

	side_ready(s, src, events, &s->up, &s->down);
}

static void target_ready(struct source *src, uint32_t events)
{
	struct stream *s = CONTAINER_OF(src, struct stream, target);

	if (s->connecting)
		connected(s);
	else
		side_ready(s, src, events, &s->down, &s->up);
}

static void connects_due(struct timer *t)
{
	while (!list_empty(&connecting)) {
		struct stream *s = LIST_FIRST(&connecting, struct stream, by_time);

		if (s->deadline > loop_now()) {
			loop_timer_at(t, s->deadline, connects_due);
			return;
		}
		stream_cut(s);
	}
}

void stream_prepare(int fd)
{
	const int on = 1, idle = 60, every = 15, times = 4;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
}

static struct stream *stream_new(struct port *p, int client, int target)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->port = p;
	s->client = (struct source){ .fd = client, .fn = client_ready };
	s->target = (struct source){ .fd = target, .fn = target_ready };
	s->up.pipe[0] = s->up.pipe[1] = s->down.pipe[0] = s->down.pipe[1] = -1;
	s->up.copy = s->down.copy = p->proto != IPPROTO_TCP;
	list_init(&s->by_time);
	list_init(&s->of_port);
	list_add(&p->streams, &s->of_port);
	count++;
	return s;
}

static void wait_connect(struct stream *s)
{
	s->connecting = true;
	s->deadline = loop_now() + CONNECT_NS;
	list_add(&connecting, &s->by_time);
	if (!connect_timer.at)
		loop_timer_at(&connect_timer, s->deadline, connects_due);
}

static void refuse(int fd)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

int stream_socket(const struct port *p)
{
	return socket(p->target.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, p->proto);
}

void stream_begin(struct port *p, int fd, int target)
{
	struct stream *s = stream_new(p, fd, target);
	const int on = 1;

	if (!s) {
		netd_log_seldom(LOG_ERROR, "a connection is refused: %s", strerror(errno));
		refuse(fd);
		close(target);
		return;
	}
	setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(target, &p->target.sa, address_size(&p->target)) < 0) {
		if (errno != EINPROGRESS) {
			stream_cut(s);
			return;
		}
		wait_connect(s);
	}
	update(s);
}

bool stream_adopt(struct port *p, unsigned flags, size_t up, size_t down, const int *fds, size_t nfds)
{
	size_t want = 2 + (up ? 2 : 0) + (down ? 2 : 0);
	struct stream *s = nfds == want ? stream_new(p, fds[0], fds[1]) : NULL;

	if (!s)
		return false;
	fds += 2;
	s->up.held = up;
	s->down.held = down;
	for (int i = 0; up && i < 2; i++)
		s->up.pipe[i] = *fds++;
	for (int i = 0; down && i < 2; i++)
		s->down.pipe[i] = *fds++;
	s->up.eof = flags & STREAM_UP_EOF;
	s->up.done = flags & STREAM_UP_DONE;
	s->down.eof = flags & STREAM_DOWN_EOF;
	s->down.done = flags & STREAM_DOWN_DONE;
	if (flags & STREAM_CONNECTING)
		wait_connect(s);
	return true;
}

unsigned stream_flags(const struct stream *s)
{
	return (s->connecting ? STREAM_CONNECTING : 0u) | (s->up.eof ? STREAM_UP_EOF : 0u) | (s->up.done ? STREAM_UP_DONE : 0u) |
		(s->down.eof ? STREAM_DOWN_EOF : 0u) | (s->down.done ? STREAM_DOWN_DONE : 0u);
}

void stream_pause(struct stream *s)
{
	loop_unwatch(&s->client);
	loop_unwatch(&s->target);
}

void stream_resume(struct stream *s)
{
	update(s);
}
