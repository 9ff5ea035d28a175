/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

int words_known(const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len, const char *const *known,
	const char *driver)
{
	for (uint32_t i = 0; i < len; i++) {
		const char *const *k = known;

		while (*k && strcmp(*k, v[i].key) != 0)
			k++;
		if (!*k)
			return dkd_failf(host, call, DKD_ERR_INVALID, 0, "unknown log opt '%s' for %s log driver", v[i].key, driver);
	}
	return 0;
}

bool words_number(const char *s, long least, long most, long *ret)
{
	const char *digits = s + (*s == '-' || *s == '+');
	char *end;

	if (!*digits || strspn(digits, DIGITS) != strlen(digits))
		return false;
	errno = 0;
	*ret = strtol(s, &end, 10);
	return !errno && *ret >= least && *ret <= most;
}

bool words_is_port(const char *s)
{
	return *s && strlen(s) <= 5 && strspn(s, DIGITS) == strlen(s) && atoi(s) <= 65535;
}

bool words_bool(const char *s, bool *ret)
{
	static const char *const all[] = { "1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i], s) == 0) {
			*ret = i < 6;
			return true;
		}
	}
	return false;
}

/* A number with perhaps a fraction, no sign, no exponent; it goes by no locale. NULL: there is none, else what follows it. */
static const char *take_number(const char *s, double *ret)
{
	double unit = 1;
	bool any = false;

	for (*ret = 0; *s >= '0' && *s <= '9'; s++, any = true)
		*ret = *ret * 10 + (*s - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, any = true)
			*ret += (*s - '0') * (unit /= 10);
	return any ? s : NULL;
}

bool words_is_size(const char *s)
{
	double n;

	s = take_number(s, &n);
	if (!s)
		return false;
	s += *s == ' ';
	s += *s && strchr("kKmMgGtTpP", *s);
	s += *s == 'i' || *s == 'I';
	s += *s == 'b' || *s == 'B';
	return !*s;
}

/* -1: there is none of that name. */
static double unit_of_time(const char *s, size_t size)
{
	static const struct { const char *name; double ns; } units[] = { { "ns", 1 }, { "us", 1e3 }, { "\302\265s", 1e3 }, { "ms", 1e6 },
		{ "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 } };

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == size && strncmp(units[i].name, s, size) == 0)
			return units[i].ns;
	return -1;
}

bool words_duration(const char *s, int64_t *ret_ns, char *why, size_t why_size)
{
	const char *at = s + (*s == '-' || *s == '+');
	double sum = 0, n;

	if (strcmp(at, "0") == 0)
		at++;
	else if (!*at)
		at = NULL;
	while (at && *at && (at = take_number(at, &n))) {
		size_t size = strcspn(at, "." DIGITS);
		double unit = unit_of_time(at, size);

		if (unit < 0) {
			if (size)
				snprintf(why, why_size, "time: unknown unit \"%.*s\" in duration \"%s\"", (int)size, at, s);
			else
				snprintf(why, why_size, "time: missing unit in duration \"%s\"", s);
			return false;
		}
		sum += n * unit;
		at += size;
	}
	if (!at || sum > 9e18) {
		snprintf(why, why_size, "time: invalid duration \"%s\"", s);
		return false;
	}
	*ret_ns = (int64_t)(*s == '-' ? -sum : sum);
	return true;
}

enum words_split words_split(char *s, char **ret_host, char **ret_port)
{
	char *end = *s == '[' ? strchr(s, ']') : NULL, *colon = strrchr(end ? end : s, ':');

	*ret_host = s;
	*ret_port = NULL;
	if (*s == '[' && !end)
		return WORDS_BRACKET;
	if (end && end[1] && end + 1 != colon)
		return WORDS_COLONS;
	if (!end && colon && strchr(s, ':') != colon)
		return WORDS_COLONS;
	if (end) {
		*end = '\0';
		++*ret_host;
	}
	if (!colon)
		return WORDS_NO_PORT;
	*colon = '\0';
	*ret_port = colon + 1;
	return WORDS_OK;
}
