/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Image references; the second part is a pattern for the first. What was parsed parses again, to the same. */
#include "fuzz.h"

#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_STRV struct strv parts = { 0 };
	OWN_REFERENCE struct reference ref = { 0 }, again = { 0 };
	OWN_ERR struct err err = ERR_INIT, other = ERR_INIT;
	bool fits;

	fuzz_split(data, size, &parts);
	if (reference_parse(fuzz_part(&parts, 0), &ref, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return 0;
	}
	OWN_FREE char *text = reference_text(&ref), *familiar = reference_familiar(&ref);
	FUZZ_CHECK(*familiar);
	FUZZ_CHECK(reference_parse(text, &again, &err) == 0);
	OWN_FREE char *same = reference_text(&again);
	FUZZ_CHECK(streq(text, same));
	reference_match(fuzz_part(&parts, 1), &ref, &fits, &other);
	return 0;
}
