/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "router.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *uri_decode(const char *s, size_t size, bool plus)
{
	OWN_FREE char *ret = xmalloc(size + 1);
	char *to = ret;

	for (const char *end = s + size; s < end; s++) {
		if (*s == '%') {
			int hi, lo;

			if (end - s < 3 || (hi = hex(s[1])) < 0 || (lo = hex(s[2])) < 0 || (hi | lo) == 0)
				return NULL;
			*to++ = (char)(hi << 4 | lo);
			s += 2;
		} else {
			*to++ = plus && *s == '+' ? ' ' : *s;
		}
	}
	*to = '\0';
	return STEAL(ret);
}
