/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/challenge.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#define LIFETIME_MIN 60
#define LIFETIME_MAX 86400
#define PREVIEW 200
#define MESSAGE_MAX 1000

void challenge_done(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}

static bool is_token(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void skip_blanks(const char **p)
{
	while (**p == ' ' || **p == '\t')
		++*p;
}

static char *take_token(const char **p)
{
	const char *from = *p;

	while (is_token(**p))
		++*p;
	return *p == from ? NULL : xstrndup(from, (size_t)(*p - from));
}

/* A token or a quoted string; NULL when it has no end. */
static char *take_value(const char **p)
{
	OWN_BUF struct buf b = { 0 };

	if (**p != '"')
		return take_token(p);
	for (++*p; **p && **p != '"'; ++*p) {
		if (**p == '\\' && (*p)[1])
			++*p;
		buf_addc(&b, **p);
	}
	if (!**p)
		return NULL;
	++*p;
	return buf_steal(&b);
}

/* name=value; false when what follows is none: another scheme, or the end. */
static bool take_param(const char **p, char **ret_name, char **ret_value)
{
	const char *at = *p;
	OWN_FREE char *name = take_token(&at), *value = NULL;

	skip_blanks(&at);
	if (!name || *at != '=')
		return false;
	at++;
	skip_blanks(&at);
	value = take_value(&at);
	if (!value)
		return false;
	*p = at;
	*ret_name = STEAL(name);
	*ret_value = STEAL(value);
	return true;
}

static void take_params(const char **p, struct challenge *c)
{
	char *name, *value;

	for (;;) {
		while (skip_blanks(p), **p == ',')
			++*p;
		if (!take_param(p, &name, &value))
			return;
		if (strcasecmp(name, "realm") == 0 && !c->realm)
			c->realm = STEAL(value);
		else if (strcasecmp(name, "service") == 0 && !c->service)
			c->service = STEAL(value);
		else if (strcasecmp(name, "scope") == 0 && !c->scope)
			c->scope = STEAL(value);
		free(name);
		free(value);
	}
}

static void read_header(const char *p, struct challenge *ret)
{
	while (*p) {
		OWN_CHALLENGE struct challenge c = { 0 };
		OWN_FREE char *scheme = NULL;

		while (skip_blanks(&p), *p == ',')
			p++;
		scheme = take_token(&p);
		if (!scheme || (*p && *p != ' ' && *p != '\t' && *p != ','))
			return;
		take_params(&p, &c);
		if (strcasecmp(scheme, "Bearer") == 0 && c.realm)
			c.scheme = CHALLENGE_BEARER;
		else if (strcasecmp(scheme, "Basic") == 0)
			c.scheme = CHALLENGE_BASIC;
		if (c.scheme > ret->scheme) {
			challenge_done(ret);
			*ret = c;
			c = (struct challenge){ 0 };
		}
	}
}

void challenge_read(const struct strv *headers, struct challenge *ret)
{
	*ret = (struct challenge){ 0 };
	for (size_t i = 0; i < headers->len; i++)
		read_header(headers->v[i], ret);
}

void token_done(struct token *t)
{
	free(t->text);
	free(t->refresh);
	*t = (struct token){ 0 };
}

/* It goes into a header line. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

int token_read(const char *json, size_t size, struct token *ret, struct err *err)
{
	OWN_JSON json_t *js = json_read(json ? json : "", size, err);
	const char *text, *refresh;
	int64_t lifetime;

	*ret = (struct token){ 0 };
	if (!js)
		return err_wrap(err, "unable to decode token response");
	text = json_string_value(json_object_get(js, "token"));
	if (str_empty(text))
		text = json_string_value(json_object_get(js, "access_token"));
	refresh = json_string_value(json_object_get(js, "refresh_token"));
	if (str_empty(text))
		return err_set(err, ERR_INVALID, "authorization server did not include a token in the response");
	if (strlen(text) > TOKEN_MAX || !is_plain(text) || (refresh && (strlen(refresh) > TOKEN_MAX || !is_plain(refresh))))
		return err_set(err, ERR_INVALID, "the authorization server's token is none");
	lifetime = json_integer_value(json_object_get(js, "expires_in"));
	ret->lifetime = lifetime < LIFETIME_MIN ? LIFETIME_MIN : lifetime > LIFETIME_MAX ? LIFETIME_MAX : lifetime;
	ret->text = xstrdup(text);
	ret->refresh = str_empty(refresh) ? NULL : xstrdup(refresh);
	return 0;
}

/* Text of others for people: one line, no control characters, cut. */
static char *for_people(const char *s, size_t size, size_t max)
{
	OWN_BUF struct buf b = { 0 };

	for (size_t i = 0; i < size && b.size < max; i++)
		buf_addc(&b, (unsigned char)s[i] < ' ' || s[i] == 0x7f ? ' ' : s[i]);
	return buf_steal(&b);
}

/* "MANIFEST_UNKNOWN" -> "manifest unknown", as the codes are printed. */
static char *code_words(const char *code)
{
	char *s = for_people(code, strlen(code), 64);

	for (char *p = s; *p; p++)
		*p = *p == '_' ? ' ' : (char)tolower((unsigned char)*p);
	return s;
}

const char *status_text(int status)
{
	static const struct { int status; const char *text; } all[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 301, "Moved Permanently" }, { 302, "Found" }, { 303, "See Other" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 407, "Proxy Authentication Required" }, { 408, "Request Timeout" }, { 416, "Requested Range Not Satisfiable" }, { 429, "Too Many Requests" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].status == status)
			return all[i].text;
	return "";
}

/* The first error of {"errors":[{"code","message"}]}; 0 when there is one. */
static int first_error(json_t *js, char **ret_code, struct err *err)
{
	json_t *one = json_array_get(json_object_get(js, "errors"), 0);
	const char *code = json_string_value(json_object_get(one, "code")), *message = json_string_value(json_object_get(one, "message"));
	OWN_FREE char *words = NULL, *text = NULL;

	if (str_empty(code))
		return -1;
	words = code_words(code);
	text = message ? for_people(message, strlen(message), MESSAGE_MAX) : NULL;
	if (ret_code)
		*ret_code = for_people(code, strlen(code), 64);
	err_set(err, ERR_UNAVAILABLE, "%s%s%s", words, str_empty(text) ? "" : ": ", text ? text : "");
	return 0;
}

void answer_error(int status, const char *body, size_t size, char **ret_code, struct err *err)
{
	OWN_JSON json_t *js = body && size ? json_read(body, size, NULL) : NULL;
	OWN_FREE char *preview = NULL;
	const char *details = json_string_value(json_object_get(js, "details"));

	if (ret_code)
		*ret_code = NULL;
	if (js && status >= 400 && status < 600 && first_error(js, ret_code, err) == 0)
		return;
	if (details)
		preview = for_people(details, strlen(details), MESSAGE_MAX);
	if (status == 401)
		err_set(err, ERR_UNAVAILABLE, "unauthorized: %s", preview ? preview : "authentication required");
	else if (status == 429)
		err_set(err, ERR_UNAVAILABLE, "toomanyrequests: %s", preview ? preview : "too many requests");
	else if (status < 400 || status >= 500 || !size || js)
		err_set(err, ERR_UNAVAILABLE, "received unexpected HTTP status: %d %s", status, status_text(status));
	else {
		preview = for_people(body, size, PREVIEW);
		err_set(err, ERR_UNAVAILABLE, "error parsing HTTP %d response body: it is no JSON: \"%s\"", status, preview);
	}
}

int64_t retry_after(const char *value, int64_t now)
{
	struct tm tm = { 0 };
	int64_t n;
	const char *end;

	if (str_empty(value))
		return -1;
	if (str_to_i64(value, &n))
		return n < 0 ? -1 : n;
	end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return -1;
	n = (int64_t)timegm(&tm) - now;
	return n < 0 ? 0 : n;
}

char *link_next(const char *value)
{
	const char *from = value ? strchr(value, '<') : NULL, *to = from ? strchr(from, '>') : NULL, *rel = to ? strstr(to, "rel=") : NULL;

	if (!rel || !(str_has_prefix(rel + 4, "\"next\"") || streq(rel + 4, "next") || str_has_prefix(rel + 4, "next,")))
		return NULL;
	return xstrndup(from + 1, (size_t)(to - from - 1));
}

int64_t range_start(const char *value)
{
	OWN_FREE char *text = NULL;
	const char *dash;
	int64_t n;

	if (!value || strncasecmp(value, "bytes ", 6) != 0 || !(dash = strchr(value, '-')))
		return -1;
	text = xstrndup(value + 6, (size_t)(dash - value - 6));
	return str_to_i64(text, &n) && n >= 0 ? n : -1;
}
