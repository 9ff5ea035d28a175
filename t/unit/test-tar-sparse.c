/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sparse members: what GNU tar writes in each of its formats is the file again; maps that lie are refused. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/tar-header.h"
#include "base/tar.h"
#include "image/tarsplit.h"

#include "drip.h"
#include "tap.h"

#define MIB (1024 * 1024)

/* Every byte of the archive, in order. */
struct spy { struct tar_tap tap; struct buf all; size_t data; };

static int spy_meta(struct tar_tap *t, const void *data, size_t size, struct err *err)
{
	buf_add(&((struct spy *)t)->all, data, size);
	return 0;
}

static int spy_data(struct tar_tap *t, const void *data, size_t size, struct err *err)
{
	((struct spy *)t)->data += size;
	return spy_meta(t, data, size, err);
}

static int spy_entry(struct tar_tap *t, const struct tar_entry *e, struct err *err) { return 0; }
static int spy_end(struct tar_tap *t, struct err *err) { return 0; }

enum how { BY_DATA, BY_READ, BY_HOLES, BY_PASSING };

static int take(struct tar_reader *r, enum how how, struct buf *to, struct err *err)
{
	char some[777];
	const void *data = some;
	ssize_t n;

	do {
		int64_t hole = how == BY_HOLES ? tar_hole(r) : 0;

		if (hole > 64 * MIB)
			return -1;
		for (; hole; hole--)
			buf_addc(to, 0);
		n = how == BY_READ ? tar_read(r, some, sizeof(some), err) : tar_data(r, &data, err);
		if (n > 0)
			buf_add(to, how == BY_READ ? some : data, (size_t)n);
	} while (n > 0);
	return (int)n;
}

/* Member by member: "NAME SIZE", with an s where it is sparse; and all their bytes. */
static int read_all(const struct buf *archive, size_t piece, enum how how, struct buf *list, struct buf *bytes, struct tar_tap *tap, struct err *err)
{
	struct drip in = { { .read = drip_read }, archive->data, archive->size, piece };
	OWN_TAR_READER struct tar_reader *r = tar_reader_new(&in.reader, tap);
	const struct tar_entry *e;
	int n;

	while ((n = tar_next(r, &e, err)) > 0) {
		buf_addf(list, "%s %lld%s\n", e->name, (long long)e->size, e->sparse ? " s" : "");
		if (how != BY_PASSING && take(r, how, bytes, err) < 0)
			return -1;
	}
	return n < 0 ? -1 : tar_drain(r, err);
}

/* pieces of 4096 bytes of data at each of these offsets; the end is the last one's, or a hole. */
static void make_file(const char *dir, const char *name, const int64_t *at, size_t n, int64_t size)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char block[4096];

	for (size_t i = 0; i < n; i++) {
		memset(block, 'a' + (int)(i % 26), sizeof(block));
		if (pwrite(fd, block, sizeof(block), at[i]) < 0)
			abort();
	}
	if (ftruncate(fd, size) < 0)
		abort();
	close(fd);
}

static void slurp(const char *path, struct buf *b)
{
	OWN_ERR struct err err = ERR_INIT;

	buf_reset(b);
	if (fs_read(AT_FDCWD, path, 256 * MIB, b, &err) < 0)
		printf("# %s\n", err_text(&err));
}

static void one_format(const char *dir, const char *options, const struct buf *want, const char *what)
{
	OWN_FREE char *command = xasprintf("cd %s && tar -S %s -cf a.tar one many end empty hole plain 2>&1", dir, options);
	OWN_FREE char *path = xasprintf("%s/a.tar", dir);
	OWN_BUF struct buf archive = { 0 };
	static const size_t pieces[] = { 511, 4096, 1 << 20 };

	if (system(command) != 0) {
		ok(1, "%s # SKIP no tar of GNU", what);
		return;
	}
	slurp(path, &archive);
	ok(archive.size < 2 * MIB, "%s: the archive has no holes (%zu bytes)", what, archive.size);
	for (size_t i = 0; i < 3; i++)
		for (enum how how = BY_DATA; how <= BY_PASSING; how++) {
			OWN_ERR struct err err = ERR_INIT;
			OWN_BUF struct buf list = { 0 }, bytes = { 0 };
			struct spy spy = { .tap = { spy_meta, spy_entry, spy_data, spy_end } };

			ok(read_all(&archive, pieces[i], how, &list, &bytes, &spy.tap, &err) == 0, "%s is read: %s", what, err_text(&err));
			is_str(list.data, "one 8388608 s\nmany 4194304 s\nend 1052672 s\nempty 0\nhole 3000000 s\nplain 4096\n", "what it holds");
			ok(how == BY_PASSING || (bytes.size == want->size && memcmp(bytes.data, want->data, want->size) == 0), "byte by byte");
			ok(spy.all.size == archive.size && memcmp(spy.all.data, archive.data, archive.size) == 0, "and the archive passed whole");
			buf_done(&spy.all);
		}
}

static void test_formats(const char *dir)
{
	static const char *const names[] = { "one", "many", "end", "empty", "hole", "plain" };
	int64_t many[100];
	OWN_BUF struct buf want = { 0 };

	for (int i = 0; i < 100; i++)
		many[i] = i * 40960;
	make_file(dir, "one", (int64_t[]){ 4 * MIB }, 1, 8 * MIB);
	make_file(dir, "many", many, 100, 4 * MIB);
	make_file(dir, "end", (int64_t[]){ MIB }, 1, MIB + 4096);
	make_file(dir, "empty", NULL, 0, 0);
	make_file(dir, "hole", NULL, 0, 3000000);
	make_file(dir, "plain", (int64_t[]){ 0 }, 1, 4096);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		OWN_FREE char *path = xasprintf("%s/%s", dir, names[i]);
		OWN_BUF struct buf one = { 0 };

		slurp(path, &one);
		buf_add(&want, one.data ? one.data : "", one.size);
	}
	one_format(dir, "--format=gnu", &want, "type S");
	one_format(dir, "--format=posix --sparse-version=0.0", &want, "version 0.0");
	one_format(dir, "--format=posix --sparse-version=0.1", &want, "version 0.1");
	one_format(dir, "--format=posix --sparse-version=1.0", &want, "version 1.0");
}

/* Archives that no tar writes */

static struct buf made;

static void add_member(char type, const void *data, size_t size, const char *field)
{
	struct tar_header h = { .typeflag = type };
	unsigned sum = 0;

	memcpy(h.name, "f", 1);
	memcpy(h.mode, "0000644", 8);
	memcpy(h.uid, "0000000", 8);
	memcpy(h.gid, "0000000", 8);
	snprintf(h.size, 12, "%011zo", size);
	memcpy(h.mtime, "00000000000", 12);
	memcpy(h.magic, field ? "ustar  " : "ustar\0" "00", 8);
	if (field)
		memcpy((char *)&h + 386, field, 109);
	memset(h.chksum, ' ', 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((unsigned char *)&h)[i];
	snprintf(h.chksum, 7, "%06o", sum);
	buf_add(&made, &h, sizeof(h));
	buf_add(&made, data, size);
	while (made.size % TAR_BLOCK)
		buf_addc(&made, 0);
}

static void record(struct buf *to, const char *text)
{
	size_t size = strlen(text) + 3;

	size += size >= 10;
	size += size >= 100;
	buf_addf(to, "%zu %s\n", size, text);
}

/* records: a line each; then a member of so many bytes. */
static void records(const char *lines, const void *data, size_t size)
{
	OWN_FREE char *copy = xstrdup(lines);
	OWN_BUF struct buf b = { 0 };
	char *at = copy, *line;

	buf_reset(&made);
	while ((line = strsep(&at, "\n")))
		record(&b, line);
	add_member('x', b.data, b.size, NULL);
	add_member('0', data, size, NULL);
}

static void is_made(const char *want_list, const char *want_bytes, size_t size, const char *what)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf list = { 0 }, bytes = { 0 };

	ok(read_all(&made, 1 << 20, BY_HOLES, &list, &bytes, NULL, &err) == 0, "%s: %s", what, err_text(&err));
	is_str(list.data ? list.data : "", want_list, "%s: what it is", what);
	ok(bytes.size == size && memcmp(bytes.data, want_bytes, size) == 0, "%s: its bytes", what);
}

static void refused(const char *text, const char *what)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf list = { 0 }, bytes = { 0 };

	ok(read_all(&made, 1 << 20, BY_PASSING, &list, &bytes, NULL, &err) < 0 && err.class == ERR_INVALID && strstr(err_text(&err), text),
		"%s: %s", what, err_text(&err));
}

#define MAP(map, size, what) records("GNU.sparse.map=" map "\nGNU.sparse.size=" size, "abcd", 4); refused("malformed map", what)

static void test_maps(void)
{
	char block[1024] = "1\n2\n4\n";

	records("GNU.sparse.map=2,4\nGNU.sparse.size=8\nGNU.sparse.name=n", "abcd", 4);
	is_made("n 8 s\n", "\0\0abcd\0\0", 8, "a map in a record");
	records("GNU.sparse.offset=0\nGNU.sparse.numbytes=1\nGNU.sparse.offset=3\nGNU.sparse.numbytes=3\nGNU.sparse.numblocks=2\nGNU.sparse.size=6", "abcd", 4);
	is_made("f 6 s\n", "a\0\0bcd", 6, "a map in records");
	records("GNU.sparse.map=0,4\nGNU.sparse.major=2\nGNU.sparse.minor=0", "abcd", 4);
	is_made("f 4\n", "abcd", 4, "a version that nobody knows");
	memcpy(block + 512, "abcd", 4);
	records("GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.realsize=7", block, 516);
	is_made("f 7 s\n", "\0\0abcd\0", 7, "a map in front");

	MAP("2,4", "5", "past the file's end");
	MAP("0,2,1,2", "8", "over each other");
	MAP("4,2,0,2", "8", "out of order");
	MAP("-1,4", "8", "before the file");
	MAP("0,-4,0,8", "8", "of negative size");
	MAP("0,3", "8", "less than is stored");
	MAP("0,5", "8", "more than is stored");
	MAP("0,4,5", "8", "an offset without a size");
	MAP("0,x", "8", "no number");
	MAP("0,4", "1125899906842625", "a file past all bounds");
	MAP("9223372036854775807,4", "9223372036854775807", "past what can be counted");
	records("GNU.sparse.map=0,4\nGNU.sparse.numblocks=2\nGNU.sparse.size=8", "abcd", 4);
	refused("malformed map", "another number of pieces");
	records("GNU.sparse.numbytes=4\nGNU.sparse.offset=0\nGNU.sparse.size=8", "abcd", 4);
	refused("malformed map", "sizes before offsets");
	for (int i = 0; i < 5; i++) {
		static const char *const maps[] = { "1\n0\n", "x\n", "-1\n", "300000\n", "1\n00000000000000000000000000\n4\n" };

		memset(block, 0, 512);
		memcpy(block, maps[i], strlen(maps[i]));
		records("GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.realsize=7", block, 516);
		refused("malformed map", "a map in front that ends early, or is none");
	}
	records("GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.realsize=7", "1\n", 2);
	refused("malformed map", "less than a block");
}

static void test_old(void)
{
	char field[110] = { 0 };

	snprintf(field, 12, "%011o", 2);
	snprintf(field + 12, 12, "%011o", 4);
	snprintf(field + 97, 12, "%011o", 8);
	buf_reset(&made);
	add_member('S', "abcd", 4, field);
	is_made("f 8 s\n", "\0\0abcd\0\0", 8, "type S");
	field[96] = 1;
	buf_reset(&made);
	add_member('S', "", 0, field);
	refused("unexpected EOF", "blocks of a map that do not come");
	field[96] = 0;
	memcpy(field + 12, "\200\0\0\0\177\377\377\377\377\377\377\377", 12);
	buf_reset(&made);
	add_member('S', "abcd", 4, field);
	refused("malformed map", "a size past all bounds");
	buf_reset(&made);
	add_member('S', "", 0, NULL);
	refused("no known format", "type S in a header that is not GNU's");
	/* a map without end is not kept without end */
	buf_reset(&made);
	memset(field, 0, sizeof(field));
	field[96] = 1;
	add_member('S', "", 0, field);
	for (int i = 0; i < (1 << 18) / 21 + 2; i++) {
		char more[512] = { 0 };

		for (int k = 0; k < 21; k++) {
			snprintf(more + 24 * k, 12, "%011o", 0);
			snprintf(more + 24 * k + 12, 12, "%011o", 0);
		}
		more[504] = 1;
		buf_add(&made, more, sizeof(more));
	}
	refused("too many pieces", "a map without end");
}

/* The lines that a layer's archive is made from again hold the member's own bytes, and not without bounds. */

struct nowhere { struct writer writer; size_t size; };

static int forget(struct writer *w, const void *data, size_t size, struct err *err)
{
	((struct nowhere *)w)->size += size;
	return 0;
}

/* One sparse file of so many MiB and a hole, read into lines. */
static int split_up(int mib, struct err *err)
{
	struct nowhere out = { .writer = { .write = forget } };
	__attribute__((cleanup(tarsplit_freep))) struct tarsplit *split = tarsplit_new(&out.writer, true);
	OWN_BUF struct buf list = { 0 };
	char field[110] = { 0 };
	size_t size = (size_t)mib * MIB;
	OWN_FREE char *data = xcalloc(1, size);
	int rc;

	snprintf(field + 12, 12, "%011zo", size);
	memcpy(field, "00000000000", 11);
	snprintf(field + 97, 12, "%011zo", size + 1);
	buf_reset(&made);
	add_member('S', data, size, field);
	rc = read_all(&made, 1 << 20, BY_PASSING, &list, NULL, tarsplit_tap(split), err);
	if (rc == 0)
		rc = tarsplit_end(split, err);
	return rc < 0 ? -1 : out.size > size;
}

static void test_lines(void)
{
	OWN_ERR struct err err = ERR_INIT;

	is_int(split_up(3, &err), 1, "lines hold what a sparse file has: %s", err_text(&err));
	ok(split_up(257, &err) < 0 && strstr(err_text(&err), "in one archive"), "but not all that comes: %s", err_text(&err));
}

int main(void)
{
	char dir[] = "/tmp/test-tar-sparse-XXXXXX";
	OWN_FREE char *rm = NULL;

	if (!mkdtemp(dir))
		abort();
	test_formats(dir);
	test_maps();
	test_old();
	test_lines();
	buf_done(&made);
	rm = xasprintf("rm -r %s", dir);
	ok(system(rm) == 0, "nothing stays");
	return tap_done();
}
