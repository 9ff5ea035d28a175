/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/json-exact.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

/* Whether jansson has no integer for these digits. */
static bool is_big(const char *digits, size_t len)
{
	OWN_FREE char *s = xstrndup(digits, len);
	uint64_t n;

	return str_to_u64(s, &n) && n > INT64_MAX;
}

static void quote_numbers(const char *text, size_t size, bool big_only, struct buf *ret)
{
	static const char digits[] = "+-.0123456789eE";
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (!in_string && (c == '-' || (c >= '0' && c <= '9'))) {
			size_t len = 0;
			bool quote;

			while (i + len < size && text[i + len] && strchr(digits, text[i + len]))
				len++;
			quote = !big_only || is_big(text + i, len);
			if (quote)
				buf_addc(ret, '"');
			buf_add(ret, text + i, len);
			if (quote)
				buf_addc(ret, '"');
			i += len - 1;
			continue;
		}
		buf_addc(ret, c);
		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\' && i + 1 < size)
			buf_addc(ret, text[++i]);
	}
}

json_t *json_exact_read(const char *text, size_t size)
{
	OWN_BUF struct buf b = { 0 };

	quote_numbers(text, size, false, &b);
	return b.data ? json_loadb(b.data, b.size, FLAGS, NULL) : NULL;
}

void json_exact_quote_big(const char *text, size_t size, struct buf *ret)
{
	quote_numbers(text, size, true, ret);
}

bool json_exact_u64(const json_t *js, uint64_t *ret)
{
	if (json_is_integer(js) && json_integer_value(js) >= 0) {
		*ret = (uint64_t)json_integer_value(js);
		return true;
	}
	return json_is_string(js) && str_to_u64(json_string_value(js), ret);
}

bool json_exact_i64(const json_t *js, int64_t *ret)
{
	if (json_is_integer(js)) {
		*ret = json_integer_value(js);
		return true;
	}
	return json_is_string(js) && str_to_i64(json_string_value(js), ret);
}

bool json_exact_empty(const json_t *js)
{
	const char *s = json_string_value(js);

	if (!js || json_is_null(js) || json_is_false(js))
		return true;
	if (s)
		return !*s || streq(s, "0");
	if (json_is_array(js))
		return json_array_size(js) == 0;
	return json_is_object(js) && json_object_size(js) == 0;
}
