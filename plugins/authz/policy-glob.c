/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Patterns of rules. fnmatch(3) tries each place for each star: one with a few stars takes hours for a body of some megabytes,
 * which is a client's. Here only the last star is tried again, as what an earlier one could take the last can, too.
 */
#include "policy.h"

#include <fnmatch.h>

/* Behind the bracket expression at p; NULL: none ends, and the bracket stands for itself. */
static const char *bracket_end(const char *p)
{
	p += p[1] == '!' || p[1] == '^' ? 2 : 1;
	if (*p == ']')
		p++;
	for (; *p && *p != ']'; p++) {
		const char kind = p[1], *end = p + 2;

		if (*p != '[' || !kind || !strchr(":.=", kind))
			continue;
		while (*end && (end[0] != kind || end[1] != ']'))
			end++;
		if (*end)
			p = end + 1;
	}
	return *p ? p + 1 : NULL;
}

/* Does what stands at *p for one character stand for c? *p goes behind it then. */
static bool one_fits(const char **p, char c)
{
	const char *end = **p == '[' ? bracket_end(*p) : NULL;
	char *element, text[2] = { c, '\0' };
	bool fits;

	if (!end) {
		fits = **p == '?' || **p == c;
		*p += fits;
		return fits;
	}
	element = strndup(*p, (size_t)(end - *p));
	fits = element && fnmatch(element, text, FNM_NOESCAPE) == 0;
	free(element);
	if (fits)
		*p = end;
	return fits;
}

bool policy_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *again = NULL; /* behind the last star; where it is tried next */

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			again = text;
		} else if (*pattern && one_fits(&pattern, *text)) {
			text++;
		} else if (star) {
			pattern = star;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
