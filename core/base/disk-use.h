/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that a tree of files takes, whoever writes to it meanwhile. */
#ifndef BASE_DISK_USE_H
#define BASE_DISK_USE_H

#include <stdint.h>

#include "base/cancel.h"

/*
 * Takes over dir_fd (-1 is answered with -1). Directories count nothing, a file of several names counts once, links are not
 * followed, what lies below the thousandth folder in another is left out: each level holds a descriptor. -1: the token fired.
 */
int64_t disk_use(int dir_fd, const struct cancel *cancel);

#endif
