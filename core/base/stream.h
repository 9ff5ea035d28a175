/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sources and sinks of bytes, and the plain ones: a descriptor, memory. Not thread-safe. */
#ifndef BASE_STREAM_H
#define BASE_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* A source of bytes (an upload, a file, a decompressor). 0 at the end, -1 with err. */
struct reader {
	ssize_t (*read)(struct reader *r, void *data, size_t size, struct err *err);
	void (*close)(struct reader *r); /* frees r; may be NULL */
};

/* A sink of bytes. 0, or -1 with err. */
struct writer {
	int (*write)(struct writer *w, const void *data, size_t size, struct err *err);
};

static inline void reader_close(struct reader *r) { if (r && r->close) r->close(r); }
static inline void reader_closep(struct reader **r) { reader_close(*r); }
#define OWN_READER __attribute__((cleanup(reader_closep)))

/* Reads until size bytes or the end; the count, or -1 with err. */
ssize_t reader_read_all(struct reader *r, void *data, size_t size, struct err *err);
/* Reads to the end into ret; ERR_TOO_LARGE beyond max bytes. */
int reader_slurp(struct reader *r, size_t max, struct buf *ret, struct err *err);

/* The descriptor stays the caller's. */
struct fd_reader { struct reader reader; int fd; };
void fd_reader_init(struct fd_reader *r, int fd);
struct fd_writer { struct writer writer; int fd; };
void fd_writer_init(struct fd_writer *w, int fd);

/* data must outlive the reader. */
struct mem_reader { struct reader reader; const char *data; size_t size; };
void mem_reader_init(struct mem_reader *r, const void *data, size_t size);
/* Appends to buf. */
struct buf_writer { struct writer writer; struct buf *buf; };
void buf_writer_init(struct buf_writer *w, struct buf *buf);

#endif
