/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a facade opens once for each name and keeps until its end. The first who asks opens it, with no lock held; others who
 * ask for the same name wait for that, and those who ask for another do not. A failure is told to the first; the next tries again.
 */
#ifndef CORE_DRIVER_ONCE_H
#define CORE_DRIVER_ONCE_H

#include "base/err.h"

struct driver_once;

/* open: the caller's own object, or NULL with err set. */
typedef void *driver_once_open_fn(void *ctx, const char *name, struct err *err);
typedef void driver_once_close_fn(void *object);

struct driver_once *driver_once_new(driver_once_open_fn *open, driver_once_close_fn *close, void *ctx);
/* Closes all of them; nobody uses one any more. */
void driver_once_free(struct driver_once *o);
/* The one that is open, or NULL. Waits for nobody. */
void *driver_once_find(struct driver_once *o, const char *name);
void *driver_once_get(struct driver_once *o, const char *name, struct err *err);

#endif
