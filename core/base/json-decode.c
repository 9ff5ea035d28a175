/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text -> structs, by table. */
#include "base/json.h"

#include <strings.h>

#include "base/clock.h"

#define MAX_DEPTH 64

/* Depth is checked before the parser recurses; strings are skipped, their quotes and escapes understood. */
static bool too_deep(const char *s, size_t size)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = s[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > MAX_DEPTH)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}
	return false;
}

json_t *json_read(const char *text, size_t size, struct err *err)
{
	json_error_t je;
	json_t *js;

	if (too_deep(text, size)) {
		err_set(err, ERR_INVALID, "invalid JSON: more than %d levels", MAX_DEPTH);
		return NULL;
	}
	js = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
	if (!js)
		err_set(err, ERR_INVALID, "invalid JSON: %s at byte %d", je.text, je.position);
	return js;
}

void json_strings(const json_t *js, struct strmap *ret)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)js, key, value)
		if (json_is_string(value))
			strmap_set(ret, key, json_string_value(value));
}

/* The place in the document, for messages: a linked list of steps on the stack. */
struct place {
	const struct place *up;
	const char *key; /* or NULL: index */
	size_t index;
};

static void put_place(struct buf *b, const struct place *p)
{
	if (!p)
		return;
	put_place(b, p->up);
	if (p->key)
		buf_addf(b, "/%.64s", p->key);
	else
		buf_addf(b, "/%zu", p->index);
}

static const char *type_name(const json_t *js)
{
	switch (json_typeof(js)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER: return "an integer";
	case JSON_REAL: return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE: return "a boolean";
	default: return "null";
	}
}

static int wrong(struct err *err, const struct place *p, const json_t *js, const char *want)
{
	OWN_BUF struct buf b = { 0 };

	buf_adds(&b, "");
	put_place(&b, p);
	return err_set(err, ERR_INVALID, "invalid JSON: %s: expected %s, got %s", b.size ? b.data : "/", want, type_name(js));
}

static int decode_obj(const struct jdesc *d, json_t *js, void *obj, const struct place *p, struct err *err);

static int decode_strv(json_t *js, struct strv *sv, bool word, const struct place *p, struct err *err)
{
	size_t i;
	json_t *item;

	strv_done(sv);
	if (word && json_is_string(js)) {
		strv_add(sv, json_string_value(js));
		return 0;
	}
	if (!json_is_array(js))
		return wrong(err, p, js, "an array of strings");
	sv->set = true;
	json_array_foreach(js, i, item) {
		struct place here = { p, NULL, i };

		if (!json_is_string(item))
			return wrong(err, &here, item, "a string");
		strv_add(sv, json_string_value(item));
	}
	return 0;
}

static int decode_keys(json_t *js, struct strv *sv, const struct place *p, struct err *err)
{
	const char *key;
	json_t *item;

	strv_done(sv);
	if (!json_is_object(js))
		return wrong(err, p, js, "an object");
	sv->set = true;
	json_object_foreach(js, key, item) {
		struct place here = { p, key, 0 };

		if (!json_is_object(item) && !json_is_null(item))
			return wrong(err, &here, item, "an object");
		strv_add(sv, key);
	}
	strv_sort(sv);
	return 0;
}

static int decode_strmap(json_t *js, struct strmap *m, const struct place *p, struct err *err)
{
	const char *key;
	json_t *item;
	size_t n;

	strmap_done(m);
	if (!json_is_object(js))
		return wrong(err, p, js, "an object of strings");
	/* filled directly: the parser has refused duplicates already */
	n = json_object_size(js);
	m->set = true;
	m->v = xcalloc(n, sizeof(*m->v));
	json_object_foreach(js, key, item) {
		struct place here = { p, key, 0 };

		if (!json_is_string(item) && !json_is_null(item))
			return wrong(err, &here, item, "a string");
		m->v[m->len].key = xstrdup(key);
		m->v[m->len++].value = xstrdup(json_is_string(item) ? json_string_value(item) : "");
	}
	return 0;
}

static int decode_pair(json_t *js, int64_t *pair, const struct place *p, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js) || json_array_size(js) > 2)
		return wrong(err, p, js, "an array of two integers");
	pair[0] = pair[1] = 0;
	json_array_foreach(js, i, item) {
		struct place here = { p, NULL, i };

		if (!json_is_integer(item) || json_integer_value(item) < 0)
			return wrong(err, &here, item, "an integer from 0");
		pair[i] = json_integer_value(item);
	}
	return 0;
}

static int decode_list(const struct jdesc *sub, json_t *js, struct jlist *l, const struct place *p, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return wrong(err, p, js, "an array");
	l->set = true;
	json_array_foreach(js, i, item) {
		struct place here = { p, NULL, i };

		if (decode_obj(sub, item, jlist_add(l, sub), &here, err) < 0)
			return -1;
	}
	return 0;
}

static int decode_map(const struct jdesc *sub, json_t *js, struct jmap *m, const struct place *p, struct err *err)
{
	const char *key;
	json_t *item;

	if (!json_is_object(js))
		return wrong(err, p, js, "an object");
	m->set = true;
	json_object_foreach(js, key, item) {
		struct place here = { p, key, 0 };
		void *obj = jmap_add(m, key, sub);

		if (!json_is_null(item) && decode_obj(sub, item, obj, &here, err) < 0)
			return -1;
	}
	return 0;
}

/* Whether the table can read it. */
static int check_obj(const struct jdesc *d, json_t *js, const struct place *p, struct err *err)
{
	OWN_FREE void *obj = xcalloc(1, d->size);
	int r = decode_obj(d, js, obj, p, err);

	jdesc_clear(d, obj);
	return r;
}

static int decode_field(const struct jfield *f, json_t *js, void *at, const struct place *p, struct err *err)
{
	switch (f->type) {
	case J_STR:
		if (!json_is_string(js))
			return wrong(err, p, js, "a string");
		str_set(at, json_string_value(js));
		return 0;
	case J_BOOL:
		if (!json_is_boolean(js))
			return wrong(err, p, js, "a boolean");
		*(bool *)at = json_is_true(js);
		return 0;
	case J_OPT_BOOL:
		if (!json_is_boolean(js))
			return wrong(err, p, js, "a boolean");
		*(struct opt_bool *)at = (struct opt_bool){ true, json_is_true(js) };
		return 0;
	case J_I64:
		if (!json_is_integer(js))
			return wrong(err, p, js, "an integer");
		*(int64_t *)at = json_integer_value(js);
		return 0;
	case J_U64:
		if (!json_is_integer(js) || json_integer_value(js) < 0)
			return wrong(err, p, js, "an integer from 0");
		*(uint64_t *)at = (uint64_t)json_integer_value(js);
		return 0;
	case J_OPT_I64:
		if (!json_is_integer(js))
			return wrong(err, p, js, "an integer");
		*(struct opt_i64 *)at = (struct opt_i64){ true, json_integer_value(js) };
		return 0;
	case J_STRV:
	case J_WORDS:
		return decode_strv(js, at, f->type == J_WORDS, p, err);
	case J_STRMAP:
		return decode_strmap(js, at, p, err);
	case J_SET:
		return decode_keys(js, at, p, err);
	case J_PAIR:
		return decode_pair(js, at, p, err);
	case J_TIME:
		*(int64_t *)at = 0;
		if (!json_is_string(js) || (*json_string_value(js) && !clock_parse_rfc3339(json_string_value(js), at)))
			return wrong(err, p, js, "an RFC 3339 time");
		return 0;
	case J_OBJ:
		return decode_obj(f->sub, js, at, p, err);
	case J_PTR:
		if (!*(void **)at)
			*(void **)at = xcalloc(1, f->sub->size);
		return decode_obj(f->sub, js, *(void **)at, p, err);
	case J_LIST:
		return decode_list(f->sub, js, at, p, err);
	case J_MAP:
		return decode_map(f->sub, js, at, p, err);
	case J_RAW: {
		char *text;

		if (f->sub && check_obj(f->sub, js, p, err) < 0)
			return -1;
		text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);
		free(*(char **)at);
		*(char **)at = text ? text : xstrdup("null");
		return 0;
	}
	default:
		bug(__FILE__, __LINE__, "field type");
	}
}

static void keep_rest(struct buf *b, const char *key, json_t *js)
{
	OWN_FREE char *text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);

	if (b->size)
		buf_addc(b, ',');
	jw_quote(b, key);
	buf_addf(b, ":%s", text ? text : "null");
}

static const struct jfield *find_field(const struct jdesc *d, const char *key, int (*cmp)(const char *, const char *))
{
	for (size_t i = 0; i < d->len; i++)
		if (d->fields[i].key && cmp(d->fields[i].key, key) == 0)
			return &d->fields[i];
	return NULL;
}

static int bad_key(struct err *err, const struct place *p, const char *why, const char *name)
{
	OWN_BUF struct buf b = { 0 };

	put_place(&b, p);
	return err_set(err, ERR_INVALID, "invalid JSON: %s: %s%s", b.data, why, name);
}

static int decode_obj(const struct jdesc *d, json_t *js, void *obj, const struct place *p, struct err *err)
{
	uint64_t seen[4] = { 0 };
	const struct jfield *rest = NULL;
	OWN_BUF struct buf unknown = { 0 };
	const char *key;
	json_t *item;

	BUG_ON(d->len > 256);
	if (!json_is_object(js))
		return wrong(err, p, js, "an object");
	if (d->len && d->fields[d->len - 1].type == J_REST)
		rest = &d->fields[d->len - 1];
	json_object_foreach(js, key, item) {
		struct place here = { p, key, 0 };
		const struct jfield *f = find_field(d, key, strcmp);
		size_t i;

		if (!f && (f = find_field(d, key, strcasecmp)) != NULL && !(f->flags & J_ANY_CASE))
			return bad_key(err, &here, "the key is written ", f->key);
		if (!f) {
			if (rest)
				keep_rest(&unknown, key, item);
			continue;
		}
		i = (size_t)(f - d->fields);
		if (seen[i / 64] & UINT64_C(1) << i % 64)
			return bad_key(err, &here, "key given twice", "");
		seen[i / 64] |= UINT64_C(1) << i % 64;
		if (json_is_null(item)) {
			if (d->fields[i].flags & J_REQUIRED)
				return wrong(err, &here, item, "a value");
			continue; /* as Go: null leaves the field as it was */
		}
		if (decode_field(&d->fields[i], item, (char *)obj + d->fields[i].offset, &here, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < d->len; i++) {
		if ((d->fields[i].flags & J_REQUIRED) && !(seen[i / 64] & UINT64_C(1) << i % 64)) {
			OWN_BUF struct buf b = { 0 };

			buf_adds(&b, "");
			put_place(&b, p);
			return err_set(err, ERR_INVALID, "invalid JSON: %s/%s is missing", b.data, d->fields[i].key);
		}
	}
	if (unknown.size) {
		char **at = (char **)((char *)obj + rest->offset);

		free(*at);
		*at = buf_steal(&unknown);
	}
	return 0;
}

int jdesc_decode(const struct jdesc *d, json_t *js, void *obj, struct err *err)
{
	return decode_obj(d, js, obj, NULL, err);
}

int jdesc_parse(const struct jdesc *d, const char *text, size_t size, void *obj, struct err *err)
{
	OWN_JSON json_t *js = json_read(text, size, err);

	return js ? jdesc_decode(d, js, obj, err) : -1;
}
