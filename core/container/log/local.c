/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of the log driver local: a protobuf message LogEntry between two copies of its length. Whatever is on disk may be
 * torn or forged; a message with a field of a kind that it cannot have is none.
 */
#include "container/log/file.h"

#define FRAME 8

enum { WIRE_NUMBER, WIRE_FIXED64, WIRE_BYTES, WIRE_FIXED32 = 5 };
enum { ENTRY_SOURCE = 1, ENTRY_TIME, ENTRY_LINE, ENTRY_PARTIAL, ENTRY_PIECE };
enum { PIECE_LAST = 1 };

struct cursor { const unsigned char *at, *end; };
struct field { uint64_t number, value; int wire; struct cursor bytes; };

static uint32_t be32(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

ssize_t loglocal_frame(const char *s, size_t size, const char **ret, size_t *ret_size)
{
	uint32_t n;

	if (size < 4)
		return 0;
	n = be32(s);
	if (n == 0 || n > LOG_LINE_MAX)
		return -1;
	if (size < (size_t)n + FRAME)
		return 0;
	if (be32(s + 4 + n) != n)
		return -1;
	*ret = s + 4;
	*ret_size = n;
	return (ssize_t)n + FRAME;
}

static bool take_varint(struct cursor *c, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && c->at < c->end; shift += 7) {
		unsigned char b = *c->at++;

		*ret |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return true;
	}
	return false;
}

static bool take_field(struct cursor *c, struct field *ret)
{
	uint64_t key, n;

	if (!take_varint(c, &key))
		return false;
	*ret = (struct field){ .number = key >> 3, .wire = (int)(key & 7) };
	switch (ret->wire) {
	case WIRE_NUMBER:
		return take_varint(c, &ret->value);
	case WIRE_BYTES:
		if (!take_varint(c, &n))
			return false;
		break;
	case WIRE_FIXED64:
		n = 8;
		break;
	case WIRE_FIXED32:
		n = 4;
		break;
	default:
		return false;
	}
	if (n > (uint64_t)(c->end - c->at))
		return false;
	ret->bytes = (struct cursor){ c->at, c->at + n };
	c->at += n;
	return true;
}

/* Whether a piece is the one that ends its line. */
static bool take_piece(struct cursor c, bool *ret_last)
{
	struct field f;

	while (c.at < c.end) {
		if (!take_field(&c, &f))
			return false;
		if (f.number == PIECE_LAST && f.wire == WIRE_NUMBER)
			*ret_last = f.value;
	}
	return true;
}

bool loglocal_parse(const char *s, size_t size, struct log_line *ret)
{
	struct cursor c = { (const unsigned char *)s, (const unsigned char *)s + size }, line = { 0 };
	bool partial = false, last = false, timed = false;
	struct field f;

	memset(ret, 0, sizeof(*ret));
	while (c.at < c.end) {
		if (!take_field(&c, &f))
			return false;
		if (f.number >= ENTRY_SOURCE && f.number <= ENTRY_PIECE &&
			f.wire != (f.number == ENTRY_TIME || f.number == ENTRY_PARTIAL ? WIRE_NUMBER : WIRE_BYTES))
			return false;
		if (f.number == ENTRY_SOURCE)
			ret->from_stderr = f.bytes.end - f.bytes.at == 6 && memcmp(f.bytes.at, "stderr", 6) == 0;
		else if (f.number == ENTRY_TIME)
			ret->time = (int64_t)f.value;
		else if (f.number == ENTRY_LINE)
			line = f.bytes;
		else if (f.number == ENTRY_PARTIAL)
			partial = f.value;
		else if (f.number == ENTRY_PIECE && !take_piece(f.bytes, &last))
			return false;
		timed |= f.number == ENTRY_TIME;
	}
	if (!timed)
		return false;
	ret->partial = partial;
	ret->size = (size_t)(line.end - line.at);
	ret->text = xmalloc(ret->size + 2);
	if (ret->size)
		memcpy(ret->text, line.at, ret->size);
	if (!partial || last)
		ret->text[ret->size++] = '\n';
	ret->text[ret->size] = '\0';
	return true;
}
