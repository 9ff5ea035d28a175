/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The event loop of a process with one thread (dockerd-shim, dockerd-netd); nothing here or above it locks. One event is taken at a time, so that a
 * callback may end any source, its own included, and the kernel's order among the ready ones keeps a busy one from starving the rest.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"

struct source {
	int fd;          /* -1: not there */
	bool watched;
	uint32_t events; /* while watched */
	void (*fn)(struct source *s, uint32_t events);
};
#define SOURCE_INIT { .fd = -1 }

struct timer {
	int64_t at;      /* clock_mono(); 0: not set */
	void (*fn)(struct timer *t);
	struct timer *next;
};

int loop_init(void);
/* Watches for events (0: for nothing but hang-up and error). -1 with errno when the kernel has no memory for it. */
int loop_watch(struct source *s, uint32_t events);
/* For what cannot go on without: it ends the process. */
void loop_must_watch(struct source *s, uint32_t events);
void loop_unwatch(struct source *s);
void loop_close(struct source *s);
/* A handful of these exist; what has many deadlines keeps them in order and sets one for the first. One that is set is set anew. */
void loop_timer(struct timer *t, int64_t after_ns, void (*fn)(struct timer *t));
void loop_timer_at(struct timer *t, int64_t at, void (*fn)(struct timer *t));
void loop_timer_off(struct timer *t);
/* clock_mono() as of the last event. */
int64_t loop_now(void);
/* Serves until loop_end(). */
void loop_run(void);
void loop_end(void);

#endif
