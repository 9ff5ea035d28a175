/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers whose log goes to a driver: the file of the shim in between, as Docker's cache for reading, and its options. */
#include "container/internal.h"
#include "container/log/opts.h"
#include "logdriver.h"

static const char *const cache_options[] = { "cache-disabled", "cache-max-size", "cache-max-file", "cache-compress", NULL };

bool log_driver_builtin(const char *type)
{
	return str_empty(type) || streq(type, "json-file") || streq(type, "local") || streq(type, "none");
}

bool log_driver_known(const char *type)
{
	return log_driver_builtin(type) || logdriver_known(type);
}

bool log_has_driver(const struct log_config *lc)
{
	return !log_driver_builtin(lc->type);
}

void log_driver_options(const struct log_config *lc, struct strmap *ret)
{
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *key = lc->config.v[i].key;

		if (!str_has_prefix(key, "cache-") && !streq(key, "mode") && !streq(key, "max-buffer-size"))
			strmap_set(ret, key, lc->config.v[i].value);
	}
}

void log_cache_config(const struct log_config *lc, struct log_config *ret)
{
	str_set(&ret->type, "local");
	for (const char *const *o = cache_options + 1; *o; o++)
		if (strmap_get(&lc->config, *o))
			strmap_set(&ret->config, *o + strlen("cache-"), strmap_get(&lc->config, *o));
}

static int check_names(const struct log_config *lc, struct err *err)
{
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *const *o = cache_options, *key = lc->config.v[i].key;

		while (*o && !streq(*o, key))
			o++;
		if (!*o && str_has_prefix(key, "cache-"))
			return err_set(err, ERR_INVALID, "unknown log opt '%s' for %s log driver", key, lc->type);
	}
	return 0;
}

bool log_cache_disabled(const struct log_config *lc)
{
	const char *v = strmap_get(&lc->config, "cache-disabled");
	bool off = false;

	return v && log_parse_bool(v, &off) && off;
}

int log_driver_check(const struct log_config *lc, struct err *err)
{
	const char *disabled = strmap_get(&lc->config, "cache-disabled");
	OWN_STRMAP struct strmap options = { 0 };
	bool ignored;

	if (!str_empty(disabled) && !log_parse_bool(disabled, &ignored))
		return err_set(err, ERR_INVALID, "invalid value for option cache-disabled: %s", disabled);
	if (check_names(lc, err) < 0)
		return -1;
	log_driver_options(lc, &options);
	return logdriver_check(lc->type, &options, err);
}
