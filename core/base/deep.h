/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recursion into trees whose depth others choose. The threads of connections have stacks of 192 kB: a walk that has come to
 * DEEP_SHALLOW levels goes on through deep_call(), whose stack holds DEEP_MAX more; nobody goes further.
 */
#ifndef BASE_DEEP_H
#define BASE_DEEP_H

#include "base/err.h"

enum { DEEP_SHALLOW = 48, DEEP_MAX = 1000 };

/* fn(arg) on a thread of its own with a stack of 16 MiB, of which only what is touched takes memory; what fn returned. -1: no thread. */
int deep_call(int (*fn)(void *arg), void *arg, struct err *err);

#endif
