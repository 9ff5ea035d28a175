/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs -> text, by table. */
#include "base/json.h"

#include "base/clock.h"

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

static void encode_list(const struct jdesc *sub, const struct jlist *l, struct jw *w)
{
	jw_arr(w);
	for (size_t i = 0; i < l->len; i++)
		jdesc_encode(sub, jlist_at(l, i, sub), w);
	jw_arr_end(w);
}

/* One value, never a list: false when f is not of these types. */
static bool encode_scalar(const struct jfield *f, const void *at, struct jw *w)
{
	const struct opt_bool *b = at;
	const struct opt_i64 *n = at;

	switch (f->type) {
	case J_STR:
		jw_str(w, *(char *const *)at);
		return true;
	case J_BOOL:
		jw_bool(w, *(const bool *)at);
		return true;
	case J_I64:
		jw_int(w, *(const int64_t *)at);
		return true;
	case J_U64:
		jw_uint(w, *(const uint64_t *)at);
		return true;
	case J_OPT_BOOL:
		jw_raw(w, !b->set ? "null" : b->v ? "true" : "false");
		return true;
	case J_OPT_I64:
		if (n->set)
			jw_int(w, n->v);
		else
			jw_null(w);
		return true;
	case J_TIME:
		jw_time(w, *(const int64_t *)at ? *(const int64_t *)at : CLOCK_ZERO);
		return true;
	case J_RAW:
		jw_raw(w, *(char *const *)at ? *(char *const *)at : "null");
		return true;
	default:
		return false;
	}
}

/* Whether a list, set or map was given at all; unset ones print null. */
static bool is_set(const struct jfield *f, const void *at)
{
	switch (f->type) {
	case J_STRV:
	case J_WORDS:
	case J_SET: return ((const struct strv *)at)->set;
	case J_STRMAP: return ((const struct strmap *)at)->set;
	case J_LIST: return ((const struct jlist *)at)->set;
	case J_MAP: return ((const struct jmap *)at)->set;
	case J_PTR: return *(void *const *)at != NULL;
	default: return true;
	}
}

static void encode_field(const struct jfield *f, const void *at, struct jw *w)
{
	if (encode_scalar(f, at, w))
		return;
	if (!is_set(f, at)) {
		bool map = f->type == J_STRMAP || f->type == J_SET || f->type == J_MAP;

		jw_raw(w, !(f->flags & J_NONNULL) ? "null" : map ? "{}" : "[]");
		return;
	}
	switch (f->type) {
	case J_STRV:
	case J_WORDS:
		jw_strv(w, at);
		return;
	case J_STRMAP:
		jw_strmap(w, at);
		return;
	case J_SET:
		encode_keys(at, w);
		return;
	case J_PAIR:
		jw_arr(w);
		jw_int(w, ((const int64_t *)at)[0]);
		jw_int(w, ((const int64_t *)at)[1]);
		jw_arr_end(w);
		return;
	case J_OBJ:
		jdesc_encode(f->sub, at, w);
		return;
	case J_PTR:
		jdesc_encode(f->sub, *(void *const *)at, w);
		return;
	case J_LIST:
		encode_list(f->sub, at, w);
		return;
	case J_MAP:
		encode_map(f->sub, at, w);
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
