/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to unpack*.c: one process at work, from the daemon's side. */
#ifndef IMAGE_UNPACK_WORKER_H
#define IMAGE_UNPACK_WORKER_H

#include <sys/stat.h>

#include "image/unpack.h"
#include "image/unpack-wire.h"

#define WORKER_CHUNK (256 * 1024)

struct worker {
	int task, control;         /* -1 when they have ended */
	int pipe;                  /* what it reads, non-blocking; -1 once closed */
	const struct cancel *cancel;
	bool layer;                /* attributes are set on files of dev only; the tree is of that whiteout style */
	bool overlay;
	dev_t dev;
	unsigned warned;
	bool answered;
	struct unpack_msg result;  /* when answered */
	struct err failure;        /* when that says so */
};

#define WORKER_INIT { .task = -1, .control = -1, .pipe = -1 }

/* out and split (or -1) are the process's descriptors of that name. */
int worker_start(struct worker *w, struct spawner *s, int program, const char *const argv[], int out, int split, struct err *err);
/*
 * Sends what the process takes without waiting: the count, 0 when it is full, -1 when it reads no more (w->pipe is closed
 * then; how it ended tells worker_finish()).
 */
ssize_t worker_send(struct worker *w, const void *data, size_t size);
/*
 * Waits until there is room (room), extra_fd (or -1) is readable, or the process has answered or ended; serves it meanwhile.
 * 0, or -1 when the client went away or the process broke the rules.
 */
int worker_wait(struct worker *w, bool room, int extra_fd, struct err *err);
static inline bool worker_over(const struct worker *w) { return w->answered || w->task < 0; }
/* After the stream's end: waits for the answer and for the end of the process. -1 with the error that it reported. */
int worker_finish(struct worker *w, struct err *err);
/* Kills it if it lives, waits for its end, closes all. */
void worker_drop(struct worker *w);

#endif
