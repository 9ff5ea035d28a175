/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/logformat.h"

#include "base/clock.h"
#include "base/str.h"

enum { WIRE_NUMBER = 0, WIRE_BYTES = 2 };

/* Length of the well-formed sequence at s (first byte >= 0x80), 0 when there is none. */
static size_t utf8_at(const unsigned char *s, const unsigned char *end)
{
	size_t n = *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

	return n && (size_t)(end - s) >= n && str_is_utf8((const char *)s, n) ? n : 0;
}

/* 1: needs more than a copy inside a JSON string. */
static const char special[256] = {
	[0x00 ... 0x1f] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [0x80 ... 0xff] = 1,
};

static char *put_special(char *to, const unsigned char **at, const unsigned char *end)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *s = *at;
	size_t n;

	*at = s + 1;
	switch (*s) {
	case '"':
	case '\\':
		*to++ = '\\';
		*to++ = (char)*s;
		return to;
	case '\n':
		return (char *)memcpy(to, "\\n", 2) + 2;
	case '\r':
		return (char *)memcpy(to, "\\r", 2) + 2;
	}
	if (*s < 0x80) {
		memcpy(to, "\\u00", 4);
		to[4] = hex[*s >> 4];
		to[5] = hex[*s & 15];
		return to + 6;
	}
	n = utf8_at(s, end);
	if (n == 0)
		return (char *)memcpy(to, "\\ufffd", 6) + 6;
	*at = s + n;
	if (n == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] & 0xfe) == 0xa8)
		return (char *)memcpy(to, s[2] & 1 ? "\\u2029" : "\\u2028", 6) + 6;
	memcpy(to, s, n);
	return to + n;
}

#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether one of eight bytes needs more than a copy; sometimes also when none does. */
static bool any_special(uint64_t v)
{
	uint64_t quote = (v | ALL(0x04)) ^ ALL('&'), angle = (v | ALL(0x02)) ^ ALL('>'), slash = v ^ ALL('\\'); /* '"' and '<', too */

	return (v | ((v - ALL(0x20)) & ~v) | ((quote - ALL(1)) & ~quote) | ((angle - ALL(1)) & ~angle) | ((slash - ALL(1)) & ~slash)) & ALL(0x80);
}

/* At most six bytes a byte: the room is there. */
static char *put_text(char *to, const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + size;

	while (s < end) {
		uint64_t v;

		while (end - s >= 8 && (memcpy(&v, s, 8), !any_special(v))) {
			to = (char *)memcpy(to, &v, 8) + 8;
			s += 8;
		}
		while (s < end && !special[*s])
			*to++ = (char)*s++;
		if (s < end)
			to = put_special(to, &s, end);
	}
	return to;
}

void logformat_json(struct buf *out, const struct log_record *r, const char *tail, const char *stamp)
{
	size_t tail_size = strlen(tail);
	char *to = buf_reserve(out, 6 * r->size + tail_size + CLOCK_TEXT + 32);

	to = (char *)memcpy(to, "{\"log\":\"", 8) + 8;
	to = put_text(to, r->text, r->size);
	to = (char *)memcpy(to, tail, tail_size) + tail_size;
	to = stpcpy(to, stamp);
	to = (char *)memcpy(to, "\"}\n", 3) + 3;
	out->size = (size_t)(to - out->data);
}

size_t logformat_json_whole(const char *data, size_t size)
{
	const char *nl = memrchr(data, '\n', size);

	return nl ? (size_t)(nl + 1 - data) : 0;
}

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addc(b, (char)(v | 0x80));
	buf_addc(b, (char)v);
}

static void put_number(struct buf *b, unsigned field, uint64_t v)
{
	put_varint(b, field << 3 | WIRE_NUMBER);
	put_varint(b, v);
}

static void put_bytes(struct buf *b, unsigned field, const void *data, size_t size)
{
	put_varint(b, field << 3 | WIRE_BYTES);
	put_varint(b, size);
	buf_add(b, data, size);
}

static void put_be32(char *to, size_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		to[i] = (char)v;
}

void logformat_local(struct buf *out, const struct log_record *r)
{
	size_t start = out->size, size = r->size, n;
	const char *source = r->stream == 2 ? "stderr" : "stdout";
	char length[4] = { 0 };

	if (size && r->text[size - 1] == '\n')
		size--;
	buf_add(out, length, sizeof(length));
	put_bytes(out, 1, source, 6);
	put_number(out, 2, (uint64_t)r->time);
	if (size)
		put_bytes(out, 3, r->text, size);
	if (r->partial) {
		OWN_BUF struct buf piece = { 0 };

		put_number(out, 4, 1);
		if (r->last)
			put_number(&piece, 1, 1);
		put_bytes(&piece, 2, r->id, strlen(r->id));
		put_number(&piece, 3, (uint64_t)r->ordinal);
		put_bytes(out, 5, piece.data, piece.size);
	}
	n = out->size - start - sizeof(length);
	put_be32(length, n);
	memcpy(out->data + start, length, sizeof(length));
	buf_add(out, length, sizeof(length));
}

size_t logformat_local_whole(const char *data, size_t size)
{
	const unsigned char *s = (const unsigned char *)data;
	size_t at = 0;

	while (size - at >= 8) {
		size_t n = ((size_t)s[at] << 24 | (size_t)s[at + 1] << 16 | (size_t)s[at + 2] << 8 | s[at + 3]) + 8;

		if (n > size - at)
			break;
		at += n;
	}
	return at;
}
