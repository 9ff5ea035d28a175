/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy.h"

#include <stdio.h>

#include "json-shallow.h"

static bool word_is(const char *a, const char *b) { return strcmp(a, b) == 0; }

void policy_looked_done(struct looked *l)
{
	json_decref(l->body);
}

static bool method_fits(const char *methods, const char *method)
{
	size_t len = strlen(method);

	if (word_is(methods, "*"))
		return true;
	for (;;) {
		size_t size = strcspn(methods, ",");

		if (size == len && memcmp(methods, method, len) == 0)
			return true;
		if (!methods[size])
			return false;
		methods += size + 1;
	}
}

/* "/networks/" is what "/networks" is. */
static bool path_fits(const char *pattern, const char *path)
{
	size_t len = strlen(path);
	char *cut;
	bool fits;

	if (policy_glob(pattern, path))
		return true;
	if (len < 2 || path[len - 1] != '/' || !(cut = strndup(path, len - 1)))
		return false;
	fits = policy_glob(pattern, cut);
	free(cut);
	return fits;
}

/* One of the alternatives fits the text. */
static bool one_fits(const char *values, const char *text)
{
	for (;;) {
		size_t size = strcspn(values, "|");
		char *one = strndup(values, size);
		bool fits = one && policy_glob(one, text);

		free(one);
		if (fits || !values[size])
			return fits;
		values += size + 1;
	}
}

static enum fits number_fits(const struct condition *c, bool known, uint32_t n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	return (known && one_fits(c->values, text)) != c->not ? FITS_YES : FITS_NO;
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A part of the query, decoded as the handlers do it. Owned. */
static char *decoded(const char *s, size_t size)
{
	char *ret = malloc(size + 1), *to = ret;

	for (size_t i = 0; ret && i < size; i++) {
		if (s[i] == '%' && i + 2 < size && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
			*to++ = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
			i += 2;
		} else {
			*to++ = s[i] == '+' ? ' ' : s[i];
		}
	}
	if (ret)
		*to = '\0';
	return ret;
}

/* Any value of a parameter counts: which of several a handler takes is the handler's. */
static enum fits query_fits(const struct condition *c, const char *uri)
{
	const char *at = strchr(uri, '?');
	bool there = false, fits = false;

	while (at && *at) {
		const char *from = at + 1;
		size_t size = strcspn(from, "&"), eq = strcspn(from, "=&");
		char *key = decoded(from, eq), *value = decoded(from + eq + (eq < size), size - eq - (eq < size));

		if (!key || !value) {
			free(key);
			free(value);
			return FITS_UNKNOWN;
		}
		if (word_is(key, c->name)) {
			there = true;
			fits |= c->values ? one_fits(c->values, value) : *value != '\0';
		}
		free(key);
		free(value);
		at = from + size;
	}
	if (!there && c->values)
		fits = one_fits(c->values, "");
	return fits != c->not ? FITS_YES : FITS_NO;
}

/* A value as rules read it; objects and lists only as empty or not. */
static const char *text_of(json_t *v, char *room, size_t size)
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v))
		snprintf(room, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(room, size, "%.17g", json_real_value(v));
	else if (json_is_object(v))
		snprintf(room, size, "%s", json_object_size(v) ? "{...}" : "{}");
	else if (json_is_array(v))
		snprintf(room, size, "[]");
	else
		snprintf(room, size, "%s", json_is_true(v) ? "true" : json_is_false(v) ? "false" : "");
	return room;
}

static bool is_set(json_t *v)
{
	if (json_is_object(v))
		return json_object_size(v) > 0;
	if (json_is_string(v))
		return *json_string_value(v) != '\0';
	if (json_is_number(v))
		return json_number_value(v) != 0;
	return json_is_true(v);
}

/*
 * Whether one of the values that the path leads to fits, or, with not, none is left that fits no alternative: a list is denied
 * for one bad element. In lists every element is looked at; a key may have dots in it.
 */
static bool some_value(const struct condition *c, json_t *v, const char *path)
{
	char room[64];
	json_t *inner;
	size_t i;

	if (json_is_array(v) && json_array_size(v)) {
		json_array_foreach(v, i, inner)
			if (some_value(c, inner, path))
				return true;
		return false;
	}
	if (!*path)
		return c->values ? one_fits(c->values, text_of(v, room, sizeof(room))) != c->not : is_set(v);
	if (json_is_object(v)) {
		for (const char *end = path + strlen(path);; end--) {
			if (!*end || *end == '.') {
				char *key = strndup(path, (size_t)(end - path));

				inner = key ? json_object_get(v, key) : NULL;
				free(key);
				if (inner)
					return some_value(c, inner, *end ? end + 1 : end);
			}
			if (end == path)
				break;
		}
	}
	/* It is not there: as if it were empty. */
	return c->values ? one_fits(c->values, "") != c->not : false;
}

static enum fits body_fits(const struct condition *c, struct looked *l)
{
	const struct dkd_authz_request *rq = l->rq;

	if (rq->flags & DKD_AUTHZ_BODY_STREAM)
		return FITS_UNKNOWN;
	if (!l->parsed && rq->body_size)
		l->body = json_shallow(rq->body, rq->body_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY);
	l->parsed = true;
	if (!l->body && rq->body_size)
		return FITS_UNKNOWN;
	return some_value(c, l->body, c->name) ? FITS_YES : FITS_NO;
}

static enum fits condition_fits(const struct condition *c, struct looked *l)
{
	const struct dkd_authz_request *rq = l->rq;

	switch (c->about) {
	case ABOUT_USER:
		return one_fits(c->values, rq->user) != c->not ? FITS_YES : FITS_NO;
	case ABOUT_HOST:
		return one_fits(c->values, rq->listener) != c->not ? FITS_YES : FITS_NO;
	case ABOUT_UID:
		return number_fits(c, rq->flags & DKD_AUTHZ_PEER, rq->peer_uid);
	case ABOUT_GID:
		return number_fits(c, rq->flags & DKD_AUTHZ_PEER, rq->peer_gid);
	case ABOUT_QUERY:
		return query_fits(c, rq->uri);
	default:
		return body_fits(c, l);
	}
}

bool policy_conditions_fit(const struct condition *c, struct looked *l, bool if_unknown)
{
	bool unknown = false;

	for (; c; c = c->next) {
		enum fits fits = condition_fits(c, l);

		if (fits == FITS_NO)
			return false;
		unknown |= fits == FITS_UNKNOWN;
	}
	return !unknown || if_unknown;
}

const struct rule *policy_first(const struct set *sets, const struct set *s, struct looked *l, const struct set **ret_last)
{
	for (*ret_last = s; s; s = s->uses ? policy_find((struct set *)sets, s->uses) : NULL) {
		if (!(*ret_last)->has_default)
			*ret_last = s;
		/* What cannot be seen is denied, and not allowed. */
		for (const struct rule *r = s->rules; r; r = r->next)
			if (method_fits(r->methods, l->rq->method) && path_fits(r->pattern, l->rq->path) &&
				policy_conditions_fit(r->conditions, l, r->deny))
				return r;
	}
	return NULL;
}
