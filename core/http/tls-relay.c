/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between TLS clients and the server. A connection to a TLS listener never reaches the server itself: one thread accepts and does
 * the handshakes, and hands the server one end of a socket pair for each that is done; a few threads carry bytes between the other
 * ends and the clients, in records. So everything behind (the acceptor, the guard, hijacks, half-closes, cancel tokens) works
 * on a Unix stream socket as it does for plain clients, and bytes that were looked at are the bytes that are read.
 *
 * A link belongs to the thread of its loop; nothing of it is locked. What a loop has not sent it does not read: a client that
 * is slow makes the pair full, and the server waits as it would for a plain client.
 */
#include "http/tls-link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fs.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK (2u << 20)
#else
#define STACK (256u << 10)
#endif
#define TICK_MS 500
#define ACCEPTS 16 /* clients of a listener before others have their turn */
/* What epoll tells of, in the pointer's lowest bits; a link's own descriptor has none. */
#define TAG_PAIR 1u
#define TAG_LISTENER 2u

static void *loop_main(void *arg);
static void take_in(struct loop *lp);
static void accept_some(struct loop *lp, struct http_listener *from);
static void on_link(struct link *l, bool of_pair, uint32_t events);
static void expire(struct loop *lp);

static int loop_start(struct loop *lp, struct http_server *s, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	pthread_attr_t attr;
	int r;

	lp->srv = s;
	lp->inbox[0] = lp->inbox[1] = -1;
	lp->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	lp->scratch = xmalloc(RECORD);
	if (lp->epoll_fd < 0 || pipe2(lp->inbox, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_errno(err, errno, "cannot set up TLS");
	epoll_ctl(lp->epoll_fd, EPOLL_CTL_ADD, lp->inbox[0], &ev);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&lp->thread, &attr, loop_main, lp);
	pthread_attr_destroy(&attr);
	if (r)
		return err_errno(err, r, "cannot start a thread for TLS");
	lp->started = true;
	return 0;
}

int tls_relay_start(struct http_server *s, struct err *err)
{
	struct tls_relay *r = s->relay = xcalloc(1, sizeof(*r));
	cpu_set_t set;
	size_t carriers = sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;

	r->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (carriers > CARRIERS_MAX)
		carriers = CARRIERS_MAX;
	for (r->len = 0; r->len < 1 + carriers; r->len++)
		if (loop_start(&r->loops[r->len], s, err) < 0) {
			r->len++;
			tls_relay_free(s);
			return -1;
		}
	return 0;
}

void tls_link_free(struct link *l)
{
	fd_close(&l->fd);
	fd_close(&l->pair);
	if (l->tls)
		gnutls_deinit(l->tls);
	tls_creds_unref(l->verdict.creds);
	free(l->in);
	free(l->out);
	free(l);
}

void tls_relay_listen(struct http_server *s)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)s->listeners[i] | TAG_LISTENER };

		if (s->listeners[i]->secure)
			epoll_ctl(s->relay->loops[0].epoll_fd, EPOLL_CTL_ADD, s->listeners[i]->fd, &ev);
	}
}

static void loop_end(struct tls_relay *r, struct loop *lp, int ms)
{
	struct link *end = NULL;

	if (!lp->started)
		return;
	atomic_store(&r->end_ms, ms);
	/* The inbox may be full for a moment. */
	while (write(lp->inbox[1], &end, sizeof(end)) < 0 && errno == EAGAIN)
		usleep(1000);
	pthread_join(lp->thread, NULL);
	lp->started = false;
}

void tls_relay_end_handshakes(struct http_server *s)
{
	if (s->relay)
		loop_end(s->relay, &s->relay->loops[0], 0);
}

void tls_relay_end(struct http_server *s, int ms)
{
	for (size_t i = 1; s->relay && i < s->relay->len; i++)
		loop_end(s->relay, &s->relay->loops[i], ms);
}

void tls_relay_free(struct http_server *s)
{
	struct tls_relay *r = s->relay;

	if (!r)
		return;
	tls_relay_end_handshakes(s);
	tls_relay_end(s, 0);
	for (size_t i = 0; i < r->len; i++) {
		struct loop *lp = &r->loops[i];
		struct link *l;

		while (lp->inbox[0] >= 0 && read(lp->inbox[0], &l, sizeof(l)) == (ssize_t)sizeof(l))
			if (l)
				tls_link_free(l);
		fd_close(&lp->inbox[0]);
		fd_close(&lp->inbox[1]);
		fd_close(&lp->epoll_fd);
		free(lp->scratch);
	}
	fd_close(&r->spare_fd);
	free(r);
	s->relay = NULL;
}

/* ---- a loop ---- */

/* Deadlines are kept to half a second; without one the thread does not wake up. */
static int wait_ms(const struct loop *lp)
{
	int64_t ms = (lp->end - clock_mono()) / NSEC_PER_MSEC + 1;

	if (!lp->ending)
		return lp->timed ? TICK_MS : -1;
	return ms > 0 ? (int)ms : 0;
}

void tls_link_deadline(struct link *l, int64_t ns)
{
	l->deadline = clock_mono() + ns;
	l->loop->timed = true;
}

static void bury(struct loop *lp)
{
	while (lp->dead) {
		struct link *l = lp->dead;

		lp->dead = l->next;
		tls_link_free(l);
	}
}

static void *loop_main(void *arg)
{
	struct loop *lp = arg;
	struct epoll_event ev[64];
	int64_t looked = 0;

	while (!lp->ending || (lp->first && clock_mono() < lp->end)) {
		int n = epoll_wait(lp->epoll_fd, ev, ARRAY_LEN(ev), wait_ms(lp));

		for (int i = 0; i < n; i++) {
			void *what = (void *)(uintptr_t)(ev[i].data.u64 & ~UINT64_C(3));

			if (!what)
				take_in(lp);
			else if (ev[i].data.u64 & TAG_LISTENER)
				accept_some(lp, what);
			else if (((struct link *)what)->state != LINK_DEAD)
				on_link(what, ev[i].data.u64 & TAG_PAIR, ev[i].events);
		}
		if (clock_mono() - looked >= TICK_MS * NSEC_PER_MSEC) {
			expire(lp);
			looked = clock_mono();
		}
		bury(lp);
	}
	while (lp->first) {
		struct link *l = lp->first;

		lp->first = l->next;
		tls_link_free(l);
	}
	return NULL;
}

static void chain_in(struct loop *lp, struct link *l)
{
	l->loop = lp;
	l->next = NULL;
	l->prev = lp->last;
	*(lp->last ? &lp->last->next : &lp->first) = l;
	lp->last = l;
	lp->len++;
	lp->timed |= l->deadline != 0;
}

void tls_link_chain_out(struct link *l)
{
	struct loop *lp = l->loop;

	*(l->prev ? &l->prev->next : &lp->first) = l->next;
	*(l->next ? &l->next->prev : &lp->last) = l->prev;
	lp->len--;
}

void tls_link_kill(struct link *l)
{
	tls_link_chain_out(l);
	fd_close(&l->fd);
	fd_close(&l->pair);
	l->state = LINK_DEAD;
	l->next = l->loop->dead;
	l->loop->dead = l;
}

/* Nothing to wait for: an end or an error is told once, as a level it would be told for ever. */
static void watch_one(struct link *l, int fd, uint32_t *on, uint32_t want, unsigned tag)
{
	struct epoll_event ev = { .events = want ? want : EPOLLRDHUP | EPOLLET, .data.u64 = (uint64_t)(uintptr_t)l | tag };

	if (*on == ev.events)
		return;
	epoll_ctl(l->loop->epoll_fd, *on ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
	*on = ev.events;
}

void tls_link_watch(struct link *l)
{
	bool stuck = l->sending || (l->out_end && !l->bye_sent);

	if (l->state != LINK_OPEN) {
		bool writes = l->state == LINK_HANDSHAKE && gnutls_record_get_direction(l->tls) == 1;

		watch_one(l, l->fd, &l->fd_on, writes ? EPOLLOUT : EPOLLIN, 0);
		return;
	}
	watch_one(l, l->fd, &l->fd_on, (l->in_end || l->in_size ? 0 : EPOLLIN) | (stuck ? EPOLLOUT : 0), 0);
	watch_one(l, l->pair, &l->pair_on, (l->out_end || stuck ? 0 : EPOLLIN) | (l->in_size ? EPOLLOUT : 0), TAG_PAIR);
}

static void take_in(struct loop *lp)
{
	struct link *v[64];
	ssize_t n = read(lp->inbox[0], v, sizeof(v));

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(v[0]); i++) {
		if (!v[i]) {
			lp->ending = true;
			lp->end = clock_mono() + atomic_load(&lp->srv->relay->end_ms) * NSEC_PER_MSEC;
			for (struct link *l = lp->first, *next; l; l = next) {
				next = l->next;
				if (l->state != LINK_OPEN || l->bye_sent)
					tls_link_kill(l);
			}
			continue;
		}
		chain_in(lp, v[i]);
		tls_link_watch(v[i]);
	}
}

static struct tls_creds *creds_of(struct http_server *s, struct http_listener *l)
{
	WITH_LOCK(&s->lock);

	return tls_creds_ref(l->tls);
}

static void accept_some(struct loop *lp, struct http_listener *from)
{
	struct http_server *s = lp->srv;
	struct sockaddr_storage addr;
	socklen_t size;
	int fd;

	for (int i = 0; i < ACCEPTS && (fd = http_accept(from, &s->relay->spare_fd, &addr, &size)) >= 0; i++) {
		struct link *l = xcalloc(1, sizeof(*l));

		l->fd = fd;
		l->pair = -1;
		l->listener = from;
		l->verdict.creds = creds_of(s, from);
		l->addr = addr;
		l->deadline = clock_mono() + s->limits.header_timeout_ms * NSEC_PER_MSEC;
		/* The oldest of those that have not come far makes room. */
		if (lp->len >= s->limits.max_handshakes)
			tls_link_kill(lp->first);
		chain_in(lp, l);
		tls_link_shake(l);
	}
}

static void expire(struct loop *lp)
{
	int64_t now = clock_mono();

	lp->timed = false;
	for (struct link *l = lp->first, *next; l; l = next) {
		next = l->next;
		if (l->deadline && l->deadline <= now)
			tls_link_kill(l);
		else
			lp->timed |= l->deadline != 0;
	}
}

static void on_link(struct link *l, bool of_pair, uint32_t events)
{
	if (l->state == LINK_REFUSED)
		tls_link_refused_input(l);
	else if (l->state != LINK_OPEN)
		tls_link_shake(l);
	else if (!of_pair && (events & (EPOLLHUP | EPOLLERR)) && (l->in_size || l->in_end))
		tls_link_kill(l); /* reset, and nothing would read it */
	else {
		if (!of_pair && (events & EPOLLRDHUP) && l->in_size && !l->deadline)
			tls_link_stalls(l);
		tls_link_pump(l, of_pair && (events & EPOLLHUP));
	}
}
