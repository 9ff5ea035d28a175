/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/mux.h"

#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t take_head(struct demux *d, const unsigned char *p, size_t n)
{
	size_t k = least(n, MUX_HEAD - d->have);

	memcpy(d->head + d->have, p, k);
	d->have += k;
	if (d->have == MUX_HEAD) {
		d->left = (size_t)d->head[4] << 24 | (size_t)d->head[5] << 16 | (size_t)d->head[6] << 8 | d->head[7];
		d->have = 0;
	}
	return k;
}

int demux_feed(struct demux *d, const void *data, size_t size, int (*emit)(void *ctx, const void *data, size_t size), void *ctx)
{
	const unsigned char *p = data;

	while (size) {
		size_t k;

		if (d->left) {
			int r;

			k = least(size, d->left);
			d->left -= k;
			r = emit(ctx, p, k);
			if (r)
				return r;
		} else {
			k = take_head(d, p, size);
		}
		p += k;
		size -= k;
	}
	return 0;
}
