/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/inflate.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include "base/str.h"

#define IN_SIZE (128 * 1024)

struct inflate {
	struct reader reader; /* first */
	struct reader *in;
	enum inflate_kind kind;
	uint8_t *buf;         /* IN_SIZE bytes of which [pos, end) are not used yet */
	size_t pos, end;
	bool eof;             /* in has ended */
	bool between;         /* at a frame's or member's border */
	bool done;
	struct inflate_state *gz;
	ZSTD_DStream *zstd;
	const struct inflate_codec *codec;
	void *codec_state;    /* NULL between streams */
};

static const struct inflate_codec *codecs;
static size_t n_codecs;

void inflate_set_codecs(const struct inflate_codec *v, size_t n)
{
	codecs = v;
	n_codecs = n;
}

/* Keeps what is left and reads more behind it: bytes at hand, or -1. */
static ssize_t fill(struct inflate *f, size_t want, struct err *err)
{
	memmove(f->buf, f->buf + f->pos, f->end - f->pos);
	f->end -= f->pos;
	f->pos = 0;
	while (f->end < want && !f->eof) {
		ssize_t n = f->in->read(f->in, f->buf + f->end, IN_SIZE - f->end, err);

		if (n < 0)
			return -1;
		f->eof = n == 0;
		f->end += (size_t)n;
	}
	return (ssize_t)f->end;
}

static ssize_t plain_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct inflate *f = (struct inflate *)reader;

	if (f->pos == f->end)
		return f->eof ? 0 : f->in->read(f->in, data, size, err);
	if (size > f->end - f->pos)
		size = f->end - f->pos;
	memcpy(data, f->buf + f->pos, size);
	f->pos += size;
	return (ssize_t)size;
}

/*
 * At a border: 1 when another member or frame begins, 0 at the end. Zeros may fill up the stream (tapes do that);
 * anything else behind the last member is an error.
 */
static int next_member(struct inflate *f, const char *magic, size_t magic_size, struct err *err)
{
	for (;;) {
		if (f->end - f->pos < magic_size && fill(f, magic_size, err) < 0)
			return -1;
		if (f->pos == f->end)
			return 0;
		if (f->end - f->pos >= magic_size && memcmp(f->buf + f->pos, magic, magic_size) == 0)
			return 1;
		if (f->buf[f->pos])
			return err_set(err, ERR_INVALID, "garbage behind the compressed data");
		while (f->pos < f->end && !f->buf[f->pos])
			f->pos++;
		if (f->pos < f->end)
			return err_set(err, ERR_INVALID, "garbage behind the compressed data");
	}
}

static void gzip_start(struct inflate *f)
{
	isal_inflate_init(f->gz);
	f->gz->crc_flag = ISAL_GZIP;
	f->between = false;
}

static ssize_t gzip_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct inflate *f = (struct inflate *)reader;
	struct inflate_state *gz = f->gz;

	if (size > UINT32_MAX / 2)
		size = UINT32_MAX / 2;
	while (!f->done) {
		int rc;

		if (f->between) {
			int more = next_member(f, "\x1f\x8b", 2, err);

			if (more <= 0) {
				f->done = more == 0;
				return more;
			}
			gzip_start(f);
		}
		if (f->pos == f->end && fill(f, 1, err) < 0)
			return -1;
		gz->next_in = f->buf + f->pos;
		gz->avail_in = (uint32_t)(f->end - f->pos);
		gz->next_out = data;
		gz->avail_out = (uint32_t)size;
		rc = isal_inflate(gz);
		if (rc == ISAL_INCORRECT_CHECKSUM)
			return err_set(err, ERR_INVALID, "gzip: invalid checksum");
		if (rc < 0)
			return err_set(err, ERR_INVALID, "gzip: invalid data");
		f->between = gz->block_state == ISAL_BLOCK_FINISH;
		if (!f->between && f->eof && gz->avail_out == size && gz->avail_in == f->end - f->pos)
			return err_set(err, ERR_INVALID, "unexpected EOF");
		f->pos = f->end - gz->avail_in;
		if (gz->avail_out < size)
			return (ssize_t)(size - gz->avail_out);
	}
	return 0;
}

static ssize_t zstd_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct inflate *f = (struct inflate *)reader;
	ZSTD_outBuffer out = { data, size, 0 };

	while (!f->done) {
		ZSTD_inBuffer in;
		size_t rc;

		if (f->pos == f->end && fill(f, 1, err) < 0)
			return -1;
		if (f->pos == f->end && f->between) {
			f->done = true;
			return 0;
		}
		in = (ZSTD_inBuffer){ f->buf, f->end, f->pos };
		rc = ZSTD_decompressStream(f->zstd, &out, &in);
		if (ZSTD_isError(rc))
			return err_set(err, ERR_INVALID, "zstd: %s", ZSTD_getErrorName(rc));
		if (!out.pos && in.pos == f->pos && f->pos == f->end)
			return err_set(err, ERR_INVALID, "unexpected EOF");
		f->between = rc == 0;
		f->pos = in.pos;
		if (out.pos)
			return (ssize_t)out.pos;
	}
	return 0;
}

/* Begins the next stream: 1, or 0 at the end. */
static int codec_next(struct inflate *f, struct err *err)
{
	int more = next_member(f, f->codec->magic, f->codec->magic_size, err);

	if (more > 0 && !(f->codec_state = f->codec->start(err)))
		return -1;
	f->done = more == 0;
	return more;
}

static ssize_t codec_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct inflate *f = (struct inflate *)reader;

	while (!f->done) {
		struct inflate_io io = { .out = data, .out_size = size };
		bool moved;
		int rc;

		if (!f->codec_state && (rc = codec_next(f, err)) <= 0)
			return rc;
		if (f->pos == f->end && fill(f, 1, err) < 0)
			return -1;
		io.in = f->buf + f->pos;
		io.in_size = f->end - f->pos;
		rc = f->codec->run(f->codec_state, &io, err);
		if (rc < 0)
			return -1;
		moved = io.in_size != f->end - f->pos || io.out_size != size;
		f->pos = f->end - io.in_size;
		if (rc > 0) {
			f->codec->end(f->codec_state);
			f->codec_state = NULL;
		} else if (!moved && f->pos == f->end && f->eof) {
			return err_set(err, ERR_INVALID, "unexpected EOF");
		}
		if (io.out_size < size)
			return (ssize_t)(size - io.out_size);
	}
	return 0;
}

static void inflate_close(struct reader *reader)
{
	struct inflate *f = (struct inflate *)reader;

	if (f->codec_state)
		f->codec->end(f->codec_state);
	ZSTD_freeDStream(f->zstd);
	free(f->gz);
	free(f->buf);
	free(f);
}

static int zstd_start(struct inflate *f, struct err *err)
{
	f->zstd = ZSTD_createDStream();
	if (!f->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG)))
		return err_set(err, ERR_INTERNAL, "zstd: cannot start");
	f->reader.read = zstd_read;
	return 0;
}

enum inflate_kind inflate_kind_of(const void *data, size_t n)
{
	const uint8_t *p = data;

	if (n >= 3 && memcmp(p, "\x1f\x8b\x08", 3) == 0)
		return INFLATE_GZIP;
	if (n >= 4 && (memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0 || ((p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)))
		return INFLATE_ZSTD;
	if (n >= 3 && memcmp(p, "BZh", 3) == 0)
		return INFLATE_BZIP2;
	if (n >= 6 && memcmp(p, "\xfd" "7zXZ\0", 6) == 0)
		return INFLATE_XZ;
	return INFLATE_PLAIN;
}

static int codec_start(struct inflate *f, struct err *err)
{
	f->reader.read = codec_read;
	for (size_t i = 0; i < n_codecs; i++)
		if (codecs[i].kind == f->kind)
			f->codec = &codecs[i];
	if (!f->codec)
		return err_set(err, ERR_NOT_IMPLEMENTED, "%s compression is not supported", f->kind == INFLATE_XZ ? "xz" : "bzip2");
	return 0;
}

static int start(struct inflate *f, struct err *err)
{
	ssize_t n = fill(f, INFLATE_MAGIC, err);

	if (n < 0)
		return -1;
	f->kind = inflate_kind_of(f->buf, (size_t)n);
	if (f->kind == INFLATE_BZIP2 || f->kind == INFLATE_XZ)
		return codec_start(f, err);
	f->reader.read = plain_read;
	if (f->kind == INFLATE_ZSTD)
		return zstd_start(f, err);
	if (f->kind == INFLATE_GZIP) {
		f->gz = xmalloc(sizeof(*f->gz));
		gzip_start(f);
		f->reader.read = gzip_read;
	}
	return 0;
}

struct reader *inflate_new(struct reader *in, enum inflate_kind *ret_kind, struct err *err)
{
	struct inflate *f = xcalloc(1, sizeof(*f));

	f->in = in;
	f->buf = xmalloc(IN_SIZE);
	f->reader.close = inflate_close;
	if (start(f, err) < 0) {
		inflate_close(&f->reader);
		return NULL;
	}
	if (ret_kind)
		*ret_kind = f->kind;
	return &f->reader;
}
