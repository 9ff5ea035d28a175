/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What owns memory: freeing, copying and growing structs by table. */
#include "base/json.h"

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
