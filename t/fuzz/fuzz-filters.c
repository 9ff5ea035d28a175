/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The filters parameter; the second part is what they are asked about. */
#include "fuzz.h"

#include "base/filters.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const allowed[] = { "name", "id", "label", "label!", "until", "dangling", NULL };
	OWN_STRV struct strv parts = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FILTERS struct filters f = { 0 };
	struct strmap labels = { 0 };
	int64_t until;
	bool b;

	fuzz_split(data, size, &parts);
	if (filters_parse(fuzz_part(&parts, 0), &f, &err) < 0 || filters_validate(&f, allowed, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return 0;
	}
	strmap_set(&labels, fuzz_part(&parts, 1), "v");
	filters_match(&f, "name", fuzz_part(&parts, 1));
	filters_prefix(&f, "id", fuzz_part(&parts, 1));
	filters_labels_pass(&f, &labels);
	OWN_ERR struct err one = ERR_INIT, two = ERR_INIT;
	filters_until(&f, 0, &until, &one);
	filters_bool(&f, "dangling", false, &b, &two);
	strmap_done(&labels);
	return 0;
}
