/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shell patterns over references, as Go's path.Match: *, ?, [a-z], [^a-z], backslash; * and ? stop at a slash. */
#include "image/reference.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* A character of a class, perhaps escaped; NULL when it is missing. */
static const char *class_char(const char *p, char *ret)
{
	bool escaped = *p == '\\';

	p += escaped;
	if (!*p || (!escaped && (*p == '-' || *p == ']')))
		return NULL;
	*ret = *p;
	return p + 1;
}

/* p stands behind '['; moves behind ']'. -1: broken. */
static int match_class(const char **p, char c)
{
	const char *q = *p;
	bool negated = *q == '^', hit = false;

	q += negated;
	for (size_t n = 0; *q != ']' || n == 0; n++) {
		char lo, hi;

		q = class_char(q, &lo);
		if (!q)
			return -1;
		hi = lo;
		if (*q == '-' && !(q = class_char(q + 1, &hi)))
			return -1;
		hit |= lo <= c && c <= hi;
	}
	*p = q + 1;
	return c && hit != negated;
}

/* One element of the pattern but '*' against c. */
static int match_one(const char **p, char c)
{
	char want = *(*p)++;

	if (want == '[')
		return match_class(p, c);
	if (want == '?')
		return c && c != '/';
	if (want == '\\' && !(want = *(*p)++))
		return -1;
	return c && c == want;
}

/* 1, 0, or -1 for a broken pattern. Only the last star is ever taken back: quadratic at worst. */
static int match(const char *p, const char *s)
{
	const char *star = NULL, *from = NULL;

	while (*s || *p) {
		const char *q = p;
		int m;

		if (*p == '*') {
			star = ++p;
			from = s;
			continue;
		}
		m = *p ? match_one(&q, *s) : 0;
		if (m < 0)
			return -1;
		if (m) {
			p = q;
			s++;
			continue;
		}
		if (!star || !*from || *from == '/')
			return 0;
		s = ++from;
		p = star;
	}
	return 1;
}

int reference_match(const char *pattern, const struct reference *r, bool *ret, struct err *err)
{
	OWN_FREE char *full = reference_familiar(r), *name = reference_familiar_name(r);
	int m = strlen(pattern) > 1024 ? -1 : match(pattern, full);

	if (m == 0)
		m = match(pattern, name);
	if (m < 0)
		return err_set(err, ERR_INVALID, "syntax error in pattern");
	*ret = m;
	return 0;
}
