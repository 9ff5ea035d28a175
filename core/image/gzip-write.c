/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <isa-l/igzip_lib.h>

#include "base/str.h"
#include "image/inflate.h"

#define OUT_SIZE (64 * 1024)

struct gzip_writer {
	struct writer sink; /* first */
	struct writer *out;
	struct isal_zstream z;
	uint8_t level_buf[ISAL_DEF_LVL1_DEFAULT];
	uint8_t buf[OUT_SIZE];
};

static int deflate(struct gzip_writer *g, const void *data, uint32_t size, bool end, struct err *err)
{
	g->z.next_in = (uint8_t *)data;
	g->z.avail_in = size;
	g->z.end_of_stream = end;
	do {
		size_t n;

		g->z.next_out = g->buf;
		g->z.avail_out = sizeof(g->buf);
		if (isal_deflate(&g->z) != COMP_OK)
			return err_set(err, ERR_INTERNAL, "gzip: cannot compress");
		n = sizeof(g->buf) - g->z.avail_out;
		if (n && g->out->write(g->out, g->buf, n, err) < 0)
			return -1;
	} while (g->z.avail_out == 0 || (end && g->z.internal_state.state != ZSTATE_END));
	return 0;
}

static int sink_write(struct writer *sink, const void *data, size_t size, struct err *err)
{
	struct gzip_writer *g = (struct gzip_writer *)sink;
	const char *p = data;

	while (size) {
		uint32_t n = size > 1 << 30 ? 1 << 30 : (uint32_t)size;

		if (deflate(g, p, n, false, err) < 0)
			return -1;
		p += n;
		size -= n;
	}
	return 0;
}

struct gzip_writer *gzip_writer_new(struct writer *out)
{
	struct gzip_writer *g = xmalloc(sizeof(*g));

	g->sink.write = sink_write;
	g->out = out;
	isal_deflate_init(&g->z);
	g->z.level = 1;
	g->z.level_buf = g->level_buf;
	g->z.level_buf_size = sizeof(g->level_buf);
	g->z.gzip_flag = IGZIP_GZIP;
	return g;
}

struct writer *gzip_writer_sink(struct gzip_writer *g)
{
	return &g->sink;
}

int gzip_writer_end(struct gzip_writer *g, struct err *err)
{
	return deflate(g, "", 0, true, err);
}

void gzip_writer_free(struct gzip_writer *g)
{
	free(g);
}
