/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seccomp profiles, Docker's form and plain OCI; the first byte chooses the capabilities. What comes out is JSON. */
#include "fuzz.h"

#include "base/json.h"
#include "container/bundle/seccomp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf out = { 0 };
	OWN_JSON json_t *js = NULL;
	struct seccomp_on on;
	struct jw w;

	if (!size)
		return 0;
	jw_init(&w, &out);
	on = seccomp_here(data[0] & 1 ? UINT64_MAX : 0);
	if (seccomp_custom(&on, (const char *)data + 1, size - 1, &w, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return 0;
	}
	if (!out.size)
		return 0;
	js = json_loadb(out.data, out.size, 0, NULL);
	FUZZ_CHECK(json_is_object(js));
	return 0;
}
