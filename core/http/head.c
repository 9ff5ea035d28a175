/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "http/head.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"

#define HEADERS_MAX 256

static int check_bytes(const char *data, const char *end, const char **why);
static int check_request_line(const char *s, const char *end, size_t max_uri, struct http_head *ret, const char **why);
static int check_field(const char *s, const char *end, struct http_framing *f, struct http_head *ret, const char **why);

static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int refuse(int status, const char *text, const char **why)
{
	*why = text;
	return status;
}

int http_head_check(const char *data, size_t size, size_t max_head, size_t max_uri, struct http_head *ret, const char **why)
{
	const char *stop = memmem(data, size, "\r\n\r\n", 4), *end = stop ? stop + 2 : data + size, *line, *next;
	struct http_framing f = HTTP_FRAMING_INIT;
	int status = check_bytes(data, end, why), fields = 0;

	*ret = (struct http_head){ .content_length = -1 };
	if (status)
		return status;
	next = memmem(data, (size_t)(end - data), "\r\n", 2);
	if ((size_t)((next ? next : end) - data) > max_uri + 64)
		return refuse(414, "the request URI is too long", why);
	if ((size_t)(end - data) > max_head)
		return refuse(431, "the request header is too large", why);
	if (!stop)
		return 0;
	status = check_request_line(data, next, max_uri, ret, why);
	for (line = next + 2; status == 0 && line < end; line = next + 2) {
		next = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (++fields > HEADERS_MAX)
			status = refuse(431, "too many header fields", why);
		else
			status = check_field(line, next, &f, ret, why);
	}
	if (status == 0 && (*why = http_framing_check(&f, ret->http10)) != NULL)
		status = 400;
	ret->size = (size_t)(stop + 4 - data);
	ret->chunked = f.chunked;
	ret->content_length = f.content_length;
	if (status)
		http_head_done(ret);
	return status ? status : 200;
}

void http_head_done(struct http_head *h)
{
	free(h->uri);
	h->uri = NULL;
}

void http_framing_add(struct http_framing *f, const char *name, size_t name_size, const char *value, size_t value_size)
{
	if (name_size == 14 && strncasecmp(name, "Content-Length", 14) == 0) {
		OWN_FREE char *text = xstrndup(value, value_size);

		f->lengths++;
		if (value_size == 0 || value_size > 18 || strspn(text, "0123456789") != value_size)
			f->bad = true;
		else
			str_to_i64(text, &f->content_length);
	} else if (name_size == 17 && strncasecmp(name, "Transfer-Encoding", 17) == 0) {
		f->encodings++;
		f->chunked = value_size == 7 && strncasecmp(value, "chunked", 7) == 0;
		f->bad |= !f->chunked;
	} else if (name_size == 4 && strncasecmp(name, "Host", 4) == 0) {
		f->hosts++;
	}
}

const char *http_framing_check(const struct http_framing *f, bool http10)
{
	if (f->lengths && f->encodings)
		return "both Content-Length and Transfer-Encoding are given";
	if (f->lengths > 1 || f->encodings > 1)
		return "Content-Length or Transfer-Encoding is given twice";
	if (f->bad)
		return f->lengths ? "invalid Content-Length" : "unsupported Transfer-Encoding";
	if (http10 && f->encodings)
		return "Transfer-Encoding in an HTTP/1.0 request";
	if (f->hosts > 1)
		return "too many Host headers";
	if (!http10 && f->hosts == 0)
		return "missing required Host header";
	return NULL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_chunks_check(const char *s, size_t size)
{
	const char *end = s + size;

	while (s < end) {
		const char *from = s, *lf = memchr(s, '\n', (size_t)(end - s));
		size_t n = 0;

		for (; s < end && s - from < 16; s++) {
			int digit = hex(*s);

			if (digit < 0)
				break;
			n = n << 4 | (size_t)digit;
		}
		if (s == end)
			return true;
		if (s == from || s - from >= 16 || (*s != '\r' && *s != ';'))
			return false;
		if (!lf)
			return end - s < 256;
		if (lf[-1] != '\r' || memchr(s, '\r', (size_t)(lf - s)) != lf - 1)
			return false;
		s = lf + 1;
		if (n == 0 || (size_t)(end - s) < n + 2)
			return true;
		s += n;
		if (s[0] != '\r' || s[1] != '\n')
			return false;
		s += 2;
	}
	return true;
}

/* What must not stand anywhere in a block, whole or not: NUL, a line feed or carriage return alone, a folded line. */
static int check_bytes(const char *data, const char *end, const char **why)
{
	for (const char *s = data; s < end; s++) {
		if (*s == '\0')
			return refuse(400, "NUL in the request header", why);
		if (*s == '\n' && (s == data || s[-1] != '\r'))
			return refuse(400, "line feed without carriage return", why);
		if (*s == '\r' && s + 1 < end && s[1] != '\n')
			return refuse(400, "carriage return without line feed", why);
		if (*s == '\n' && s + 1 < end && (s[1] == ' ' || s[1] == '\t'))
			return refuse(400, "folded header line", why);
	}
	return 0;
}

/* METHOD SP TARGET SP HTTP/1.x */
static int check_request_line(const char *s, const char *end, size_t max_uri, struct http_head *ret, const char **why)
{
	const char *method = s, *uri;

	while (s < end && is_token((unsigned char)*s))
		s++;
	if (s == method || s == end || *s != ' ' || (size_t)(s - method) >= sizeof(ret->method))
		return refuse(400, "malformed request line", why);
	memcpy(ret->method, method, (size_t)(s - method));
	uri = ++s;
	while (s < end && (unsigned char)*s > ' ' && *s != 0x7f)
		s++;
	if (s == uri || s == end || *s != ' ')
		return refuse(400, "malformed request line", why);
	if ((size_t)(s - uri) > max_uri)
		return refuse(414, "the request URI is too long", why);
	if (*uri != '/' && !(s - uri == 1 && *uri == '*'))
		return refuse(400, "the request target is not a path", why);
	if (end - s != 9 || strncmp(s + 1, "HTTP/", 5) != 0)
		return refuse(400, "malformed HTTP version", why);
	if (strncmp(s + 6, "1.1", 3) != 0 && strncmp(s + 6, "1.0", 3) != 0)
		return refuse(505, "unsupported HTTP version", why);
	ret->http10 = s[8] == '0';
	ret->uri = xstrndup(uri, (size_t)(s - uri));
	return 0;
}

static int check_field(const char *s, const char *end, struct http_framing *f, struct http_head *ret, const char **why)
{
	const char *name = s, *colon, *value;

	while (s < end && is_token((unsigned char)*s))
		s++;
	if (s == name || s == end || *s != ':')
		return refuse(400, "malformed header line", why);
	colon = s++;
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	value = s;
	for (; s < end; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return refuse(400, "control character in a header value", why);
	while (s > value && (s[-1] == ' ' || s[-1] == '\t'))
		s--;
	http_framing_add(f, name, (size_t)(colon - name), value, (size_t)(s - value));
	if (colon - name == 12 && strncasecmp(name, "Content-Type", 12) == 0)
		ret->json = s - value >= 16 && strncasecmp(value, "application/json", 16) == 0;
	return 0;
}
