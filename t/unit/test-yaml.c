/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/json.h"
#include "base/yaml.h"

#include "tap.h"

static const char *const texts[] = { "name", "env", NULL };

static void reads(const char *yaml, const char *json)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = yaml_read(yaml, strlen(yaml), texts, &err);
	OWN_FREE char *text = js ? json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	is_str(text, json, "%.*s: %s", (int)strcspn(yaml, "\n"), yaml, err_text(&err));
}

static void refuses(const char *yaml, size_t size, const char *why)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = yaml_read(yaml, size, texts, &err);

	ok(!js && err.class == ERR_INVALID && strstr(err_text(&err), why), "refused: %.*s: %s", (int)strcspn(yaml, "\n"), yaml, err_text(&err));
}

static void nested(int levels, bool fits)
{
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = NULL;

	for (int i = 0; i < levels; i++)
		buf_addc(&b, '[');
	for (int i = 0; i < levels; i++)
		buf_addc(&b, ']');
	js = yaml_read(b.data, b.size, NULL, &err);
	ok(fits == (js != NULL), "%d levels: %s", levels, err_text(&err));
}

int main(void)
{
	reads("", "null");
	reads("# nothing\n", "null");
	reads("a: 1", "{\"a\":1}");
	reads("---\na: b\n...\n", "{\"a\":\"b\"}");
	reads("- 1\n- -7\n- +7\n- 0x1f\n- 0o17\n- 0640\n- 08\n- 1_0\n", "[1,-7,7,31,15,416,8.0,\"1_0\"]");
	reads("[~, null, true, FALSE, yes, .5, 1e3, 0.5.0, -, '1', \"true\", !!str 5]",
		"[null,null,true,false,\"yes\",0.5,1000.0,\"0.5.0\",\"-\",\"1\",\"true\",\"5\"]");
	reads("[99999999999999999999, .inf, .nan]", "[1e20,\".inf\",\".nan\"]");
	reads("name: 0\nenv: [1, true, ~]\nother: 0", "{\"name\":\"0\",\"env\":[\"1\",\"true\",null],\"other\":0}");
	reads("name:", "{\"name\":null}");
	reads("name: ''", "{\"name\":\"\"}");
	reads("a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}");
	reads("a: {b: [c, {d: e}]}", "{\"a\":{\"b\":[\"c\",{\"d\":\"e\"}]}}");
	reads("1: x", "{\"1\":\"x\"}");
	refuses("a: &x 1\nb: *x", 13, "yaml: line 2: aliases are not supported");
	refuses("a: 1\na: 2", 9, "yaml: line 2: a key that is given twice");
	refuses("[a]: 1", 6, "a key that is no text");
	refuses("a: 1\n---\nb: 2\n", 14, "more than one document");
	refuses("a: [1", 5, "yaml: line 2");
	refuses("a:\n\t- b", 7, "yaml: line 2");
	refuses("a: \"\\0\"", 7, "a text that is none");
	refuses("a: \xff", 4, "yaml: ");
	nested(64, true);
	nested(65, false);
	nested(100000, false);
	return tap_done();
}
