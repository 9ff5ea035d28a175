/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writing half. */
#include "image/tarsplit.h"

#include <endian.h>
#include <isa-l/crc64.h>
#include <nettle/base64.h>

#include "base/jw.h"
#include "base/str.h"

#define SEGMENT_MAX (64 * 1024) /* bytes of one line's payload before it is encoded */
#define LINES_MAX   (64 * 1024) /* text kept before it is written */
#define INLINE_MAX  (1024 * 1024) /* content of whiteouts, in one archive */
#define SPARSE_MAX  (256 * 1024 * 1024) /* of sparse files */

struct tarsplit {
	struct tar_tap tap; /* first */
	struct writer *out;
	struct buf meta;    /* bytes of the segment being collected */
	struct buf lines;
	uint64_t position;
	bool layer;
	bool inlined;       /* the current member's content goes into the segment, */
	bool sparse;        /* since its bytes in the archive are not the file's */
	size_t inlined_size, sparse_size;
	struct buf name;    /* of the current member */
	int64_t size;
	uint64_t crc;
};

static void add_base64(struct buf *b, const void *data, size_t size)
{
	size_t n = BASE64_ENCODE_RAW_LENGTH(size);

	base64_encode_raw(buf_reserve(b, n), size, data);
	b->size += n;
	b->data[b->size] = '\0';
}

static int lines_written(struct tarsplit *t, size_t max, struct err *err)
{
	if (t->lines.size <= max)
		return 0;
	if (t->out->write(t->out, t->lines.data, t->lines.size, err) < 0)
		return -1;
	buf_reset(&t->lines);
	return 0;
}

static int put_segment(struct tarsplit *t, struct err *err)
{
	buf_adds(&t->lines, "{\"type\":2,\"payload\":\"");
	add_base64(&t->lines, t->meta.data, t->meta.size);
	buf_addf(&t->lines, "\",\"position\":%llu}\n", (unsigned long long)t->position++);
	buf_reset(&t->meta);
	return lines_written(t, LINES_MAX, err);
}

static int tap_meta(struct tar_tap *tap, const void *data, size_t size, struct err *err)
{
	struct tarsplit *t = (struct tarsplit *)tap;
	const char *p = data;

	while (size) {
		size_t n = SEGMENT_MAX - t->meta.size;

		if (n > size)
			n = size;
		buf_add(&t->meta, p, n);
		p += n;
		size -= n;
		if (t->meta.size == SEGMENT_MAX && put_segment(t, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_whiteout(const char *name)
{
	return str_has_prefix(name, ".wh.") || strstr(name, "/.wh.");
}

static int tap_entry(struct tar_tap *tap, const struct tar_entry *e, struct err *err)
{
	struct tarsplit *t = (struct tarsplit *)tap;

	t->sparse = e->sparse;
	t->inlined = e->sparse || (t->layer && e->size && is_whiteout(e->name));
	if (t->inlined)
		return 0;
	t->size = e->size;
	t->crc = 0;
	buf_reset(&t->name);
	buf_adds(&t->name, e->name);
	return t->meta.size ? put_segment(t, err) : 0;
}

static int tap_data(struct tar_tap *tap, const void *data, size_t size, struct err *err)
{
	struct tarsplit *t = (struct tarsplit *)tap;

	if (!t->inlined) {
		t->crc = crc64_iso_refl(t->crc, data, size);
		return 0;
	}
	*(t->sparse ? &t->sparse_size : &t->inlined_size) += size;
	if (t->inlined_size > INLINE_MAX)
		return err_set(err, ERR_INVALID, "whiteouts with content");
	if (t->sparse_size > SPARSE_MAX)
		return err_set(err, ERR_INVALID, "archive/tar: sparse files of more than %d bytes in one archive", SPARSE_MAX);
	return tap_meta(tap, data, size, err);
}

static int tap_entry_end(struct tar_tap *tap, struct err *err)
{
	struct tarsplit *t = (struct tarsplit *)tap;
	uint64_t crc = htobe64(t->crc);

	if (t->inlined)
		return 0;
	buf_adds(&t->lines, "{\"type\":1,");
	if (str_is_utf8(t->name.data, t->name.size)) {
		buf_adds(&t->lines, "\"name\":");
		jw_quote(&t->lines, t->name.data);
	} else {
		buf_adds(&t->lines, "\"name_raw\":\"");
		add_base64(&t->lines, t->name.data, t->name.size);
		buf_addc(&t->lines, '"');
	}
	if (t->size) {
		buf_addf(&t->lines, ",\"size\":%lld,\"payload\":\"", (long long)t->size);
		add_base64(&t->lines, &crc, sizeof(crc));
		buf_addc(&t->lines, '"');
	} else {
		buf_adds(&t->lines, ",\"payload\":null");
	}
	buf_addf(&t->lines, ",\"position\":%llu}\n", (unsigned long long)t->position++);
	return lines_written(t, LINES_MAX, err);
}

struct tarsplit *tarsplit_new(struct writer *out, bool layer)
{
	struct tarsplit *t = xcalloc(1, sizeof(*t));

	t->tap = (struct tar_tap){ tap_meta, tap_entry, tap_data, tap_entry_end };
	t->out = out;
	t->layer = layer;
	return t;
}

struct tar_tap *tarsplit_tap(struct tarsplit *t)
{
	return &t->tap;
}

int tarsplit_end(struct tarsplit *t, struct err *err)
{
	if (t->meta.size && put_segment(t, err) < 0)
		return -1;
	return lines_written(t, 0, err);
}

void tarsplit_free(struct tarsplit *t)
{
	buf_done(&t->meta);
	buf_done(&t->lines);
	buf_done(&t->name);
	free(t);
}
