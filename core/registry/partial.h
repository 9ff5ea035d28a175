/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blobs on their way: a file each in image/DRIVER/distribution/partial, named by its digest. Pulls that want the same one share it: one of them fetches, the
 * others wait, and whoever is left goes on when that one fails. What is there of a blob nobody wants any more is kept for the next pull, for a day; a
 * whole one goes with its last user. Also: which layers are being unpacked. Thread-safe.
 */
#ifndef REGISTRY_PARTIAL_H
#define REGISTRY_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct partials;
struct partials *partials_open(const char *dir, struct err *err);
void partials_close(struct partials *p);

struct partial;
struct partial *partial_join(struct partials *p, const char *digest);
/* At the last one a whole file is removed. */
void partial_leave(struct partials *p, struct partial *b);
enum partial_state { PARTIAL_MINE, PARTIAL_OTHERS, PARTIAL_WHOLE };
/* PARTIAL_MINE: the caller fetches it now, and says partial_fetched(). *ret_at: how far somebody else is. */
enum partial_state partial_take(struct partials *p, struct partial *b, int64_t *ret_at);
void partial_at(struct partial *b, int64_t at);
void partial_fetched(struct partials *p, struct partial *b, bool whole);
/* The file, for reading and writing, made when it is not there. -1 with err. */
int partial_file(struct partials *p, const struct partial *b, struct err *err);
/* A file without a name there, for what is sent. -1 with err. */
int partials_temporary(struct partials *p, struct err *err);
/* Bytes that are free there, -1: not known. */
int64_t partials_room(struct partials *p);

/* One at a time unpacks a layer: false when somebody else does. */
bool partials_claim(struct partials *p, const char *chain);
void partials_release(struct partials *p, const char *chain);
/* Waits for any release, 100 ms at most. */
void partials_wait(struct partials *p);

#endif
