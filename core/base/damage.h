/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was found damaged on disk, of the whole process: said in the log when it is found, in the warnings of GET /info as
 * long as the object is there, as an event, and by dockerd --check. Thread-safe; any lock but a LEAF may be held.
 */
#ifndef BASE_DAMAGE_H
#define BASE_DAMAGE_H

#include <stdbool.h>
#include <stddef.h>

enum damage_state {
	DAMAGE_LOST,     /* the object, or a part of it, cannot be used */
	DAMAGE_REPAIRED, /* it was put right from what else there is */
	DAMAGE_ORPHAN,   /* something that belongs to nothing, and stays */
	DAMAGE_SWEPT,    /* the same, removed */
};

struct damage {
	const char *kind;  /* a literal: image layer container volume network daemon, the types of events */
	char *id, *text;   /* text: a sentence with the object's name in it */
	enum damage_state state;
};

/* Notes it once: the same words about the same object are heard once. */
void damage_note(const char *kind, const char *id, enum damage_state state, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The object went, or was made anew. */
void damage_forget(const char *kind, const char *id);
/* How many there are of an enum damage_state. */
size_t damage_count(enum damage_state state);
/* Calls emit for a copy of each, without the lock. */
void damage_each(void (*emit)(void *ctx, const struct damage *d), void *ctx);
/* Called once for each that is there already and each from now on; NULL: nobody. Runs wherever damage is noted. */
void damage_listen(void (*heard)(void *ctx, const struct damage *d), void *ctx);
/* "damaged" (of DAMAGE_LOST), "repaired", ... */
const char *damage_word(enum damage_state state);

#endif
