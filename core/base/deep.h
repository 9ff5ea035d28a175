/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recursion into trees whose depth others choose. The threads of connections have stacks of 192 kB: a walk that has come to
 * DEEP_SHALLOW levels goes on with a stack that holds DEEP_MAX more; nobody goes further.
 */
#ifndef BASE_DEEP_H
#define BASE_DEEP_H

#include "base/err.h"

enum { DEEP_SHALLOW = 48, DEEP_MAX = 1000 };

/* Walks a folder, or two side by side (other -1: there is none), of a level. */
typedef int deep_walk(void *ctx, int fd, int other, int depth, struct err *err);

/*
 * The step into a folder of level depth: at DEEP_SHALLOW on a thread of its own with a stack of 16 MiB, of which only what is touched
 * takes memory. What walk returned; -1: no thread.
 */
int deep_step(deep_walk *walk, void *ctx, int fd, int other, int depth, struct err *err);

#endif
