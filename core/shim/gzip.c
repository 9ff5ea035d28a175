/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/gzip.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#define WINDOW    32768u
#define HASH_BITS 15
#define MATCH_MIN 4
#define MATCH_MAX 258
#define DEPTH     24     /* candidates looked at for one place */
#define GOOD      64     /* a match this long is taken without looking further */
#define BATCH     65536
#define TEXT_SIZE (4 * WINDOW)

struct packer {
	int to, from;
	bool ended;                    /* from has no more */
	uint32_t crc, total;
	uint32_t table[256];           /* of the check sum */
	/*
	 * A place is a count of bytes from the beginning, modulo 2^32. text holds those from base on: the window behind the place
	 * that is looked at, and enough in front of it for a match as long as there can be.
	 */
	unsigned char text[TEXT_SIZE];
	uint32_t base, have;
	struct buf out;
	uint64_t bits;
	unsigned count;                /* of bits that are not in out yet */
	uint32_t head[1 << HASH_BITS]; /* the last place with that hash, modulo 2^32 */
	uint32_t prev[WINDOW];         /* the place with the same hash before it */
};

static const uint16_t length_base[] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
	163, 195, 227, 258 };
static const uint16_t dist_base[] = { 1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
	3073, 4097, 6145, 8193, 12289, 16385, 24577 };

static void crc_init(struct packer *p)
{
	p->crc = ~0u;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		p->table[i] = c;
	}
}

static void crc_add(struct packer *p, const unsigned char *s, size_t size)
{
	p->total += (uint32_t)size;
	while (size--)
		p->crc = p->table[(p->crc ^ *s++) & 255] ^ p->crc >> 8;
}

/* Makes room behind the window of that place and reads on; false when the disk refuses. */
static bool fill(struct packer *p, uint32_t at)
{
	uint32_t gone = at - p->base > WINDOW ? at - p->base - WINDOW : 0;

	memmove(p->text, p->text + gone, p->have - gone);
	p->base += gone;
	p->have -= gone;
	while (!p->ended && p->have < TEXT_SIZE) {
		ssize_t n = read(p->from, p->text + p->have, TEXT_SIZE - p->have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p->ended = n == 0;
		crc_add(p, p->text + p->have, (size_t)n);
		p->have += (uint32_t)n;
	}
	return true;
}

static void put_bits(struct packer *p, unsigned value, unsigned n)
{
	p->bits |= (uint64_t)value << p->count;
	p->count += n;
	while (p->count >= 8) {
		buf_addc(&p->out, (char)p->bits);
		p->bits >>= 8;
		p->count -= 8;
	}
}

/* A Huffman code goes out from its highest bit on. */
static void put_code(struct packer *p, unsigned code, unsigned n)
{
	unsigned turned = 0;

	for (unsigned i = 0; i < n; i++)
		turned |= (code >> i & 1) << (n - 1 - i);
	put_bits(p, turned, n);
}

static void put_symbol(struct packer *p, unsigned symbol)
{
	if (symbol < 144)
		put_code(p, 0x30 + symbol, 8);
	else if (symbol < 256)
		put_code(p, 0x190 + symbol - 144, 9);
	else if (symbol < 280)
		put_code(p, symbol - 256, 7);
	else
		put_code(p, 0xc0 + symbol - 280, 8);
}

static void put_match(struct packer *p, unsigned length, unsigned dist)
{
	unsigned l = ARRAY_LEN(length_base) - 1, d = ARRAY_LEN(dist_base) - 1;

	while (length_base[l] > length)
		l--;
	while (dist_base[d] > dist)
		d--;
	put_symbol(p, 257 + l);
	if (l >= 8 && l < 28)
		put_bits(p, length - length_base[l], (l - 4) / 4);
	put_code(p, d, 5);
	if (d >= 4)
		put_bits(p, dist - dist_base[d], (d - 2) / 2);
}

static unsigned hash_at(const unsigned char *s)
{
	uint32_t v;

	memcpy(&v, s, sizeof(v));
	return v * 2654435761u >> (32 - HASH_BITS);
}

static void remember(struct packer *p, uint32_t at)
{
	unsigned h = hash_at(p->text + (at - p->base));

	p->prev[at % WINDOW] = p->head[h];
	p->head[h] = at;
}

static unsigned same(const unsigned char *a, const unsigned char *b, unsigned most)
{
	unsigned n = 0;

	while (n < most && a[n] == b[n])
		n++;
	return n;
}

/* The longest match for what is at that place: its length, 0 when there is none. left: what there is from it on. */
static unsigned find(const struct packer *p, uint32_t at, uint32_t left, unsigned *ret_dist)
{
	const unsigned char *text = p->text + (at - p->base);
	unsigned most = left < MATCH_MAX ? left : MATCH_MAX, best = MATCH_MIN - 1;
	uint32_t place = p->head[hash_at(text)], last = 0;

	for (int i = 0; i < DEPTH; i++) {
		uint32_t dist = at - place;
		unsigned n;

		/* entries never set look like place 0; older ones than the window lead backwards or in circles */
		if (dist == 0 || dist > WINDOW - 1 || dist > at - p->base || dist <= last)
			break;
		n = same(text - dist, text, most);
		if (n > best) {
			best = n;
			*ret_dist = dist;
			if (n >= GOOD)
				break;
		}
		last = dist;
		place = p->prev[place % WINDOW];
	}
	return best >= MATCH_MIN ? best : 0;
}

static bool flush(struct packer *p)
{
	bool good = fs_write_all(p->to, p->out.data, p->out.size) == 0;

	buf_reset(&p->out);
	return good;
}

static bool deflate(struct packer *p, const atomic_bool *stop)
{
	uint32_t left;

	put_bits(p, 1, 1); /* the last block, */
	put_bits(p, 1, 2); /* of fixed codes */
	for (uint32_t at = 0;;) {
		unsigned dist = 0, n, step;

		if (p->base + p->have - at < MATCH_MAX && !p->ended && (*stop || !fill(p, at)))
			return false;
		left = p->base + p->have - at;
		if (!left)
			break;
		n = left >= MATCH_MIN ? find(p, at, left, &dist) : 0;
		if (n)
			put_match(p, n, dist);
		else
			put_symbol(p, p->text[at - p->base]);
		for (step = n ? n : 1; step; step--, at++)
			if (p->base + p->have - at >= MATCH_MIN)
				remember(p, at);
		if (p->out.size >= BATCH && !flush(p))
			return false;
	}
	put_symbol(p, 256);
	if (p->count)
		put_bits(p, 0, 8 - p->count);
	return true;
}

static void put_le(struct buf *b, uint32_t v, int bytes)
{
	for (; bytes; bytes--, v >>= 8)
		buf_addc(b, (char)v);
}

bool gzip_write(int to, int from, const char *extra, const atomic_bool *stop)
{
	struct packer *p = xcalloc(1, sizeof(*p));
	bool good;

	p->to = to;
	p->from = from;
	crc_init(p);
	buf_add(&p->out, "\x1f\x8b\x08\x04\0\0\0\0\0\xff", 10);
	put_le(&p->out, (uint32_t)strlen(extra), 2);
	buf_adds(&p->out, extra);
	good = deflate(p, stop);
	put_le(&p->out, ~p->crc, 4);
	put_le(&p->out, p->total, 4);
	good = good && flush(p);
	buf_done(&p->out);
	free(p);
	return good;
}
