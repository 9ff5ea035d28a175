/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events: a ring of the last 256 with waiters. Publishing never waits for a reader; a reader that falls behind its own
 * bounded queue is told so. Thread-safe (leaf lock).
 */
#ifndef CORE_EVENTS_H
#define CORE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

struct event {
	const char *type;      /* container image volume network daemon plugin builder */
	char *action;
	char *actor;           /* id */
	struct strmap attrs;
	struct strmap labels;  /* of what it is about, whatever the attributes say: who is restricted to labels sees it by these */
	int64_t time;          /* ns */
	int refs;
};

struct events;
struct event_reader;

struct events *events_new(void);
void events_free(struct events *ev);
/* Takes over attrs' contents. type is a literal. */
void events_publish(struct events *ev, const char *type, const char *action, const char *actor, struct strmap *attrs);
/* The same of something with labels, taken over as well. */
void events_publish_of(struct events *ev, struct strmap *labels, const char *type, const char *action, const char *actor, struct strmap *attrs);
/* attrs as key, value, ..., NULL. */
void events_log(struct events *ev, const char *type, const char *action, const char *actor, ...) __attribute__((sentinel));
/* labels are copied. */
void events_log_of(struct events *ev, const struct strmap *labels, const char *type, const char *action, const char *actor, ...)
	__attribute__((sentinel));
int events_subscribers(struct events *ev);

/* Replays what the ring holds since (ns; 0: nothing), then follows. */
struct event_reader *events_subscribe(struct events *ev, int64_t since);
void events_unsubscribe(struct event_reader *r);
/* The next event (release with event_unref), or NULL: until (ns, 0: never) passed, or the token fired. *lost counts dropped ones. */
struct event *events_next(struct event_reader *r, int64_t until, const struct cancel *c, uint64_t *lost);
void event_unref(struct event *e);
/* The API's JSON; api_minor < 52 adds the legacy status/id/from fields. */
void event_encode(const struct event *e, int api_minor, struct jw *w);

#endif
