/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decompression by content: gzip (any number of members), zstd (any number of frames, window capped by
 * INFLATE_WINDOW_LOG), or plain bytes passed through. In this process, streaming, memory bounded. Also the one gzip writer.
 */
#ifndef IMAGE_INFLATE_H
#define IMAGE_INFLATE_H

#include "base/stream.h"

#define INFLATE_WINDOW_LOG 27 /* zstd frames that ask for more than 2^27 bytes of window are refused */

enum inflate_kind { INFLATE_PLAIN, INFLATE_GZIP, INFLATE_ZSTD };

#define INFLATE_MAGIC 6 /* first bytes that tell the kind */
/* What begins with these bytes (fewer: the whole stream). bzip2 and xz are refused by name (ERR_NOT_IMPLEMENTED). */
int inflate_kind_of(const void *data, size_t size, enum inflate_kind *ret, struct err *err);

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
