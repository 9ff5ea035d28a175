/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing byte buffer; data is NUL-terminated behind size. Not thread-safe. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data; /* owned; NULL while nothing was added */
	size_t size, room;
};

void buf_add(struct buf *b, const void *data, size_t size);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for size more bytes and returns where they go; the caller adds to b->size. */
void *buf_reserve(struct buf *b, size_t size);
static inline void buf_addc(struct buf *b, char c)
{
	char *p = b->room - b->size > 1 ? b->data + b->size : buf_reserve(b, 1);

	p[0] = c;
	p[1] = '\0';
	b->size++;
}
/* Drops the first size bytes. */
void buf_shift(struct buf *b, size_t size);
void buf_reset(struct buf *b); /* empties, keeps the memory */
char *buf_steal(struct buf *b); /* the string, owned by the caller; never NULL */
void buf_done(struct buf *b);

#define OWN_BUF __attribute__((cleanup(buf_done)))

#endif
