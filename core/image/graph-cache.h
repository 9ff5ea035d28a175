/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the graph facade: what drivers said of the layers that were asked for last, as JSON. It never changes while
 * the layers live. Bounded; thread-safe.
 */
#ifndef IMAGE_GRAPH_CACHE_H
#define IMAGE_GRAPH_CACHE_H

#include "base/jw.h"

struct graph_cache;

struct graph_cache *graph_cache_new(void);
void graph_cache_free(struct graph_cache *c);
/* False when it is not known. */
bool graph_cache_write(struct graph_cache *c, const char *id, struct jw *w);
void graph_cache_put(struct graph_cache *c, const char *id, const char *json);
/* NULL: of all. */
void graph_cache_forget(struct graph_cache *c, const char *id);

#endif
