/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log driver "tee": several drivers for one container (drivers=json-file,syslog). It only says which, and which option is whose;
 * the daemon does the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "opened.h"

#define PARTS_MOST 8
#define NAME_SIZE 64

struct tee {
	char names[PARTS_MOST][NAME_SIZE];
	uint32_t len;
};

static int among(const char *key, const char *const *v)
{
	for (; *v; v++)
		if (strcmp(*v, key) == 0)
			return 1;
	return 0;
}

static int add_name(struct tee *t, const struct dkd_log *l, const struct dkd_call *call, const char *name, size_t n)
{
	static const char *const never[] = { "", "none", "tee", NULL };
	char *to = t->names[t->len < PARTS_MOST ? t->len : 0];

	if (t->len == PARTS_MOST || n >= NAME_SIZE)
		return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "log opt 'drivers': more than %d drivers, or a name that is too long", PARTS_MOST);
	memcpy(to, name, n);
	to[n] = '\0';
	if (among(to, never))
		return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "log opt 'drivers': '%s' is no driver to divide a log among", to);
	for (uint32_t i = 0; i < t->len; i++)
		if (strcmp(t->names[i], to) == 0)
			return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "log opt 'drivers': %s is there twice", to);
	t->len++;
	return 0;
}

static int read_names(struct tee *t, const struct dkd_log *l, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len)
{
	const char *at = NULL;

	t->len = 0;
	for (uint32_t i = 0; i < len; i++)
		if (strcmp(v[i].key, "drivers") == 0)
			at = v[i].value;
	if (!at)
		return l->host->fail(l->host, call, DKD_ERR_INVALID, 0, "the log driver tee needs the log opt 'drivers': names with commas between");
	for (;; at++) {
		size_t n = strcspn(at, ",");

		if (add_name(t, l, call, at, n) < 0)
			return -1;
		at += n;
		if (!*at)
			return 0;
	}
}

/* "NAME.option": the option; NULL when it is another's, or has no such prefix. */
static const char *own(const char *name, const char *key)
{
	size_t n = strlen(name);

	return strncmp(key, name, n) == 0 && key[n] == '.' && key[n + 1] ? key + n + 1 : NULL;
}

/* Is an option without a prefix for that driver? By Docker's names. */
static int is_for(const char *name, const char *key)
{
	static const char *const shared[] = { "env", "env-regex", "labels", "labels-regex", "tag", NULL },
		*const files[] = { "compress", "max-age", "max-file", "max-size", NULL };
	size_t n = strlen(name);

	if (among(key, shared))
		return strcmp(name, "local") != 0;
	if (among(key, files))
		return strcmp(name, "local") == 0 || strcmp(name, "json-file") == 0;
	return strncmp(key, name, n) == 0 && key[n] == '-';
}

static int32_t tee_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	struct tee t;
	int files = 0;

	if (read_names(&t, l, call, options, options_len) < 0)
		return -1;
	for (uint32_t k = 0; k < t.len; k++)
		files += strcmp(t.names[k], "local") == 0 || strcmp(t.names[k], "json-file") == 0;
	if (files > 1)
		return l->host->fail(l->host, call, DKD_ERR_INVALID, 0, "log opt 'drivers': json-file or local, not both");
	for (uint32_t i = 0; i < options_len; i++) {
		int known = strcmp(options[i].key, "drivers") == 0;

		for (uint32_t k = 0; k < t.len && !known; k++)
			known = own(t.names[k], options[i].key) || is_for(t.names[k], options[i].key);
		if (!known)
			return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "unknown log opt '%s' for tee log driver: none of its drivers has it", options[i].key);
	}
	return 0;
}

/* Those with the prefix come last: they win. */
static uint32_t choose(const char *name, const struct dkd_pair *v, uint32_t len, struct dkd_pair *ret)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < len; i++)
		if (strcmp(v[i].key, "drivers") != 0 && is_for(name, v[i].key))
			ret[n++] = v[i];
	for (uint32_t i = 0; i < len; i++) {
		const char *key = own(name, v[i].key);
		uint32_t at = 0;

		while (key && at < n && strcmp(ret[at].key, key) != 0)
			at++;
		if (key)
			ret[at] = (struct dkd_pair){ key, v[i].value };
		n += key && at == n;
	}
	return n;
}

static int32_t tee_parts(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len,
	dkd_emit_log *emit, void *to)
{
	struct dkd_pair *chosen = calloc((size_t)options_len + 1, sizeof(*chosen));
	struct tee t;
	int r = 0;

	if (!chosen)
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	if (read_names(&t, l, call, options, options_len) < 0)
		r = -1;
	for (uint32_t i = 0; r == 0 && i < t.len; i++) {
		uint32_t n = choose(t.names[i], options, options_len, chosen);

		if (emit(to, t.names[i], chosen, n))
			break;
	}
	free(chosen);
	return r;
}

/* The loader wants the three, the daemon never calls them. */
static int32_t tee_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	(void)subject;
	(void)ret;
	return l->host->fail(l->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "tee has no log of its own");
}

static void tee_stop(struct dkd_log_stream *s)
{
	(void)s;
}

static int32_t tee_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	(void)call;
	(void)s;
	(void)records;
	*taken = len;
	return 0;
}

static const struct dkd_log_ops ops = { .open = opened_open, .close = opened_close, .check = tee_check, .start = tee_start, .stop = tee_stop,
	.write = tee_write, .parts = tee_parts };

static const struct dkd_driver driver = { .magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops), .thread_model = DKD_THREADS_PARALLEL, .name = "tee", .version = PACKAGE_VERSION,
	.ops = &ops };

DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
