/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A gzip writer for rotated logs. The shim is static and small: it brings this instead of a library. One deflate block with the
 * fixed codes over a 32 KiB window: a log shrinks to about a sixth.
 */
#ifndef SHIM_GZIP_H
#define SHIM_GZIP_H

#include <stdatomic.h>
#include <stdbool.h>

/* Writes what from has as a gzip file with that extra field; gives up (false) when *stop becomes true or the disk refuses. */
bool gzip_write(int to, int from, const char *extra, const atomic_bool *stop);

#endif
