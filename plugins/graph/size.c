/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool size_parse(const char *text, uint64_t *ret)
{
	static const char units[] = "bkmgtp";
	const char *unit;
	double n;
	char *end;

	n = strtod(text, &end);
	if (end == text || strspn(text, "0123456789.") != (size_t)(end - text))
		return false;
	while (*end == ' ')
		end++;
	if (*end) {
		unit = strchr(units, *end | 0x20);
		if (!unit)
			return false;
		for (const char *u = units; u < unit; u++)
			n *= 1024;
		end += unit == units ? 1 : strcasecmp(end + 1, "ib") == 0 ? 3 : strcasecmp(end + 1, "b") == 0 ? 2 : 1;
	}
	if (*end || n >= 9.2e18)
		return false;
	*ret = (uint64_t)n;
	return true;
}

const char *size_human(uint64_t bytes, char ret[SIZE_TEXT])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double n = (double)bytes;
	size_t i = 0;

	for (; n >= 1000 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		n /= 1000;
	snprintf(ret, SIZE_TEXT, "%.4g%s", n, units[i]);
	return ret;
}
