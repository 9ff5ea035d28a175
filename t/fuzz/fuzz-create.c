/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of POST /containers/create. What was decoded and encoded decodes and encodes to the same. */
#include "fuzz.h"

#include "container/spec.h"

static void encode(const struct create_body *b, struct buf *to)
{
	struct jw w;

	jw_init(&w, to);
	jw_obj(&w);
	jw_kdesc(&w, "config", &container_config_desc, &b->config);
	jw_kdesc(&w, "host", &host_config_desc, &b->host);
	jw_obj_end(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = json_read((const char *)data, size, &err), *again = NULL;
	OWN_BUF struct buf one = { 0 };
	OWN_BUF struct buf two = { 0 };
	struct create_body body, copy = { 0 };

	if (!js || create_body_decode(js, &body, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return 0;
	}
	encode(&body, &one);
	again = json_read(one.data, one.size, &err);
	FUZZ_CHECK(again && jdesc_decode(&container_config_desc, json_object_get(again, "config"), &copy.config, &err) == 0 &&
		jdesc_decode(&host_config_desc, json_object_get(again, "host"), &copy.host, &err) == 0);
	encode(&copy, &two);
	FUZZ_CHECK(one.size == two.size && memcmp(one.data, two.data, one.size) == 0);
	create_body_done(&copy);
	create_body_done(&body);
	return 0;
}
