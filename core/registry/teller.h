/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages to a client, written by a thread of its own: one that does not read holds up nobody who shares blobs or places in line with its pull.
 * Thread-safe, but for the end.
 */
#ifndef REGISTRY_TELLER_H
#define REGISTRY_TELLER_H

#include <stdbool.h>

#include "registry/registry.h"

struct teller;

/* NULL when there is nobody to tell, or no thread to be had. */
struct teller *teller_new(registry_emit_fn *emit, void *ctx);
/* about: what the message is about, or NULL. One that passes gives way to the next message about the same, if that passes, too. */
void teller_put(struct teller *t, const char *about, bool passes, const char *json);
/* Waits until all is written, or the client is gone. */
void teller_end(struct teller *t);

#endif
