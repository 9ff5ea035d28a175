/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/jw.h"

#include <stdio.h>

#include "base/clock.h"

static void sep(struct jw *w)
{
	if (w->comma)
		buf_addc(w->b, ',');
	w->comma = true;
}

void jw_obj(struct jw *w) { sep(w); buf_addc(w->b, '{'); w->comma = false; }
void jw_obj_end(struct jw *w) { buf_addc(w->b, '}'); w->comma = true; }
void jw_arr(struct jw *w) { sep(w); buf_addc(w->b, '['); w->comma = false; }
void jw_arr_end(struct jw *w) { buf_addc(w->b, ']'); w->comma = true; }

/* Length of the valid UTF-8 sequence at s, 0 when there is none. */
static size_t utf8_len(const char *s, const char *end)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	return n && (size_t)(end - s) >= n && (n == 1 || str_is_utf8(s, n)) ? n : 0;
}

static void quote(struct buf *b, const char *s, size_t size)
{
	const char *end = s + size;

	buf_reserve(b, size + 2);
	buf_addc(b, '"');
	while (s < end) {
		const char *from = s;
		unsigned char c;
		size_t n;

		while (s < end && (unsigned char)*s >= 0x20 && (unsigned char)*s < 0x7f && *s != '"' && *s != '\\' && *s != '<' && *s != '>' && *s != '&')
			s++;
		if (s > from)
			buf_add(b, from, (size_t)(s - from));
		if (s == end)
			break;
		c = (unsigned char)*s;
		if (c == '"' || c == '\\') {
			buf_addf(b, "\\%c", c);
			s++;
		} else if (c == '\n' || c == '\r' || c == '\t') {
			buf_addf(b, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
			s++;
		} else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
			buf_addf(b, "\\u%04x", c);
			s++;
		} else if ((n = utf8_len(s, end)) == 0) {
			buf_adds(b, "\\ufffd");
			s++;
		} else {
			if (n == 3 && memcmp(s, "\xe2\x80\xa8", 3) == 0)
				buf_adds(b, "\\u2028");
			else if (n == 3 && memcmp(s, "\xe2\x80\xa9", 3) == 0)
				buf_adds(b, "\\u2029");
			else
				buf_add(b, s, n);
			s += n;
		}
	}
	buf_addc(b, '"');
}

void jw_quote(struct buf *b, const char *s) { quote(b, s, strlen(s)); }

void jw_key(struct jw *w, const char *key)
{
	sep(w);
	jw_quote(w->b, key);
	buf_addc(w->b, ':');
	w->comma = false;
}

void jw_str(struct jw *w, const char *s) { sep(w); jw_quote(w->b, s ? s : ""); }
void jw_strn(struct jw *w, const char *s, size_t size) { sep(w); quote(w->b, s, size); }
void jw_int(struct jw *w, int64_t n) { sep(w); buf_addf(w->b, "%lld", (long long)n); }
void jw_uint(struct jw *w, uint64_t n) { sep(w); buf_addf(w->b, "%llu", (unsigned long long)n); }
void jw_bool(struct jw *w, bool b) { sep(w); buf_adds(w->b, b ? "true" : "false"); }
void jw_null(struct jw *w) { sep(w); buf_adds(w->b, "null"); }
void jw_raw(struct jw *w, const char *json) { sep(w); buf_adds(w->b, json); }

void jw_time(struct jw *w, int64_t ns)
{
	char text[CLOCK_TEXT];

	jw_str(w, clock_rfc3339nano(ns, text));
}

void jw_strv(struct jw *w, const struct strv *sv)
{
	if (!sv->set) {
		jw_null(w);
		return;
	}
	jw_arr(w);
	for (size_t i = 0; i < sv->len; i++)
		jw_str(w, sv->v[i]);
	jw_arr_end(w);
}

void jw_strmap(struct jw *w, const struct strmap *m)
{
	struct strmap sorted = { 0 };

	if (!m->set) {
		jw_null(w);
		return;
	}
	sorted = *m;
	sorted.v = xmalloc(m->len * sizeof(*m->v));
	if (m->len)
		memcpy(sorted.v, m->v, m->len * sizeof(*m->v));
	strmap_sort(&sorted);
	jw_obj(w);
	for (size_t i = 0; i < sorted.len; i++)
		jw_kstr(w, sorted.v[i].key, sorted.v[i].value);
	jw_obj_end(w);
	free(sorted.v);
}

void jw_kstr(struct jw *w, const char *key, const char *s) { jw_key(w, key); jw_str(w, s); }
void jw_kint(struct jw *w, const char *key, int64_t n) { jw_key(w, key); jw_int(w, n); }
void jw_kbool(struct jw *w, const char *key, bool b) { jw_key(w, key); jw_bool(w, b); }
void jw_knull(struct jw *w, const char *key) { jw_key(w, key); jw_null(w); }
void jw_kraw(struct jw *w, const char *key, const char *json) { jw_key(w, key); jw_raw(w, json); }
void jw_ktime(struct jw *w, const char *key, int64_t ns) { jw_key(w, key); jw_time(w, ns); }
void jw_kstrv(struct jw *w, const char *key, const struct strv *sv) { jw_key(w, key); jw_strv(w, sv); }
void jw_kstrmap(struct jw *w, const char *key, const struct strmap *m) { jw_key(w, key); jw_strmap(w, m); }
void jw_kobj(struct jw *w, const char *key) { jw_key(w, key); jw_obj(w); }
void jw_karr(struct jw *w, const char *key) { jw_key(w, key); jw_arr(w); }
