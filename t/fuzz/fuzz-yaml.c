/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* YAML documents: what is read can be written as JSON and read again; what is not has a reason. */
#include "fuzz.h"

#include "base/json.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const texts[] = { "name", NULL };
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = yaml_read((const char *)data, size, texts, &err), *again = NULL;
	OWN_FREE char *text = NULL;

	if (!js) {
		FUZZ_CHECK(err.msg);
		return 0;
	}
	text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);
	FUZZ_CHECK(text);
	again = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	FUZZ_CHECK(again);
	return 0;
}
