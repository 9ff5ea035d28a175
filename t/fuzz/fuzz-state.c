/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.v2.json and hostconfig.json of a container: what is read and written stays the same when read again. */
#include "fuzz.h"

#include "container/internal.h"

static void round_trip(const struct jdesc *d, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf one = { 0 };
	OWN_BUF struct buf two = { 0 };
	OWN_FREE void *a = xcalloc(1, d->size), *b = xcalloc(1, d->size);
	struct jw w;

	if (jdesc_parse(d, text, strlen(text), a, &err) < 0) {
		FUZZ_CHECK(err.msg);
		jdesc_clear(d, a);
		return;
	}
	jw_init(&w, &one);
	jdesc_encode(d, a, &w);
	FUZZ_CHECK(jdesc_parse(d, one.data, one.size, b, &err) == 0);
	jw_init(&w, &two);
	jdesc_encode(d, b, &w);
	FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
	jdesc_clear(d, b);
	jdesc_copy(d, b, a);
	jdesc_clear(d, a);
	jdesc_clear(d, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_STRV struct strv parts = { 0 };

	fuzz_split(data, size, &parts);
	round_trip(&container_record_desc, fuzz_part(&parts, 0));
	round_trip(&host_config_desc, fuzz_part(&parts, parts.len > 1));
	return 0;
}
