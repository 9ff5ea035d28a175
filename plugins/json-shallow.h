/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON that others wrote: the parser recurses, and a thread that a driver is called on may have a stack of 192 kB only. */
#ifndef PLUGINS_JSON_SHALLOW_H
#define PLUGINS_JSON_SHALLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_DEPTH 64 /* levels; no handler of the daemon takes more either */

static inline bool json_too_deep(const char *s, size_t size)
{
	bool quoted = false;
	int depth = 0;

	for (size_t i = 0; i < size; i++) {
		if (quoted && s[i] == '\\')
			i++;
		else if (s[i] == '"')
			quoted = !quoted;
		else if (!quoted && (s[i] == '[' || s[i] == '{') && ++depth > JSON_DEPTH)
			return true;
		else if (!quoted && (s[i] == ']' || s[i] == '}'))
			depth--;
	}
	return false;
}

/* json_loadb(), and NULL for what is too deep. */
static inline json_t *json_shallow(const char *s, size_t size, size_t flags)
{
	return json_too_deep(s, size) ? NULL : json_loadb(s, size, flags, NULL);
}

#endif
