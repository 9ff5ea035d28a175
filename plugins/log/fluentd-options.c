/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fluentd.h"
#include "words.h"

#define DEFAULT_HOST "127.0.0.1"
#define DEFAULT_PORT "24224"
#define DEFAULT_WAIT INT64_C(1000000000)
#define LEAST_RECONNECT INT64_C(100000000)
#define MOST_RECONNECT  INT64_C(10000000000)

/* What the options are read from, and where errors go. */
struct source {
	const struct dkd_host *host;
	const struct dkd_call *call;
	const struct dkd_pair *v;
	uint32_t len;
};

/* NULL: not given, or as good as that. */
static const char *get(const struct source *s, const char *key)
{
	const char *value = dkd_pair_get(s->v, s->len, key);

	return value && *value ? value : NULL;
}

static int bad_address(const struct source *s, const char *why)
{
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid fluentd-address (%s): %s", get(s, "fluentd-address"), why);
}

static int read_path(struct fluentd_options *o, const struct source *s, char *path)
{
	o->kind = WIRE_UNIX;
	o->port = "";
	o->host = strchr(path, '/');
	return o->host && strspn(o->host, "/") != strlen(o->host) ? 0 : bad_address(s, "path is empty");
}

/* As one that reads addresses as URLs says it. */
static int bad_url(const struct source *s, const char *why)
{
	const char *address = get(s, "fluentd-address");

	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid fluentd-address (%s): parse \"%s%s\": %s", address,
		strstr(address, "://") ? "" : "tcp://", address, why);
}

static int bad_port(const struct source *s, const char *port)
{
	char why[128];

	snprintf(why, sizeof(why), "invalid port \":%.64s\" after host", port);
	return bad_url(s, why);
}

static int check_port(const struct source *s, const char *port)
{
	char why[128];

	if (strspn(port, "0123456789") != strlen(port))
		return bad_port(s, port);
	if (words_is_port(port))
		return 0;
	snprintf(why, sizeof(why), "invalid port: strconv.ParseUint: parsing \"%.32s\": value out of range", port);
	return bad_address(s, why);
}

static int read_host(struct fluentd_options *o, const struct source *s, char *rest)
{
	char *host, *port;
	enum words_split split;

	rest[strcspn(rest, "?#")] = '\0';
	split = words_split(rest, &host, &port);
	if (strchr(rest, '/') || (port && strchr(port, '/')))
		return bad_address(s, "should not contain a path element");
	if (split == WORDS_BRACKET)
		return bad_url(s, "missing ']' in host");
	if (split == WORDS_COLONS)
		return bad_port(s, strrchr(rest, ':') + 1);
	if (port && *port && check_port(s, port) < 0)
		return -1;
	o->host = *host ? host : DEFAULT_HOST;
	o->port = port && *port ? port : DEFAULT_PORT;
	return 0;
}

static int read_address(struct fluentd_options *o, const struct source *s)
{
	const char *address = get(s, "fluentd-address"), *rest;

	o->kind = WIRE_TCP;
	o->host = DEFAULT_HOST;
	o->port = DEFAULT_PORT;
	if (!address)
		return 0;
	rest = strstr(address, "://");
	o->address = strdup(rest ? rest + 3 : address);
	if (!o->address)
		return s->host->fail(s->host, s->call, DKD_ERR_INTERNAL, 0, "out of memory");
	o->tls = strncmp(address, "tls://", 6) == 0;
	if (!rest || o->tls || strncmp(address, "tcp://", 6) == 0)
		return read_host(o, s, o->address);
	if (strncmp(address, "unix://", 7) == 0)
		return read_path(o, s, o->address);
	if (rest == address)
		return bad_address(s, "missing protocol scheme");
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid fluentd-address (%s): unsupported scheme: '%.*s'", address,
		(int)(rest - address), address);
}

static int read_bool(const struct source *s, const char *key, bool *ret)
{
	const char *value = get(s, key);

	if (!value || words_bool(value, ret))
		return 0;
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "strconv.ParseBool: parsing \"%s\": invalid syntax", value);
}

/* how: what stands before the reason, with the key in it. */
static int read_duration(const struct source *s, const char *key, const char *before, int64_t *ret)
{
	const char *value = get(s, key);
	char why[256];

	if (!value || words_duration(value, ret, why, sizeof(why)))
		return 0;
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "%s%s%s%s", *before ? "invalid value for " : "", *before ? key : "", before, why);
}

static int read_timeout(const struct source *s, const char *key, int64_t *ret)
{
	if (read_duration(s, key, ": value must be a duration: ", ret) < 0)
		return -1;
	if (*ret >= 0)
		return 0;
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid value for %s: value must be a duration that is non-negative", key);
}

static int read_interval(const struct source *s, int64_t *ret)
{
	const char *key = "fluentd-async-reconnect-interval";

	if (read_duration(s, key, ": ", ret) < 0)
		return -1;
	if (!*ret || (*ret >= LEAST_RECONNECT && *ret <= MOST_RECONNECT))
		return 0;
	return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid value for %s: value (\"%s\") must be between 100ms and 10s", key, get(s, key));
}

static int read_retries(struct fluentd_options *o, const struct source *s)
{
	const char *value = get(s, "fluentd-max-retries"), *wait = get(s, "fluentd-retry-wait");

	o->retry_wait = DEFAULT_WAIT;
	if (read_duration(s, "fluentd-retry-wait", "", &o->retry_wait) < 0)
		return -1;
	if (o->retry_wait < 0)
		o->retry_wait = 0;
	/* without a word about it the daemon has its own pace */
	o->retries = wait ? INT_MAX : 0;
	if (!value)
		return 0;
	if (strspn(value, "0123456789") != strlen(value))
		return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "strconv.ParseUint: parsing \"%s\": invalid syntax", value);
	if (!words_number(value, 0, UINT32_MAX, &o->retries))
		return dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "strconv.ParseUint: parsing \"%s\": value out of range", value);
	if (o->retries > INT_MAX)
		return s->host->fail(s->host, s->call, DKD_ERR_INVALID, 0, "invalid fluentd-max-retries: value out of range");
	return 0;
}

static int read_limit(const struct source *s)
{
	const char *value = get(s, "fluentd-buffer-limit");

	return !value || words_is_size(value) ? 0 : dkd_failf(s->host, s->call, DKD_ERR_INVALID, 0, "invalid size: '%s'", value);
}

int fluentd_options_read(struct fluentd_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v,
	uint32_t len)
{
	static const char *const known[] = { "env", "env-regex", "fluentd-address", "fluentd-async", "fluentd-async-reconnect-interval",
		"fluentd-buffer-limit", "fluentd-max-retries", "fluentd-read-timeout", "fluentd-request-ack", "fluentd-retry-wait",
		"fluentd-sub-second-precision", "fluentd-write-timeout", "labels", "labels-regex", "tag", NULL };
	struct source s = { host, call, v, len };

	*o = (struct fluentd_options){ 0 };
	if (words_known(host, call, v, len, known, "fluentd") == 0 && read_address(o, &s) == 0 && read_limit(&s) == 0 &&
		read_retries(o, &s) == 0 && read_bool(&s, "fluentd-async", &o->async) == 0 && read_interval(&s, &o->reconnect) == 0 &&
		read_bool(&s, "fluentd-sub-second-precision", &o->sub_second) == 0 && read_bool(&s, "fluentd-request-ack", &o->ack) == 0 &&
		read_timeout(&s, "fluentd-write-timeout", &o->write_timeout) == 0 && read_timeout(&s, "fluentd-read-timeout", &o->read_timeout) == 0)
		return 0;
	fluentd_options_done(o);
	return -1;
}

void fluentd_options_done(struct fluentd_options *o)
{
	free(o->address);
	o->address = NULL;
}
