/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shim's event loop. One event is taken at a time, so a callback may end any source, its own included. The shim is
 * single-threaded; nothing here or above it locks.
 */
#ifndef SHIM_LOOP_H
#define SHIM_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct source {
	int fd;          /* -1: not there */
	bool watched;
	uint32_t events; /* while watched */
	void (*fn)(struct source *s, uint32_t events);
};
#define SOURCE_INIT { .fd = -1 }

struct timer {
	int64_t at;          /* clock_mono(); 0: not set */
	void (*fn)(struct timer *t);
	struct timer *next;
};

int loop_init(void);
/* Watches for events (0: for nothing but hang-up and error). */
void loop_watch(struct source *s, uint32_t events);
void loop_unwatch(struct source *s);
void loop_close(struct source *s);
void loop_timer(struct timer *t, int64_t after_ns, void (*fn)(struct timer *t));
void loop_timer_off(struct timer *t);
/* Serves until loop_end(). */
void loop_run(void);
void loop_end(void);

#define CONTAINER_OF(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

#endif
