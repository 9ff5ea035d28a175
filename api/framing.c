/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "framing.h"

#include "base/mux.h"

struct framing {
	struct http_stream s; /* first */
	struct http_stream *inner;
	bool add;
	struct demux demux;
	struct buf out;
};

static ssize_t framing_read(struct http_stream *s, void *data, size_t size)
{
	struct framing *f = (struct framing *)s;

	return f->inner->read(f->inner, data, size);
}

static int put(void *ctx, const void *data, size_t size)
{
	struct framing *f = ctx;

	return f->inner->write(f->inner, data, size);
}

static int framing_write(struct http_stream *s, const void *data, size_t size)
{
	struct framing *f = (struct framing *)s;
	unsigned char head[MUX_HEAD] = { 1, 0, 0, 0, (unsigned char)(size >> 24), (unsigned char)(size >> 16), (unsigned char)(size >> 8),
		(unsigned char)size };

	if (!f->add)
		return demux_feed(&f->demux, data, size, put, f);
	buf_reset(&f->out);
	buf_add(&f->out, head, sizeof(head));
	buf_add(&f->out, data, size);
	return put(f, f->out.data, f->out.size);
}

static int framing_shutdown_write(struct http_stream *s)
{
	struct framing *f = (struct framing *)s;

	return f->inner->shutdown_write(f->inner);
}

static bool framing_pending(struct http_stream *s)
{
	struct framing *f = (struct framing *)s;

	return f->inner->pending && f->inner->pending(f->inner);
}

static enum http_owed framing_owed(struct http_stream *s)
{
	struct framing *f = (struct framing *)s;

	return f->inner->owed(f->inner);
}

static int framing_settle(struct http_stream *s)
{
	struct framing *f = (struct framing *)s;

	return f->inner->settle(f->inner);
}

static void framing_close(struct http_stream *s)
{
	struct framing *f = (struct framing *)s;

	f->inner->close(f->inner);
	buf_done(&f->out);
	free(f);
}

struct http_stream *framing_wrap(struct http_stream *inner, bool add)
{
	struct framing *f = xcalloc(1, sizeof(*f));

	f->s = (struct http_stream){ framing_read, framing_write, framing_owed, framing_settle, framing_shutdown_write, framing_pending,
		framing_close, inner->poll_fd };
	f->inner = inner;
	f->add = add;
	return &f->s;
}
