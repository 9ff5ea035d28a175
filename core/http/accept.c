/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The acceptor: one thread for all listeners but those of TLS. It keeps a new connection until its header block is whole and
 * well-formed (peeked, not taken), so that a client that dribbles costs a descriptor and no thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/metrics.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/conn.h"
#include "http/tls.h"

#define TICK_MS 500 /* how exact deadlines are */
#define LINGER_MAX (1u << 20)
#define EVICT_AFTER_MS 1000
#define BUSY "too many open connections"
#define TAG_LISTENER UINT64_C(0xffffffff00000000)
#define TAG_WAKE UINT64_MAX
#define TAG_ARRIVALS (UINT64_MAX - 1)
/* Of TCP: who is gone without a word is noticed. As Docker's. */
#define ALIVE_S 15
#define ALIVE_TRIES 9

static void accept_some(struct http_server *s, struct http_listener *l);
static void take_arrivals(struct http_server *s);
static void on_conn(struct http_server *s, uint64_t tag, uint32_t events);
static void on_pending(struct conn *c, uint32_t events);
static void on_linger(struct conn *c);
static void refuse(struct conn *c, int status, const char *why);
static void hand_over(struct conn *c, const struct http_head *head, const char *data, size_t size);
static bool set_off(struct conn *c, const struct http_head *head, bool direct, size_t feed);
static void drop(struct conn *c);
static int next_tick(struct http_server *s);
static void expire(struct http_server *s);

static uint64_t tag_of(const struct conn *c)
{
	return (uint64_t)(c->generation & 0x7fffffff) << 32 | c->slot;
}

static void watch(struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = tag_of(c) };

	epoll_ctl(c->srv->epoll_fd, op, c->fd, &ev);
}

void *http_accept_main(void *server)
{
	struct http_server *s = server;
	struct epoll_event ev[64], arrivals = { .events = EPOLLIN, .data.u64 = TAG_ARRIVALS };

	epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->arrivals[0], &arrivals);
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = TAG_LISTENER | i };

		if (s->listeners[i]->secure)
			continue;
		epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listeners[i]->fd, &e);
	}
	for (int64_t looked = 0;;) {
		int n = epoll_wait(s->epoll_fd, ev, ARRAY_LEN(ev), next_tick(s));

		for (int i = 0; i < n; i++) {
			uint64_t tag = ev[i].data.u64;

			if (tag == TAG_WAKE)
				goto out;
			if (tag == TAG_ARRIVALS)
				take_arrivals(s);
			else if ((tag & TAG_LISTENER) == TAG_LISTENER)
				accept_some(s, s->listeners[tag & ~TAG_LISTENER]);
			else
				on_conn(s, tag, ev[i].events);
		}
		if (clock_mono() - looked >= TICK_MS * NSEC_PER_MSEC) {
			expire(s);
			looked = clock_mono();
		}
	}
out:
	take_arrivals(s);
	for (uint32_t i = 0; i < s->n_slots; i++) {
		enum conn_state state;

		lock_take(&s->lock);
		state = s->conns[i].state;
		lock_drop(&s->lock);
		if (state == CONN_PENDING || state == CONN_LINGER)
			drop(&s->conns[i]);
	}
	return NULL;
}

void http_say_refused(int fd, int status, const char *why)
{
	OWN_BUF struct buf body = { 0 }, b = { 0 };

	buf_addf(&body, "{\"message\":\"%s\"}\n", why);
	buf_addf(&b, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
		status, http_status_text(status), body.size, body.data);
	send(fd, b.data, b.size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

struct conn *http_conn_take(struct http_server *s)
{
	for (uint32_t i = s->free_hint; i < (uint32_t)s->limits.max_connections + SLOTS_APART; i++) {
		struct conn *c = &s->conns[i];

		if (c->state != CONN_FREE)
			continue;
		s->free_hint = i + 1;
		if (s->n_slots < i + 1)
			s->n_slots = i + 1;
		*c = (struct conn){ .srv = s, .state = CONN_PENDING, .slot = i, .generation = c->generation + 1,
			.fd = -1, .feed_fd = -1, .lib_fd = -1 };
		s->n_conns++;
		return c;
	}
	return NULL;
}

void http_conn_release(struct conn *c)
{
	struct http_server *s = c->srv;

	if (c->state == CONN_ACTIVE)
		s->n_active--;
	c->state = CONN_FREE;
	peer_done(&c->peer);
	if (s->free_hint > c->slot)
		s->free_hint = c->slot;
	s->n_conns--;
	pthread_cond_broadcast(&s->changed);
}

/* One that was refused already, else the pending connection that has waited longest, if that is long. */
static struct conn *idlest(struct http_server *s)
{
	int64_t limit = clock_mono() + (s->limits.header_timeout_ms - EVICT_AFTER_MS) * NSEC_PER_MSEC;
	struct conn *found = NULL;
	WITH_LOCK(&s->lock);

	for (uint32_t i = 0; i < s->n_slots; i++) {
		struct conn *c = &s->conns[i];

		if (c->state == CONN_LINGER)
			return c;
		if (c->state == CONN_PENDING && c->deadline < limit && (!found || c->deadline < found->deadline))
			found = c;
	}
	return found;
}

static void say_busy(int fd)
{
	static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
		"Content-Length: 40\r\n\r\n{\"message\":\"" BUSY "\"}\n";

	if (send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		raw_linger(fd, 0);
	close(fd);
}

/* No descriptor is left: the spare one makes room to tell the client. */
static void accept_without_room(int listener, int *spare)
{
	int fd;

	fd_close(spare);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		say_busy(fd);
	*spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* Level-triggered: without this the listener would spin while nothing can be accepted. */
	if (fd < 0)
		usleep(10000);
}

static struct conn *slot_for(struct http_server *s, int fd, const struct http_listener *from, int64_t deadline)
{
	struct conn *c;
	WITH_LOCK(&s->lock);

	c = http_conn_take(s);
	if (!c)
		return NULL;
	c->fd = fd;
	c->peer.listener = from->host;
	c->peer.policy = from->policy;
	c->deadline = deadline;
	metrics_add(METRIC_HTTP_CONNECTIONS, 1);
	return c;
}

/* A slot for fd, which is closed when there is none. */
static struct conn *admit(struct http_server *s, int fd, const struct http_listener *from)
{
	int64_t deadline = clock_mono() + s->limits.header_timeout_ms * NSEC_PER_MSEC;
	struct conn *c = slot_for(s, fd, from, deadline), *old;

	if (!c && (old = idlest(s))) {
		drop(old);
		c = slot_for(s, fd, from, deadline);
	}
	if (!c) {
		metrics_add(METRIC_HTTP_CONNECTIONS, 1);
		say_busy(fd);
	}
	return c;
}

static void set_tcp(int fd)
{
	int one = 1, idle = ALIVE_S, tries = ALIVE_TRIES;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
}

static void set_local(struct peer *p, int fd)
{
	struct ucred u;
	socklen_t size = sizeof(u);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &size) < 0)
		return;
	p->local = true;
	p->uid = u.uid;
	p->gid = u.gid;
	p->pid = u.pid;
}

static bool is_tcp(const struct sockaddr_storage *addr)
{
	return addr->ss_family == AF_INET || addr->ss_family == AF_INET6;
}

int http_accept(const struct http_listener *l, int *spare, struct sockaddr_storage *ret_addr, socklen_t *ret_size)
{
	int fd;

	*ret_addr = (struct sockaddr_storage){ 0 };
	*ret_size = sizeof(*ret_addr);
	fd = accept4(l->fd, (struct sockaddr *)ret_addr, ret_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		accept_without_room(l->fd, spare);
	if (fd >= 0 && is_tcp(ret_addr))
		set_tcp(fd);
	return fd;
}

static void accept_some(struct http_server *s, struct http_listener *l)
{
	struct sockaddr_storage addr;
	socklen_t addr_len;
	int fd;

	for (int i = 0; i < 64 && (fd = http_accept(l, &s->spare_fd, &addr, &addr_len)) >= 0; i++) {
		struct conn *c = admit(s, fd, l);

		if (!c)
			continue;
		if (!is_tcp(&addr))
			set_local(&c->peer, fd);
		c->addr = addr;
		c->addr_len = addr_len;
		watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP | EPOLLET);
	}
}

int http_arrive(struct http_server *s, struct http_arrival *a)
{
	if (write(s->arrivals[1], &a, sizeof(a)) == (ssize_t)sizeof(a))
		return 0;
	http_arrival_free(a);
	return -1;
}

void http_arrival_free(struct http_arrival *a)
{
	fd_close(&a->fd);
	peer_done(&a->peer);
	free(a);
}

/* What is known of a is known of c, which has its descriptor; a is over. */
static void become(struct conn *c, struct http_arrival *a)
{
	a->fd = -1;
	c->peer.user = STEAL(a->peer.user);
	c->peer.certs = a->peer.certs;
	a->peer.certs = (struct strv){ 0 };
	c->addr.ss_family = AF_UNIX;
	c->addr_len = sizeof(sa_family_t);
	http_arrival_free(a);
}

static void take_arrivals(struct http_server *s)
{
	struct http_arrival *a;

	while (read(s->arrivals[0], &a, sizeof(a)) == (ssize_t)sizeof(a)) {
		struct conn *c = admit(s, a->fd, a->listener);

		if (!c) {
			a->fd = -1;
			http_arrival_free(a);
			continue;
		}
		become(c, a);
		watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLRDHUP | EPOLLET);
	}
}

static void on_conn(struct http_server *s, uint64_t tag, uint32_t events)
{
	struct conn *c = &s->conns[(uint32_t)tag];
	enum conn_state state;

	lock_take(&s->lock);
	state = tag_of(c) == tag ? c->state : CONN_FREE;
	lock_drop(&s->lock);
	if (state == CONN_PENDING)
		on_pending(c, events);
	else if (state == CONN_LINGER)
		on_linger(c);
}

static void on_pending(struct conn *c, uint32_t events)
{
	struct http_server *s = c->srv;
	size_t room = s->limits.header_size + PEEK_EXTRA;
	ssize_t n = recv(c->fd, s->peek, room, MSG_PEEK | MSG_DONTWAIT);
	const char *why = NULL;
	struct http_head head;
	int status;

	if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR))) {
		drop(c);
		return;
	}
	if (n < 0)
		return;
	status = http_head_check(s->peek, (size_t)n, s->limits.header_size, s->limits.uri_size, &head, &why);
	if (status == 0 && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		drop(c);
	else if (status == 200)
		hand_over(c, &head, s->peek, (size_t)n);
	else if (status)
		refuse(c, status, why);
	if (status == 200)
		http_head_done(&head);
}

/* 1: a hijacking request, all *ret_size bytes of it are here; -1: not all of them yet; 0: another request. */
static int direct_size(const struct http_server *s, const struct http_head *head, size_t size, size_t *ret_size)
{
	const struct route *route = router_match(s->router, head->method, head->uri);
	size_t body = head->content_length > 0 ? (size_t)head->content_length : 0;

	*ret_size = head->size + body;
	if (!route || !(route->flags & ROUTE_HIJACK) || (head->chunked && head->json) || body > PEEK_EXTRA / 2)
		return 0;
	return *ret_size <= size ? 1 : -1;
}

/* No thread for this one: the limit is reached. Pings are answered all the same. */
static bool full(struct http_server *s, const struct http_head *head)
{
	const struct route *route;
	bool ret;

	lock_take(&s->lock);
	ret = s->n_active >= (size_t)s->limits.max_connections;
	if (s->n_active >= (size_t)s->limits.max_connections + SLOTS_APART)
		head = NULL;
	lock_drop(&s->lock);
	if (!ret || !head)
		return ret;
	route = router_match(s->router, head->method, head->uri);
	return !route || !(route->flags & ROUTE_UNVERSIONED);
}

static void hand_over(struct conn *c, const struct http_head *head, const char *data, size_t size)
{
	size_t feed = 0;
	int direct = direct_size(c->srv, head, size, &feed);

	if (!direct && head->chunked && !http_chunks_check(data + head->size, size - head->size)) {
		refuse(c, 400, "malformed chunk");
		return;
	}
	if (full(c->srv, head)) {
		refuse(c, 503, BUSY);
		return;
	}
	if (direct < 0)
		return; /* the rest of the small body comes; the deadline goes on */
	watch(c, EPOLL_CTL_DEL, 0);
	if (!set_off(c, head, direct, feed))
		drop(c);
}

/* Its header block is good. False: the bytes of a direct one that were looked at are not there. */
static bool set_off(struct conn *c, const struct http_head *head, bool direct, size_t feed)
{
	OWN_FREE char *copy = NULL;

	if (direct) {
		copy = xmalloc(feed);
		if (recv(c->fd, copy, feed, MSG_DONTWAIT) != (ssize_t)feed)
			return false;
	}
	http_guard_pass(c, head);
	if (http_add_connection(c, copy, feed) < 0)
		log_warn("a connection could not be given a thread");
	return true;
}

bool http_arrive_whole(struct http_server *s, struct http_arrival *a, char *room, size_t room_size)
{
	ssize_t n = recv(a->fd, room, room_size, MSG_PEEK | MSG_DONTWAIT);
	struct http_head head;
	struct conn *c = NULL;
	const char *why = NULL;
	size_t feed = 0;
	int direct;

	if (n <= 0 || http_head_check(room, (size_t)n, s->limits.header_size, s->limits.uri_size, &head, &why) != 200)
		return false;
	direct = direct_size(s, &head, (size_t)n, &feed);
	if (direct >= 0 && (direct || !head.chunked || http_chunks_check(room + head.size, (size_t)n - head.size)) && !full(s, &head))
		c = slot_for(s, a->fd, a->listener, INT64_MAX); /* the acceptor never finds it late, nor idle */
	if (c) {
		become(c, a);
		if (!set_off(c, &head, direct, feed))
			drop(c);
	}
	http_head_done(&head);
	return c;
}

static void refuse(struct conn *c, int status, const char *why)
{
	http_say_refused(c->fd, status, why);
	shutdown(c->fd, SHUT_WR);
	c->state = CONN_LINGER;
	c->deadline = clock_mono() + LINGER_MS * NSEC_PER_MSEC;
	on_linger(c);
}

static void on_linger(struct conn *c)
{
	char junk[16384];
	ssize_t n;

	while ((n = recv(c->fd, junk, sizeof(junk), MSG_DONTWAIT)) > 0) {
		c->discarded += (size_t)n;
		if (c->discarded > LINGER_MAX)
			break;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	drop(c);
}

static void drop(struct conn *c)
{
	close(c->fd);
	lock_take(&c->srv->lock);
	http_conn_release(c);
	lock_drop(&c->srv->lock);
}

/* Until the next deadline of a pending or lingering connection; without one the thread does not wake up. */
static int next_tick(struct http_server *s)
{
	int64_t next = INT64_MAX;
	WITH_LOCK(&s->lock);

	for (uint32_t i = 0; i < s->n_slots; i++)
		if (s->conns[i].state != CONN_FREE && s->conns[i].deadline && s->conns[i].deadline < next)
			next = s->conns[i].deadline;
	if (next == INT64_MAX)
		return -1;
	next = (next - clock_mono()) / NSEC_PER_MSEC;
	return next < TICK_MS ? TICK_MS : (int)next;
}

static void expire(struct http_server *s)
{
	int64_t now = clock_mono();
	uint32_t slots;

	lock_take(&s->lock);
	slots = s->n_slots;
	lock_drop(&s->lock);
	for (uint32_t i = 0; i < slots; i++) {
		struct conn *c = &s->conns[i];
		enum conn_state state;

		lock_take(&s->lock);
		state = c->state != CONN_FREE && c->deadline && c->deadline <= now ? c->state : CONN_FREE;
		lock_drop(&s->lock);
		if (state == CONN_PENDING)
			refuse(c, 408, "the request header took too long");
		else if (state == CONN_LINGER)
			drop(c);
	}
}
