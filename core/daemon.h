/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's wiring: every room it opened, in one struct. Only main.c and daemon*.c include this. The main thread owns it;
 * other threads get what they need at their own making.
 */
#ifndef CORE_DAEMON_H
#define CORE_DAEMON_H

#include "api.h"
#include "base/err.h"
#include "base/spawner.h"
#include "config.h"
#include "container/bundle.h"
#include "engine.h"
#include "image/graph.h"
#include "listen.h"
#include "root.h"
#include "router.h"

struct daemon {
	struct config *config;        /* the one in force */
	struct config *retired;       /* the one before: a reader may still hold it (see daemon_reload) */
	char *data_root, *exec_root, *engine_id;
	int lock_fd, signal_fd;
	struct pidfile pidfile;
	struct listeners listeners;
	struct spawner *spawner;
	struct engine *engine;
	struct graph *graph;
	struct daemon_defaults defaults;
	struct api api;
	size_t steps_done;            /* of daemon.c: what is to be undone */
	int ends;                     /* signals so far that asked for the end */
};

/* Starts, serves until a signal asks for the end, stops. The exit code. */
int daemon_run(struct config *cfg);

/* daemon-signals.c */
int daemon_signals_block(struct daemon *d, struct err *err);
/* Waits at most ms for a signal that ends the daemon: its number, or 0. */
int daemon_signals_wait(struct daemon *d, int ms);
/* Serves signals until one asks for the end: its number. */
int daemon_signals_loop(struct daemon *d);
/* Runs fn on a thread of its own while signals are watched: the third that asks for the end makes the process exit at once. */
void daemon_signals_during(struct daemon *d, void (*fn)(struct daemon *d));

/* daemon-reload.c */
void daemon_reload(struct daemon *d);
/* Puts next in force, which the daemon then owns. -1: nothing has changed. */
int daemon_apply_config(struct daemon *d, struct config *next, struct err *err);
void daemon_apply_log(const struct config *cfg);
/* Every reloadable key and its value, for the reload event. */
void daemon_reload_attributes(const struct config *cfg, struct strmap *ret);
/* A description of what the daemon is doing, into a file in the exec-root. */
void daemon_dump(struct daemon *d);
void daemon_dump_rooms(struct daemon *d, struct buf *b);

/* daemon-defaults.c */
int daemon_defaults_fill(struct daemon *d, struct err *err);
void daemon_defaults_done(struct daemon_defaults *def);

#endif
