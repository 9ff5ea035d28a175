/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Databases of bbolt: made here byte by byte, read, damaged in every place, and written. */
#include "base/bolt.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bolt-format.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"
#include "tap.h"

#define PAGE  1024
#define PAGES 8

static char db[PAGE * PAGES];

static void put_page(char *at, uint64_t id, uint16_t flags, uint16_t count)
{
	memcpy(at, &id, 8);
	memcpy(at + 8, &flags, 2);
	memcpy(at + 10, &count, 2);
	memset(at + 12, 0, 4);
}

static void put_meta(int page, uint64_t root, uint64_t transaction)
{
	char *m = db + page * PAGE + 16;
	const uint32_t head[4] = { 0xED0CDAED, 2, PAGE, 0 };
	const uint64_t rest[5] = { root, 0, 0, PAGES, transaction };
	uint64_t h = 14695981039346656037u;

	put_page(db + page * PAGE, (uint64_t)page, 4, 0);
	memcpy(m, head, sizeof(head));
	memcpy(m + 16, rest, sizeof(rest));
	for (size_t i = 0; i < 56; i++)
		h = (h ^ (unsigned char)m[i]) * 1099511628211u;
	memcpy(m + 56, &h, 8);
}

/* A leaf of n pairs; returns where the next byte goes. */
static char *put_leaf(char *at, uint64_t id, int n, const char *const *keys, const char *const *values, const uint32_t *sizes, uint32_t flags)
{
	char *data = at + 16 + n * 16;

	put_page(at, id, 2, (uint16_t)n);
	for (int i = 0; i < n; i++) {
		char *e = at + 16 + i * 16;
		const uint32_t size = sizes ? sizes[i] : (uint32_t)strlen(values[i]);
		const uint32_t el[4] = { flags, (uint32_t)(data - e), (uint32_t)strlen(keys[i]), size };

		memcpy(e, el, sizeof(el));
		memcpy(data, keys[i], strlen(keys[i]));
		data += strlen(keys[i]);
		memcpy(data, values[i], size);
		data += size;
	}
	return data;
}

/* Buckets "large", whose pairs lie in two leaves below a branch, and "small" within its value. */
static void make(void)
{
	static const char *const tops[] = { "large", "small" }, *const one[] = { "a", "b" }, *const ones[] = { "1", "" };
	static const char *const two[] = { "c" }, *const twos[] = { "third" }, *const in[] = { "s" }, *const ins[] = { "inline" };
	const uint64_t large[2] = { 3, 0 }, none[2] = { 0, 0 }, below[2] = { 4, 5 };
	const char *values[2];
	uint32_t sizes[2] = { 16, 0 };
	char small[128] = { 0 };

	memset(db, 0, sizeof(db));
	put_meta(0, 2, 7);
	put_meta(1, 6, 6); /* of the transaction before: it must not be read */
	memcpy(small, none, 16);
	sizes[1] = (uint32_t)(put_leaf(small + 16, 0, 1, in, ins, NULL, 0) - small);
	values[0] = (const char *)large;
	values[1] = small;
	put_leaf(db + 2 * PAGE, 2, 2, tops, values, sizes, 1);
	put_page(db + 3 * PAGE, 3, 1, 2);
	for (int i = 0; i < 2; i++)
		memcpy(db + 3 * PAGE + 16 + i * 16 + 8, &below[i], 8);
	put_leaf(db + 4 * PAGE, 4, 2, one, ones, NULL, 0);
	put_leaf(db + 5 * PAGE, 5, 1, two, twos, NULL, 0);
}

static int note(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err)
{
	buf_addf(ctx, "%.*s=%.*s;", (int)key_size, key, (int)value_size, value);
	return 0;
}

static int stop(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "enough");
}

static void reads(const char *bucket, const char *want, const char *what)
{
	OWN_BUF struct buf got = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	buf_adds(&got, "");
	ok(bolt_each(db, sizeof(db), bucket, note, &got, &err) == 0, "%s: %s", what, err_text(&err));
	is_str(got.data, want, "%s: pairs", what);
}

static void refused(const char *what, size_t size)
{
	OWN_BUF struct buf got = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(bolt_each(db, size, "large", note, &got, &err) < 0 && err.class == ERR_INVALID, "%s: %s", what, err_text(&err));
}

static void test_damage(void)
{
	const uint64_t loop = 3, beyond = 1000;
	const uint32_t huge = 0xfffffff0;
	size_t left = 0;

	make();
	memcpy(db + 3 * PAGE + 16 + 8, &loop, 8);
	refused("a branch that leads to itself", sizeof(db));
	memcpy(db + 3 * PAGE + 16 + 8, &beyond, 8);
	refused("a page behind the end", sizeof(db));
	make();
	memcpy(db + 4 * PAGE + 16 + 4, &huge, 4);
	refused("a pair behind the end", sizeof(db));
	make();
	refused("a file that was cut", 5 * PAGE);
	refused("an empty file", 0);
	refused("a few bytes", 40);
	make();
	put_meta(0, 2, 7);
	db[16 + 20] ^= 1;
	put_meta(1, 2, 6);
	reads("small", "s=inline;", "the first page is damaged: the second");
	db[PAGE + 16 + 20] ^= 1;
	refused("both are damaged", sizeof(db));
	/* nothing but bounds and an end is asked for */
	for (size_t i = 2 * PAGE; i < 6 * PAGE; i++) {
		OWN_BUF struct buf got = { 0 };

		make();
		for (int v = 0; v < 3; v++) {
			db[i] = (char)(v == 0 ? 0xff : v == 1 ? 0x80 : db[i] + 1);
			bolt_each(db, sizeof(db), "large", note, &got, NULL);
			bolt_each(db, sizeof(db), "small", note, &got, NULL);
			left++;
		}
	}
	is_int((int64_t)left, 3 * 4 * PAGE, "every byte of the pages was another one");
}

static char path[] = "/tmp/test-bolt-XXXXXX";

/* The nth of many sets of pairs: of all lengths, some longer than a page; the same set has the same text. */
static void fill_set(unsigned n, struct bolt_pairs *p, struct buf *ret)
{
	size_t len = n % 7 == 3 ? 0 : (size_t)n * n % 1000;

	buf_adds(ret, "");
	for (size_t i = 0; i < len; i++) {
		char key[64];
		size_t size = i % 97 == 5 ? 9000 : i * 31 % 300;
		OWN_FREE char *value = xmalloc(size + 1);

		memset(value, 'a' + (int)((i + n) % 26), size);
		value[size] = '\0';
		snprintf(key, sizeof(key), "key/%04zu/%.*s", i, (int)(i % 40), "a long tail that makes keys differ in length");
		buf_addf(ret, "%s=%s;", key, value);
		/* any order will do */
		bolt_pairs_add(p, key, strlen(key), value, size);
		if (i % 2) {
			struct bolt_pair swap = p->v[i];

			p->v[i] = p->v[i / 2];
			p->v[i / 2] = swap;
		}
	}
}

static bool holds(const char *want, size_t *ret_size)
{
	OWN_BUF struct buf got = { 0 }, data = { 0 };

	buf_adds(&got, "");
	if (fs_read(AT_FDCWD, path, 64 << 20, &data, NULL) < 0 || bolt_each(data.data, data.size, "b", note, &got, NULL) < 0)
		return false;
	*ret_size = data.size;
	return streq(got.data, want);
}

/* Each page is in the tree or free, and none is both. */
static bool is_tidy(void)
{
	OWN_BUF struct buf data = { 0 };
	OWN_BUF struct buf none = { 0 };
	struct bolt_survey s;
	struct bolt_page head;
	uint64_t id, last = 1;

	if (fs_read(AT_FDCWD, path, 64 << 20, &data, NULL) < 0 || bolt_survey(data.data, data.size, "b", note, &none, &s, NULL) < 0)
		return false;
	memcpy(&head, data.data + s.meta.free_list * s.meta.page_size, sizeof(head));
	if (head.flags != BOLT_FREE_LIST || head.count + 2u >= s.meta.pages || s.meta.pages * s.meta.page_size > data.size)
		return false;
	for (unsigned i = 0; i < head.count; i++) {
		memcpy(&id, data.data + s.meta.free_list * s.meta.page_size + sizeof(head) + 8u * i, 8);
		if (id <= last || id >= s.meta.pages || id == s.meta.root.root || id == s.meta.free_list)
			return false;
		last = id;
	}
	return s.lowest >= 2 && !s.others;
}

static void test_write(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf before = { 0 };
	size_t size = 0, largest = 0;

	close(mkstemp(path));
	for (unsigned n = 0; n < 60; n++) {
		OWN_BOLT_PAIRS struct bolt_pairs p = { 0 };
		OWN_BUF struct buf want = { 0 };

		fill_set(n % 40, &p, &want);
		if (n == 0)
			ok(bolt_make(path, "b", &p, &err) == 0, "a database is made: %s", err_text(&err));
		else
			ok(bolt_update(path, 64 << 20, "b", &p, &err) == 0, "pairs %u: %s", n, err_text(&err));
		ok(holds(want.data, &size), "%u: the pairs are there", n);
		ok(is_tidy(), "%u: its pages are in order", n);
		/* the meta page that does not count tells of the tree before, which is whole */
		if (n > 0 && before.size) {
			OWN_BUF struct buf data = { 0 }, got = { 0 };
			struct bolt_meta m;
			unsigned page;

			BUG_ON(fs_read(AT_FDCWD, path, 64 << 20, &data, NULL) < 0 || !bolt_find_meta(data.data, data.size, &m, &page));
			memset(data.data + page * m.page_size + 16, 0, 64);
			buf_adds(&got, "");
			ok(bolt_each(data.data, data.size, "b", note, &got, NULL) == 0 && streq(got.data, before.data),
				"%u: until the last byte it is what it was", n);
		}
		largest = size > largest ? size : largest;
		buf_reset(&before);
		buf_add(&before, want.data, want.size);
	}
	ok(largest < 3u << 20, "pages are used again: %zu bytes", largest);
}

static void test_write_refused(void)
{
	OWN_BOLT_PAIRS struct bolt_pairs p = { 0 };
	OWN_ERR struct err err = ERR_INIT, twice = ERR_INIT, no = ERR_INIT, large = ERR_INIT;
	OWN_BUF struct buf want = { 0 }, was = { 0 }, is = { 0 };
	struct stat one, two;
	size_t size;

	fill_set(5, &p, &want);
	ok(bolt_make(path, "b", &p, NULL) == 0 && holds(want.data, &size), "made anew");
	BUG_ON(stat(path, &one) < 0);
	ok(bolt_update(path, 1 << 20, "b", &p, NULL) == 0 && stat(path, &two) == 0 && one.st_mtim.tv_sec == two.st_mtim.tv_sec &&
	   one.st_mtim.tv_nsec == two.st_mtim.tv_nsec, "what is the same is not written");
	BUG_ON(fs_read(AT_FDCWD, path, 1 << 20, &was, NULL) < 0);
	ok(bolt_update(path, 1 << 20, "other", &p, &err) < 0 && err.class == ERR_INVALID, "another bucket is there: %s", err_text(&err));
	ok(bolt_update(path, 100, "b", &p, &large) < 0, "it is too large: %s", err_text(&large));
	bolt_pairs_add(&p, "key", 3, "", 0);
	bolt_pairs_add(&p, "key", 3, "x", 1);
	ok(bolt_update(path, 1 << 20, "b", &p, &twice) < 0, "a key twice: %s", err_text(&twice));
	BUG_ON(fs_read(AT_FDCWD, path, 1 << 20, &is, NULL) < 0);
	ok(was.size == is.size && memcmp(was.data, is.data, is.size) == 0, "and nothing was written");
	bolt_pairs_done(&p);
	unlink(path);
	ok(bolt_update(path, 1 << 20, "b", &p, &no) < 0 && no.class == ERR_NOT_FOUND, "a file that is not there: %s", err_text(&no));
	make();
	BUG_ON(fs_write_atomic(AT_FDCWD, path, db, sizeof(db), 0600, FS_RENAME_ONLY, NULL) < 0);
	err_done(&err);
	ok(bolt_update(path, 1 << 20, "large", &p, &err) < 0 && strstr(err_text(&err), "not as Docker makes it"), "a database of two buckets: %s", err_text(&err));
	unlink(path);
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;

	make();
	reads("large", "a=1;b=;c=third;", "a bucket of several pages");
	reads("small", "s=inline;", "a bucket within its value");
	reads("none", "", "no such bucket");
	reads("", "", "no name");
	ok(bolt_each(db, sizeof(db), "large", stop, NULL, &err) < 0 && streq(err_text(&err), "enough"), "the reader ends it");
	put_meta(1, 6, 8);
	refused("the later transaction decides", sizeof(db));
	test_damage();
	test_write();
	test_write_refused();
	return tap_done();
}
