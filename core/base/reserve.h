/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Room kept for the day the disk is full: a file whose blocks are given up when something that frees space, or a mark that
 * must not be lost, would otherwise fail; taken again when there is plenty. One for the process. Thread-safe, no locks.
 */
#ifndef BASE_RESERVE_H
#define BASE_RESERVE_H

#include <stdbool.h>

#include "base/err.h"

/* Takes it in dir, when there is room for it: at most 64 MiB, and at most a sixteenth of what is free (1 MiB in memory). */
void reserve_open(const char *dir);
void reserve_close(void);
/* This thread may, or may not any more; nests. */
void reserve_allow(bool on);
/* Gives it up for this thread: true when there was something, and trying again makes sense. */
bool reserve_give(void);
/* Takes it again where it was given up and there is room. */
void reserve_retake(void);
/* To an ERR_NO_SPACE: how much is free, and where. */
void reserve_explain(struct err *err);

#endif
