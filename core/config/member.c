/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of options from JSON: daemon.json. One function a kind; what is more than a type is checked as for flags. */
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "config/value.h"

typedef int from_json(struct config *cfg, enum opt_id id, json_t *js, struct err *err);

static from_json json_BOOL, json_STR, json_INT, json_BYTES, json_LIST, json_POOLS, json_MIRRORS, json_MAP, json_NRI, json_RUNTIMES,
	json_ULIMITS, json_NETOPTS, json_JSON;
#define json_IP     json_STR
#define json_IPS    json_LIST
#define json_LABELS json_LIST
#define json_DIRS   json_LIST

int opt_set_json(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	static from_json *const set[] = {
#define K(name, type) [OPT_KIND_##name] = json_##name,
		OPT_KINDS(K)
#undef K
	};

	return json_is_null(js) ? 0 : set[opts[id].kind](cfg, id, js, err);
}

static const char *json_word(json_t *js)
{
	switch (json_typeof(js)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static int wrong_type(enum opt_id id, const char *want, json_t *got, struct err *err)
{
	return err_set(err, ERR_INVALID, "\"%s\" must be %s, not %s", opts[id].key, want, json_word(got));
}

static int json_BOOL(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_boolean(js))
		return wrong_type(id, "a boolean", js, err);
	*(bool *)opt_field(cfg, id) = json_is_true(js);
	return 0;
}

static int json_STR(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_string(js))
		return wrong_type(id, "a string", js, err);
	if (opts[id].kind == OPT_KIND_IP && *json_string_value(js) && !config_is_ip(json_string_value(js)))
		return err_set(err, ERR_INVALID, "invalid IP address: %s", json_string_value(js));
	str_set(opt_field(cfg, id), json_string_value(js));
	return 0;
}

static int json_INT(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_integer(js))
		return wrong_type(id, "an integer", js, err);
	if (json_integer_value(js) > INT_MAX || json_integer_value(js) < INT_MIN)
		return err_set(err, ERR_INVALID, "\"%s\" is out of range", opts[id].key);
	*(int64_t *)opt_field(cfg, id) = json_integer_value(js);
	return 0;
}

static int json_BYTES(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (json_is_integer(js) && json_integer_value(js) >= 0) {
		*(int64_t *)opt_field(cfg, id) = json_integer_value(js);
		return 0;
	}
	if (!json_is_string(js))
		return wrong_type(id, "a size", js, err);
	return opt_set_text(cfg, id, json_string_value(js), err);
}

static int json_LIST(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return wrong_type(id, "an array", js, err);
	opt_clear(cfg, id);
	json_array_foreach(js, i, item) {
		if (!json_is_string(item))
			return wrong_type(id, "an array of strings", item, err);
		if (opt_set_text(cfg, id, json_string_value(item), err) < 0)
			return -1;
	}
	((struct strv *)opt_field(cfg, id))->set = true;
	return 0;
}

static int json_POOLS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return wrong_type(id, "an array", js, err);
	json_array_foreach(js, i, item) {
		const char *key;
		struct config_pool pool = { 0 };
		json_t *v;

		if (!json_is_object(item))
			return wrong_type(id, "an array of objects", item, err);
		json_object_foreach(item, key, v) {
			OWN_FREE char *num = json_is_integer(v) ? xasprintf("%lld", (long long)json_integer_value(v)) : NULL;
			const char *text = num ? num : json_string_value(v);

			if (!text)
				return wrong_type(id, "made of base (a string) and size (a number)", v, err);
			if (config_pool_pair(&pool, key, text, err) < 0)
				return -1;
		}
		if (config_pool_add(cfg, id, &pool, err) < 0)
			return -1;
	}
	return 0;
}

/* {"host": ["url"]} */
static int json_MIRRORS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *host;
	json_t *urls, *url;
	size_t i;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	opt_clear(cfg, id);
	json_object_foreach(js, host, urls) {
		if (!json_is_array(urls))
			return wrong_type(id, "an object of arrays", urls, err);
		json_array_foreach(urls, i, url) {
			OWN_FREE char *text = json_is_string(url) ? xasprintf("%s=%s", host, json_string_value(url)) : NULL;

			if (!text)
				return wrong_type(id, "an object of arrays of strings", url, err);
			if (opt_set_text(cfg, id, text, err) < 0)
				return -1;
		}
	}
	((struct strv *)opt_field(cfg, id))->set = true;
	return 0;
}

static int json_MAP(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *key;
	json_t *v;
	bool flags = id == OPT_ID_features;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	((struct strmap *)opt_field(cfg, id))->set = true;
	json_object_foreach(js, key, v) {
		if (flags ? !json_is_boolean(v) : !json_is_string(v))
			return wrong_type(id, flags ? "an object of booleans" : "an object of strings", v, err);
		if (config_map_set(cfg, id, key, flags ? json_is_true(v) ? "true" : "false" : json_string_value(v), err) < 0)
			return -1;
	}
	return 0;
}

static int json_NRI(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *key;
	json_t *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, key, v) {
		const char *text = json_is_boolean(v) ? json_is_true(v) ? "true" : "false" : json_string_value(v);

		if (!text)
			return wrong_type(id, "an object of strings and booleans", v, err);
		if (config_nri_pair(opt_field(cfg, id), key, text, err) < 0)
			return -1;
	}
	return 0;
}

static int json_runtime(struct config *cfg, enum opt_id id, const char *name, json_t *rt, struct err *err)
{
	json_t *path = json_object_get(rt, "path"), *args = json_object_get(rt, "runtimeArgs"), *item;
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *text = NULL;
	size_t i;

	if (!json_is_object(rt))
		return wrong_type(id, "an object of objects", rt, err);
	if (json_object_get(rt, "runtimeType") || json_object_get(rt, "options"))
		return err_set(err, ERR_INVALID, "runtime %s: runtimeType and options belong to containerd, which "
			"this daemon does not use; give the runtime's path", name);
	if (!json_is_string(path) || !*json_string_value(path))
		return err_set(err, ERR_INVALID, "runtime %s: either a runtimeType or a path must be configured", name);
	if (config_runtime_set(cfg, id, name, json_string_value(path), err) < 0)
		return -1;
	if (!args || json_is_null(args))
		return 0;
	if (!json_is_array(args))
		return err_set(err, ERR_INVALID, "runtime %s: runtimeArgs must be an array of strings", name);
	json_array_foreach(args, i, item) {
		if (!json_is_string(item) || strchr(json_string_value(item), '\n'))
			return err_set(err, ERR_INVALID, "runtime %s: runtimeArgs must be an array of strings of one "
				"line", name);
		strv_add(&words, json_string_value(item));
	}
	text = strv_join(&words, "\n");
	if (words.len)
		strmap_set(&cfg->runtime_args, name, text);
	return 0;
}

static int json_RUNTIMES(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *name;
	json_t *rt;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, name, rt)
		if (json_runtime(cfg, id, name, rt, err) < 0)
			return -1;
	return 0;
}

static int json_ULIMITS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *name, *key;
	json_t *limit, *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, name, limit) {
		int64_t soft = 0, hard = 0;

		if (!json_is_object(limit))
			return wrong_type(id, "an object of objects", limit, err);
		json_object_foreach(limit, key, v) {
			if (strcasecmp(key, "name") == 0) {
				if (!json_is_string(v) || !streq(json_string_value(v), name))
					return err_set(err, ERR_INVALID, "ulimit %s carries another name", name);
			} else if (strcasecmp(key, "soft") == 0 || strcasecmp(key, "hard") == 0) {
				if (!json_is_integer(v))
					return wrong_type(id, "made of integers", v, err);
				*(strcasecmp(key, "soft") == 0 ? &soft : &hard) = json_integer_value(v);
			} else {
				return err_set(err, ERR_INVALID, "ulimit %s: unexpected key '%s'", name, key);
			}
		}
		if (config_ulimit_set(cfg, id, name, soft, hard, err) < 0)
			return -1;
	}
	return 0;
}

static int json_NETOPTS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *driver, *key;
	json_t *map, *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, driver, map) {
		if (!json_is_object(map))
			return wrong_type(id, "an object of objects", map, err);
		json_object_foreach(map, key, v) {
			OWN_FREE char *name = xasprintf("%s/%s", driver, key);

			if (!json_is_string(v))
				return wrong_type(id, "an object of objects of strings", v, err);
			strmap_set(opt_field(cfg, id), name, json_string_value(v));
		}
	}
	return 0;
}

static int json_JSON(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	char **field = opt_field(cfg, id);

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	free(*field);
	*field = json_dumps(js, JSON_COMPACT);
	return 0;
}
