/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads databases of the bbolt library, in which Docker keeps volumes and networks. Whatever the file holds, it is
 * read within its bounds and to an end.
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

#endif
