/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One record of a json-file log. Almost every one has the form that json-file writers give it, which is read in one pass;
 * whatever differs in the least goes to the JSON parser, so that both give the same.
 */
#include "container/log/file.h"

#include <jansson.h>

#include "base/clock.h"
#include "base/json.h"

#define STAMP_MAX 40

void log_line_done(struct log_line *l)
{
	free(l->text);
	strmap_done(&l->attrs);
	memset(l, 0, sizeof(*l));
}

static bool parse_json(const char *s, size_t size, struct log_line *ret)
{
	OWN_JSON json_t *js = json_loadb(s, size, JSON_ALLOW_NUL, NULL);
	json_t *text = json_object_get(js, "log"), *time = json_object_get(js, "time"), *stream = json_object_get(js, "stream");

	if (!json_is_string(text) || !json_is_string(time) || !clock_parse_rfc3339(json_string_value(time), &ret->time))
		return false;
	ret->size = json_string_length(text);
	ret->text = xmalloc(ret->size + 1);
	memcpy(ret->text, json_string_value(text), ret->size + 1);
	ret->from_stderr = json_is_string(stream) && streq(json_string_value(stream), "stderr");
	json_strings(json_object_get(js, "attrs"), &ret->attrs);
	strmap_sort(&ret->attrs);
	return true;
}

static bool take(const char **at, const char *end, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(end - *at) < n || memcmp(*at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

/* Four hexadecimal digits; -1 when they are none, or half of a surrogate pair. */
static int code_point(const char *s)
{
	int c = 0;

	for (int i = 0; i < 4; i++) {
		const char *digit = s[i] ? strchr("0123456789abcdef", s[i] | 0x20) : NULL;

		if (!digit || (s[i] < 'A' && s[i] > '9') || s[i] < '0')
			return -1;
		c = c << 4 | (int)(digit - "0123456789abcdef");
	}
	return c >= 0xd800 && c < 0xe000 ? -1 : c;
}

static char *put_code_point(char *to, int c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/* What follows a backslash at *at; NULL when it is unusual. */
static char *take_escape(const char **at, const char *end, char *to)
{
	static const char from[] = "nrtbf\"\\/", plain[] = "\n\r\t\b\f\"\\/";
	const char *known = *at < end && **at ? strchr(from, **at) : NULL;
	int c;

	if (known) {
		*to++ = plain[known - from];
		++*at;
		return to;
	}
	if (end - *at < 5 || **at != 'u' || (c = code_point(*at + 1)) < 0)
		return NULL;
	*at += 5;
	return put_code_point(to, c);
}

/* The string up to its closing quote, decoded into to, which has room for end - *at bytes; its end, NULL when it is unusual. */
static char *take_text(const char **at, const char *end, char *to)
{
	const char *begin = *at, *s = begin;
	bool ascii = true;

	while (s < end && *s != '"') {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s != '\\') {
			ascii &= (unsigned char)*s < 0x80;
			*to++ = *s++;
			continue;
		}
		s++;
		to = take_escape(&s, end, to);
		if (!to)
			return NULL;
	}
	*at = s;
	return ascii || str_is_utf8(begin, (size_t)(s - begin)) ? to : NULL;
}

/* {"log":"...","stream":"stdout","time":"..."} and nothing else; text has room for size bytes. */
static bool parse_usual(const char *s, size_t size, struct log_line *ret)
{
	const char *end = s + size;
	char stamp[STAMP_MAX], *text_end;
	size_t n;

	if (!take(&s, end, "{\"log\":\""))
		return false;
	text_end = take_text(&s, end, ret->text);
	if (!text_end || !take(&s, end, "\",\"stream\":\"std"))
		return false;
	ret->from_stderr = take(&s, end, "err");
	if ((!ret->from_stderr && !take(&s, end, "out")) || !take(&s, end, "\",\"time\":\""))
		return false;
	n = (size_t)(end - s);
	if (n < 3 || n - 2 >= STAMP_MAX || s[n - 2] != '"' || s[n - 1] != '}' || memchr(s, 0, n))
		return false;
	memcpy(stamp, s, n - 2);
	stamp[n - 2] = '\0';
	*text_end = '\0';
	ret->size = (size_t)(text_end - ret->text);
	return clock_parse_rfc3339(stamp, &ret->time); /* takes neither quotes nor escapes */
}

bool log_line_parse(const char *s, size_t size, struct log_line *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->text = xmalloc(size + 1);
	if (parse_usual(s, size, ret))
		return true;
	log_line_done(ret);
	return parse_json(s, size, ret);
}
