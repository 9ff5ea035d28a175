/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages between daemon and shim, several in a row. */
#include "fuzz.h"

#include "shim/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_BUF struct buf in = { 0 };

	if (size)
		buf_add(&in, data, size);
	for (;;) {
		OWN_SHIM_MSG struct shim_msg m = { 0 };
		const char *s;
		size_t pos = 0;

		if (shim_msg_parse(&in, &m) != 1)
			return 0;
		for (int tag = 0; tag <= TAG_OOM + 1; tag++) {
			shim_msg_get_int(&m, (enum shim_tag)tag, -1);
			s = shim_msg_get_str(&m, (enum shim_tag)tag);
			FUZZ_CHECK(!s || strlen(s) <= m.head.size);
		}
		while ((s = shim_msg_next_str(&m, TAG_RUNTIME_ARG, &pos)))
			FUZZ_CHECK(strlen(s) <= m.head.size);
	}
}
