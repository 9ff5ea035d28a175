/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many transfers there are at once, of all pulls or of all pushes. Who finds no room waits in line, and is woken by the eventfd that it gave. Thread-safe.
 */
#ifndef REGISTRY_SLOTS_H
#define REGISTRY_SLOTS_H

#include <stdbool.h>

struct slots;
struct slots *slots_new(void);
void slots_free(struct slots *s);

/* One transfer. Zeroed at first; belongs to one thread, except for what is said here. */
struct slot {
	struct slot *next;
	enum { SLOT_IDLE, SLOT_WAITING, SLOT_HELD } state; /* the lock of struct slots */
	int wake;                                          /* of the thread that waits */
	int most;
};
/* True: it may begin. False: it is in line, behind those that came before. most: of all that are held; 0: as many as there are. */
bool slots_take(struct slots *s, struct slot *one, int most, int wake);
/* Held, in line or neither. */
void slots_give(struct slots *s, struct slot *one);

#endif
