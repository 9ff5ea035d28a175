/* SPDX-License-Identifier: LGPL-2.1-or-later */
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
		char *text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);

		free(*(char **)at);
		*(char **)at = text ? text : xstrdup("null");
		return 0;
	}
	default:
		bug(__FILE__, __LINE__, "field type");
	}
}

static void keep_rest(char **at, const char *key, json_t *js)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *text = json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY);

	if (*at)
		buf_addf(&b, "%s,", *at);
	jw_quote(&b, key);
	buf_addf(&b, ":%s", text ? text : "null");
	free(*at);
	*at = buf_steal(&b);
}

static int decode_obj(const struct jdesc *d, json_t *js, void *obj, const struct place *p, struct err *err)
{
	uint64_t seen[4] = { 0 };
	const struct jfield *rest = NULL;
	const char *key;
	json_t *item;

	BUG_ON(d->len > 256);
	if (!json_is_object(js))
		return wrong(err, p, js, "an object");
	if (d->len && d->fields[d->len - 1].type == J_REST)
		rest = &d->fields[d->len - 1];
	json_object_foreach(js, key, item) {
		struct place here = { p, key, 0 };
		size_t i;

		for (i = 0; i < d->len; i++)
			if (d->fields[i].key && strcasecmp(d->fields[i].key, key) == 0)
				break;
		if (i == d->len) {
			if (rest)
				keep_rest((char **)((char *)obj + rest->offset), key, item);
			continue;
		}
		if (seen[i / 64] & UINT64_C(1) << i % 64) {
			OWN_BUF struct buf b = { 0 };

			put_place(&b, &here);
			return err_set(err, ERR_INVALID, "invalid JSON: %s: key given twice", b.data);
		}
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

static bool is_empty(const struct jfield *f, const void *at)
{
	switch (f->type) {
	case J_STR: return str_empty(*(char *const *)at);
	case J_BOOL: return !*(const bool *)at;
	case J_I64:
	case J_U64:
	case J_TIME: return *(const int64_t *)at == 0;
	case J_OPT_BOOL: return !((const struct opt_bool *)at)->set;
	case J_OPT_I64: return !((const struct opt_i64 *)at)->set;
	case J_STRV:
	case J_WORDS:
	case J_SET: return ((const struct strv *)at)->len == 0;
	case J_STRMAP: return ((const struct strmap *)at)->len == 0;
	case J_LIST: return ((const struct jlist *)at)->len == 0;
	case J_MAP: return ((const struct jmap *)at)->len == 0;
	case J_PTR:
	case J_RAW: return !*(void *const *)at;
	default: return false;
	}
}

static void encode_keys(const struct strv *sv, struct jw *w)
{
	struct strv sorted = { 0 };

	strv_copy(&sorted, sv);
	strv_sort(&sorted);
	jw_obj(w);
	for (size_t i = 0; i < sorted.len; i++)
		jw_kraw(w, sorted.v[i], "{}");
	jw_obj_end(w);
	strv_done(&sorted);
}

static void encode_map(const struct jdesc *sub, const struct jmap *m, struct jw *w)
{
	struct strv keys = { 0 };

	for (size_t i = 0; i < m->len; i++)
		strv_add(&keys, m->keys[i]);
	strv_sort(&keys);
	jw_obj(w);
	for (size_t i = 0; i < keys.len; i++)
		jw_kdesc(w, keys.v[i], sub, jmap_get(m, keys.v[i], sub));
	jw_obj_end(w);
	strv_done(&keys);
}

static void encode_field(const struct jfield *f, const void *at, struct jw *w)
{
	bool empty_list = f->flags & J_NONNULL;

	switch (f->type) {
	case J_STR:
		jw_str(w, *(char *const *)at);
		return;
	case J_BOOL:
		jw_bool(w, *(const bool *)at);
		return;
	case J_I64:
		jw_int(w, *(const int64_t *)at);
		return;
	case J_U64:
		jw_uint(w, *(const uint64_t *)at);
		return;
	case J_OPT_BOOL:
		if (((const struct opt_bool *)at)->set)
			jw_bool(w, ((const struct opt_bool *)at)->v);
		else
			jw_null(w);
		return;
	case J_OPT_I64:
		if (((const struct opt_i64 *)at)->set)
			jw_int(w, ((const struct opt_i64 *)at)->v);
		else
			jw_null(w);
		return;
	case J_STRV:
	case J_WORDS:
		if (!((const struct strv *)at)->set && empty_list)
			jw_raw(w, "[]");
		else
			jw_strv(w, at);
		return;
	case J_STRMAP:
		if (!((const struct strmap *)at)->set && empty_list)
			jw_raw(w, "{}");
		else
			jw_strmap(w, at);
		return;
	case J_SET:
		if (((const struct strv *)at)->set || empty_list)
			encode_keys(at, w);
		else
			jw_null(w);
		return;
	case J_PAIR:
		jw_arr(w);
		jw_int(w, ((const int64_t *)at)[0]);
		jw_int(w, ((const int64_t *)at)[1]);
		jw_arr_end(w);
		return;
	case J_TIME:
		jw_time(w, *(const int64_t *)at ? *(const int64_t *)at : CLOCK_ZERO);
		return;
	case J_OBJ:
		jdesc_encode(f->sub, at, w);
		return;
	case J_PTR:
		if (*(void *const *)at)
			jdesc_encode(f->sub, *(void *const *)at, w);
		else
			jw_null(w);
		return;
	case J_LIST: {
		const struct jlist *l = at;

		if (!l->set && !empty_list) {
			jw_null(w);
			return;
		}
		jw_arr(w);
		for (size_t i = 0; i < l->len; i++)
			jdesc_encode(f->sub, jlist_at(l, i, f->sub), w);
		jw_arr_end(w);
		return;
	}
	case J_MAP:
		if (((const struct jmap *)at)->set || empty_list)
			encode_map(f->sub, at, w);
		else
			jw_null(w);
		return;
	case J_RAW:
		jw_raw(w, *(char *const *)at ? *(char *const *)at : "null");
		return;
	default:
		bug(__FILE__, __LINE__, "field type");
	}
}

void jdesc_encode(const struct jdesc *d, const void *obj, struct jw *w)
{
	jw_obj(w);
	for (size_t i = 0; i < d->len; i++) {
		const struct jfield *f = &d->fields[i];
		const void *at = (const char *)obj + f->offset;

		if (f->flags & J_NOPRINT)
			continue;
		if (f->type == J_REST) {
			if (*(char *const *)at)
				jw_raw(w, *(char *const *)at);
			continue;
		}
		if ((f->flags & J_OMITEMPTY) && is_empty(f, at))
			continue;
		jw_key(w, f->key);
		encode_field(f, at, w);
	}
	jw_obj_end(w);
}

void jw_kdesc(struct jw *w, const char *key, const struct jdesc *d, const void *obj)
{
	jw_key(w, key);
	jdesc_encode(d, obj, w);
}

static void clear_field(const struct jfield *f, void *at)
{
	switch (f->type) {
	case J_STR:
	case J_RAW:
	case J_REST:
		free(*(void **)at);
		break;
	case J_STRV:
	case J_WORDS:
	case J_SET:
		strv_done(at);
		break;
	case J_STRMAP:
		strmap_done(at);
		break;
	case J_OBJ:
		jdesc_clear(f->sub, at);
		break;
	case J_PTR:
		if (*(void **)at)
			jdesc_clear(f->sub, *(void **)at);
		free(*(void **)at);
		break;
	case J_LIST: {
		struct jlist *l = at;

		for (size_t i = 0; i < l->len; i++)
			jdesc_clear(f->sub, jlist_at(l, i, f->sub));
		free(l->v);
		break;
	}
	case J_MAP: {
		struct jmap *m = at;

		for (size_t i = 0; i < m->len; i++) {
			jdesc_clear(f->sub, jmap_at(m, i, f->sub));
			free(m->keys[i]);
		}
		free(m->v);
		free(m->keys);
		break;
	}
	}
}

void jdesc_clear(const struct jdesc *d, void *obj)
{
	for (size_t i = 0; i < d->len; i++)
		clear_field(&d->fields[i], (char *)obj + d->fields[i].offset);
	memset(obj, 0, d->size);
}

static void copy_field(const struct jfield *f, void *dst, const void *src)
{
	switch (f->type) {
	case J_STR:
	case J_RAW:
	case J_REST:
		*(char **)dst = xstrdup(*(char *const *)src);
		break;
	case J_BOOL:
		*(bool *)dst = *(const bool *)src;
		break;
	case J_I64:
	case J_U64:
	case J_TIME:
		*(int64_t *)dst = *(const int64_t *)src;
		break;
	case J_PAIR:
		memcpy(dst, src, 2 * sizeof(int64_t));
		break;
	case J_OPT_BOOL:
		*(struct opt_bool *)dst = *(const struct opt_bool *)src;
		break;
	case J_OPT_I64:
		*(struct opt_i64 *)dst = *(const struct opt_i64 *)src;
		break;
	case J_STRV:
	case J_WORDS:
	case J_SET:
		strv_copy(dst, src);
		break;
	case J_STRMAP:
		strmap_copy(dst, src);
		break;
	case J_OBJ:
		jdesc_copy(f->sub, dst, src);
		break;
	case J_PTR:
		if (*(void *const *)src) {
			*(void **)dst = xcalloc(1, f->sub->size);
			jdesc_copy(f->sub, *(void **)dst, *(void *const *)src);
		}
		break;
	case J_LIST: {
		const struct jlist *l = src;

		((struct jlist *)dst)->set = l->set;
		for (size_t i = 0; i < l->len; i++)
			jdesc_copy(f->sub, jlist_add(dst, f->sub), jlist_at(l, i, f->sub));
		break;
	}
	case J_MAP: {
		const struct jmap *m = src;

		((struct jmap *)dst)->set = m->set;
		for (size_t i = 0; i < m->len; i++)
			jdesc_copy(f->sub, jmap_add(dst, m->keys[i], f->sub), jmap_at(m, i, f->sub));
		break;
	}
	}
}

void jdesc_copy(const struct jdesc *d, void *dst, const void *src)
{
	for (size_t i = 0; i < d->len; i++)
		copy_field(&d->fields[i], (char *)dst + d->fields[i].offset, (const char *)src + d->fields[i].offset);
}

/* Room grows by doubling; n is the number of items now. */
static void *grow(void *v, size_t n, size_t size)
{
	if (n == 0 || (n & (n - 1)) == 0)
		v = xrealloc(v, (n ? 2 * n : 1) * size);
	memset((char *)v + n * size, 0, size);
	return v;
}

void *jlist_add(struct jlist *l, const struct jdesc *d)
{
	l->set = true;
	l->v = grow(l->v, l->len, d->size);
	return jlist_at(l, l->len++, d);
}

void *jmap_add(struct jmap *m, const char *key, const struct jdesc *d)
{
	m->set = true;
	m->v = grow(m->v, m->len, d->size);
	m->keys = grow(m->keys, m->len, sizeof(*m->keys));
	m->keys[m->len] = xstrdup(key);
	return jmap_at(m, m->len++, d);
}

void *jmap_get(const struct jmap *m, const char *key, const struct jdesc *d)
{
	for (size_t i = 0; i < m->len; i++)
		if (streq(m->keys[i], key))
			return jmap_at(m, i, d);
	return NULL;
}

bool jmap_del(struct jmap *m, const char *key, const struct jdesc *d)
{
	for (size_t i = 0; i < m->len; i++) {
		if (!streq(m->keys[i], key))
			continue;
		jdesc_clear(d, jmap_at(m, i, d));
		free(m->keys[i]);
		m->len--;
		memmove(m->keys + i, m->keys + i + 1, (m->len - i) * sizeof(*m->keys));
		memmove(jmap_at(m, i, d), jmap_at(m, i + 1, d), (m->len - i) * d->size);
		return true;
	}
	return false;
}
