/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Progress as Docker words it: one JSON message each. */
#ifndef REGISTRY_PROGRESS_H
#define REGISTRY_PROGRESS_H

#include "registry/registry.h"

struct progress { registry_emit_fn *emit; void *ctx; };

/* {"status","id"}; id may be NULL. */
void progress_say(const struct progress *p, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* {"status","progressDetail":{},"id"} */
void progress_step(const struct progress *p, const char *id, const char *status);
/* With how far it is, as numbers and as a bar. */
void progress_at(const struct progress *p, const char *id, const char *status, int64_t at, int64_t total);

#endif
