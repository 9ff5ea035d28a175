/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-256 (nettle; uses the CPU's SHA extensions). */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <nettle/sha2.h>
#include <stddef.h>

#define DIGEST_TEXT 72 /* "sha256:" + 64 + NUL */

struct digest { struct sha256_ctx ctx; };

static inline void digest_init(struct digest *d) { sha256_init(&d->ctx); }
static inline void digest_add(struct digest *d, const void *data, size_t size) { sha256_update(&d->ctx, size, data); }
/* "sha256:<hex>"; d is as new afterwards. */
void digest_text(struct digest *d, char ret[DIGEST_TEXT]);
void digest_of(const void *data, size_t size, char ret[DIGEST_TEXT]);

#endif
