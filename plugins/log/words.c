/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *words_get(const struct dkd_pair *v, uint32_t len, const char *key)
{
	for (uint32_t i = 0; i < len; i++)
		if (strcmp(v[i].key, key) == 0)
			return v[i].value;
	return NULL;
}

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

	if (!*digits || strspn(digits, "0123456789") != strlen(digits))
		return false;
	errno = 0;
	*ret = strtol(s, &end, 10);
	return !errno && *ret >= least && *ret <= most;
}

bool words_is_port(const char *s)
{
	return *s && strlen(s) <= 5 && strspn(s, "0123456789") == strlen(s) && atoi(s) <= 65535;
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
