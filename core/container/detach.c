/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys by which a client leaves a stream and lets its process go on. */
#include "container/detach.h"

#include <nettle/base64.h>

#include "base/str.h"

static bool parse_key(const char *s, unsigned char *ret)
{
	static const char specials[] = "@[\\]^_";
	char c;

	if (s[0] && !s[1]) {
		*ret = (unsigned char)s[0];
		return true;
	}
	if (!str_has_prefix(s, "ctrl-") || !s[5] || s[6])
		return false;
	c = s[5];
	if (c >= 'a' && c <= 'z')
		*ret = (unsigned char)(c - 'a' + 1);
	else if (c == '@')
		*ret = 0;
	else if (strchr(specials, c))
		*ret = (unsigned char)(27 + (strchr(specials, c) - specials) - 1);
	else
		return false;
	return true;
}

int detach_keys_parse(const char *text, struct detach_keys *ret, struct err *err)
{
	OWN_STRV struct strv words = { 0 };

	strv_split(&words, str_empty(text) ? "ctrl-p,ctrl-q" : text, ",");
	ret->len = 0;
	for (size_t i = 0; i < words.len; i++)
		if (i >= DETACH_KEYS_MAX || !parse_key(words.v[i], &ret->v[ret->len++]))
			return err_set(err, ERR_INVALID, "Invalid detach keys (%.64s) provided", text);
	return 0;
}

bool detach_keys_filter(
	const struct detach_keys *k, size_t *matched, const unsigned char *in, size_t size, unsigned char *out, size_t *ret_size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (in[i] == k->v[*matched]) {
			if (++*matched == k->len) {
				*ret_size = n;
				return true;
			}
			continue;
		}
		/* No match after all: what was held back goes out, and this byte may begin anew. */
		memcpy(out + n, k->v, *matched);
		n += *matched;
		*matched = 0;
		if (in[i] == k->v[0] && k->len > 1)
			*matched = 1;
		else
			out[n++] = in[i];
	}
	*ret_size = n;
	return false;
}

char *detach_keys_base64(const struct detach_keys *k)
{
	char *text = xcalloc(1, BASE64_ENCODE_RAW_LENGTH(DETACH_KEYS_MAX) + 1);

	base64_encode_raw(text, k->len, k->v);
	return text;
}
