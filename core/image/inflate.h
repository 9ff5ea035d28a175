/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decompression by content: gzip (any number of members), zstd (any number of frames, window capped by
 * INFLATE_WINDOW_LOG), what codecs know, or plain bytes passed through. In this process, streaming, memory bounded. Also the one gzip writer.
 */
#ifndef IMAGE_INFLATE_H
#define IMAGE_INFLATE_H

#include "base/stream.h"

#define INFLATE_WINDOW_LOG 27 /* zstd frames that ask for more than 2^27 bytes of window are refused */

enum inflate_kind { INFLATE_PLAIN, INFLATE_GZIP, INFLATE_ZSTD, INFLATE_BZIP2, INFLATE_XZ };

#define INFLATE_MAGIC 6 /* first bytes that tell the kind */
/* What begins with these bytes (fewer: the whole stream). */
enum inflate_kind inflate_kind_of(const void *data, size_t size);

/* What is at hand, and room for what comes of it; both move on. */
struct inflate_io { const uint8_t *in; size_t in_size; uint8_t *out; size_t out_size; };
struct inflate_codec {
	enum inflate_kind kind;
	const char *magic;
	size_t magic_size;
	void *(*start)(struct err *err);
	int (*run)(void *state, struct inflate_io *io, struct err *err); /* 1: the end of a stream; 0; -1 */
	void (*end)(void *state);
};
/* More kinds for this process; without them bzip2 and xz are refused by name (ERR_NOT_IMPLEMENTED). Before the first stream. */
void inflate_set_codecs(const struct inflate_codec *v, size_t n);

/*
 * A reader of the plain bytes of in, which stays the caller's and must outlive it. Reads the first bytes at once.
 * Free with reader_close(). The daemon does this with its own files only: what others made goes through unpack.h.
 */
struct reader *inflate_new(struct reader *in, enum inflate_kind *ret_kind, struct err *err);

struct gzip_writer;
/* out stays the caller's; the stream is whole after gzip_writer_end(). */
struct gzip_writer *gzip_writer_new(struct writer *out);
/* Where the plain bytes go; owned by g. */
struct writer *gzip_writer_sink(struct gzip_writer *g);
int gzip_writer_end(struct gzip_writer *g, struct err *err);
void gzip_writer_free(struct gzip_writer *g);
static inline void gzip_writer_freep(struct gzip_writer **g) { if (*g) gzip_writer_free(*g); }

#endif
