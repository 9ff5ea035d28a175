/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Docker's framing of several output streams on one connection: eight bytes (stream, three zeros, size in big endian), then
 * the bytes. Not thread-safe.
 */
#ifndef BASE_MUX_H
#define BASE_MUX_H

#include <stddef.h>

#define MUX_HEAD 8

/* Zeroed at first; keeps what a frame's pieces need of each other. */
struct demux { unsigned char head[MUX_HEAD]; size_t have, left; };
/* Emits the contents of the frames in data, in pieces; stops and returns what emit returned when that is not 0. */
int demux_feed(struct demux *d, const void *data, size_t size, int (*emit)(void *ctx, const void *data, size_t size), void *ctx);

#endif
