/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header blocks of requests, and the chunks behind them. */
#include "fuzz.h"

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *exact = xmalloc(size + !size); /* so that a byte behind it is nobody's */
	struct http_head h = { 0 };
	const char *why = NULL;
	int status;

	memcpy(exact, data, size);
	status = http_head_check(exact, size, 4096, 1024, &h, &why);
	FUZZ_CHECK(status == 0 || status == 200 || (status >= 400 && why));
	if (status == 200) {
		FUZZ_CHECK(h.uri && h.size <= size);
		http_chunks_check(exact + h.size, size - h.size);
		http_head_done(&h);
	}
	return 0;
}
