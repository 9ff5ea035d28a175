/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/loop.h"

#include <stddef.h>
#include <unistd.h>

#include "base/err.h"

static int epfd = -1;
static bool ended;
static struct timer *timers;
static int64_t now;

int loop_init(void)
{
	epfd = epoll_create1(EPOLL_CLOEXEC);
	now = clock_mono();
	return epfd < 0 ? -1 : 0;
}

int loop_watch(struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->fd < 0 || (s->watched && s->events == events))
		return 0;
	if (epoll_ctl(epfd, s->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &ev) < 0)
		return -1;
	s->watched = true;
	s->events = events;
	return 0;
}

void loop_must_watch(struct source *s, uint32_t events)
{
	BUG_ON(loop_watch(s, events) < 0);
}

void loop_unwatch(struct source *s)
{
	if (s->watched)
		epoll_ctl(epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->watched = false;
}

void loop_close(struct source *s)
{
	loop_unwatch(s);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

void loop_timer(struct timer *t, int64_t after_ns, void (*fn)(struct timer *t))
{
	loop_timer_at(t, clock_mono() + after_ns, fn);
}

void loop_timer_at(struct timer *t, int64_t at, void (*fn)(struct timer *t))
{
	if (!t->at) {
		t->next = timers;
		timers = t;
	}
	t->at = at;
	t->fn = fn;
}

void loop_timer_off(struct timer *t)
{
	if (!t->at)
		return;
	for (struct timer **p = &timers; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		break;
	}
	t->at = 0;
}

int64_t loop_now(void)
{
	return now;
}

/* Fires one timer that is due, or tells how many ms the nearest has left (-1: there is none). */
static int next_timer(void)
{
	struct timer *first = timers;
	int64_t left;

	if (!first)
		return -1;
	now = clock_mono(); /* the last callback may have taken long */
	for (struct timer *t = timers; t; t = t->next)
		if (t->at < first->at)
			first = t;
	left = first->at - now;
	if (left > 0)
		return left > 3600 * NSEC_PER_SEC ? 3600000 : (int)(left / NSEC_PER_MSEC) + 1;
	loop_timer_off(first);
	first->fn(first);
	return 0;
}

void loop_run(void)
{
	while (!ended) {
		struct epoll_event ev;
		int timeout = next_timer(), n;

		if (ended)
			return;
		n = epoll_wait(epfd, &ev, 1, timeout);
		now = clock_mono();
		if (n > 0) {
			struct source *s = ev.data.ptr;

			s->fn(s, ev.events);
		}
	}
}

void loop_end(void)
{
	ended = true;
}
