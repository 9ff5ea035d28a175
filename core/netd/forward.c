/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "netd/enter.h"
#include "netd/log.h"

#define SERVER_NS   (4 * NSEC_PER_SEC)
#define SPARE       64
#define UP_NS       (2 * NSEC_PER_SEC)
#define UP_USES     64
#define UP_RESTING  4 /* of one sandbox */

struct forward;

/*
 * A socket towards a server, with a port of its own. It carries one question at a time, and the next one only when nothing but
 * the answer came to it: who guesses at answers finds another port.
 */
struct up {
	struct source src;
	struct forward *f;       /* NULL: it rests */
	struct box *box;
	struct server server;
	bool odd;
	unsigned uses;
	int64_t end;             /* it carries no question any more */
	struct list of_box, by_time; /* of those that rest */
};

struct forward {
	struct up *up;           /* UDP */
	struct source tcp;
	struct asker who;
	size_t server;           /* the one that is asked */
	int64_t deadline;
	struct list of_box, by_time;
	struct dns_query q;
	int rcode;               /* the last refusal, -1 for none */
	uint8_t *big;            /* TCP: the answer with its length; room for the largest */
	size_t have, sent;
	size_t size;
	uint8_t query[2 + DNS_OUR_SIZE]; /* its length, then itself under our id */
	struct forward *next;    /* spare */
};

static struct list by_time = LIST_INIT(by_time), resting = LIST_INIT(resting);
static struct timer timer, rest_timer;
static struct forward *spare;
static size_t n_spare, n_resting, count, limit = FORWARD_MAX;
static uint8_t answer[DNS_MAX];

size_t forward_count(void)
{
	return count;
}

void forward_set_limit(size_t n)
{
	limit = n;
}

static uint16_t random_id(void)
{
	static uint16_t ids[128];
	static size_t left;

	if (!left) {
		while (getrandom(ids, sizeof(ids), 0) != sizeof(ids))
			;
		left = sizeof(ids) / sizeof(ids[0]);
	}
	return ids[--left];
}

static void up_wake(struct up *u)
{
	if (!list_empty(&u->of_box)) {
		u->box->n_ups--;
		n_resting--;
	}
	list_del(&u->of_box);
	list_del(&u->by_time);
}

static void up_free(struct up *u)
{
	up_wake(u);
	loop_close(&u->src);
	free(u);
}

static void rest_over(struct timer *t)
{
	while (!list_empty(&resting)) {
		struct up *u = LIST_FIRST(&resting, struct up, by_time);

		if (u->end > loop_now()) {
			loop_timer_at(t, u->end, rest_over);
			return;
		}
		up_free(u);
	}
}

/* After an answer. */
static void up_rest(struct up *u)
{
	u->f = NULL;
	if (u->odd || u->uses >= UP_USES || u->end <= loop_now() || u->box->n_ups >= UP_RESTING || n_resting >= limit) {
		up_free(u);
		return;
	}
	list_add(&u->box->ups, &u->of_box);
	u->box->n_ups++;
	n_resting++;
	list_add(&resting, &u->by_time);
	if (!rest_timer.at)
		loop_timer(&rest_timer, UP_NS, rest_over);
}

static void forward_free(struct forward *f)
{
	if (f->up)
		up_free(f->up);
	loop_close(&f->tcp);
	list_del(&f->of_box);
	list_del(&f->by_time);
	free(f->big);
	f->big = NULL;
	f->who.box->n_queries--;
	count--;
	if (n_spare == SPARE) {
		free(f);
		return;
	}
	f->next = spare;
	spare = f;
	n_spare++;
}

static struct forward *forward_new(void)
{
	struct forward *f = spare;

	if (!f)
		return malloc(sizeof(*f));
	spare = f->next;
	n_spare--;
	return f;
}

/* Under the id that the asker chose. Frees f. */
static void done(struct forward *f, uint8_t *m, size_t size)
{
	struct asker who = f->who;
	struct dns_query q = f->q;

	if (f->up)
		up_rest(f->up);
	f->up = NULL;
	m[0] = (uint8_t)(q.id >> 8);
	m[1] = (uint8_t)q.id;
	memcpy(f->query + 2, m, 2);
	if (dns_rcode(m) == DNS_NXDOMAIN && box_search(&who, f->query + 2, &q)) {
		forward_free(f);
		return;
	}
	if (!who.conn && size > q.limit)
		size = dns_cut(m, &q);
	box_reply(&who, m, size);
	forward_free(f);
}

static void failed(struct forward *f)
{
	struct asker who = f->who;
	struct dns_query q = f->q;

	f->query[2] = (uint8_t)(q.id >> 8);
	f->query[3] = (uint8_t)q.id;
	if (!box_search(&who, f->query + 2, &q))
		box_refuse(&who, f->query + 2, &q, f->rcode < 0 ? DNS_SERVFAIL : (enum dns_rcode)f->rcode);
	forward_free(f);
}

static void tcp_ready(struct source *src, uint32_t events);
static void udp_ready(struct source *src, uint32_t events);

/* A socket towards the server, connected or about to be. */
static int open_server(struct box *b, const struct server *s, int type)
{
	OWN_FD int fd = -1;

	if (!s->host && enter(b->netns) < 0)
		return -1;
	fd = socket(s->address.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!s->host)
		leave();
	if (fd < 0)
		netd_log_seldom(LOG_ERROR, "a query is not forwarded: %s", strerror(errno));
	else if (connect(fd, &s->address.sa, address_size(&s->address)) == 0 || errno == EINPROGRESS)
		return STEAL_FD(fd);
	return -1;
}

static struct up *up_new(struct box *b, const struct server *s)
{
	struct up *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	*u = (struct up){ .src = { .fd = open_server(b, s, SOCK_DGRAM), .fn = udp_ready }, .box = b, .server = *s, .end = loop_now() + UP_NS };
	list_init(&u->of_box);
	list_init(&u->by_time);
	if (u->src.fd >= 0 && loop_watch(&u->src, EPOLLIN) == 0)
		return u;
	up_free(u);
	return NULL;
}

/* One that rests, or NULL. */
static struct up *up_take(struct box *b, const struct server *s)
{
	LIST_EACH(at, after, &b->ups) {
		struct up *u = CONTAINER_OF(at, struct up, of_box);

		if (u->end <= loop_now()) {
			up_free(u);
			continue;
		}
		if (u->server.host != s->host || !address_same(&u->server.address, &s->address))
			continue;
		up_wake(u);
		return u;
	}
	return NULL;
}

static bool ask_udp(struct forward *f, const struct server *s)
{
	struct up *u = up_take(f->who.box, s);

	/* what rested may have heard in between that nobody listens there: a new one knows */
	if (u && send(u->src.fd, f->query + 2, f->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		up_free(u);
		u = NULL;
	}
	if (!u) {
		u = up_new(f->who.box, s);
		if (u && send(u->src.fd, f->query + 2, f->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			up_free(u);
			u = NULL;
		}
	}
	if (!u)
		return false;
	u->uses++;
	u->f = f;
	f->up = u;
	return true;
}

static bool ask_tcp(struct forward *f, const struct server *s)
{
	f->tcp.fd = open_server(f->who.box, s, SOCK_STREAM);
	return f->tcp.fd >= 0 && loop_watch(&f->tcp, EPOLLOUT) == 0;
}

static void time_out(struct timer *t);

/* Asks the server that is next, and one after the other while that fails at once; without one it is answered and freed. */
static void ask(struct forward *f)
{
	for (; f->server < f->who.box->servers_len; f->server++) {
		const struct server *server = &f->who.box->servers[f->server];
		uint16_t id = random_id();

		if (f->up)
			up_free(f->up);
		f->up = NULL;
		loop_close(&f->tcp);
		memcpy(f->query + 2, &id, sizeof(id));
		f->sent = f->have = 0;
		if (!(f->who.conn ? ask_tcp(f, server) : ask_udp(f, server)))
			continue;
		f->deadline = loop_now() + SERVER_NS;
		list_del(&f->by_time);
		list_add(&by_time, &f->by_time);
		if (!timer.at)
			loop_timer_at(&timer, f->deadline, time_out);
		return;
	}
	failed(f);
}

static void ask_next(struct forward *f)
{
	f->server++;
	ask(f);
}

static void time_out(struct timer *t)
{
	while (!list_empty(&by_time)) {
		struct forward *f = LIST_FIRST(&by_time, struct forward, by_time);

		if (f->deadline > loop_now()) {
			loop_timer_at(t, f->deadline, time_out);
			return;
		}
		ask_next(f);
	}
}

/* A whole answer; a server that cannot or will not makes room for the next one. */
static void answered(struct forward *f, uint8_t *m, size_t size)
{
	int rcode = dns_rcode(m);

	if (rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) {
		f->rcode = rcode;
		ask_next(f);
	} else
		done(f, m, size);
}

static void udp_ready(struct source *src, uint32_t events)
{
	struct up *u = CONTAINER_OF(src, struct up, src);
	struct forward *f = u->f;
	ssize_t n = recv(src->fd, answer, sizeof(answer), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!f)
		up_free(u);
	else if (n < 0)
		ask_next(f);
	else if (dns_answers(answer, (size_t)n, f->query + 2, f->q.end))
		answered(f, answer, (size_t)n);
	else
		u->odd = true;
}

static bool tcp_send(struct forward *f)
{
	ssize_t n = send(f->tcp.fd, f->query + f->sent, f->size + 2 - f->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	f->sent += (size_t)n;
	return f->sent < f->size + 2 || loop_watch(&f->tcp, EPOLLIN) == 0;
}

static void tcp_ready(struct source *src, uint32_t events)
{
	struct forward *f = CONTAINER_OF(src, struct forward, tcp);
	size_t want;
	ssize_t n;

	if (f->sent < f->size + 2) {
		if (!tcp_send(f))
			ask_next(f);
		return;
	}
	want = f->have < 2 ? 2 : 2u + (unsigned)(f->big[0] << 8 | f->big[1]);
	n = recv(src->fd, f->big + f->have, want - f->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		ask_next(f);
		return;
	}
	f->have += (size_t)n;
	if (f->have < 2 || f->have < 2u + (unsigned)(f->big[0] << 8 | f->big[1]))
		return;
	if (dns_answers(f->big + 2, f->have - 2, f->query + 2, f->q.end))
		answered(f, f->big + 2, f->have - 2);
	else
		ask_next(f);
}

void forward(const struct asker *who, const uint8_t *m, size_t size, const struct dns_query *q)
{
	struct forward *f = NULL;
	bool full = count >= limit || who->box->n_queries >= FORWARD_MAX;

	if (size <= DNS_OUR_SIZE && !full)
		f = forward_new();
	if (!f) {
		if (full)
			netd_log_seldom(LOG_WARN, "%.12s has more than %d queries under way: some are refused", who->box->id, FORWARD_MAX);
		box_refuse(who, m, q, full ? DNS_REFUSED : DNS_FORMERR);
		return;
	}
	memset(f, 0, offsetof(struct forward, query));
	f->tcp = (struct source){ .fd = -1, .fn = tcp_ready };
	f->who = *who;
	f->q = *q;
	f->rcode = -1;
	f->size = size;
	f->query[0] = (uint8_t)(size >> 8);
	f->query[1] = (uint8_t)size;
	memcpy(f->query + 2, m, size);
	list_init(&f->of_box);
	list_init(&f->by_time);
	list_add(&who->box->queries, &f->of_box);
	who->box->n_queries++;
	count++;
	if (who->conn) {
		f->big = malloc(2 + DNS_MAX);
		if (!f->big) {
			failed(f);
			return;
		}
	}
	ask(f);
}

void forwards_end(struct box *b)
{
	while (!list_empty(&b->queries))
		forward_free(LIST_FIRST(&b->queries, struct forward, of_box));
	while (!list_empty(&b->ups))
		up_free(LIST_FIRST(&b->ups, struct up, of_box));
}

void forwards_end_conn(struct box *b, const struct conn *c)
{
	LIST_EACH(at, after, &b->queries) {
		struct forward *f = CONTAINER_OF(at, struct forward, of_box);

		if (f->who.conn == c)
			forward_free(f);
	}
}
