/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Databases of the bbolt library, in which Docker keeps volumes and networks. Whatever the file holds, it is
 * read within its bounds and to an end. Not thread-safe, as far as one file is concerned.
 */
#ifndef BASE_BOLT_H
#define BASE_BOLT_H

#include <stddef.h>

#include "base/err.h"

/* A pair; neither ends with a NUL. -1 ends the walk with err. */
typedef int bolt_fn(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err);

/* Every pair of a bucket at the top, by key; none when there is no such bucket. ERR_INVALID: it is no database, or damaged. */
int bolt_each(const char *data, size_t size, const char *bucket, bolt_fn *fn, void *ctx, struct err *err);
/* The same of a file of at most max bytes. ERR_NOT_FOUND. */
int bolt_each_in(const char *path, size_t max, const char *bucket, bolt_fn *fn, void *ctx, struct err *err);

/* Pairs to write, each key once; in any order. */
struct bolt_pair { char *key, *value; size_t key_size, value_size; };
struct bolt_pairs { struct bolt_pair *v; size_t len; };
void bolt_pairs_add(struct bolt_pairs *p, const void *key, size_t key_size, const void *value, size_t value_size);
void bolt_pairs_done(struct bolt_pairs *p);
#define OWN_BOLT_PAIRS __attribute__((cleanup(bolt_pairs_done)))

/* A database of this one bucket, in the place of any other. */
int bolt_make(const char *path, const char *bucket, struct bolt_pairs *p, struct err *err);
/*
 * These become the pairs of the bucket, in place, so that whoever waits for a lock on the file has the right one: at any moment
 * the file is whole, with the old pairs or the new ones. What is as it was is not written. ERR_INVALID: it is no database,
 * or has other buckets, too. max: bytes it may have.
 */
int bolt_update(const char *path, size_t max, const char *bucket, struct bolt_pairs *p, struct err *err);

#endif
