/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LogConfig: which drivers there are, their options, and what the shim is told. */
#include <strings.h>

#include "container/internal.h"

static const char *const json_file_options[] = { "max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex",
	"tag", "mode", "max-buffer-size", NULL };

bool log_driver_known(const char *type)
{
	return str_empty(type) || streq(type, "json-file") || streq(type, "none");
}

/* "10m", "1gb", "-1"; units are powers of 1024. */
static bool parse_size(const char *s, int64_t *ret)
{
	size_t n = strspn(s, "0123456789");
	OWN_FREE char *digits = xstrndup(s, n);
	const char *unit = s + n;
	int64_t v, mult;

	if (streq(s, "-1")) {
		*ret = -1;
		return true;
	}
	if (!n || !str_to_i64(digits, &v))
		return false;
	if (!*unit || strcasecmp(unit, "b") == 0)
		mult = 1;
	else if (strcasecmp(unit, "k") == 0 || strcasecmp(unit, "kb") == 0)
		mult = 1 << 10;
	else if (strcasecmp(unit, "m") == 0 || strcasecmp(unit, "mb") == 0)
		mult = 1 << 20;
	else if (strcasecmp(unit, "g") == 0 || strcasecmp(unit, "gb") == 0)
		mult = 1 << 30;
	else
		return false;
	return !__builtin_mul_overflow(v, mult, ret) && *ret > 0;
}

/* ret is filled with the defaults where an option is absent: a log is bounded unless max-size=-1 asks for the contrary. */
static int parse_rotation(const struct log_config *lc, struct shim_log *ret, struct err *err)
{
	const char *size = strmap_get(&lc->config, "max-size"), *files = strmap_get(&lc->config, "max-file");
	const char *compress = strmap_get(&lc->config, "compress");
	int64_t n = size ? 1 : LOG_MAX_FILE_DEFAULT;

	ret->max_size = LOG_MAX_SIZE_DEFAULT;
	if (size && !parse_size(size, &ret->max_size))
		return err_set(err, ERR_INVALID, "failed to initialize logging driver: invalid size: '%s'", size);
	if (files && (!str_to_i64(files, &n) || n < 1 || n > 1000))
		return err_set(err, ERR_INVALID, "failed to initialize logging driver: max-file cannot be less than 1");
	if (files && n > 1 && size && ret->max_size < 0)
		return err_set(
			err, ERR_INVALID, "failed to initialize logging driver: max-file cannot be specified without max-size");
	if (compress && strcasecmp(compress, "true") != 0 && strcasecmp(compress, "false") != 0 && !streq(compress, "1") &&
		!streq(compress, "0"))
		return err_set(err, ERR_INVALID,
			"failed to initialize logging driver: strconv.ParseBool: parsing \"%s\": invalid syntax", compress);
	ret->max_file = (int)n;
	ret->compress = compress && (strcasecmp(compress, "true") == 0 || streq(compress, "1"));
	if (ret->compress && n < 2)
		return err_set(err, ERR_INVALID,
			"failed to initialize logging driver: compress cannot be true when max-file is less than 2 or unset");
	if (ret->compress)
		return err_set(err, ERR_NOT_IMPLEMENTED, "the log option compress=true is not supported yet");
	return 0;
}

int log_config_check(const struct log_config *lc, struct err *err)
{
	struct shim_log ignored = { 0 };

	if (!log_driver_known(lc->type))
		return err_set(
			err, ERR_INVALID, "error looking up logging plugin %s: plugin \"%s\" not found", lc->type, lc->type);
	if (lc->type && streq(lc->type, "none"))
		return 0;
	for (size_t i = 0; i < lc->config.len; i++) {
		const char *const *o = json_file_options;

		while (*o && !streq(*o, lc->config.v[i].key))
			o++;
		if (!*o)
			return err_set(err, ERR_INVALID, "unknown log opt '%s' for json-file log driver", lc->config.v[i].key);
	}
	if (strmap_get(&lc->config, "labels-regex") || strmap_get(&lc->config, "env-regex"))
		return err_set(err, ERR_NOT_IMPLEMENTED, "the log options labels-regex and env-regex are not supported yet");
	const char *mode = strmap_get(&lc->config, "mode");
	if (mode && !streq(mode, "blocking") && !streq(mode, "non-blocking"))
		return err_set(err, ERR_INVALID, "logger: logging mode not supported: %s", mode);
	return parse_rotation(lc, &ignored, err);
}

/* The words of a tag template: {{.ID}}, {{.Name}}, ... */
static int tag_word(const struct container *c, const char *word, struct buf *b, struct err *err)
{
	const char *image = c->rec.image ? c->rec.image : "";

	if (streq(word, ".ID"))
		buf_add(b, c->id, 12);
	else if (streq(word, ".FullID"))
		buf_adds(b, c->id);
	else if (streq(word, ".Name"))
		buf_adds(b, c->rec.name + 1);
	else if (streq(word, ".ImageName"))
		buf_adds(b, c->rec.config.image ? c->rec.config.image : "");
	else if (streq(word, ".ImageFullID"))
		buf_adds(b, image);
	else if (streq(word, ".ImageID"))
		buf_add(b, str_has_prefix(image, "sha256:") ? image + 7 : image, strlen(image) >= 19 ? 12 : 0);
	else if (streq(word, ".DaemonName"))
		buf_adds(b, "docker");
	else
		return err_set(
			err, ERR_INVALID, "failed to initialize logging driver: unknown word in the log tag: {{%s}}", word);
	return 0;
}

static int expand_tag(const struct container *c, const char *tag, struct buf *b, struct err *err)
{
	while (*tag) {
		const char *open = strstr(tag, "{{"), *close = open ? strstr(open, "}}") : NULL;

		if (!open) {
			buf_adds(b, tag);
			return 0;
		}
		if (!close)
			return err_set(err, ERR_INVALID, "failed to initialize logging driver: the log tag has no end of {{");
		buf_add(b, tag, (size_t)(open - tag));
		OWN_FREE char *word = xstrndup(open + 2, (size_t)(close - open - 2));
		if (tag_word(c, word, b, err) < 0)
			return -1;
		tag = close + 2;
	}
	return 0;
}

static int build_attrs(const struct container *c, char **ret, struct err *err)
{
	const struct strmap *conf = &c->host.log.config;
	const char *labels = strmap_get(conf, "labels"), *env = strmap_get(conf, "env"), *tag = strmap_get(conf, "tag");
	OWN_STRMAP struct strmap attrs = { 0 };
	OWN_STRV struct strv names = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	strv_split(&names, labels ? labels : "", ",");
	for (size_t i = 0; i < names.len; i++)
		if (strmap_get(&c->rec.config.labels, names.v[i]))
			strmap_set(&attrs, names.v[i], strmap_get(&c->rec.config.labels, names.v[i]));
	strv_done(&names);
	strv_split(&names, env ? env : "", ",");
	for (size_t i = 0; i < names.len; i++)
		if (*names.v[i] && strv_env_get(&c->rec.config.env, names.v[i]))
			strmap_set(&attrs, names.v[i], strv_env_get(&c->rec.config.env, names.v[i]));
	if (!str_empty(tag)) {
		if (expand_tag(c, tag, &b, err) < 0)
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

int log_config_fill(const struct container *c, const char *path, struct shim_log *ret, char **ret_attrs, struct err *err)
{
	const struct log_config *lc = &c->host.log;

	if (lc->type && streq(lc->type, "none")) {
		*ret = (struct shim_log){ .driver = "none", .max_size = -1, .max_file = 1 };
		return 0;
	}
	*ret = (struct shim_log){ .driver = "json-file", .path = path };
	if (parse_rotation(lc, ret, err) < 0 || build_attrs(c, ret_attrs, err) < 0)
		return -1;
	ret->attrs = *ret_attrs;
	return 0;
}
