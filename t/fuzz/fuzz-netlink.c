/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of the kernel about links, addresses and routes; the parsers are private to their file. */
#include "../../core/network/rtnl.c"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const mnl_cb_t parsers[] = { on_index, on_address, on_route };
	OWN_FREE char *copy = xmalloc(size + 1);

	for (size_t i = 0; i < 3; i++) {
		struct found f = { 0 };
		int index = 0;

		memcpy(copy, data, size);
		mnl_cb_run(copy, size, 0, 0, parsers[i], i ? (void *)&f : (void *)&index);
		free(f.v);
	}
	return 0;
}
