/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Databases of bbolt with pages of 512 bytes, whose two meta pages are made to look whole: read, and where that goes, given
 * other pairs in place, which are then what is read.
 */
#include "fuzz.h"

#include "base/bolt-format.h"
#include "base/buf.h"

#define PAGE 512u

static int note(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err)
{
	(void)err;
	buf_add(ctx, key, key_size);
	buf_adds(ctx, "=");
	buf_add(ctx, value, value_size);
	return 0;
}

static void mend_meta(char *data, size_t size, unsigned page)
{
	char *at = data + page * PAGE + sizeof(struct bolt_page);
	struct bolt_meta m;

	if (size < (page + 1) * PAGE)
		return;
	memcpy(&m, at, sizeof(m));
	m.magic = BOLT_MAGIC;
	m.version = BOLT_FORMAT;
	m.page_size = PAGE;
	m.sum = bolt_sum(&m);
	memcpy(at, &m, sizeof(m));
}

static void update(const char *data, size_t size)
{
	OWN_FREE char *path = xasprintf("%s/db", fuzz_dir()), *large = xcalloc(1, 3000);
	OWN_BOLT_PAIRS struct bolt_pairs p = { 0 };
	OWN_BUF struct buf got = { 0 }, want = { 0 }, file = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	fuzz_write(path, data, size);
	for (unsigned i = 0; i < 40; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key%02u", i);
		bolt_pairs_add(&p, key, strlen(key), large, i == 7 ? 3000 : i);
		note(&want, key, strlen(key), large, i == 7 ? 3000 : i, NULL);
	}
	if (bolt_update(path, 1 << 20, "b", &p, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return;
	}
	FUZZ_CHECK(fs_read(AT_FDCWD, path, 2 << 20, &file, NULL) == 0 && bolt_each(file.data, file.size, "b", note, &got, NULL) == 0);
	FUZZ_CHECK(got.size == want.size && memcmp(got.data, want.data, got.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *copy = xmalloc(size + 1);
	OWN_BUF struct buf pairs = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	memcpy(copy, data, size);
	mend_meta(copy, size, 0);
	mend_meta(copy, size, 1);
	if (bolt_each(copy, size, "b", note, &pairs, &err) == 0)
		update(copy, size);
	else
		FUZZ_CHECK(err.msg);
	return 0;
}
