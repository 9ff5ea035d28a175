/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of options as such: cleared, copied, printed. What makes them is in text.c and member.c. */
#include "config/value.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/jw.h"

enum opt_shape opt_shape(enum opt_id id)
{
	switch (opts[id].kind) {
	case OPT_KIND_BOOL:
		return SHAPE_BOOL;
	case OPT_KIND_INT:
	case OPT_KIND_BYTES:
		return SHAPE_INT;
	case OPT_KIND_STR:
	case OPT_KIND_IP:
	case OPT_KIND_JSON:
		return SHAPE_STR;
	case OPT_KIND_LIST:
	case OPT_KIND_IPS:
	case OPT_KIND_LABELS:
	case OPT_KIND_DIRS:
	case OPT_KIND_POOLS:
	case OPT_KIND_MIRRORS:
		return SHAPE_STRV;
	default:
		return SHAPE_STRMAP;
	}
}

void opt_clear(struct config *cfg, enum opt_id id)
{
	void *field = opt_field(cfg, id);

	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		*(bool *)field = false;
		break;
	case SHAPE_INT:
		*(int64_t *)field = 0;
		break;
	case SHAPE_STR:
		str_set(field, NULL);
		break;
	case SHAPE_STRV:
		strv_done(field);
		*(struct strv *)field = (struct strv){ 0 };
		break;
	case SHAPE_STRMAP:
		strmap_done(field);
		*(struct strmap *)field = (struct strmap){ 0 };
		break;
	}
}

void opt_copy(struct config *dst, const struct config *src, enum opt_id id)
{
	void *to = opt_field(dst, id);
	const void *of = opt_field(src, id);

	opt_clear(dst, id);
	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		*(bool *)to = *(const bool *)of;
		break;
	case SHAPE_INT:
		*(int64_t *)to = *(const int64_t *)of;
		break;
	case SHAPE_STR:
		str_set(to, *(char *const *)of);
		break;
	case SHAPE_STRV:
		strv_copy(to, of);
		break;
	case SHAPE_STRMAP:
		strmap_copy(to, of);
		break;
	}
	dst->from[id] = src->from[id];
}

/* The password in a URL's user part is not printed. */
char *config_masked(const char *url)
{
	const char *scheme = strstr(url, "://"), *from = scheme ? scheme + 3 : url, *at = strrchr(from, '@');

	return at ? xasprintf("%.*sxxxxx:xxxxx%s", (int)(from - url), url, at) : xstrdup(url);
}

char *opt_text(const struct config *cfg, enum opt_id id)
{
	const void *field = opt_field(cfg, id);
	OWN_FREE char *joined = NULL;

	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		return xstrdup(*(const bool *)field ? "true" : "false");
	case SHAPE_INT:
		return xasprintf("%lld", (long long)*(const int64_t *)field);
	case SHAPE_STR: {
		const char *s = *(char *const *)field ? *(char *const *)field : "";

		return opts[id].bits & OPT_PROXY ? config_masked(s) : xstrdup(s);
	}
	case SHAPE_STRV:
		joined = strv_join(field, " ");
		return xasprintf("[%s]", joined);
	case SHAPE_STRMAP: {
		OWN_BUF struct buf b = { 0 };
		OWN_STRMAP struct strmap m = { 0 };

		strmap_copy(&m, field);
		strmap_sort(&m);
		buf_adds(&b, "map[");
		for (size_t i = 0; i < m.len; i++)
			buf_addf(&b, "%s%s:%s", i ? " " : "", m.v[i].key, m.v[i].value);
		buf_addc(&b, ']');
		return buf_steal(&b);
	}
	}
	return NULL;
}

void opt_json(const struct config *cfg, enum opt_id id, struct buf *b)
{
	const void *field = opt_field(cfg, id);
	struct jw w;

	jw_init(&w, b);
	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		jw_bool(&w, *(const bool *)field);
		break;
	case SHAPE_INT:
		jw_int(&w, *(const int64_t *)field);
		break;
	case SHAPE_STR:
		jw_str(&w, *(char *const *)field);
		break;
	case SHAPE_STRV: {
		const struct strv *sv = field;

		jw_arr(&w);
		for (size_t i = 0; i < sv->len; i++)
			jw_str(&w, sv->v[i]);
		jw_arr_end(&w);
		break;
	}
	case SHAPE_STRMAP: {
		OWN_STRMAP struct strmap m = { 0 };

		strmap_copy(&m, field);
		strmap_sort(&m);
		jw_obj(&w);
		for (size_t i = 0; i < m.len; i++)
			jw_kstr(&w, m.v[i].key, m.v[i].value);
		jw_obj_end(&w);
		break;
	}
	}
}
