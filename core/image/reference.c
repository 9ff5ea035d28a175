/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The grammar, each rule anchored and read once from left to right:
 *   reference = [domain "/"] path [":" tag] ["@" digest]
 *   domain    = (label *("." label) | "[" ipv6 "]") [":" digits]
 *   path      = component *("/" component); component = alnum *(("." | "_" | "__" | 1*"-") alnum), lower case
 */
#include "image/reference.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/str.h"

#define NAME_MAX_LEN 255
#define TAG_MAX_LEN 128
#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL_PREFIX "library/"

static bool has_upper(const char *s, size_t n);
static size_t host_len(const char *s);
static bool is_domain(const char *s, size_t n);
static size_t path_len(const char *s);
static int check_digest(const char *s, struct err *err);

static bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
static bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool reference_is_tag(const char *tag)
{
	size_t n = 0;

	if (!is_alnum(*tag) && *tag != '_')
		return false;
	while (n <= TAG_MAX_LEN && (is_alnum(tag[n]) || (tag[n] && strchr("_.-", tag[n]))))
		n++;
	return n <= TAG_MAX_LEN && tag[n] == '\0';
}

/* What stands behind the name: ":tag" and "@digest". */
static int parse_suffix(const char *s, struct reference *ret, struct err *err)
{
	const char *at = strchr(s, '@');
	OWN_FREE char *tag = NULL;

	if (*s == ':') {
		tag = at ? xstrndup(s + 1, (size_t)(at - s - 1)) : xstrdup(s + 1);
		if (!reference_is_tag(tag))
			return err_set(err, ERR_INVALID, "invalid reference format");
	} else if (*s && *s != '@') {
		return err_set(err, ERR_INVALID, "invalid reference format");
	}
	if (at && check_digest(at + 1, err) < 0)
		return -1;
	ret->tag = STEAL(tag);
	ret->digest = at ? xstrdup(at + 1) : NULL;
	return 0;
}

int reference_parse(const char *s, struct reference *ret, struct err *err)
{
	size_t host = host_len(s), n;
	const char *rest = host ? s + host + 1 : s;
	OWN_REFERENCE struct reference r = { 0 };

	if (id_is_hex64(s))
		return err_set(err, ERR_INVALID, "invalid repository name (%s), cannot specify 64-byte hexadecimal strings", s);
	n = strcspn(rest, ":");
	if (has_upper(rest, n))
		return err_set(err, ERR_INVALID, "invalid reference format: repository name (%s%.*s) must be lowercase",
			host || memchr(rest, '/', n) ? "" : OFFICIAL_PREFIX, (int)(n < 512 ? n : 512), rest);
	if (host && !is_domain(s, host)) {
		rest = s; /* still a name, when its first component fits a path */
		r.domain = xstrdup("");
	} else if (!host || (host == strlen(LEGACY_DOMAIN) && strncmp(s, LEGACY_DOMAIN, host) == 0)) {
		r.domain = xstrdup(DEFAULT_DOMAIN);
	} else {
		r.domain = xstrndup(s, host);
	}
	n = path_len(rest);
	if (!n)
		return err_set(err, ERR_INVALID, "invalid reference format");
	if (n > NAME_MAX_LEN)
		return err_set(err, ERR_INVALID, "repository name must not be more than %d characters", NAME_MAX_LEN);
	r.path = xasprintf("%s%.*s", streq(r.domain, DEFAULT_DOMAIN) && !memchr(rest, '/', n) ? OFFICIAL_PREFIX : "", (int)n, rest);
	if (strlen(r.domain) + 1 + strlen(r.path) > NAME_MAX_LEN)
		return err_set(err, ERR_INVALID, "repository name must not be more than %d characters", NAME_MAX_LEN);
	if (parse_suffix(rest + n, &r, err) < 0)
		return -1;
	*ret = r;
	memset(&r, 0, sizeof(r));
	return 0;
}

int reference_parse_tag(const char *repo, const char *tag, struct reference *ret, struct err *err)
{
	OWN_REFERENCE struct reference r = { 0 };

	if (reference_parse(repo ? repo : "", &r, err) < 0)
		return -1;
	if (r.digest)
		return err_set(err, ERR_INVALID, "refusing to create a tag with a digest reference");
	if (!str_empty(tag)) {
		if (!reference_is_tag(tag))
			return err_set(err, ERR_INVALID, "invalid tag format");
		str_set(&r.tag, tag);
	}
	reference_add_latest(&r);
	*ret = r;
	memset(&r, 0, sizeof(r));
	return 0;
}

void reference_done(struct reference *r)
{
	free(r->domain);
	free(r->path);
	free(r->tag);
	free(r->digest);
	memset(r, 0, sizeof(*r));
}

void reference_copy(struct reference *dst, const struct reference *src)
{
	dst->domain = xstrdup(src->domain);
	dst->path = xstrdup(src->path);
	dst->tag = xstrdup(src->tag);
	dst->digest = xstrdup(src->digest);
}

char *reference_name(const struct reference *r)
{
	return *r->domain ? xasprintf("%s/%s", r->domain, r->path) : xstrdup(r->path);
}

char *reference_familiar_name(const struct reference *r)
{
	const char *path = r->path;

	if (!streq(r->domain, DEFAULT_DOMAIN))
		return reference_name(r);
	/* "library/" goes only where putting it back gives the same name */
	if (str_has_prefix(path, OFFICIAL_PREFIX) && !strchr(path + strlen(OFFICIAL_PREFIX), '/'))
		path += strlen(OFFICIAL_PREFIX);
	return xstrdup(path);
}

static char *with_suffix(const char *name, const struct reference *r, const char *fallback)
{
	OWN_BUF struct buf b = { 0 };

	buf_adds(&b, name);
	if (r->tag || (!r->digest && fallback))
		buf_addf(&b, ":%s", r->tag ? r->tag : fallback);
	if (r->digest)
		buf_addf(&b, "@%s", r->digest);
	return buf_steal(&b);
}

char *reference_familiar(const struct reference *r)
{
	OWN_FREE char *name = reference_familiar_name(r);

	return with_suffix(name, r, "latest");
}

char *reference_text(const struct reference *r)
{
	OWN_FREE char *name = reference_name(r);

	return with_suffix(name, r, NULL);
}

void reference_add_latest(struct reference *r)
{
	if (!r->tag && !r->digest)
		r->tag = xstrdup("latest");
}

static bool has_upper(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] >= 'A' && s[i] <= 'Z')
			return true;
	return false;
}

/* Length of the first component if it names a registry: it has a dot, a colon or an upper-case letter, or is localhost. Else 0. */
static size_t host_len(const char *s)
{
	size_t n = strcspn(s, "/");

	if (s[n] != '/')
		return 0;
	if (memchr(s, '.', n) || memchr(s, ':', n) || has_upper(s, n) || (n == 9 && memcmp(s, "localhost", 9) == 0))
		return n;
	return 0;
}

static bool is_domain(const char *s, size_t n)
{
	const char *end = s + n, *p = s;

	if (p < end && *p == '[') {
		const char *from = ++p;

		while (p < end && (*p == ':' || isxdigit((unsigned char)*p)))
			p++;
		if (p == from || p == end || *p != ']')
			return false;
		p++;
	} else {
		char before = '.'; /* a label neither begins nor ends with a dash */

		for (; p < end && *p != ':'; before = *p++) {
			if (!is_alnum(*p) && !(*p == '-' && before != '.') && !(*p == '.' && before != '.' && before != '-'))
				return false;
		}
		if (before == '.' || before == '-')
			return false;
	}
	if (p == end)
		return true;
	if (*p++ != ':' || p == end)
		return false;
	while (p < end && isdigit((unsigned char)*p))
		p++;
	return p == end;
}

static size_t separator_len(const char *s)
{
	if (*s == '.')
		return 1;
	if (*s == '_')
		return s[1] == '_' ? 2 : 1;
	return strspn(s, "-");
}

/* Length of the path at s, 0 when there is none. It ends at the string's end, a colon or an at sign; parse_suffix() sees to the rest. */
static size_t path_len(const char *s)
{
	const char *p = s;

	for (;;) {
		size_t sep;

		if (!is_lower_alnum(*p))
			return 0;
		while (is_lower_alnum(*p))
			p++;
		if (*p == '/') {
			p++;
			continue;
		}
		sep = separator_len(p);
		if (!sep)
			return (size_t)(p - s);
		p += sep;
	}
}

/* algorithm ":" hex; of the known algorithms the length must fit, and only sha256 is stored here. */
static int check_digest(const char *s, struct err *err)
{
	size_t n = strcspn(s, ":"), hex;

	if (!n || s[n] != ':' || !isalpha((unsigned char)*s))
		return err_set(err, ERR_INVALID, "invalid reference format");
	for (size_t i = 0; i < n; i++)
		if (!is_alnum(s[i]) && !(strchr("-_+.", s[i]) && isalpha((unsigned char)s[i + 1])))
			return err_set(err, ERR_INVALID, "invalid reference format");
	hex = strspn(s + n + 1, "0123456789abcdefABCDEF");
	if (hex < 32 || s[n + 1 + hex])
		return err_set(err, ERR_INVALID, "invalid reference format");
	if (n != 6 || strncmp(s, "sha256", 6) != 0)
		return err_set(err, ERR_INVALID, "unsupported digest algorithm");
	if (hex != ID_HEX)
		return err_set(err, ERR_INVALID, "invalid checksum digest length");
	if (!id_is_hex64(s + n + 1))
		return err_set(err, ERR_INVALID, "invalid checksum digest format");
	return 0;
}
