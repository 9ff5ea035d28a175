/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/config-change.h"

#include <ctype.h>

#include "base/buf.h"
#include "base/json.h"

#define DEPTH_MAX 16
#define RESULT_MAX (1u << 20)

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

void change_words(const char *s, struct strv *ret)
{
	const char *from = NULL;
	char quote = 0;

	for (;; s++) {
		if (!*s || (!quote && blank(*s))) {
			if (from)
				strv_take(ret, xstrndup(from, (size_t)(s - from)));
			from = NULL;
			if (!*s)
				return;
			continue;
		}
		if (!from)
			from = s;
		if (*s == '\\' && quote != '\'' && s[1])
			s++;
		else if (quote ? *s == quote : *s == '"' || *s == '\'')
			quote = quote ? 0 : *s;
	}
}

void change_fields(const char *s, struct strv *ret)
{
	while (*s) {
		size_t n = 0;

		while (blank(*s))
			s++;
		while (s[n] && !blank(s[n]))
			n++;
		if (n)
			strv_take(ret, xstrndup(s, n));
		s += n;
	}
}

int change_json(const char *s, struct strv *ret, struct err *err)
{
	OWN_JSON json_t *js = *s == '[' ? json_read(s, strlen(s), NULL) : NULL;
	json_t *item;
	size_t i;

	if (!json_is_array(js))
		return 0;
	ret->set = true;
	json_array_foreach(js, i, item) {
		if (!json_is_string(item))
			return err_set(err, ERR_INVALID, "when using JSON array syntax, arrays must be comprised of strings only");
		strv_add(ret, json_string_value(item));
	}
	return 1;
}

/* A cursor over the word, and what came out. stop: the character at which to end (0: the end of the word). */
struct expansion {
	const char *p;
	const struct strv *env;
	struct buf *out;
	int depth;
	struct err *err;
};

static int expand_until(struct expansion *x, char stop);

static int put(struct expansion *x, const char *s, size_t n)
{
	if (x->out->size + n > RESULT_MAX)
		return err_set(x->err, ERR_TOO_LARGE, "the expanded word is larger than %u bytes", RESULT_MAX);
	buf_add(x->out, s, n);
	return 0;
}

/* ${name:-word}: p stands behind the operator. Only the branch that counts is put out. */
static int expand_modifier(struct expansion *x, const char *name, const char *value, char op)
{
	OWN_BUF struct buf word = { 0 };
	struct expansion inner = { x->p, x->env, &word, x->depth + 1, x->err };
	bool filled = !str_empty(value);

	if (expand_until(&inner, '}') < 0)
		return -1;
	x->p = inner.p;
	buf_adds(&word, "");
	switch (op) {
	case '-':
		return filled ? put(x, value, strlen(value)) : put(x, word.data, word.size);
	case '+':
		return filled ? put(x, word.data, word.size) : 0;
	case '?':
		if (!filled)
			return err_set(x->err, ERR_INVALID, "%s: %s", name, word.size ? word.data : "is not allowed to be unset");
		return put(x, value, strlen(value));
	default:
		return err_set(x->err, ERR_INVALID, "unsupported modifier (%c) in substitution", op);
	}
}

/* p stands behind '$'. */
static int expand_variable(struct expansion *x)
{
	OWN_FREE char *name = NULL;
	const char *value;
	bool braces = *x->p == '{';
	size_t n = 0;

	x->p += braces;
	if (isalpha((unsigned char)*x->p) || *x->p == '_')
		while (isalnum((unsigned char)x->p[n]) || x->p[n] == '_')
			n++;
	else if (isdigit((unsigned char)*x->p))
		while (isdigit((unsigned char)x->p[n]))
			n++;
	else if (*x->p && strchr("@*#?-$!", *x->p))
		n = 1; /* a shell's own, never set here */
	if (!n && !braces)
		return put(x, "$", 1);
	if (!n)
		return err_set(x->err, ERR_INVALID, "syntax error: bad substitution");
	name = xstrndup(x->p, n);
	value = strv_env_get(x->env, name);
	x->p += n;
	if (!braces)
		return value ? put(x, value, strlen(value)) : 0;
	if (*x->p == '}') {
		x->p++;
		return value ? put(x, value, strlen(value)) : 0;
	}
	if (*x->p == ':' && x->p[1]) {
		char op = x->p[1];

		x->p += 2;
		return expand_modifier(x, name, value, op);
	}
	return err_set(x->err, ERR_INVALID, *x->p ? "unsupported modifier (%c) in substitution" : "syntax error: missing '}'", *x->p);
}

/* p stands behind the quote. */
static int expand_double_quote(struct expansion *x)
{
	while (*x->p && *x->p != '"') {
		if (*x->p == '$') {
			x->p++;
			if (expand_variable(x) < 0)
				return -1;
			continue;
		}
		if (*x->p == '\\' && x->p[1] && strchr("\"$\\", x->p[1]))
			x->p++;
		if (put(x, x->p++, 1) < 0)
			return -1;
	}
	if (!*x->p)
		return err_set(x->err, ERR_INVALID, "unexpected end of statement while looking for matching double-quote");
	x->p++;
	return 0;
}

static int expand_single_quote(struct expansion *x)
{
	size_t n = strcspn(x->p, "'");

	if (!x->p[n])
		return err_set(x->err, ERR_INVALID, "unexpected end of statement while looking for matching single-quote");
	if (put(x, x->p, n) < 0)
		return -1;
	x->p += n + 1;
	return 0;
}

static int expand_until(struct expansion *x, char stop)
{
	if (x->depth > DEPTH_MAX)
		return err_set(x->err, ERR_INVALID, "substitutions are nested too deep");
	while (*x->p && *x->p != stop) {
		char c = *x->p++;
		int rc;

		if (c == '\'')
			rc = expand_single_quote(x);
		else if (c == '"')
			rc = expand_double_quote(x);
		else if (c == '$')
			rc = expand_variable(x);
		else if (c == '\\' && *x->p)
			rc = put(x, x->p++, 1);
		else
			rc = c == '\\' ? 0 : put(x, &c, 1);
		if (rc < 0)
			return -1;
	}
	if (stop && *x->p++ != stop)
		return err_set(x->err, ERR_INVALID, "syntax error: missing '}'");
	return 0;
}

char *change_expand(const char *word, const struct strv *env, struct err *err)
{
	OWN_BUF struct buf out = { 0 };
	struct expansion x = { word, env, &out, 0, err };

	if (expand_until(&x, '\0') < 0) {
		OWN_BUF struct buf quoted = { 0 };

		jw_quote(&quoted, word);
		err_wrap(err, "failed to process %.*s", quoted.size < 1024 ? (int)quoted.size : 1024, quoted.data);
		return NULL;
	}
	return buf_steal(&out);
}
