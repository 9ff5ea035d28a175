/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tar streams; with tar-split lines on the way, which must tell how long the stream was. */
#include "fuzz.h"

#include "base/tar.h"
#include "image/tarsplit.h"

static int walk(struct tar_reader *tar, struct err *err)
{
	const struct tar_entry *e;
	int r;

	while ((r = tar_next(tar, &e, err)) > 0) {
		const void *data;
		int64_t got = 0;
		ssize_t n;

		FUZZ_CHECK(e->name && e->link && e->uname && e->gname && strlen(e->name) <= TAR_NAME_MAX);
		do {
			got += tar_hole(tar);
			n = tar_data(tar, &data, err);
			got += n;
		} while (n > 0);
		if (n < 0)
			return -1;
		FUZZ_CHECK(got == e->size);
	}
	return r < 0 ? -1 : tar_drain(tar, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_BUF struct buf lines = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct buf_writer out;
	struct mem_reader in;

	buf_writer_init(&out, &lines);
	mem_reader_init(&in, data, size);
	__attribute__((cleanup(tarsplit_freep))) struct tarsplit *split = tarsplit_new(&out.writer, true);
	OWN_TAR_READER struct tar_reader *tar = tar_reader_new(&in.reader, tarsplit_tap(split));
	if (walk(tar, &err) < 0)
		FUZZ_CHECK(err.msg);
	else if (tarsplit_end(split, &err) == 0) {
		mem_reader_init(&in, lines.data ? lines.data : "", lines.size);
		FUZZ_CHECK(tarsplit_size(&in.reader, &err) == (int64_t)size);
	}
	return 0;
}
