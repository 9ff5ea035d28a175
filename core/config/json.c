/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * daemon.json: one object of options by key. An object under a key that is no flat option is a group: its members count as
 * options. One under "KIND.DRIVER" is that driver's section, as in the INI file.
 */
#include "base/cleanup.h"
#include "base/json.h"
#include "config/value.h"

/* The groups there are; only "proxies" has members of its own. */
#define GROUP "proxies"

struct member { int id; const struct legacy *old; json_t *value; };
struct members { struct member *v; size_t len; };

static void members_done(struct members *m) { free(m->v); }

/* As Go's %v prints a decoded JSON value. */
static void go_text(json_t *js, struct buf *b)
{
	size_t i;
	json_t *v;
	const char *key;

	switch (json_typeof(js)) {
	case JSON_STRING:
		buf_adds(b, json_string_value(js));
		break;
	case JSON_INTEGER:
		buf_addf(b, "%lld", (long long)json_integer_value(js));
		break;
	case JSON_REAL:
		buf_addf(b, "%g", json_real_value(js));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_adds(b, json_is_true(js) ? "true" : "false");
		break;
	case JSON_ARRAY:
		buf_addc(b, '[');
		json_array_foreach(js, i, v) {
			if (i)
				buf_addc(b, ' ');
			go_text(v, b);
		}
		buf_addc(b, ']');
		break;
	case JSON_OBJECT: {
		OWN_STRV struct strv keys = { 0 };

		json_object_foreach(js, key, v)
			strv_add(&keys, key);
		strv_sort(&keys);
		buf_adds(b, "map[");
		for (i = 0; i < keys.len; i++) {
			buf_addf(b, "%s%s:", i ? " " : "", keys.v[i]);
			go_text(json_object_get(js, keys.v[i]), b);
		}
		buf_addc(b, ']');
		break;
	}
	default:
		buf_adds(b, "<nil>");
	}
}

static int add_member(struct members *m, const char *key, json_t *value, struct strv *unknown, struct err *err)
{
	const struct legacy *old = NULL;
	int id = opt_by_key(key);

	if (id < 0 && !(old = legacy_by_key(key))) {
		strv_add(unknown, key);
		return 0;
	}
	if (old && old->act == LEGACY_ALIAS)
		id = opt_by_flag(old->to, 0);
	for (size_t i = 0; i < m->len; i++)
		if (id >= 0 && m->v[i].id == id)
			return err_set(err, ERR_INVALID, "the option \"%s\" is set twice", opts[id].key);
	m->v = xrealloc(m->v, (m->len + 1) * sizeof(*m->v));
	m->v[m->len++] = (struct member){ id, old, value };
	return 0;
}

static bool is_group(const char *key, json_t *value)
{
	int id = opt_by_key(key);

	return json_is_object(value) && !(id >= 0 && opts[id].bits & OPT_FLAT) && !legacy_by_key(key);
}

/* A value of a driver's section, or a list of them. */
static int add_section(struct config *cfg, const char *section, json_t *js, struct err *err)
{
	const char *key;
	json_t *value, *v;
	size_t i;

	json_object_foreach(js, key, value) {
		size_t n = json_is_array(value) ? json_array_size(value) : 1;

		for (i = 0; i < n; i++) {
			OWN_BUF struct buf text = { 0 };

			v = json_is_array(value) ? json_array_get(value, i) : value;
			if (json_is_object(v) || json_is_array(v) || json_is_null(v))
				return err_set(err, ERR_INVALID, "\"%s\": \"%s\" is a text or a list of texts", section, key);
			go_text(v, &text);
			config_add_driver_option(cfg, section, key, text.data ? text.data : "");
		}
	}
	return 0;
}

static int collect(struct config *cfg, json_t *root, struct members *m, struct strv *unknown, struct err *err)
{
	const char *key, *inner;
	json_t *value, *v;

	json_object_foreach(root, key, value) {
		size_t before = unknown->len;

		if (config_is_driver_section(key) && json_is_object(value)) {
			if (add_section(cfg, key, value, err) < 0)
				return -1;
			continue;
		}
		if (!is_group(key, value)) {
			if (add_member(m, key, value, unknown, err) < 0)
				return -1;
			continue;
		}
		json_object_foreach(value, inner, v)
			if (add_member(m, inner, v, unknown, err) < 0)
				return -1;
		if (!streq(key, GROUP) && unknown->len == before)
			strv_add(unknown, key);
	}
	strv_sort(unknown);
	return 0;
}

static int apply_legacy(struct config *cfg, const struct member *m, struct err *err)
{
	OWN_BUF struct buf text = { 0 };
	OWN_ERR struct err e = ERR_INIT;
	const char *given;

	go_text(m->value, &text);
	given = text.data ? text.data : "";
	if (m->old->act == LEGACY_REFUSED && !(m->old->fine && streq(m->old->fine, given)))
		return err_set(err, ERR_INVALID, "%s", m->old->text);
	if (m->old->text)
		strv_add(&cfg->warnings, m->old->text);
	if (m->old->act != LEGACY_ALIAS)
		return 0;
	if (!json_is_string(m->value))
		return err_set(err, ERR_INVALID, "\"%s\" must be a string", m->old->key);
	if (opt_set_text(cfg, (enum opt_id)m->id, given, &e) < 0)
		return err_set(err, ERR_INVALID, "%s: %s", m->old->key, err_text(&e));
	cfg->from[m->id] = FROM_FILE;
	return 0;
}

static int apply(struct config *cfg, const struct member *m, struct err *err)
{
	if (m->old)
		return apply_legacy(cfg, m, err);
	if (opt_set_json(cfg, (enum opt_id)m->id, m->value, err) < 0)
		return -1;
	if (!json_is_null(m->value))
		cfg->from[m->id] = FROM_FILE;
	return 0;
}

int config_parse_json(struct config *cfg, const char *text, size_t size, struct err *err)
{
	OWN_JSON json_t *root = json_read(text, size, err);
	OWN_STRV struct strv unknown = { 0 }, conflicts = { 0 };
	__attribute__((cleanup(members_done))) struct members m = { 0 };

	if (!root)
		return -1;
	if (!json_is_object(root))
		return err_set(err, ERR_INVALID, "daemon.json holds one object");
	if (collect(cfg, root, &m, &unknown, err) < 0)
		return -1;
	for (size_t i = 0; i < m.len; i++) {
		OWN_BUF struct buf b = { 0 };

		if (m.v[i].id < 0)
			continue;
		go_text(m.v[i].value, &b);
		config_note_conflict(cfg, (enum opt_id)m.v[i].id, b.data ? b.data : "", &conflicts);
	}
	if (config_conflict_error(&unknown, &conflicts, err) < 0)
		return -1;
	for (size_t i = 0; i < m.len; i++)
		if (apply(cfg, &m.v[i], err) < 0)
			return -1;
	return 0;
}
