/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tar streams: what the writer writes the reader reads; what hostile writers write is refused. */
#include <sys/stat.h>

#include "base/str.h"
#include "base/tar-header.h"
#include "base/tar.h"

#include "drip.h"
#include "tap.h"

static struct buf archive;
static struct buf_writer out;
static struct tar_writer writer;

static void begin(void)
{
	buf_reset(&archive);
	buf_writer_init(&out, &archive);
	tar_writer_init(&writer, &out.writer);
}

static struct tar_entry plain(const char *name)
{
	return (struct tar_entry){ .type = TAR_FILE, .name = name, .link = "", .mode = 0644, .mtime = { .tv_sec = 1 },
		.atime = { .tv_nsec = UTIME_OMIT } };
}

/* A raw header with a right checksum, for what the writer would never write. */
static struct tar_header raw(const char *name, char type, const char *size)
{
	struct tar_header h = { .typeflag = type };

	memcpy(h.name, name, strlen(name));
	memcpy(h.mode, "0000644", 8);
	memcpy(h.uid, "0000000", 8);
	memcpy(h.gid, "0000000", 8);
	memcpy(h.size, size, 12);
	memcpy(h.mtime, "00000000000", 12);
	memcpy(h.magic, "ustar\0" "00", 8);
	return h;
}

static void add_raw(struct tar_header *h)
{
	unsigned sum = 0;
	char text[8];

	memset(h->chksum, ' ', 8);
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += ((unsigned char *)h)[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(h->chksum, text, 7);
	buf_add(&archive, h, sizeof(*h));
}

static void add_extended(char type, const char *data, size_t size)
{
	char text[13];
	struct tar_header h;

	snprintf(text, sizeof(text), "%011zo", size);
	h = raw("ext", type, text);
	add_raw(&h);
	buf_add(&archive, data, size);
	while (archive.size % TAR_BLOCK)
		buf_addc(&archive, 0);
}

static int walk(size_t piece, struct strv *names, struct err *err)
{
	struct drip in = { { .read = drip_read }, archive.data, archive.size, piece };
	OWN_TAR_READER struct tar_reader *r = tar_reader_new(&in.reader, NULL);
	const struct tar_entry *e;
	int n;

	while ((n = tar_next(r, &e, err)) > 0)
		if (names)
			strv_add(names, e->name);
	return n < 0 ? -1 : tar_drain(r, err);
}

static void refused(const char *text, const char *what)
{
	OWN_ERR struct err err = ERR_INIT;

	ok(walk(1 << 20, NULL, &err) < 0 && strstr(err_text(&err), text), "%s: %s", what, err_text(&err));
	ok(err.class == ERR_INVALID, "%s is the sender's fault", what);
}

static void is_names(const char *want, const char *what)
{
	for (size_t piece = 1; piece <= 1 << 20; piece *= 1024) {
		OWN_ERR struct err err = ERR_INIT;
		OWN_STRV struct strv names = { 0 };
		OWN_FREE char *got = NULL;

		ok(walk(piece, &names, &err) == 0, "%s reads in pieces of %zu: %s", what, piece, err_text(&err));
		got = strv_join(&names, " ");
		is_str(got ? got : "", want, "%s", what);
	}
}

static void roundtrip(const struct tar_entry *e, const char *what)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mem_reader in;
	OWN_TAR_READER struct tar_reader *r = NULL;
	const struct tar_entry *got;

	begin();
	ok(tar_write_header(&writer, e, &err) == 0, "%s is written", what);
	tar_write_end(&writer, &err);
	is_int(archive.size % TAR_BLOCK, 0, "%s: whole blocks", what);
	mem_reader_init(&in, archive.data, archive.size);
	r = tar_reader_new(&in.reader, NULL);
	if (!ok(tar_next(r, &got, &err) == 1, "%s is read: %s", what, err_text(&err)))
		return;
	is_str(got->name, e->name, "%s: name", what);
	is_str(got->link, e->link, "%s: link", what);
	is_str(got->uname, e->uname ? e->uname : "", "%s: uname", what);
	ok(got->type == e->type && got->mode == e->mode && got->uid == e->uid && got->gid == e->gid && got->size == e->size &&
		got->major == e->major && got->minor == e->minor, "%s: numbers", what);
	ok(got->mtime.tv_sec == e->mtime.tv_sec && got->mtime.tv_nsec == e->mtime.tv_nsec, "%s: mtime %lld.%09ld", what,
		(long long)got->mtime.tv_sec, got->mtime.tv_nsec);
	ok(got->atime.tv_nsec == e->atime.tv_nsec && (e->atime.tv_nsec == UTIME_OMIT || got->atime.tv_sec == e->atime.tv_sec), "%s: atime", what);
	is_int(got->xattrs_len, e->xattrs_len, "%s: attributes", what);
	for (size_t i = 0; i < got->xattrs_len; i++)
		ok(streq(got->xattrs[i].name, e->xattrs[i].name) && got->xattrs[i].size == e->xattrs[i].size &&
			memcmp(got->xattrs[i].value, e->xattrs[i].value, e->xattrs[i].size) == 0, "%s: attribute %s", what, got->xattrs[i].name);
	ok(tar_next(r, &got, &err) == 0, "%s: one member", what);
}

static char *repeat(const char *s, size_t n)
{
	struct buf b = { 0 };

	while (n--)
		buf_adds(&b, s);
	return buf_steal(&b);
}

static void test_roundtrip(void)
{
	OWN_FREE char *deep = repeat("0123456789/", 20), *deeper = repeat("0123456789/", 40), *longest = repeat("n", TAR_NAME_MAX);
	const struct tar_xattr xattrs[] = { { "security.capability", "\1\0\0\2\n=\0", 7 }, { "user.empty", "", 0 }, { "user.text", "x=y\n", 4 } };
	struct tar_entry e = plain("file");

	roundtrip(&e, "a plain file");
	e.type = TAR_DIR; e.name = "dir/"; e.mode = 07777; e.uname = "root";
	roundtrip(&e, "a folder with every bit");
	e = plain("link"); e.type = TAR_SYMLINK; e.link = "../target";
	roundtrip(&e, "a link");
	e.link = longest;
	roundtrip(&e, "a long link");
	e = plain("hard"); e.type = TAR_HARDLINK; e.link = "file";
	roundtrip(&e, "a hard link");
	e = plain("dev"); e.type = TAR_CHARDEV; e.major = 4095; e.minor = 1048575;
	roundtrip(&e, "a device");
	e = plain("fifo"); e.type = TAR_FIFO; e.uid = 4294967294; e.gid = 2097152;
	roundtrip(&e, "large owners");
	e = plain(deep);
	e.type = TAR_DIR;
	roundtrip(&e, "a name of two fields");
	ok(memcmp(archive.data + 345, "0123456789/", 11) == 0 && archive.data[156] == '5', "it needs no extended header");
	e.name = deeper;
	roundtrip(&e, "a name that needs an extended header");
	e = plain(longest);
	roundtrip(&e, "the longest name");
	e = plain("times"); e.mtime = (struct timespec){ 1234567890, 123456789 }; e.atime = (struct timespec){ 5, 0 };
	roundtrip(&e, "nanoseconds");
	e.mtime = (struct timespec){ -2, 750000000 };
	roundtrip(&e, "before 1970");
	e.mtime = (struct timespec){ -1, 750000000 };
	roundtrip(&e, "just before 1970");
	e.mtime = (struct timespec){ INT64_C(1) << 35, 0 };
	roundtrip(&e, "far ahead");
	e = plain("xattrs"); e.xattrs = xattrs; e.xattrs_len = 3;
	roundtrip(&e, "attributes");
}

static void test_payload(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *big = xmalloc(700001), *got = xmalloc(700001);
	struct drip in;
	struct tar_reader *r;
	const struct tar_entry *e;
	struct tar_entry big_entry = plain("big");
	const void *piece;
	ssize_t n;
	size_t total = 0;

	for (size_t i = 0; i < 700001; i++)
		big[i] = (char)(i * 7 / 3);
	begin();
	tar_write_file(&writer, "small", "hello", 5, 0, &err);
	big_entry.size = 700001;
	tar_write_header(&writer, &big_entry, &err);
	tar_write_data(&writer, big, 1, &err);
	tar_write_data(&writer, big + 1, 700000, &err);
	tar_write_file(&writer, "dir/", "", 0, 0, &err);
	tar_write_file(&writer, "last", "bye", 3, 0, &err);
	tar_write_end(&writer, &err);
	is_names("small big dir/ last", "an archive");

	in = (struct drip){ { .read = drip_read }, archive.data, archive.size, 1000 };
	r = tar_reader_new(&in.reader, NULL);
	ok(tar_next(r, &e, &err) == 1 && tar_read(r, got, 3, &err) == 3 && memcmp(got, "hel", 3) == 0, "a part of a payload");
	ok(tar_next(r, &e, &err) == 1 && streq(e->name, "big"), "the rest is skipped");
	while ((n = tar_data(r, &piece, &err)) > 0) {
		memcpy(got + total, piece, (size_t)n);
		total += (size_t)n;
	}
	ok(n == 0 && total == 700001 && memcmp(big, got, total) == 0, "a payload in place");
	tar_next(r, &e, &err);
	ok(tar_next(r, &e, &err) == 1 && reader_read_all(tar_payload(r), got, 10, &err) == 3 && memcmp(got, "bye", 3) == 0, "as a reader, which ends");
	ok(tar_next(r, &e, &err) == 0 && tar_next(r, &e, &err) == 0, "the end, and again");
	tar_reader_free(r);

	archive.size -= 1024;
	is_names("small big dir/ last", "without an end mark");
	buf_add(&archive, (char[512]){ 0 }, 512);
	is_names("small big dir/ last", "with half an end mark");
	archive.size -= 512 + 100;
	refused("unexpected EOF", "cut in the padding");
	archive.size -= 410;
	refused("unexpected EOF", "cut in the payload");
	archive.size -= 300;
	refused("unexpected EOF", "cut in a header");
}

static void test_old_formats(void)
{
	struct tar_header h;
	OWN_FREE char *name = repeat("gnu/", 100);
	OWN_ERR struct err err = ERR_INIT;
	const struct tar_entry *e;
	struct mem_reader in;
	struct tar_reader *r;

	begin();
	add_extended('L', name, strlen(name) + 1);
	add_extended('K', name, strlen(name) + 1);
	h = raw("short", '2', "00000000000");
	memcpy(h.magic, "ustar  ", 8);
	memcpy(h.prefix, "01234567890", 11); /* GNU keeps times there */
	add_raw(&h);
	h = raw("v7dir/", '\0', "00000000000");
	memset(h.magic, 0, 8);
	add_raw(&h);
	h = raw("base256", '0', "\200\0\0\0\0\0\0\0\0\0\0\0");
	add_raw(&h);
	h = raw("spaces", '0', "         0 \0");
	add_raw(&h);
	add_extended('g', "11 path=xx\n", 11);
	h = raw("after-global", '0', "00000000000");
	add_raw(&h);
	h = raw("size-of-link", '1', "00000001000"); /* header-only kinds carry nothing */
	memcpy(h.linkname, "spaces", 6);
	add_raw(&h);
	h = raw("contiguous", '7', "00000000000");
	add_raw(&h);
	mem_reader_init(&in, archive.data, archive.size);
	r = tar_reader_new(&in.reader, NULL);
	ok(tar_next(r, &e, &err) == 1 && streq(e->name, name) && streq(e->link, name), "GNU long name and link");
	ok(tar_next(r, &e, &err) == 1 && e->type == TAR_DIR, "a slash makes a folder in v7");
	ok(tar_next(r, &e, &err) == 1 && e->size == 0, "base-256");
	ok(tar_next(r, &e, &err) == 1 && streq(e->name, "spaces"), "blanks in numbers");
	ok(tar_next(r, &e, &err) == 1 && streq(e->name, "after-global"), "a global header is ignored");
	ok(tar_next(r, &e, &err) == 1 && e->size == 0, "a hard link has no payload");
	ok(tar_next(r, &e, &err) == 1 && e->type == TAR_FILE, "a contiguous file is a file");
	ok(tar_next(r, &e, &err) == 0, "the end: %s", err_text(&err));
	tar_reader_free(r);
}

static void pax_refused(const char *records, size_t size, const char *text, const char *what)
{
	struct tar_header h = raw("member", '0', "00000000000");

	begin();
	add_extended('x', records, size);
	add_raw(&h);
	refused(text, what);
}
#define PAX_REFUSED(records, text, what) pax_refused(records, sizeof(records) - 1, text, what)

static void header_refused(char type, const char *size, const char *text, const char *what)
{
	struct tar_header h = raw("member", type, size);

	begin();
	add_raw(&h);
	buf_add(&archive, (char[1024]){ 0 }, 1024);
	refused(text, what);
}

static void test_hostile(void)
{
	struct tar_header h;
	OWN_FREE char *huge = repeat("x", TAR_META_MAX + 1), *long_name = repeat("n", TAR_NAME_MAX + 1);
	OWN_BUF struct buf records = { 0 };

	begin();
	h = raw("member", '0', "00000000000");
	add_raw(&h);
	archive.data[3] ^= 1;
	refused("checksum", "a wrong checksum");
	header_refused('0', "\377\377\377\377\377\377\377\377\377\377\377\377", "size out of range", "a negative size");
	header_refused('0', "\200\0\0\0\177\377\377\377\377\377\377\377", "size out of range", "a size past all bounds");
	header_refused('0', "\200\1\1\1\1\1\1\1\1\1\1\1", "number too large", "a size of 90 bits");
	header_refused('0', "0000000089x", "malformed number", "a size that is none");
	header_refused('0', "77777777777", "unexpected EOF", "a size that lies");
	header_refused('x', "\377\377\377\377\377\377\377\377\377\377\377\377", "size out of range", "an extended header of negative size");
	header_refused('x', "77777777777", "too long", "an extended header past its cap");
	header_refused('V', "00000000000", "unhandled tar header type 86", "a volume label");
	begin();
	add_extended('x', huge, TAR_META_MAX + 1);
	refused("too long", "a megabyte of extended header");
	PAX_REFUSED("no number", "malformed", "records without size");
	PAX_REFUSED("9999 path=x\n", "malformed", "a record longer than its header");
	PAX_REFUSED("0 path=x\n", "malformed", "a record of no size");
	PAX_REFUSED("99999999999999999999 path=x\n", "malformed", "a record size that overflows");
	PAX_REFUSED("10 path=xx\n", "malformed", "a record without its end");
	PAX_REFUSED("5 a\n\n", "malformed", "a record without a value");
	PAX_REFUSED("5 =x\n", "malformed", "a record without a key");
	PAX_REFUSED("13 path=a\0bb\n", "NUL", "a NUL in a path");
	PAX_REFUSED("10 pa\0=xy\n", "malformed", "a NUL in a key");
	PAX_REFUSED("11 size=-1\n", "out of range", "a negative size in a record");
	PAX_REFUSED("10 uid=-1\n", "owner out of range", "a negative owner");
	PAX_REFUSED("18 uid=4294967295\n", "owner out of range", "the owner that means none");
	PAX_REFUSED("12 size=0x1\n", "malformed number", "a size in hex");
	PAX_REFUSED("13 mtime=1.x\n", "malformed time", "a time that is none");
	begin();
	for (int i = 0; i <= TAR_METAS_MAX; i++)
		add_extended('x', "9 path=x\n", 9);
	refused("too many extended headers", "headers without end");
	begin();
	add_extended('x', "9 path=x\n", 9);
	refused("unexpected EOF", "an extended header and no member");
	begin();
	add_extended('L', long_name, strlen(long_name));
	h = raw("member", '0', "00000000000");
	add_raw(&h);
	refused("name too long", "a name past its cap");
	for (int i = 0; i < 300; i++)
		buf_addf(&records, "24 SCHILY.xattr.a.%03d=x\n", i);
	pax_refused(records.data, records.size, "too many extended attributes", "300 attributes");
	begin();
	buf_add(&archive, (char[512]){ 0 }, 512);
	h = raw("member", '0', "00000000000");
	add_raw(&h);
	refused("data behind a zero block", "one zero block and more");
	begin();
	h = raw("device", '3', "00000000000");
	memcpy(h.devmajor, "\200\0\0\0\377\377\377\377", 8);
	add_raw(&h);
	refused("device number out of range", "a device number past all bounds");
}

static void test_trailer(void)
{
	struct drip in;
	struct tar_reader *r;
	const struct tar_entry *e;
	OWN_ERR struct err err = ERR_INIT;

	begin();
	tar_write_end(&writer, NULL);
	buf_add(&archive, (char[9000]){ 1, 2, 3 }, 9000);
	is_names("", "bytes behind the end mark");
	in = (struct drip){ { .read = drip_read }, NULL, 0, 1 << 20 };
	in.size = (size_t)TAR_TRAILER_MAX + 2048;
	in.data = calloc(1, in.size);
	r = tar_reader_new(&in.reader, NULL);
	{
		char *start = (char *)in.data;

		ok(tar_next(r, &e, &err) == 0 && tar_drain(r, &err) < 0, "zeros without end behind it: %s", err_text(&err));
		free(start);
	}
	tar_reader_free(r);
}

/* Every byte once, in order, each to the right function. */
struct spy { struct tar_tap tap; struct buf all; int entries, ends; size_t data; };

static int spy_meta(struct tar_tap *t, const void *data, size_t size, struct err *err)
{
	buf_add(&((struct spy *)t)->all, data, size);
	return 0;
}

static int spy_entry(struct tar_tap *t, const struct tar_entry *e, struct err *err)
{
	((struct spy *)t)->entries++;
	return 0;
}

static int spy_data(struct tar_tap *t, const void *data, size_t size, struct err *err)
{
	((struct spy *)t)->data += size;
	return spy_meta(t, data, size, err);
}

static int spy_end(struct tar_tap *t, struct err *err)
{
	struct spy *s = (struct spy *)t;

	return ++s->ends == s->entries ? 0 : err_set(err, ERR_INTERNAL, "order");
}

static void test_tap(void)
{
	struct spy spy = { { spy_meta, spy_entry, spy_data, spy_end }, { 0 }, 0, 0, 0 };
	OWN_FREE char *deep = repeat("0123456789/", 40);
	OWN_ERR struct err err = ERR_INIT;
	const struct tar_entry *e;
	struct drip in;
	struct tar_reader *r;

	begin();
	tar_write_file(&writer, "small", "hello", 5, 0, &err);
	tar_write_file(&writer, deep, "", 0, 0, &err);
	tar_write_file(&writer, "more", "hello", 5, 0, &err);
	tar_write_end(&writer, &err);
	buf_adds(&archive, "behind the end");
	in = (struct drip){ { .read = drip_read }, archive.data, archive.size, 333 };
	r = tar_reader_new(&in.reader, &spy.tap);
	while (tar_next(r, &e, &err) > 0)
		;
	ok(tar_drain(r, &err) == 0, "drains: %s", err_text(&err));
	ok(spy.all.size == archive.size && memcmp(spy.all.data, archive.data, archive.size) == 0, "a tap sees every byte");
	is_int(spy.entries, 3, "every member");
	is_int(spy.ends, 3, "every member's end");
	is_int(spy.data, 10, "the payload as such");
	tar_reader_free(r);
	buf_done(&spy.all);
}

int main(void)
{
	test_roundtrip();
	test_payload();
	test_old_formats();
	test_hostile();
	test_trailer();
	test_tap();
	buf_done(&archive);
	return tap_done();
}
