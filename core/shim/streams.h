/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The streams of one process (the container's own or an exec's): its pipes or pseudo-terminal, the log, and whoever is
 * attached. Memory is bounded: while an attacher that came before the start (docker run) has not taken what was read for it,
 * that output is not read further, as Docker does; one that came later is waited for 2 s, then skips output and is told how
 * much. Stdin is read from attachers only as the process takes it.
 */
#ifndef SHIM_STREAMS_H
#define SHIM_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "shim/logger.h"

struct attacher;

struct output {
	struct source src;
	struct streams *owner;
	int stream;          /* 1 stdout (and the terminal), 2 stderr */
};

struct streams {
	bool tty, open_stdin, stdin_once;
	bool reading;        /* outputs are being read: the process was started */
	bool drained;        /* nothing comes any more; attachments stay while the process may still take stdin */
	bool ended;          /* so has the process */
	int child[3];        /* the process's ends, until it was started */
	struct output out[2];
	struct source in;    /* stdin, or a duplicate of the terminal */
	bool in_eof;         /* close stdin when in_pending is written */
	struct buf in_pending;
	struct attacher *attachers;
	struct logger *log;  /* not owned; NULL for an exec or without a log */
	bool seen_output;    /* since the exit timer looked last */
	int64_t exit_by;
	struct timer exit_timer, stdin_timer, stall_timer;
	uint16_t rows, cols;
	void (*on_drained)(struct streams *s);
};

/* Makes the pipes (with a tty the terminal comes later, by streams_terminal()). */
int streams_init(struct streams *s, bool tty, bool open_stdin, bool stdin_once, struct logger *log, struct err *err);
/* The terminal's master as the runtime sent it; owns fd. */
void streams_terminal(struct streams *s, int fd);
/* The process runs: its ends are closed here, reading begins. */
void streams_start(struct streams *s);
/* It could not be started: output so far is thrown away (the last of it into ret_text), everything closes. */
void streams_abort(struct streams *s, char *ret_text, size_t size);
/* It has ended: what is left is read, for a short while even if somebody else holds a pipe; then on_drained. */
void streams_exited(struct streams *s);
/* Owns fd from here on. */
void streams_attach(struct streams *s, int fd, unsigned mask);
bool streams_attached(const struct streams *s);
/* Nobody will attach any more: without a terminal that is the end of stdin. */
void streams_orphaned(struct streams *s);
int streams_resize(struct streams *s, uint16_t rows, uint16_t cols);
/* Closes everything at once. */
void streams_done(struct streams *s);

#define STREAM_STDIN  1u
#define STREAM_STDOUT 2u
#define STREAM_STDERR 4u

/* True while a daemon is connected (control.c): the end of an attachment without an end of stdin is only then its end. */
bool control_has_daemon(void);

#endif
