/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a log goes: to drivers, and the file of the shim in between, as Docker's cache for reading, and its options. */
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

/* Those that are a driver's work. */
static void driver_options(const struct log_config *lc, struct strmap *ret)
{
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *key = lc->config.v[i].key;

		if (!str_has_prefix(key, "cache-") && !streq(key, "mode") && !streq(key, "max-buffer-size"))
			strmap_set(ret, key, lc->config.v[i].value);
	}
}

static void cache_config(const struct log_config *lc, struct log_config *ret)
{
	str_set(&ret->type, "local");
	for (const char *const *o = cache_options + 1; *o; o++)
		if (strmap_get(&lc->config, *o))
			strmap_set(&ret->config, *o + strlen("cache-"), strmap_get(&lc->config, *o));
}

static void config_done(struct log_config *lc)
{
	free(lc->type);
	strmap_done(&lc->config);
}

void log_plan_done(struct log_plan *p)
{
	config_done(&p->shim);
	for (size_t i = 0; i < p->len; i++)
		config_done(&p->parts[i]);
	free(p->parts);
	*p = (struct log_plan){ 0 };
}

bool log_plan_is_local(const struct log_plan *p)
{
	return p->shim.type && streq(p->shim.type, "local");
}

/* What is one part too many is a part, too: log_driver_check() finds it. */
static void add_part(void *to, const char *name, const struct strmap *options)
{
	struct log_plan *p = to;
	struct log_config *lc = log_driver_builtin(name) && !p->shim.type ? &p->shim : NULL;

	if (!lc) {
		p->parts = xrealloc(p->parts, (p->len + 1) * sizeof(*p->parts));
		lc = &p->parts[p->len++];
		*lc = (struct log_config){ 0 };
	}
	str_set(&lc->type, name);
	strmap_copy(&lc->config, options);
}

int log_plan_make(const struct log_config *lc, struct log_plan *ret, struct err *err)
{
	OWN_STRMAP struct strmap options = { 0 };
	int r;

	*ret = (struct log_plan){ 0 };
	if (!log_has_driver(lc)) {
		add_part(ret, str_empty(lc->type) ? "json-file" : lc->type, &lc->config);
		return 0;
	}
	driver_options(lc, &options);
	r = logdriver_parts(lc->type, &options, add_part, ret, err);
	if (r < 0) {
		log_plan_done(ret);
		return -1;
	}
	ret->divided = r;
	ret->cached = !ret->shim.type;
	if (ret->cached)
		cache_config(lc, &ret->shim);
	if (!ret->divided)
		add_part(ret, lc->type, &options);
	return 0;
}

bool log_cache_option(const char *key)
{
	const char *const *o = cache_options;

	while (*o && !streq(*o, key))
		o++;
	return *o;
}

static int check_names(const struct log_config *lc, struct err *err)
{
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *key = lc->config.v[i].key;

		if (!log_cache_option(key) && str_has_prefix(key, "cache-"))
			return err_set(err, ERR_INVALID, "unknown log opt '%s' for %s log driver", key, lc->type);
	}
	return 0;
}

bool log_cache_disabled(const struct log_config *lc)
{
	const char *v = strmap_get(&lc->config, "cache-disabled");
	bool off = false;

	return log_has_driver(lc) && v && str_bool(v, &off) && off;
}

int log_cache_check(const struct log_config *lc, struct err *err)
{
	const char *disabled = strmap_get(&lc->config, "cache-disabled");
	bool ignored;

	if (!str_empty(disabled) && !str_bool(disabled, &ignored))
		return err_set(err, ERR_INVALID, "invalid value for option cache-disabled: %s", disabled);
	return 0;
}

static void ignore_part(void *to, const char *name, const struct strmap *options)
{
	(void)to;
	(void)name;
	(void)options;
}

static int check_part(const struct log_config *lc, const struct log_config *part, struct err *err)
{
	int r;

	if (log_driver_builtin(part->type))
		return err_set(err, ERR_INVALID, "log driver %s: %s cannot be beside another of the daemon's own logs", lc->type, part->type);
	if (!logdriver_known(part->type))
		return err_set(err, ERR_INVALID, "error looking up logging plugin %s: plugin \"%s\" not found", part->type, part->type);
	if (logdriver_check(part->type, &part->config, err) < 0)
		return -1;
	r = logdriver_parts(part->type, &part->config, ignore_part, NULL, err);
	return r > 0 ? err_set(err, ERR_INVALID, "log driver %s: %s has no log of its own", lc->type, part->type) : r;
}

int log_driver_check(const struct log_config *lc, struct log_plan *ret, struct err *err)
{
	OWN_STRMAP struct strmap options = { 0 };

	if (check_names(lc, err) < 0)
		return -1;
	driver_options(lc, &options);
	if (logdriver_check(lc->type, &options, err) < 0 || log_plan_make(lc, ret, err) < 0)
		return -1;
	if (ret->divided && streq(ret->shim.type, "none"))
		return err_set(err, ERR_INVALID, "log driver %s: none cannot be beside a log", lc->type);
	for (size_t i = 0; ret->divided && i < ret->len; i++)
		if (check_part(lc, &ret->parts[i], err) < 0)
			return -1;
	for (size_t i = 0; !ret->cached && i < lc->config.len; i++)
		if (str_has_prefix(lc->config.v[i].key, "cache-"))
			return err_set(err, ERR_INVALID, "log opt '%s' has no effect beside %s, which docker logs reads", lc->config.v[i].key, ret->shim.type);
	return 0;
}
