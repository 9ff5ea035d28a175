/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of options from text: flags and the INI file. One function a kind. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "config/value.h"

typedef int from_text(struct config *cfg, enum opt_id id, const char *text, struct err *err);

static from_text text_BOOL, text_STR, text_INT, text_BYTES, text_IP, text_LIST, text_IPS, text_LABELS, text_DIRS, text_POOLS, text_MIRRORS,
	text_MAP, text_NRI, text_RUNTIMES, text_ULIMITS, text_NETOPTS, text_JSON;

int opt_set_text(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	static from_text *const set[] = {
#define K(name, type) [OPT_KIND_##name] = text_##name,
		OPT_KINDS(K)
#undef K
	};

	return set[opts[id].kind](cfg, id, text, err);
}

bool config_size(const char *s, int64_t *ret)
{
	static const char units[] = "kmgtp";
	char *end;
	double n;
	const char *u;
	int shift = 0;

	if (!isdigit((unsigned char)*s) && *s != '.')
		return false;
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '.' && *p != ' ')
			return false;
	if (str_has_prefix(s, "0x") || str_has_prefix(s, "0X"))
		return false;
	errno = 0;
	n = strtod(s, &end);
	if (end == s || errno)
		return false;
	while (*end == ' ')
		end++;
	if (*end && (u = strchr(units, tolower((unsigned char)*end)))) {
		shift = 10 * (int)(u - units + 1);
		end++;
		if (*end == 'i' && end[1])
			end++;
	}
	if (*end == 'b' || *end == 'B')
		end++;
	if (*end)
		return false;
	n *= (double)(INT64_C(1) << shift);
	if (n >= (double)INT64_MAX)
		return false;
	*ret = (int64_t)n;
	return true;
}

bool config_is_ip(const char *s)
{
	unsigned char addr[16];

	return inet_pton(AF_INET, s, addr) == 1 || inet_pton(AF_INET6, s, addr) == 1;
}

bool config_is_cidr(const char *s)
{
	OWN_FREE char *addr = NULL;
	const char *slash = strchr(s, '/');
	int64_t bits;

	if (!slash || !isdigit((unsigned char)slash[1]) || !str_to_i64(slash + 1, &bits))
		return false;
	addr = xstrndup(s, (size_t)(slash - s));
	return config_is_ip(addr) && bits >= 0 && bits <= (strchr(addr, ':') ? 128 : 32);
}

static int text_BOOL(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!str_bool(text, opt_field(cfg, id)))
		return err_set(err, ERR_INVALID, "strconv.ParseBool: parsing \"%s\": invalid syntax", text);
	return 0;
}

static int text_STR(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	str_set(opt_field(cfg, id), text);
	return 0;
}

static int text_INT(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	long long n;
	char *end;

	errno = 0;
	n = strtoll(text, &end, 0);
	if (end == text || *end || isspace((unsigned char)*text))
		return err_set(err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": invalid syntax", text);
	if (errno || n > INT_MAX || n < INT_MIN)
		return err_set(err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": value out of range", text);
	*(int64_t *)opt_field(cfg, id) = n;
	return 0;
}

static int text_BYTES(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!config_size(text, opt_field(cfg, id)))
		return err_set(err, ERR_INVALID, "invalid size: '%s'", text);
	return 0;
}

static int text_IP(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!config_is_ip(text))
		return err_set(err, ERR_INVALID, "%s is not an ip address", text);
	str_set(opt_field(cfg, id), text);
	return 0;
}

/* [[label].]*label of letters (one at least), digits, - and _; "." alone means no search domain. */
static bool is_domain(const char *s)
{
	size_t len = strlen(s);
	bool letter = false;

	if (streq(s, "."))
		return true;
	if (!len || len > 255)
		return false;
	for (const char *p = s; *p; p++) {
		letter |= isalpha((unsigned char)*p) != 0;
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return false;
		if (*p == '.' && (p == s || p[1] == '.'))
			return false;
	}
	return letter && isalnum((unsigned char)*s);
}

/* path: one is fine, as a prefix of names. */
static int check_mirror(const char *url, bool path_is_fine, struct err *err)
{
	const char *host = strstr(url, "://"), *path;

	if (!host || (!str_has_prefix(url, "http://") && !str_has_prefix(url, "https://")))
		return err_set(err, ERR_INVALID, "invalid mirror: unsupported scheme \"%.*s\" in \"%s\"", host ?
			(int)(host - url) : 0, url, url);
	host += 3;
	if (strchr(host, '@'))
		return err_set(err, ERR_INVALID, "invalid mirror: username/password not allowed in URI");
	path = strchr(host, '/');
	if (!*host || path == host || (path && path[1] && !path_is_fine) || strpbrk(host, "?#"))
		return err_set(err, ERR_INVALID, "invalid mirror: path, query, or fragment at end of the URI \"%s\"", url);
	return 0;
}

static int check_item(enum opt_id id, const char *text, struct err *err)
{
	switch (id) {
	case OPT_ID_dns_search:
		if (!is_domain(text))
			return err_set(err, ERR_INVALID, "%s is not a valid domain", text);
		break;
	case OPT_ID_registry_mirrors:
		return check_mirror(text, false, err);
	case OPT_ID_node_generic_resources:
		if (!strchr(text, '=') || *text == '=')
			return err_set(err, ERR_INVALID, "invalid node-generic-resource format `%s` expected "
				"`name=value`", text);
		break;
	case OPT_ID_hosts:
		return config_check_host(text, err);
	default:
		break;
	}
	return 0;
}

static int text_LIST(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	struct strv *list = opt_field(cfg, id);

	if (check_item(id, text, err) < 0)
		return -1;
	if (!strv_contains(list, text))
		strv_add(list, text);
	return 0;
}

static int text_IPS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!config_is_ip(text))
		return err_set(err, ERR_INVALID, "%s is not an ip address", text);
	strv_add(opt_field(cfg, id), text);
	return 0;
}

static int text_LABELS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!strchr(text, '=') || *text == '=')
		return err_set(err, ERR_INVALID, "bad attribute format: %s", text);
	return text_LIST(cfg, id, text, err);
}

static int text_DIRS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (*text != '/')
		return err_set(err, ERR_INVALID, "%s is not an absolute path", text);
	return text_LIST(cfg, id, text, err);
}

/* "host=url" */
static int text_MIRRORS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	const char *eq = strchr(text, '=');

	if (!eq || eq == text || strcspn(text, "/?#@ ") < (size_t)(eq - text))
		return err_set(err, ERR_INVALID, "invalid mirror: \"%s\" is not made of a registry's host[:port], '=' and a URL", text);
	return check_mirror(eq + 1, true, err) < 0 ? -1 : text_LIST(cfg, id, text, err);
}

/* "a=b,c=d": calls back with each pair. */
static int each_pair(const char *text, int (*pair)(void *ctx, const char *key, const char *value, struct err *err),
	void *ctx, struct err *err)
{
	OWN_STRV struct strv fields = { 0 };

	strv_split(&fields, text, ",");
	for (size_t i = 0; i < fields.len; i++) {
		char *eq = strchr(fields.v[i], '=');

		if (!eq)
			return err_set(err, ERR_INVALID, "invalid field '%s' must be a key=value pair", fields.v[i]);
		*eq = '\0';
		if (pair(ctx, fields.v[i], eq + 1, err) < 0)
			return -1;
	}
	return 0;
}

int config_pool_pair(void *ctx, const char *key, const char *value, struct err *err)
{
	struct config_pool *pool = ctx;

	if (streq(key, "base")) {
		if (!config_is_cidr(value) || strlen(value) >= sizeof(pool->base))
			return err_set(err, ERR_INVALID, "invalid base pool \"%s\"", value);
		snprintf(pool->base, sizeof(pool->base), "%s", value);
		return 0;
	}
	if (streq(key, "size")) {
		if (!str_to_i64(value, &pool->size) || pool->size < 1 || pool->size > 128)
			return err_set(err, ERR_INVALID, "invalid size value: %s", value);
		return 0;
	}
	return err_set(err, ERR_INVALID, "unexpected key '%s' in '%s=%s'", key, key, value);
}

int config_pool_add(struct config *cfg, enum opt_id id, const struct config_pool *pool, struct err *err)
{
	int64_t bits = 0;

	if (!*pool->base || !pool->size)
		return err_set(err, ERR_INVALID, "an address pool needs base and size");
	if (!str_to_i64(strchr(pool->base, '/') + 1, &bits) || bits > pool->size)
		return err_set(err, ERR_INVALID, "address pool %s holds no network of size %lld", pool->base,
			(long long)pool->size);
	strv_addf(opt_field(cfg, id), "base=%s,size=%lld", pool->base, (long long)pool->size);
	return 0;
}

static int text_POOLS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	struct config_pool pool = { 0 };

	return each_pair(text, config_pool_pair, &pool, err) < 0 ? -1 : config_pool_add(cfg, id, &pool, err);
}

/* Features are switches: their values are true or false. */
int config_map_set(struct config *cfg, enum opt_id id, const char *key, const char *value, struct err *err)
{
	bool on;

	if (!*key)
		return err_set(err, ERR_INVALID, "an option without a name: =%s", value);
	if (id == OPT_ID_features) {
		if (!str_bool(value, &on))
			return err_set(err, ERR_INVALID, "feature %s is true or false, not \"%s\"", key, value);
		value = on ? "true" : "false";
	}
	strmap_set(opt_field(cfg, id), key, value);
	return 0;
}

static int text_MAP(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	OWN_FREE char *key = xstrdup(text);
	char *eq = strchr(key, '=');

	if (eq)
		*eq = '\0';
	return config_map_set(cfg, id, key, eq ? eq + 1 : id == OPT_ID_features ? "true" : "", err);
}

int config_nri_pair(void *ctx, const char *key, const char *value, struct err *err)
{
	bool on;

	if (streq(key, "enable")) {
		if (!str_bool(value, &on))
			return err_set(err, ERR_INVALID, "nri-opts: enable is true or false, not \"%s\"", value);
		value = on ? "true" : "false";
	} else if (!streq(key, "plugin-path") && !streq(key, "plugin-config-path") && !streq(key, "socket-path")) {
		return err_set(err, ERR_INVALID, "nri-opts: unexpected key '%s'", key);
	}
	strmap_set(ctx, key, value);
	return 0;
}

static int text_NRI(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	return each_pair(text, config_nri_pair, opt_field(cfg, id), err);
}

int config_runtime_set(struct config *cfg, enum opt_id id, const char *name, const char *path, struct err *err)
{
	struct strmap *m = opt_field(cfg, id);

	if (streq(name, "runc") || str_has_prefix(name, "io.containerd."))
		return err_set(err, ERR_INVALID, "runtime name '%s' is reserved", name);
	if (strmap_get(m, name))
		return err_set(err, ERR_INVALID, "runtime '%s' was already defined", name);
	strmap_set(m, name, path);
	return 0;
}

static int text_RUNTIMES(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	OWN_FREE char *copy = xstrdup(text);
	char *name = copy, *path = strchr(copy, '='), *end;

	if (!path)
		return err_set(err, ERR_INVALID, "invalid runtime argument: %s", text);
	*path++ = '\0';
	name += strspn(name, " \t");
	path += strspn(path, " \t");
	for (end = name + strlen(name); end > name && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	for (end = path + strlen(path); end > path && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	if (!*name || !*path)
		return err_set(err, ERR_INVALID, "invalid runtime argument: %s", text);
	for (char *p = name; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return config_runtime_set(cfg, id, name, path, err);
}

int config_ulimit_set(struct config *cfg, enum opt_id id, const char *name, int64_t soft, int64_t hard, struct err *err)
{
	static const char *const names[] = { "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile",
		"nproc", "rss", "rtprio", "rttime", "sigpending", "stack" };
	OWN_FREE char *value = NULL;
	bool known = false;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		known |= streq(name, names[i]);
	if (!known)
		return err_set(err, ERR_INVALID, "invalid ulimit type: %s", name);
	if (soft < -1 || hard < -1)
		return err_set(err, ERR_INVALID, "ulimit %s is out of range", name);
	if (hard != -1 && (soft == -1 || soft > hard))
		return err_set(err, ERR_INVALID, "ulimit soft limit must be less than or equal to hard limit: %lld > %lld",
			(long long)soft, (long long)hard);
	value = xasprintf("%lld:%lld", (long long)soft, (long long)hard);
	strmap_set(opt_field(cfg, id), name, value);
	return 0;
}

static int text_ULIMITS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	OWN_FREE char *name = xstrdup(text);
	char *soft = strchr(name, '='), *hard;
	int64_t s, h;

	if (!soft)
		return err_set(err, ERR_INVALID, "invalid ulimit argument: %s", text);
	*soft++ = '\0';
	hard = strchr(soft, ':');
	if (hard)
		*hard++ = '\0';
	if (!str_to_i64(soft, &s) || !str_to_i64(hard ? hard : soft, &h))
		return err_set(err, ERR_INVALID, "invalid ulimit argument: %s", text);
	return config_ulimit_set(cfg, id, name, s, h, err);
}

static int text_NETOPTS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	OWN_FREE char *key = xstrdup(text);
	char *opt = strchr(key, '='), *value = opt ? strchr(opt + 1, '=') : NULL;

	if (!opt || opt == key || !value)
		return err_set(err, ERR_INVALID, "invalid default network option '%s': expected driver=option=value", text);
	*opt = '/';
	*value = '\0';
	strmap_set(opt_field(cfg, id), key, value + 1);
	return 0;
}

static int text_JSON(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	return err_set(err, ERR_INVALID, "this can be set in daemon.json only");
}
