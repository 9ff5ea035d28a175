/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader for tests that gives its bytes in pieces of one size, so that every border is met. */
#ifndef T_UNIT_DRIP_H
#define T_UNIT_DRIP_H

#include <string.h>

#include "base/stream.h"

struct drip { struct reader reader; const char *data; size_t size, piece; };

static ssize_t drip_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct drip *d = (struct drip *)reader;

	if (size > d->piece)
		size = d->piece;
	if (size > d->size)
		size = d->size;
	memcpy(data, d->data, size);
	d->data += size;
	d->size -= size;
	return (ssize_t)size;
}

#endif
