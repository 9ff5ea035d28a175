/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The engine: named jobs. Every request, and every long piece of work, runs as a job: arguments, an input and an output
 * stream, a cancel token. The engine counts jobs, refuses new ones at shutdown, waits for the running ones, then runs the
 * shutdown handlers. All functions are thread-safe; a job belongs to the thread that runs it.
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"

struct engine;
struct job;

typedef int job_fn(struct job *job, struct err *err);

/* A byte stream of a job. read returns 0 at the end; both return -1 with err set. */
struct job_stream {
	ssize_t (*read)(struct job_stream *s, void *data, size_t size, struct err *err);
	int (*write)(struct job_stream *s, const void *data, size_t size, struct err *err);
};

struct job {
	const char *name;      /* owned by the engine */
	uint64_t id;           /* counts from 1 */
	struct engine *engine;
	void *ctx;             /* given at registration */
	struct strv args;
	struct strmap env;
	struct job_stream *in, *out; /* may be NULL; owned by the caller */
	struct cancel cancel;
	void *face;            /* the request behind it, for the handlers in api/; NULL for internal jobs */
	int64_t started;       /* clock_now() */
	struct job *next, **prev; /* the engine's list of running jobs */
};

struct engine *engine_new(void);
void engine_free(struct engine *e);

/* A name registered twice is an error that names it. */
int engine_register(struct engine *e, const char *name, job_fn *fn, void *ctx, struct err *err);
/* Runs for names nobody registered. */
void engine_set_catchall(struct engine *e, job_fn *fn, void *ctx);
bool engine_has(const struct engine *e, const char *name);
void engine_commands(struct engine *e, struct strv *ret); /* registered names, sorted */

/* ERR_NOT_FOUND for an unknown name without a catchall. Free with job_free. */
struct job *engine_job(struct engine *e, const char *name, struct err *err);
void job_free(struct job *job);
/* Runs to the end in this thread. ERR_UNAVAILABLE when the engine is shutting down. */
int job_run(struct job *job, struct err *err);
int job_getenv_bool(const struct job *job, const char *key);

size_t engine_running(struct engine *e);
/* How many have run and ended. */
uint64_t engine_ended(struct engine *e);
/* name, id, age in ns of each running job, under the engine's lock: emit must not call back. */
void engine_each_job(struct engine *e, void (*emit)(void *ctx, const char *name, uint64_t id, int64_t age), void *ctx);

/* Readable from the moment at which shutdown begins: part of each job's cancel token. */
int engine_stop_fd(const struct engine *e);
/* Handlers run in reverse order of registration. */
void engine_on_shutdown(struct engine *e, void (*fn)(void *ctx), void *ctx);
/* No new jobs; a third of timeout_ms for the running jobs, the rest for the handlers (-1: as long as it takes). Idempotent. */
void engine_shutdown(struct engine *e, int timeout_ms);

#endif
