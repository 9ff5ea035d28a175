/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A managed plugin: its config.json, and settings, a line each. What is taken is written in Docker's form, is told to clients and to a runtime as
 * JSON, and is read back as it was kept. The third part is what is kept of one, as another engine may have left it.
 */
#include "fuzz.h"

#include "plugin/managed_i.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void settings(struct managed *m, const json_t *config, const char *text)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		OWN_ERR struct err err = ERR_INIT;

		/* they come as JSON, which is UTF-8 */
		if (str_is_utf8(lines.v[i], strlen(lines.v[i])))
			FUZZ_CHECK(managed_settings_set(m, config, lines.v[i], &err) == 0 || err.msg);
	}
}

static char *shown(const struct managed *m)
{
	OWN_BUF struct buf out = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_JSON json_t *js = NULL;
	struct jw w;

	jw_init(&w, &out);
	managed_encode(m, &w);
	js = json_read(out.data, out.size, &err);
	FUZZ_CHECK(json_is_object(js));
	return buf_steal(&out);
}

static void told(const struct managed_store *s, const struct managed *m, const json_t *config)
{
	OWN_ERR struct err err = ERR_INIT, why = ERR_INIT;
	OWN_FREE char *spec = managed_spec(s, m, config, &err);
	OWN_JSON json_t *plan = spec ? json_read(spec, strlen(spec), &why) : NULL;

	FUZZ_CHECK(spec ? json_is_object(plan) : err.msg != NULL);
}

static void kept(const struct managed_store *s, const struct managed *m)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *before = shown(m), *after = NULL;
	struct managed *again;

	FUZZ_CHECK(managed_save(s, m, ID, &err) == 0);
	again = managed_load(s, ID, &err);
	FUZZ_CHECK(again);
	after = shown(again);
	FUZZ_CHECK(streq(before, after));
	managed_free(again);
}

static void made(const struct managed_store *s, const char *text, const char *set)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *form = managed_form(text, strlen(text), NULL, &err), *again = form ? managed_form(form, strlen(form), NULL, &err) : NULL;
	OWN_JSON json_t *config = form ? json_read(form, strlen(form), &err) : NULL, *needs = NULL;
	struct managed m = { .id = ID, .name = (char *)"a/b:latest", .config = form };

	FUZZ_CHECK(form ? again && streq(form, again) && json_is_object(config) : err.msg != NULL);
	if (!form)
		return;
	needs = managed_needs(config);
	FUZZ_CHECK(managed_granted(config, needs) && (!json_array_size(needs) || !managed_granted(config, NULL)));
	if (managed_config_check(config, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return;
	}
	managed_settings_begin(&m, config);
	settings(&m, config, set);
	told(s, &m, config);
	kept(s, &m);
	managed_settings_carry(&m, config, &m);
	strv_done(&m.env);
	strv_done(&m.args);
	strmap_done(&m.mounts);
	strmap_done(&m.devices);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct managed_store s = { .data_root = (char *)fuzz_dir(), .exec_root = (char *)"/exec" };
	OWN_FREE char *folder = xasprintf("%s/plugins/" ID, fuzz_dir()), *file = xasprintf("%s/config.json", folder);
	OWN_STRV struct strv parts = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct managed *m;

	fuzz_split(data, size, &parts);
	FUZZ_CHECK(fs_mkdirs(folder, 0700, &err) == 0);
	made(&s, fuzz_part(&parts, 0), fuzz_part(&parts, 1));
	fuzz_write(file, fuzz_part(&parts, 2), strlen(fuzz_part(&parts, 2)));
	m = managed_load(&s, ID, &err);
	FUZZ_CHECK(m || err.msg);
	if (!m)
		return 0;
	free(shown(m));
	managed_free(m);
	return 0;
}
