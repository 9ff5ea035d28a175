/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Progress as Docker words it: one JSON message each. */
#ifndef REGISTRY_PROGRESS_H
#define REGISTRY_PROGRESS_H

#include "registry/teller.h"

struct progress {
	registry_emit_fn *emit;
	void *ctx;
	struct teller *teller; /* NULL: whoever has something to say waits until it is said */
};

/* From here on nobody waits for the client, up to the end, which does. */
void progress_open(struct progress *p, registry_emit_fn *emit, void *ctx);
void progress_close(struct progress *p);

/* {"status","id"}; id may be NULL. */
void progress_say(const struct progress *p, const char *id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* {"status","progressDetail":{},"id"} */
void progress_step(const struct progress *p, const char *id, const char *status);
/* It is tried again so much later; the next one about it makes this old. */
void progress_retry(const struct progress *p, const char *id, int64_t seconds);
/* With how far it is, as numbers and as a bar; id may be NULL. */
void progress_at(const struct progress *p, const char *id, const char *status, int64_t at, int64_t total);
/* What was pushed, for clients that sign it: {"progressDetail":{},"aux":{"Tag","Digest","Size"}} */
void progress_pushed(const struct progress *p, const char *tag, const char *digest, int64_t size);

#endif
