/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static _Noreturn void out_of_memory(size_t size)
{
	fprintf(stderr, "dockerd: out of memory allocating %zu bytes\n", size);
	abort();
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	if (!p)
		out_of_memory(size);
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory(n * size);
	return p;
}

void *xrealloc(void *old, size_t size)
{
	void *p = realloc(old, size ? size : 1);

	if (!p)
		out_of_memory(size);
	return p;
}

char *xstrdup(const char *s)
{
	return s ? xstrndup(s, strlen(s)) : NULL;
}

char *xstrndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = xmalloc(len + 1);

	memcpy(p, s, len);
	p[len] = '\0';
	return p;
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory(strlen(fmt));
	return s;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

bool str_has_suffix(const char *s, const char *suffix)
{
	size_t a = strlen(s), b = strlen(suffix);

	return a >= b && streq(s + a - b, suffix);
}

bool str_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (streq(s, yes[i]) || streq(s, no[i])) {
			*ret = streq(s, yes[i]);
			return true;
		}
	}
	return false;
}

void str_set(char **dst, const char *value)
{
	char *copy = xstrdup(value);

	free(*dst);
	*dst = copy;
}

bool str_to_i64(const char *s, int64_t *ret)
{
	char *end;
	long long n;

	if (!s || (*s != '-' && (*s < '0' || *s > '9')))
		return false;
	errno = 0;
	n = strtoll(s, &end, 10);
	if (errno || end == s || *end)
		return false;
	*ret = n;
	return true;
}

bool str_to_u64(const char *s, uint64_t *ret)
{
	char *end;
	unsigned long long n;

	if (!s || *s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || *end)
		return false;
	*ret = n;
	return true;
}

bool str_is_utf8(const char *str, size_t size)
{
	const unsigned char *s = (const unsigned char *)str, *end = s + size;

	while (s < end) {
		uint32_t c = *s++, min;
		int more;

		if (c == 0)
			return false;
		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c < 0xe0) {
			more = 1, min = 0x80, c &= 0x1f;
		} else if (c >= 0xe0 && c < 0xf0) {
			more = 2, min = 0x800, c &= 0x0f;
		} else if (c >= 0xf0 && c < 0xf5) {
			more = 3, min = 0x10000, c &= 0x07;
		} else {
			return false;
		}
		for (; more; more--) {
			if (s >= end || (*s & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*s++ & 0x3f);
		}
		if (c < min || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
			return false;
	}
	return true;
}

bool str_to_bool(const char *s)
{
	static const char *const no[] = { "", "0", "no", "false", "none" };

	if (!s)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (strcasecmp(s, no[i]) == 0)
			return false;
	return true;
}

void strv_take(struct strv *sv, char *s)
{
	/* grows by doubling: room for len + 1 entries and the terminator */
	if (sv->len == 0 || (sv->len + 1 >= 4 && ((sv->len + 1) & sv->len) == 0)) {
		size_t room = sv->len + 1 < 4 ? 4 : 2 * (sv->len + 1);

		sv->v = xrealloc(sv->v, room * sizeof(*sv->v));
	}
	sv->v[sv->len++] = s;
	sv->v[sv->len] = NULL;
	sv->set = true;
}

void strv_add(struct strv *sv, const char *s)
{
	strv_take(sv, xstrdup(s));
}

void strv_addf(struct strv *sv, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	strv_take(sv, xvasprintf(fmt, ap));
	va_end(ap);
}

void strv_done(struct strv *sv)
{
	for (size_t i = 0; i < sv->len; i++)
		free(sv->v[i]);
	free(sv->v);
	*sv = (struct strv){ 0 };
}

void strv_copy(struct strv *dst, const struct strv *src)
{
	struct strv copy = { .set = src->set };

	for (size_t i = 0; i < src->len; i++)
		strv_add(&copy, src->v[i]);
	strv_done(dst);
	*dst = copy;
}

bool strv_del(struct strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->len; i++) {
		if (!streq(sv->v[i], s))
			continue;
		free(sv->v[i]);
		/* the terminator moves down too */
		memmove(sv->v + i, sv->v + i + 1, (sv->len - i) * sizeof(*sv->v));
		sv->len--;
		return true;
	}
	return false;
}

bool strv_contains(const struct strv *sv, const char *s)
{
	for (size_t i = 0; i < sv->len; i++)
		if (streq(sv->v[i], s))
			return true;
	return false;
}

void strv_split(struct strv *sv, const char *s, const char *sep)
{
	for (;;) {
		size_t n = strcspn(s, sep);

		strv_take(sv, xstrndup(s, n));
		if (!s[n])
			return;
		s += n + 1;
	}
}

char *strv_join(const struct strv *sv, const char *sep)
{
	size_t size = 1, seplen = strlen(sep);
	char *s, *p;

	for (size_t i = 0; i < sv->len; i++)
		size += strlen(sv->v[i]) + seplen;
	p = s = xmalloc(size);
	for (size_t i = 0; i < sv->len; i++) {
		if (i)
			p = stpcpy(p, sep);
		p = stpcpy(p, sv->v[i]);
	}
	*p = '\0';
	return s;
}

static int cmp_str(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void strv_sort(struct strv *sv)
{
	if (sv->len > 1)
		qsort(sv->v, sv->len, sizeof(*sv->v), cmp_str);
}

static char **env_find(const struct strv *sv, const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < sv->len; i++)
		if (strncmp(sv->v[i], key, n) == 0 && (sv->v[i][n] == '=' || sv->v[i][n] == '\0'))
			return &sv->v[i];
	return NULL;
}

const char *strv_env_get(const struct strv *sv, const char *key)
{
	char **e = env_find(sv, key);

	return e && (*e)[strlen(key)] == '=' ? *e + strlen(key) + 1 : NULL;
}

void strv_env_del(struct strv *sv, const char *key)
{
	char **e = env_find(sv, key);
	OWN_FREE char *entry = e ? xstrdup(*e) : NULL;

	if (entry)
		strv_del(sv, entry);
}

void strv_env_set(struct strv *sv, const char *key, const char *value)
{
	char **e = env_find(sv, key), *entry = xasprintf("%s=%s", key, value);

	if (!e) {
		strv_take(sv, entry);
		return;
	}
	free(*e);
	*e = entry;
}

bool strmap_del(struct strmap *m, const char *key)
{
	for (size_t i = 0; i < m->len; i++) {
		if (!streq(m->v[i].key, key))
			continue;
		free(m->v[i].key);
		free(m->v[i].value);
		memmove(m->v + i, m->v + i + 1, (m->len - i - 1) * sizeof(*m->v));
		m->len--;
		return true;
	}
	return false;
}

void strmap_set(struct strmap *m, const char *key, const char *value)
{
	m->set = true;
	for (size_t i = 0; i < m->len; i++) {
		if (streq(m->v[i].key, key)) {
			str_set(&m->v[i].value, value ? value : "");
			return;
		}
	}
	m->v = xrealloc(m->v, (m->len + 1) * sizeof(*m->v));
	m->v[m->len].key = xstrdup(key);
	m->v[m->len++].value = xstrdup(value ? value : "");
}

const char *strmap_get(const struct strmap *m, const char *key)
{
	for (size_t i = 0; i < m->len; i++)
		if (streq(m->v[i].key, key))
			return m->v[i].value;
	return NULL;
}

static int cmp_entry(const void *a, const void *b)
{
	return strcmp(((const struct strmap_entry *)a)->key, ((const struct strmap_entry *)b)->key);
}

void strmap_sort(struct strmap *m)
{
	if (m->len > 1)
		qsort(m->v, m->len, sizeof(*m->v), cmp_entry);
}

void strmap_copy(struct strmap *dst, const struct strmap *src)
{
	struct strmap copy = { .set = src->set };

	/* no look for doubles: clients choose the size, and the source has none */
	copy.v = src->len ? xcalloc(src->len, sizeof(*copy.v)) : NULL;
	for (; copy.len < src->len; copy.len++) {
		copy.v[copy.len].key = xstrdup(src->v[copy.len].key);
		copy.v[copy.len].value = xstrdup(src->v[copy.len].value);
	}
	strmap_done(dst);
	*dst = copy;
}

void strmap_done(struct strmap *m)
{
	for (size_t i = 0; i < m->len; i++) {
		free(m->v[i].key);
		free(m->v[i].value);
	}
	free(m->v);
	*m = (struct strmap){ 0 };
}
