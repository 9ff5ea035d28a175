/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "untar/codecs.h"

#include <bzlib.h>
#include <limits.h>
#include <lzma.h>

#include "base/str.h"
#include "image/inflate.h"

/* The window that zstd may have, too, and what the decoder takes beside it. */
#define XZ_MEMORY_MAX ((UINT64_C(1) << INFLATE_WINDOW_LOG) + (1 << 20))

static unsigned piece(size_t size)
{
	return size > UINT_MAX ? UINT_MAX : (unsigned)size;
}

static void *bzip2_start(struct err *err)
{
	OWN_FREE bz_stream *s = xcalloc(1, sizeof(*s));

	if (BZ2_bzDecompressInit(s, 0, 0) != BZ_OK) {
		err_set(err, ERR_INTERNAL, "bzip2: cannot start");
		return NULL;
	}
	return STEAL(s);
}

static int bzip2_run(void *state, struct inflate_io *io, struct err *err)
{
	bz_stream *s = state;
	int rc;

	s->next_in = (char *)io->in;
	s->avail_in = piece(io->in_size);
	s->next_out = (char *)io->out;
	s->avail_out = piece(io->out_size);
	rc = BZ2_bzDecompress(s);
	io->in_size -= (size_t)(s->next_in - (const char *)io->in);
	io->in = (const uint8_t *)s->next_in;
	io->out_size -= (size_t)(s->next_out - (char *)io->out);
	io->out = (uint8_t *)s->next_out;
	if (rc == BZ_MEM_ERROR)
		return err_set(err, ERR_INVALID, "bzip2: needs too much memory");
	return rc == BZ_STREAM_END ? 1 : rc == BZ_OK ? 0 : err_set(err, ERR_INVALID, "bzip2: invalid data");
}

static void bzip2_end(void *state)
{
	BZ2_bzDecompressEnd(state);
	free(state);
}

static void *xz_start(struct err *err)
{
	OWN_FREE lzma_stream *s = xmalloc(sizeof(*s));

	*s = (lzma_stream)LZMA_STREAM_INIT;
	if (lzma_stream_decoder(s, XZ_MEMORY_MAX, 0) != LZMA_OK) {
		err_set(err, ERR_INTERNAL, "xz: cannot start");
		return NULL;
	}
	return STEAL(s);
}

static int xz_run(void *state, struct inflate_io *io, struct err *err)
{
	lzma_stream *s = state;
	lzma_ret rc;

	s->next_in = io->in;
	s->avail_in = io->in_size;
	s->next_out = io->out;
	s->avail_out = io->out_size;
	rc = lzma_code(s, LZMA_RUN);
	io->in = s->next_in;
	io->in_size = s->avail_in;
	io->out = s->next_out;
	io->out_size = s->avail_out;
	if (rc == LZMA_MEMLIMIT_ERROR || rc == LZMA_MEM_ERROR)
		return err_set(err, ERR_INVALID, "xz: needs too much memory");
	/* no progress is for the caller to see */
	if (rc == LZMA_OK || rc == LZMA_BUF_ERROR)
		return 0;
	return rc == LZMA_STREAM_END ? 1 : err_set(err, ERR_INVALID, "xz: invalid data");
}

static void xz_end(void *state)
{
	lzma_end(state);
	free(state);
}

void codecs_init(void)
{
	static const struct inflate_codec codecs[] = {
		{ INFLATE_BZIP2, "BZh", 3, bzip2_start, bzip2_run, bzip2_end },
		{ INFLATE_XZ, "\xfd" "7zXZ\0", 6, xz_start, xz_run, xz_end },
	};

	inflate_set_codecs(codecs, ARRAY_LEN(codecs));
}
