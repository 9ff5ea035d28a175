/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blobs on their way: a file each in image/DRIVER/distribution/partial, named by its digest. Pulls that want the same one share it: one of them fetches, the
 * others wait, and whoever is left goes on when that one fails. What is there of a blob nobody wants any more is kept for the next pull, for a day;
 * one that was used goes with its last user. Also: which layers are being unpacked. Thread-safe.
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
/* done: it was used, or is of no use; a whole one is removed with the last user then. */
void partial_leave(struct partials *p, struct partial *b, bool done);
/* There is no room for it: it goes with the last user, whole or not. */
void partial_spare(struct partials *p, struct partial *b);
/* Bytes that are there. */
int64_t partial_size(struct partials *p, const struct partial *b);
enum partial_state { PARTIAL_MINE, PARTIAL_OTHERS, PARTIAL_WHOLE };
/* PARTIAL_MINE: the caller fetches it now, and says partial_fetched(). *ret_at: how far somebody else is. */
enum partial_state partial_take(struct partials *p, struct partial *b, int64_t *ret_at);
/* The same without taking it: PARTIAL_MINE is free. */
enum partial_state partial_look(struct partials *p, struct partial *b, int64_t *ret_at);
void partial_at(struct partial *b, int64_t at);
void partial_fetched(struct partials *p, struct partial *b, bool whole);
/* The file, for reading and writing, made when it is not there. -1 with err. */
int partial_file(struct partials *p, const struct partial *b, struct err *err);
/* A file without a name there, for what is sent. -1 with err. */
int partials_temporary(struct partials *p, struct err *err);
/* Removes what is older than a day, or all, of what nobody has joined. */
void partials_sweep(struct partials *p, bool all);
/* Bytes that are free there, -1: not known. */
int64_t partials_room(struct partials *p);

/* One at a time unpacks a layer: false when somebody else does. */
bool partials_claim(struct partials *p, const char *chain);
void partials_release(struct partials *p, const char *chain);
/* Waits for any release, 100 ms at most. */
void partials_wait(struct partials *p);

#endif
