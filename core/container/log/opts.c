/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LogConfig: which drivers there are, their options, and what the shim is told. */
#include <ctype.h>
#include <regex.h>
#include <stdlib.h>

#include "base/clock.h"
#include "container/internal.h"
#include "container/log/opts.h"
#include "logdriver.h"

#define BUFFER_DEFAULT (INT64_C(1) << 20)
#define AGE_LEAST      NSEC_PER_SEC
#define INIT_FAILED    "failed to initialize logging driver: "

static const char *const json_file_options[] = { "max-size", "max-file", "max-age", "compress", "labels", "labels-regex", "env",
	"env-regex", "tag", NULL };
static const char *const local_options[] = { "max-size", "max-file", "max-age", "compress", NULL };

static bool type_is_local(const struct log_config *lc)
{
	return lc->type && streq(lc->type, "local");
}

static char *local_dir(const struct container *c)
{
	OWN_FREE char *dir = container_dir(c);

	return xasprintf("%s/local-logs", dir);
}

char *log_file_path(const struct container *c, const struct log_config *lc)
{
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };
	OWN_FREE char *dir = container_dir(c), *local = local_dir(c);

	if (log_plan_make(lc, &plan, NULL) < 0 || plan.cached)
		return xasprintf("%s/container-cached.log", dir);
	return log_plan_is_local(&plan) ? xasprintf("%s/container.log", local) : xasprintf("%s/%s-json.log", dir, c->id);
}

int log_file_prepare(const struct container *c, struct err *err)
{
	OWN_FREE char *path = log_file_path(c, &c->host.log), *dir = local_dir(c);

	return str_has_prefix(path, dir) ? fs_mkdirs(dir, 0700, err) : 0;
}

/* "10m", "1.5gb", "64KiB", "1 MB": a thousand or 1024 of one are the next, as the option has it. */
static bool parse_size(const char *s, double step, int64_t *ret)
{
	static const char units[] = "kmgtp";
	size_t n = strspn(s, "0123456789"), dot = s[n] == '.' ? strspn(s + n + 1, "0123456789") + 1 : 0;
	double v = n && dot != 1 ? strtod(s, NULL) : -1;
	const char *rest = s + n + dot + (s[n + dot] == ' '), *unit = *rest ? strchr(units, *rest | 0x20) : NULL;

	if (unit) {
		for (; unit >= units; unit--)
			v *= step;
		rest++;
	}
	rest += *rest == 'i' || *rest == 'I';
	rest += *rest == 'b' || *rest == 'B';
	if (*rest || v < 0 || v >= 9e18)
		return false;
	*ret = (int64_t)v;
	return true;
}

/* A Go duration, or days: "7d". */
static bool parse_age(const char *s, int64_t *ret)
{
	size_t n = strspn(s, "0123456789");
	OWN_FREE char *digits = xstrndup(s, n);
	int64_t days;

	if (!streq(s + n, "d"))
		return clock_parse_duration(s, ret) && *ret >= AGE_LEAST;
	return str_to_i64(digits, &days) && !__builtin_mul_overflow(days, 24 * 3600 * NSEC_PER_SEC, ret) && *ret >= AGE_LEAST;
}

/* max-size and max-file; the defaults where an option is absent. */
static int parse_bounds(const struct log_config *lc, struct shim_log *ret, struct err *err)
{
	const char *size = strmap_get(&lc->config, "max-size"), *files = strmap_get(&lc->config, "max-file");
	bool local = type_is_local(lc), unlimited = size && streq(size, "-1") && !local;
	int64_t n = size && !local ? 1 : LOG_MAX_FILE_DEFAULT;

	ret->max_size = unlimited ? -1 : LOG_MAX_SIZE_DEFAULT;
	if (size && !unlimited && !parse_size(size, 1000, &ret->max_size))
		return local ? err_set(err, ERR_INVALID, INIT_FAILED "invalid value for max-size: %s: invalid size: '%s'", size, size) :
			       err_set(err, ERR_INVALID, INIT_FAILED "invalid size: '%s'", size);
	if (ret->max_size == 0)
		return err_set(err, ERR_INVALID, INIT_FAILED "max-size must be a positive number");
	if (files && !str_to_i64(files, &n))
		return err_set(err, ERR_INVALID, INIT_FAILED "%sstrconv.Atoi: parsing \"%s\": invalid syntax",
			local ? "invalid value for max-file: " : "", files);
	if (n < 1 || n > LOG_MAX_FILE_MOST)
		return err_set(err, ERR_INVALID, INIT_FAILED "max-file cannot be %s", n < 1 ? "less than 1" : "more than 1000");
	if (n > 1 && unlimited)
		return err_set(err, ERR_INVALID, INIT_FAILED "max-file cannot be specified without max-size");
	ret->max_file = (int)n;
	return 0;
}

/* How files are bounded and turned into the next. A log is bounded unless max-size=-1 asks for the contrary. */
static int parse_rotation(const struct log_config *lc, struct shim_log *ret, struct err *err)
{
	const char *compress = strmap_get(&lc->config, "compress"), *age = strmap_get(&lc->config, "max-age");
	bool local = type_is_local(lc);

	if (parse_bounds(lc, ret, err) < 0)
		return -1;
	ret->compress = local;
	if (compress && !str_bool(compress, &ret->compress))
		return err_set(err, ERR_INVALID, INIT_FAILED "%sstrconv.ParseBool: parsing \"%s\": invalid syntax",
			local ? "error reading compress log option: " : "", compress);
	if (ret->compress && ret->max_file < 2)
		return err_set(err, ERR_INVALID, INIT_FAILED "%s", local ? "compression cannot be enabled when max file count is 1" :
			"compress cannot be true when max-file is less than 2 or max-size is not set");
	if (age && !parse_age(age, &ret->max_age))
		return err_set(err, ERR_INVALID, INIT_FAILED "invalid value for max-age: '%s': a duration of a second or more, as in 36h or 7d", age);
	return 0;
}

static int parse_mode(const struct log_config *lc, struct shim_log *ret, struct err *err)
{
	const char *mode = strmap_get(&lc->config, "mode"), *size = strmap_get(&lc->config, "max-buffer-size");
	bool buffered = mode && streq(mode, "non-blocking");

	if (!str_empty(mode) && !buffered && !streq(mode, "blocking"))
		return err_set(err, ERR_INVALID, "logger: logging mode not supported: %s", mode);
	if (size && !buffered)
		return err_set(err, ERR_INVALID, "logger: max-buffer-size option is only supported with 'mode=non-blocking'");
	ret->buffer = buffered ? BUFFER_DEFAULT : 0;
	if (size && !parse_size(size, 1024, &ret->buffer))
		return err_set(err, ERR_INVALID, "error parsing option max-buffer-size: invalid size: '%s'", size);
	if (size && ret->buffer > LOG_BUFFER_MOST)
		return err_set(err, ERR_INVALID, "error parsing option max-buffer-size: '%s' is more than 1g", size);
	if (buffered && ret->buffer == 0)
		ret->buffer = BUFFER_DEFAULT;
	return 0;
}

static int check_names(const struct log_config *lc, struct err *err)
{
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *const *o = type_is_local(lc) ? local_options : json_file_options, *key = lc->config.v[i].key;

		while (*o && !streq(*o, key))
			o++;
		/* Docker's daemon takes a cache's of these, too, which need none. */
		if (*o || streq(key, "mode") || streq(key, "max-buffer-size") || log_cache_option(key))
			continue;
		return err_set(err, ERR_INVALID, type_is_local(lc) ? "unknown log opt '%s' for log driver local" :
			"unknown log opt '%s' for json-file log driver", key);
	}
	return 0;
}

static int compile(const char *pattern, regex_t *ret, struct err *err);

static int check_patterns(const struct log_config *lc, struct err *err)
{
	static const char *const keys[] = { "labels-regex", "env-regex" };

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *pattern = strmap_get(&lc->config, keys[i]);
		regex_t re;

		if (str_empty(pattern))
			continue;
		if (compile(pattern, &re, err) < 0)
			return -1;
		regfree(&re);
	}
	return 0;
}

static int check_plan(const struct log_plan *p, struct err *err)
{
	struct shim_log ignored = { 0 };

	if ((!p->cached && check_names(&p->shim, err) < 0) || parse_rotation(&p->shim, &ignored, err) < 0 || check_patterns(&p->shim, err) < 0)
		return -1;
	for (size_t i = 0; i < p->len; i++)
		if (check_patterns(&p->parts[i], err) < 0)
			return -1;
	return 0;
}

int log_opts_check(const char *type, const struct strmap *opts, struct err *err)
{
	const struct log_config lc = { .type = (char *)type, .config = *opts };
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };
	struct shim_log ignored = { 0 };

	if (type && streq(type, "none"))
		return 0;
	if (parse_mode(&lc, &ignored, err) < 0 || log_cache_check(&lc, err) < 0)
		return -1;
	if (log_has_driver(&lc) ? log_driver_check(&lc, &plan, err) < 0 : log_plan_make(&lc, &plan, err) < 0)
		return -1;
	return check_plan(&plan, err);
}

int log_config_check(const struct log_config *lc, struct err *err)
{
	if (!log_driver_known(lc->type))
		return err_set(
			err, ERR_INVALID, "error looking up logging plugin %s: plugin \"%s\" not found", lc->type, lc->type);
	return log_opts_check(lc->type, &lc->config, err);
}

void log_config_warn(const struct log_config *lc, struct strv *warnings)
{
	static const struct { const char *driver, *option, *instead; } idle[] = {
		{ "fluentd", "fluentd-buffer-limit", "cache-max-size and cache-max-file bound what waits for the server" },
	};
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };

	if (!log_has_driver(lc) || log_plan_make(lc, &plan, NULL) < 0)
		return;
	for (size_t i = 0; i < plan.len; i++)
		for (size_t k = 0; k < ARRAY_LEN(idle); k++)
			if (streq(plan.parts[i].type, idle[k].driver) && strmap_get(&plan.parts[i].config, idle[k].option))
				strv_addf(warnings, "The log option %s has no effect: %s.", idle[k].option, idle[k].instead);
}

/* Go's expressions as far as POSIX extended ones mean the same; what would mean another is refused. */
static int compile(const char *pattern, regex_t *ret, struct err *err)
{
	char text[128];
	int r;

	for (const char *p = pattern; *p; p++) {
		if ((p[0] == '(' && p[1] == '?') || (p[0] == '\\' && isalnum((unsigned char)p[1]) && !strchr("wWsSbB", p[1])))
			return err_set(err, ERR_NOT_IMPLEMENTED, "the log option's expression %s has %.2s, which is not supported", pattern, p);
		p += *p == '\\' && p[1];
	}
	r = regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB);
	if (r == 0)
		return 0;
	if (r == REG_EPAREN)
		return err_set(err, ERR_INVALID, INIT_FAILED "error parsing regexp: missing closing ): `%s`", pattern);
	if (r == REG_EBRACK)
		return err_set(err, ERR_INVALID, INIT_FAILED "error parsing regexp: missing closing ]: `%s`", strchr(pattern, '['));
	regerror(r, ret, text, sizeof(text));
	return err_set(err, ERR_INVALID, INIT_FAILED "error parsing regexp: %s: `%s`", text, pattern);
}

static int add_matching(struct strmap *attrs, const char *pattern, const struct strmap *from, struct err *err)
{
	regex_t re;

	if (str_empty(pattern))
		return 0;
	if (compile(pattern, &re, err) < 0)
		return -1;
	for (size_t i = 0; i < from->len; i++)
		if (regexec(&re, from->v[i].key, 0, NULL, 0) == 0)
			strmap_set(attrs, from->v[i].key, from->v[i].value);
	regfree(&re);
	return 0;
}

static void add_named(struct strmap *attrs, const char *names, const struct strmap *from)
{
	OWN_STRV struct strv keys = { 0 };

	strv_split(&keys, names ? names : "", ",");
	for (size_t i = 0; i < keys.len; i++)
		if (strmap_get(from, keys.v[i]))
			strmap_set(attrs, keys.v[i], strmap_get(from, keys.v[i]));
}

void log_env(const struct container *c, struct strmap *ret)
{
	for (size_t i = 0; i < c->rec.config.env.len; i++) {
		const char *word = c->rec.config.env.v[i], *eq = strchr(word, '=');
		OWN_FREE char *key = eq ? xstrndup(word, (size_t)(eq - word)) : NULL;

		if (key && *key)
			strmap_set(ret, key, eq + 1);
	}
}

int log_attrs(const struct container *c, const struct strmap *conf, struct strmap *ret, struct err *err)
{
	const struct strmap *labels = &c->rec.config.labels;
	OWN_STRMAP struct strmap env = { 0 };

	log_env(c, &env);
	add_named(ret, strmap_get(conf, "labels"), labels);
	add_named(ret, strmap_get(conf, "env"), &env);
	if (add_matching(ret, strmap_get(conf, "labels-regex"), labels, err) < 0)
		return -1;
	return add_matching(ret, strmap_get(conf, "env-regex"), &env, err);
}

static int build_attrs(const struct container *c, const struct strmap *options, char **ret, struct err *err)
{
	const char *tag = strmap_get(options, "tag");
	OWN_STRMAP struct strmap attrs = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (log_attrs(c, options, &attrs, err) < 0)
		return -1;
	if (!str_empty(tag)) {
		if (log_tag(c, tag, &b, err) < 0)
			return -1;
		strmap_set(&attrs, "tag", b.data ? b.data : "");
		buf_reset(&b);
	}
	if (!attrs.len)
		return 0;
	jw_init(&w, &b);
	attrs.set = true;
	jw_strmap(&w, &attrs);
	*ret = buf_steal(&b);
	return 0;
}

/* What a driver's log cannot be begun with is found here, before anything runs. */
static int check_begin(const struct container *c, const struct log_config *part, struct err *err)
{
	OWN_BUF struct buf tag = { 0 };

	if (log_tag_of(c, &part->config, &tag, err) < 0)
		return -1;
	return logdriver_probe(part->type, err) < 0 ? err_wrap(err, "failed to initialize logging driver") : 0;
}

int log_config_fill(const struct container *c, const char *path, struct shim_log *ret, char **ret_attrs, struct err *err)
{
	const struct log_config *lc = &c->host.log;
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };

	if (lc->type && streq(lc->type, "none")) {
		*ret = (struct shim_log){ .driver = "none", .max_size = -1, .max_file = 1 };
		return 0;
	}
	if (log_plan_make(lc, &plan, err) < 0)
		return -1;
	*ret = (struct shim_log){ .driver = log_plan_is_local(&plan) ? "local" : "json-file", .path = path };
	if (parse_rotation(&plan.shim, ret, err) < 0 || parse_mode(lc, ret, err) < 0)
		return -1;
	if (!log_plan_is_local(&plan) && build_attrs(c, &plan.shim.config, ret_attrs, err) < 0)
		return -1;
	for (size_t i = 0; i < plan.len; i++)
		if (check_begin(c, &plan.parts[i], err) < 0)
			return -1;
	ret->attrs = *ret_attrs;
	return 0;
}
