/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decompressing in a process of its own: each kind, what may stand behind a stream, what is wrong with one, how much memory. */
#include "unpack-box.h"

static int slurp(const struct buf *packed, void (*do_at)(struct source *), struct buf *ret, struct err *err)
{
	struct source s = source_of(packed, do_at);
	OWN_READER struct reader *plain = unpack_plain(&s.reader, NULL, err);

	return plain ? reader_slurp(plain, 64 << 20, ret, err) : -1;
}

static void look_at_plain(struct source *s)
{
	pid_t pid = wait_worker();

	is_int(status_of(pid, "\nCapPrm:", 16) | status_of(pid, "\nCapEff:", 16) | status_of(pid, "\nCapBnd:", 16), 0, "what only decompresses has no capability");
	is_int(status_of(pid, "\nSeccomp:", 10), 2, "and filtered system calls");
}

static void no_worker(struct source *s)
{
	ok(!find_worker(), "what is plain takes no process");
}

/* Two streams and zeros behind them; then what is wrong with one. */
static void test_streams(enum inflate_kind kind, const char *name)
{
	OWN_BUF struct buf packed = { 0 }, twice = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	compress(kind, &packed);
	buf_add(&twice, packed.data, packed.size);
	buf_add(&twice, packed.data, packed.size);
	buf_add(&twice, (char[1000]){ 0 }, 1000);
	ok(slurp(&twice, NULL, &out, &err) == 0 && out.size == 2 * archive.size && memcmp(out.data + archive.size, archive.data, archive.size) == 0,
		"%s: two streams make one: %s", name, err_text(&err));
	twice.data[twice.size - 1] = 'x';
	buf_reset(&out);
	ok(slurp(&twice, NULL, &out, &err) < 0 && streq(err_text(&err), "garbage behind the compressed data"), "%s: %s", name, err_text(&err));
	packed.data[packed.size / 2] ^= 1;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "%s: a wrong bit: %s", name, err_text(&err));
	packed.data[packed.size / 2] ^= 1;
	packed.size -= 9;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && streq(err_text(&err), "unexpected EOF"), "%s: cut: %s", name, err_text(&err));
	packed.size = 6;
	buf_reset(&out);
	ok(slurp(&packed, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "%s: its magic alone: %s", name, err_text(&err));
	ok(all_gone(), "%s: no process is left", name);
}

/* A window of 2^28 is refused before there is one; one of 2^27 is taken. */
static void test_xz_window(uint32_t size, bool fits)
{
	static const uint8_t text[] = "hello";
	lzma_options_lzma o;
	lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &o }, { LZMA_VLI_UNKNOWN, NULL } };
	OWN_BUF struct buf packed = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	lzma_lzma_preset(&o, 0);
	o.dict_size = 4096;
	is_int(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, NULL, text, 5, (uint8_t *)buf_reserve(&packed, 1000), &packed.size, 1000), LZMA_OK, "packs");
	/* the window's size: the byte behind LZMA2's id and 1 in the block's header, whose checksum is the last four of its twelve bytes */
	packed.data[12 + 6] = (char)((__builtin_ctz(size) - 12) * 2);
	uint32_t crc = lzma_crc32((uint8_t *)packed.data + 12, 8, 0);

	for (int i = 0; i < 4; i++)
		packed.data[20 + i] = (char)(crc >> (8 * i));
	if (fits)
		ok(slurp(&packed, NULL, &out, &err) == 0 && out.size == 5 && memcmp(out.data, "hello", 5) == 0, "xz: a window of %u: %s", size, err_text(&err));
	else
		ok(slurp(&packed, NULL, &out, &err) < 0 && streq(err_text(&err), "xz: needs too much memory"), "xz: a window of %u: %s", size, err_text(&err));
}

static void test_plain(void)
{
	OWN_BUF struct buf gz = { 0 }, zst = { 0 }, out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct source s;
	struct reader *r;
	char few[10];

	compress(INFLATE_GZIP, &gz);
	compress(INFLATE_ZSTD, &zst);
	ok(slurp(&archive, no_worker, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "plain comes through");
	buf_reset(&out);
	ok(slurp(&gz, look_at_plain, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "gzip: %s", err_text(&err));
	buf_reset(&out);
	ok(slurp(&zst, NULL, &out, &err) == 0 && out.size == archive.size && memcmp(out.data, archive.data, out.size) == 0, "zstd: %s", err_text(&err));
	buf_reset(&out);
	ok(slurp(&gz, kill_worker, &out, &err) < 0 && strstr(err_text(&err), "killed by signal 9"), "killed: %s", err_text(&err));
	gz.data[gz.size - 6] ^= 1;
	buf_reset(&out);
	ok(slurp(&gz, NULL, &out, &err) < 0 && err.class == ERR_INVALID, "a wrong checksum: %s", err_text(&err));
	gz.size -= 9;
	buf_reset(&out);
	ok(slurp(&gz, NULL, &out, &err) < 0 && streq(err_text(&err), "unexpected EOF"), "cut: %s", err_text(&err));
	/* a frame of five raw bytes that asks for a window of 2^27, then of 2^28 */
	buf_reset(&out);
	buf_add(&out, "\x28\xb5\x2f\xfd\x00\x88\x29\x00\x00hello", 14);
	s = source_of(&out, NULL);
	s.done = true;
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) == 5 && memcmp(few, "hello", 5) == 0, "the largest window fits into the memory allowed: %s", err_text(&err));
	reader_close(r);
	out.data[5] = (char)0x90;
	s = source_of(&out, NULL);
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) < 0 && err.class == ERR_INVALID, "a larger one is refused: %s", err_text(&err));
	reader_close(r);
	s = source_of(&zst, NULL);
	r = unpack_plain(&s.reader, NULL, &err);
	ok(r && r->read(r, few, sizeof(few), &err) == sizeof(few), "the first bytes alone");
	reader_close(r);
	ok(!find_worker(), "a reader that is closed early leaves nobody");
}

int main(void)
{
	if (!box_open(NULL))
		return 0;
	test_plain();
	test_streams(INFLATE_BZIP2, "bzip2");
	test_streams(INFLATE_XZ, "xz");
	test_xz_window(1u << 27, true);
	test_xz_window(1u << 28, false);
	return box_close();
}
