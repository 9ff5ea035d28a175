/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/json-raw.h"

#include "base/json.h"

/* The text is known to be JSON: only strings and nesting are looked at. */
struct scan { const char *p, *end; };

static void skip_blanks(struct scan *s)
{
	while (s->p < s->end && *s->p && strchr(" \t\r\n", *s->p))
		s->p++;
}

/* A string with its quotation marks, as it stands. */
static void copy_string(struct scan *s, struct buf *ret)
{
	buf_addc(ret, *s->p++);
	while (s->p < s->end) {
		char c = *s->p++;

		if (c == '<' || c == '>' || c == '&') {
			buf_addf(ret, "\\u%04x", c);
			continue;
		}
		if (c == '\xe2' && s->end - s->p >= 2 && s->p[0] == '\x80' && (s->p[1] == '\xa8' || s->p[1] == '\xa9')) {
			buf_addf(ret, "\\u202%c", s->p[1] == '\xa8' ? '8' : '9');
			s->p += 2;
			continue;
		}
		buf_addc(ret, c);
		if (c == '"')
			return;
		if (c == '\\')
			buf_addc(ret, *s->p++);
	}
}

/* Up to the comma or bracket that ends it. */
static void copy_value(struct scan *s, struct buf *ret)
{
	int depth = 0;

	for (skip_blanks(s); s->p < s->end; skip_blanks(s)) {
		char c = *s->p;

		if (depth == 0 && (c == ',' || c == '}'))
			return;
		if (c == '"') {
			copy_string(s, ret);
			continue;
		}
		depth += (c == '{' || c == '[') - (c == '}' || c == ']');
		buf_addc(ret, c);
		s->p++;
	}
}

static char *key_of(const char *quoted)
{
	OWN_JSON json_t *js = json_loads(quoted, JSON_DECODE_ANY, NULL);

	return xstrdup(json_is_string(js) ? json_string_value(js) : "");
}

int json_raw_members(const char *text, size_t size, size_t max, struct strmap *ret, struct err *err)
{
	OWN_JSON json_t *js = json_read(text, size, err);
	struct scan s = { text, text + size };

	if (!js)
		return -1;
	if (!json_is_object(js))
		return err_set(err, ERR_INVALID, "invalid JSON: expected an object");
	if (json_object_size(js) > max)
		return err_set(err, ERR_INVALID, "invalid JSON: more than %zu members", max);
	skip_blanks(&s);
	s.p++; /* the brace; later the commas */
	for (size_t i = 0; i < json_object_size(js); i++, s.p++) {
		OWN_BUF struct buf quoted = { 0 }, value = { 0 };
		OWN_FREE char *key = NULL;

		skip_blanks(&s);
		copy_string(&s, &quoted);
		skip_blanks(&s);
		s.p++; /* the colon */
		copy_value(&s, &value);
		key = key_of(quoted.data);
		strmap_set(ret, key, value.data);
	}
	ret->set = true;
	return 0;
}
