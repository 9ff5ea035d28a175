/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"

#include <stdio.h>

#include "base/str.h"

void *buf_reserve(struct buf *b, size_t size)
{
	if (b->room - b->size < size + 1) {
		size_t room = b->room ? b->room : 64;

		while (room - b->size < size + 1)
			room *= 2;
		b->data = xrealloc(b->data, room);
		b->room = room;
	}
	return b->data + b->size;
}

void buf_add(struct buf *b, const void *data, size_t size)
{
	if (size)
		memcpy(buf_reserve(b, size), data, size);
	else
		buf_reserve(b, 0);
	b->size += size;
	b->data[b->size] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	buf_reserve(b, (size_t)n);
	va_start(ap, fmt);
	vsnprintf(b->data + b->size, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->size += (size_t)n;
}

void buf_shift(struct buf *b, size_t size)
{
	if (size >= b->size) {
		buf_reset(b);
		return;
	}
	memmove(b->data, b->data + size, b->size - size);
	b->size -= size;
	b->data[b->size] = '\0';
}

void buf_reset(struct buf *b)
{
	b->size = 0;
	if (b->data)
		b->data[0] = '\0';
}

char *buf_steal(struct buf *b)
{
	char *s = b->data ? b->data : xstrdup("");

	*b = (struct buf){ 0 };
	return s;
}

void buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}
