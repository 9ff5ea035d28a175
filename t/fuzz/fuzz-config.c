/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daemon.json, and with a first byte of ";" the INI form; then what is checked and printed of them. */
#include "fuzz.h"

#include "config/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_ERR struct err err = ERR_INIT, why = ERR_INIT;
	OWN_FREE char *text = xstrndup((const char *)data, size);
	OWN_BUF struct buf out = { 0 };
	struct config cfg;
	int r;

	config_init(&cfg);
	r = size && text[0] == ';' ? config_parse_ini(&cfg, text, strlen(text), &err) : config_parse_json(&cfg, text, strlen(text), &err);
	FUZZ_CHECK(r == 0 || err.msg);
	for (int i = 0; r == 0 && i < OPT_COUNT; i++) {
		OWN_FREE char *shown = opt_text(&cfg, (enum opt_id)i);

		opt_json(&cfg, (enum opt_id)i, &out);
		FUZZ_CHECK(shown);
	}
	if (r == 0)
		FUZZ_CHECK(config_validate(&cfg, &why) == 0 || why.msg);
	config_done(&cfg);
	return 0;
}
