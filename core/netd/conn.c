/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DNS by TCP: one query at a time of each connection, answered before the next is read. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "netd/box.h"
#include "netd/forward.h"
#include "netd/log.h"

#define IDLE_NS    (10 * NSEC_PER_SEC)
#define REST_NS    (100 * NSEC_PER_MSEC)
#define MAX_CONNS  128 /* of one sandbox */

struct conn {
	struct source src;
	struct box *box;
	struct list of_box, by_time;
	int64_t deadline;
	bool waiting;            /* for an answer: no deadline, nothing is read */
	size_t have;
	uint8_t *out;            /* what could not be sent yet */
	size_t out_size, out_sent;
	uint8_t in[2 + DNS_OUR_SIZE];
};

static struct list by_time = LIST_INIT(by_time), resting = LIST_INIT(resting);
static struct timer timer, rest_timer;

static void conn_free(struct conn *c)
{
	forwards_end_conn(c->box, c);
	loop_close(&c->src);
	list_del(&c->of_box);
	list_del(&c->by_time);
	c->box->n_conns--;
	free(c->out);
	free(c);
}

void conns_end(struct box *b)
{
	while (!list_empty(&b->conns))
		conn_free(LIST_FIRST(&b->conns, struct conn, of_box));
}

static void idle_due(struct timer *t)
{
	while (!list_empty(&by_time)) {
		struct conn *c = LIST_FIRST(&by_time, struct conn, by_time);

		if (c->deadline > loop_now()) {
			loop_timer_at(t, c->deadline, idle_due);
			return;
		}
		conn_free(c);
	}
}

static void touch(struct conn *c)
{
	c->deadline = loop_now() + IDLE_NS;
	list_del(&c->by_time);
	list_add(&by_time, &c->by_time);
	if (!timer.at)
		loop_timer_at(&timer, c->deadline, idle_due);
}

/* False: the connection is gone. */
static bool flush(struct conn *c)
{
	ssize_t n = send(c->src.fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_free(c);
		return false;
	}
	c->out_sent += n > 0 ? (size_t)n : 0;
	if (c->out_sent == c->out_size) {
		free(c->out);
		c->out = NULL;
	}
	if (loop_watch(&c->src, c->out ? (uint32_t)EPOLLOUT : (uint32_t)EPOLLIN) == 0)
		return true;
	conn_free(c);
	return false;
}

void conn_reply(struct conn *c, const uint8_t *m, size_t size)
{
	c->waiting = false;
	touch(c);
	c->out = malloc(size + 2);
	if (!c->out) {
		/* whoever calls goes on with the connection; its deadline takes it away */
		c->deadline = 0;
		loop_unwatch(&c->src);
		return;
	}
	c->out[0] = (uint8_t)(size >> 8);
	c->out[1] = (uint8_t)size;
	memcpy(c->out + 2, m, size);
	c->out_size = size + 2;
	c->out_sent = 0;
	/* sent from the loop, as the caller may still hold on to the connection */
	if (loop_watch(&c->src, EPOLLOUT) < 0)
		loop_unwatch(&c->src);
}

static void take_query(struct conn *c)
{
	struct asker who = { .box = c->box, .conn = c };
	size_t size = (size_t)(c->in[0] << 8 | c->in[1]);

	c->have = 0;
	c->waiting = true;
	list_del(&c->by_time);
	loop_watch(&c->src, 0);
	if (!box_query(&who, c->in + 2, size))
		conn_free(c);
}

static void conn_ready(struct source *src, uint32_t events)
{
	struct conn *c = CONTAINER_OF(src, struct conn, src);
	size_t want = c->have < 2 ? 2 : 2u + (unsigned)(c->in[0] << 8 | c->in[1]);
	ssize_t n;

	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_free(c);
		return;
	}
	if (c->out) {
		flush(c);
		return;
	}
	if (c->waiting)
		return;
	n = recv(src->fd, c->in + c->have, want - c->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_free(c);
		return;
	}
	c->have += (size_t)n;
	if (c->have == 2 && 2u + (unsigned)(c->in[0] << 8 | c->in[1]) > sizeof(c->in)) {
		conn_free(c);
		return;
	}
	touch(c);
	if (c->have > 2 && c->have == want)
		take_query(c);
}

static void rest_over(struct timer *t)
{
	while (!list_empty(&resting)) {
		struct box *b = LIST_FIRST(&resting, struct box, resting);

		list_del(&b->resting);
		loop_watch(&b->tcp, EPOLLIN);
	}
}

void conn_accept(struct box *b)
{
	int fd = b->n_conns < MAX_CONNS ? accept4(b->tcp.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
	struct conn *c = fd < 0 ? NULL : calloc(1, sizeof(*c));

	if (fd < 0 && b->n_conns < MAX_CONNS && errno == EAGAIN)
		return;
	if (!c) {
		/* they wait in the kernel's queue */
		struct source gone = { .fd = fd };

		loop_close(&gone);
		loop_unwatch(&b->tcp);
		list_del(&b->resting);
		list_add(&resting, &b->resting);
		if (!rest_timer.at)
			loop_timer_at(&rest_timer, loop_now() + REST_NS, rest_over);
		return;
	}
	c->src = (struct source){ .fd = fd, .fn = conn_ready };
	c->box = b;
	list_init(&c->of_box);
	list_init(&c->by_time);
	list_add(&b->conns, &c->of_box);
	b->n_conns++;
	touch(c);
	if (loop_watch(&c->src, EPOLLIN) < 0)
		conn_free(c);
}
