/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of options: from text (flags, INI), from JSON, and back. One function a kind; the tables below name them. */
#include "config-value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/jw.h"

typedef int from_text(struct config *cfg, enum opt_id id, const char *text, struct err *err);
typedef int from_json(struct config *cfg, enum opt_id id, json_t *js, struct err *err);

static from_text text_BOOL, text_STR, text_INT, text_BYTES, text_IP, text_LIST, text_IPS, text_LABELS, text_DIRS, text_POOLS,
	text_MAP, text_NRI, text_RUNTIMES, text_ULIMITS, text_NETOPTS, text_JSON;
static from_json json_BOOL, json_STR, json_INT, json_BYTES, json_LIST, json_POOLS, json_MAP, json_NRI, json_RUNTIMES,
	json_ULIMITS, json_NETOPTS, json_JSON;
#define json_IP     json_STR
#define json_IPS    json_LIST
#define json_LABELS json_LIST
#define json_DIRS   json_LIST

int opt_set_text(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	static from_text *const set[] = {
#define K(name, type) [OPT_KIND_##name] = text_##name,
		OPT_KINDS(K)
#undef K
	};

	return set[opts[id].kind](cfg, id, text, err);
}

int opt_set_json(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	static from_json *const set[] = {
#define K(name, type) [OPT_KIND_##name] = json_##name,
		OPT_KINDS(K)
#undef K
	};

	return json_is_null(js) ? 0 : set[opts[id].kind](cfg, id, js, err);
}

enum opt_shape opt_shape(enum opt_id id)
{
	switch (opts[id].kind) {
	case OPT_KIND_BOOL:
		return SHAPE_BOOL;
	case OPT_KIND_INT:
	case OPT_KIND_BYTES:
		return SHAPE_INT;
	case OPT_KIND_STR:
	case OPT_KIND_IP:
	case OPT_KIND_JSON:
		return SHAPE_STR;
	case OPT_KIND_LIST:
	case OPT_KIND_IPS:
	case OPT_KIND_LABELS:
	case OPT_KIND_DIRS:
	case OPT_KIND_POOLS:
		return SHAPE_STRV;
	default:
		return SHAPE_STRMAP;
	}
}

void opt_clear(struct config *cfg, enum opt_id id)
{
	void *field = opt_field(cfg, id);

	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		*(bool *)field = false;
		break;
	case SHAPE_INT:
		*(int64_t *)field = 0;
		break;
	case SHAPE_STR:
		str_set(field, NULL);
		break;
	case SHAPE_STRV:
		strv_done(field);
		*(struct strv *)field = (struct strv){ 0 };
		break;
	case SHAPE_STRMAP:
		strmap_done(field);
		*(struct strmap *)field = (struct strmap){ 0 };
		break;
	}
}

void opt_copy(struct config *dst, const struct config *src, enum opt_id id)
{
	void *to = opt_field(dst, id);
	const void *of = opt_field(src, id);

	opt_clear(dst, id);
	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		*(bool *)to = *(const bool *)of;
		break;
	case SHAPE_INT:
		*(int64_t *)to = *(const int64_t *)of;
		break;
	case SHAPE_STR:
		str_set(to, *(char *const *)of);
		break;
	case SHAPE_STRV:
		strv_copy(to, of);
		break;
	case SHAPE_STRMAP:
		strmap_copy(to, of);
		break;
	}
	dst->from[id] = src->from[id];
}

/* The password in a URL's user part is not printed. */
static char *masked(const char *url)
{
	const char *scheme = strstr(url, "://"), *at;

	if (!scheme)
		return xstrdup(url);
	at = strrchr(scheme + 3, '@');
	if (!at)
		return xstrdup(url);
	return xasprintf("%.*sxxxxx:xxxxx%s", (int)(scheme + 3 - url), url, at);
}

char *opt_text(const struct config *cfg, enum opt_id id)
{
	const void *field = opt_field(cfg, id);
	OWN_FREE char *joined = NULL;

	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		return xstrdup(*(const bool *)field ? "true" : "false");
	case SHAPE_INT:
		return xasprintf("%lld", (long long)*(const int64_t *)field);
	case SHAPE_STR: {
		const char *s = *(char *const *)field ? *(char *const *)field : "";

		return opts[id].bits & OPT_PROXY ? masked(s) : xstrdup(s);
	}
	case SHAPE_STRV:
		joined = strv_join(field, " ");
		return xasprintf("[%s]", joined);
	case SHAPE_STRMAP: {
		OWN_BUF struct buf b = { 0 };
		OWN_STRMAP struct strmap m = { 0 };

		strmap_copy(&m, field);
		strmap_sort(&m);
		buf_adds(&b, "map[");
		for (size_t i = 0; i < m.len; i++)
			buf_addf(&b, "%s%s:%s", i ? " " : "", m.v[i].key, m.v[i].value);
		buf_addc(&b, ']');
		return buf_steal(&b);
	}
	}
	return NULL;
}

void opt_json(const struct config *cfg, enum opt_id id, struct buf *b)
{
	const void *field = opt_field(cfg, id);
	struct jw w;

	jw_init(&w, b);
	switch (opt_shape(id)) {
	case SHAPE_BOOL:
		jw_bool(&w, *(const bool *)field);
		break;
	case SHAPE_INT:
		jw_int(&w, *(const int64_t *)field);
		break;
	case SHAPE_STR:
		jw_str(&w, *(char *const *)field);
		break;
	case SHAPE_STRV: {
		const struct strv *sv = field;

		jw_arr(&w);
		for (size_t i = 0; i < sv->len; i++)
			jw_str(&w, sv->v[i]);
		jw_arr_end(&w);
		break;
	}
	case SHAPE_STRMAP: {
		OWN_STRMAP struct strmap m = { 0 };

		strmap_copy(&m, field);
		strmap_sort(&m);
		jw_obj(&w);
		for (size_t i = 0; i < m.len; i++)
			jw_kstr(&w, m.v[i].key, m.v[i].value);
		jw_obj_end(&w);
		break;
	}
	}
}

bool config_bool(const char *s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" }, *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (streq(s, yes[i]) || streq(s, no[i])) {
			*ret = streq(s, yes[i]);
			return true;
		}
	}
	return false;
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

/* ---- from text ---- */

static int text_BOOL(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	if (!config_bool(text, opt_field(cfg, id)))
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

/* [[label].]*label of letters, digits, - and _; "." alone means no search domain. */
static bool is_domain(const char *s)
{
	size_t len = strlen(s);

	if (streq(s, "."))
		return true;
	if (!len || len > 255)
		return false;
	for (const char *p = s; *p; p++) {
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return false;
		if (*p == '.' && (p == s || p[1] == '.'))
			return false;
	}
	return isalnum((unsigned char)*s);
}

static int check_mirror(const char *url, struct err *err)
{
	const char *host = strstr(url, "://"), *path;

	if (!host || (!str_has_prefix(url, "http://") && !str_has_prefix(url, "https://")))
		return err_set(err, ERR_INVALID, "invalid mirror: unsupported scheme \"%.*s\" in \"%s\"", host ? (int)(host - url) : 0, url, url);
	host += 3;
	if (strchr(host, '@'))
		return err_set(err, ERR_INVALID, "invalid mirror: username/password not allowed in URI");
	path = strchr(host, '/');
	if (!*host || path == host || (path && path[1]) || strpbrk(host, "?#"))
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
		return check_mirror(text, err);
	case OPT_ID_node_generic_resources:
		if (!strchr(text, '=') || *text == '=')
			return err_set(err, ERR_INVALID, "invalid node-generic-resource format `%s` expected `name=value`", text);
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

/* "a=b,c=d": calls back with each pair. */
static int each_pair(const char *text, int (*pair)(void *ctx, const char *key, const char *value, struct err *err), void *ctx, struct err *err)
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

struct pool { char base[64]; int64_t size; };

static int pool_pair(void *ctx, const char *key, const char *value, struct err *err)
{
	struct pool *pool = ctx;

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

static int pool_add(struct config *cfg, enum opt_id id, const struct pool *pool, struct err *err)
{
	int64_t bits = 0;

	if (!*pool->base || !pool->size)
		return err_set(err, ERR_INVALID, "an address pool needs base and size");
	if (!str_to_i64(strchr(pool->base, '/') + 1, &bits) || bits > pool->size)
		return err_set(err, ERR_INVALID, "address pool %s holds no network of size %lld", pool->base, (long long)pool->size);
	strv_addf(opt_field(cfg, id), "base=%s,size=%lld", pool->base, (long long)pool->size);
	return 0;
}

static int text_POOLS(struct config *cfg, enum opt_id id, const char *text, struct err *err)
{
	struct pool pool = { 0 };

	return each_pair(text, pool_pair, &pool, err) < 0 ? -1 : pool_add(cfg, id, &pool, err);
}

/* Features are switches: their values are true or false. */
static int map_set(struct config *cfg, enum opt_id id, const char *key, const char *value, struct err *err)
{
	bool on;

	if (!*key)
		return err_set(err, ERR_INVALID, "an option without a name: =%s", value);
	if (id == OPT_ID_features) {
		if (!config_bool(value, &on))
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
	return map_set(cfg, id, key, eq ? eq + 1 : id == OPT_ID_features ? "true" : "", err);
}

static int nri_pair(void *ctx, const char *key, const char *value, struct err *err)
{
	bool on;

	if (streq(key, "enable")) {
		if (!config_bool(value, &on))
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
	return each_pair(text, nri_pair, opt_field(cfg, id), err);
}

static int runtime_set(struct config *cfg, enum opt_id id, const char *name, const char *path, struct err *err)
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
	return runtime_set(cfg, id, name, path, err);
}

static int ulimit_set(struct config *cfg, enum opt_id id, const char *name, int64_t soft, int64_t hard, struct err *err)
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
	return ulimit_set(cfg, id, name, s, h, err);
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

/* ---- from JSON ---- */

static const char *json_word(json_t *js)
{
	switch (json_typeof(js)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	default:
		return "null";
	}
}

static int wrong_type(enum opt_id id, const char *want, json_t *got, struct err *err)
{
	return err_set(err, ERR_INVALID, "\"%s\" must be %s, not %s", opts[id].key, want, json_word(got));
}

static int json_BOOL(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_boolean(js))
		return wrong_type(id, "a boolean", js, err);
	*(bool *)opt_field(cfg, id) = json_is_true(js);
	return 0;
}

static int json_STR(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_string(js))
		return wrong_type(id, "a string", js, err);
	if (opts[id].kind == OPT_KIND_IP && !config_is_ip(json_string_value(js)))
		return err_set(err, ERR_INVALID, "invalid IP address: %s", json_string_value(js));
	str_set(opt_field(cfg, id), json_string_value(js));
	return 0;
}

static int json_INT(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (!json_is_integer(js))
		return wrong_type(id, "an integer", js, err);
	if (json_integer_value(js) > INT_MAX || json_integer_value(js) < INT_MIN)
		return err_set(err, ERR_INVALID, "\"%s\" is out of range", opts[id].key);
	*(int64_t *)opt_field(cfg, id) = json_integer_value(js);
	return 0;
}

static int json_BYTES(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	if (json_is_integer(js) && json_integer_value(js) >= 0) {
		*(int64_t *)opt_field(cfg, id) = json_integer_value(js);
		return 0;
	}
	if (!json_is_string(js))
		return wrong_type(id, "a size", js, err);
	return text_BYTES(cfg, id, json_string_value(js), err);
}

static int json_LIST(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return wrong_type(id, "an array", js, err);
	opt_clear(cfg, id);
	json_array_foreach(js, i, item) {
		if (!json_is_string(item))
			return wrong_type(id, "an array of strings", item, err);
		if (opt_set_text(cfg, id, json_string_value(item), err) < 0)
			return -1;
	}
	((struct strv *)opt_field(cfg, id))->set = true;
	return 0;
}

static int json_POOLS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	size_t i;
	json_t *item;

	if (!json_is_array(js))
		return wrong_type(id, "an array", js, err);
	json_array_foreach(js, i, item) {
		const char *key;
		struct pool pool = { 0 };
		json_t *v;

		if (!json_is_object(item))
			return wrong_type(id, "an array of objects", item, err);
		json_object_foreach(item, key, v) {
			OWN_FREE char *num = json_is_integer(v) ? xasprintf("%lld", (long long)json_integer_value(v)) : NULL;
			const char *text = num ? num : json_string_value(v);

			if (!text)
				return wrong_type(id, "made of base (a string) and size (a number)", v, err);
			if (pool_pair(&pool, key, text, err) < 0)
				return -1;
		}
		if (pool_add(cfg, id, &pool, err) < 0)
			return -1;
	}
	return 0;
}

static int json_MAP(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *key;
	json_t *v;
	bool flags = id == OPT_ID_features;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	((struct strmap *)opt_field(cfg, id))->set = true;
	json_object_foreach(js, key, v) {
		if (flags ? !json_is_boolean(v) : !json_is_string(v))
			return wrong_type(id, flags ? "an object of booleans" : "an object of strings", v, err);
		if (map_set(cfg, id, key, flags ? json_is_true(v) ? "true" : "false" : json_string_value(v), err) < 0)
			return -1;
	}
	return 0;
}

static int json_NRI(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *key;
	json_t *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, key, v) {
		const char *text = json_is_boolean(v) ? json_is_true(v) ? "true" : "false" : json_string_value(v);

		if (!text)
			return wrong_type(id, "an object of strings and booleans", v, err);
		if (nri_pair(opt_field(cfg, id), key, text, err) < 0)
			return -1;
	}
	return 0;
}

static int json_runtime(struct config *cfg, enum opt_id id, const char *name, json_t *rt, struct err *err)
{
	json_t *path = json_object_get(rt, "path"), *args = json_object_get(rt, "runtimeArgs"), *item;
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *text = NULL;
	size_t i;

	if (!json_is_object(rt))
		return wrong_type(id, "an object of objects", rt, err);
	if (json_object_get(rt, "runtimeType") || json_object_get(rt, "options"))
		return err_set(err, ERR_INVALID, "runtime %s: runtimeType and options belong to containerd, which this daemon does not use; give the runtime's path", name);
	if (!json_is_string(path) || !*json_string_value(path))
		return err_set(err, ERR_INVALID, "runtime %s: either a runtimeType or a path must be configured", name);
	if (runtime_set(cfg, id, name, json_string_value(path), err) < 0)
		return -1;
	if (!args || json_is_null(args))
		return 0;
	if (!json_is_array(args))
		return err_set(err, ERR_INVALID, "runtime %s: runtimeArgs must be an array of strings", name);
	json_array_foreach(args, i, item) {
		if (!json_is_string(item) || strchr(json_string_value(item), '\n'))
			return err_set(err, ERR_INVALID, "runtime %s: runtimeArgs must be an array of strings of one line", name);
		strv_add(&words, json_string_value(item));
	}
	text = strv_join(&words, "\n");
	if (words.len)
		strmap_set(&cfg->runtime_args, name, text);
	return 0;
}

static int json_RUNTIMES(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *name;
	json_t *rt;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, name, rt)
		if (json_runtime(cfg, id, name, rt, err) < 0)
			return -1;
	return 0;
}

static int json_ULIMITS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *name, *key;
	json_t *limit, *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, name, limit) {
		int64_t soft = 0, hard = 0;

		if (!json_is_object(limit))
			return wrong_type(id, "an object of objects", limit, err);
		json_object_foreach(limit, key, v) {
			if (strcasecmp(key, "name") == 0) {
				if (!json_is_string(v) || !streq(json_string_value(v), name))
					return err_set(err, ERR_INVALID, "ulimit %s carries another name", name);
			} else if (strcasecmp(key, "soft") == 0 || strcasecmp(key, "hard") == 0) {
				if (!json_is_integer(v))
					return wrong_type(id, "made of integers", v, err);
				*(strcasecmp(key, "soft") == 0 ? &soft : &hard) = json_integer_value(v);
			} else {
				return err_set(err, ERR_INVALID, "ulimit %s: unexpected key '%s'", name, key);
			}
		}
		if (ulimit_set(cfg, id, name, soft, hard, err) < 0)
			return -1;
	}
	return 0;
}

static int json_NETOPTS(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	const char *driver, *key;
	json_t *map, *v;

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	json_object_foreach(js, driver, map) {
		if (!json_is_object(map))
			return wrong_type(id, "an object of objects", map, err);
		json_object_foreach(map, key, v) {
			OWN_FREE char *name = xasprintf("%s/%s", driver, key);

			if (!json_is_string(v))
				return wrong_type(id, "an object of objects of strings", v, err);
			strmap_set(opt_field(cfg, id), name, json_string_value(v));
		}
	}
	return 0;
}

static int json_JSON(struct config *cfg, enum opt_id id, json_t *js, struct err *err)
{
	char **field = opt_field(cfg, id);

	if (!json_is_object(js))
		return wrong_type(id, "an object", js, err);
	free(*field);
	*field = json_dumps(js, JSON_COMPACT);
	return 0;
}
