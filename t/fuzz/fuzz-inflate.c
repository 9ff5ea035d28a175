/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gzip, zstd, bzip2 and xz streams, of which at most 4 MiB are asked for. */
#include "fuzz.h"

#include "image/inflate.h"
#include "untar/codecs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[65536];
	OWN_ERR struct err err = ERR_INIT;
	struct mem_reader in;
	ssize_t n = 0;

	codecs_init();
	mem_reader_init(&in, data, size);
	OWN_READER struct reader *plain = inflate_new(&in.reader, NULL, &err);
	for (int i = 0; plain && i < 64 && (n = plain->read(plain, out, sizeof(out), &err)) > 0; i++)
		;
	FUZZ_CHECK((plain && n >= 0) || err.msg);
	return 0;
}
