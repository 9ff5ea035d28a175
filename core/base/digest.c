/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/digest.h"

#include <stdint.h>
#include <string.h>

void digest_text(struct digest *d, char ret[DIGEST_TEXT])
{
	uint8_t raw[SHA256_DIGEST_SIZE];
	char *p = ret + 7;

	sha256_digest(&d->ctx, sizeof(raw), raw);
	memcpy(ret, "sha256:", 7);
	for (size_t i = 0; i < sizeof(raw); i++) {
		*p++ = "0123456789abcdef"[raw[i] >> 4];
		*p++ = "0123456789abcdef"[raw[i] & 15];
	}
	*p = '\0';
}

void digest_of(const void *data, size_t size, char ret[DIGEST_TEXT])
{
	struct digest d;

	digest_init(&d);
	digest_add(&d, data, size);
	digest_text(&d, ret);
}
