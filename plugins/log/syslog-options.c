/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "syslog.h"
#include "words.h"

#define LOCAL_LOG "/dev/log"

static const char *const facilities[] = { "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
	"ftp", NULL, NULL, NULL, NULL, "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7" };
#define FACILITIES ((int)(sizeof(facilities) / sizeof(facilities[0])))
#define DAEMON 3

static const char *get(const struct dkd_pair *v, uint32_t len, const char *key)
{
	const char *value = dkd_pair_get(v, len, key);

	return value ? value : "";
}

/* HOST, HOST:PORT, [V6], [V6]:PORT; cut up in place. */
static int read_host(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call)
{
	char *end = *o->host == '[' ? strchr(o->host, ']') : NULL, *colon = strchr(end ? end : o->host, ':');

	o->port = "514";
	if ((*o->host == '[' && !end) || (!end && colon && strchr(colon + 1, ':')))
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "address %s: %s", o->host, end ? "missing ']' in address" : "too many colons in address");
	if (colon) {
		*colon = '\0';
		o->port = colon + 1;
	}
	if (end) {
		*end = '\0';
		o->host++;
	}
	o->host[strcspn(o->host, "/")] = '\0';
	if (!*o->port || strspn(o->port, "0123456789") != strlen(o->port) || strlen(o->port) > 5 || atoi(o->port) > 65535)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "syslog-address: invalid port %s", o->port);
	return 0;
}

static int read_address(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *address)
{
	static const struct { const char *prefix; enum wire_kind kind; bool secure; } kinds[] = { { "unix://", WIRE_UNIX, false },
		{ "unixgram://", WIRE_UNIXGRAM, false }, { "udp://", WIRE_UDP, false }, { "tcp://", WIRE_TCP, false },
		{ "tcp+tls://", WIRE_TCP, true } };

	if (!*address) {
		o->kind = WIRE_UNIXGRAM;
		o->host = o->address = strdup(LOCAL_LOG);
		o->port = "";
		return 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (strncmp(address, kinds[i].prefix, n) != 0)
			continue;
		o->kind = kinds[i].kind;
		o->secure = kinds[i].secure;
		o->address = strdup(address);
		o->host = o->address + n;
		o->port = "";
		return o->kind == WIRE_UNIX || o->kind == WIRE_UNIXGRAM ? 0 : read_host(o, host, call);
	}
	return dkd_failf(host, call, DKD_ERR_INVALID, 0, "syslog-address should be in form proto://address, got %s", address);
}

static int read_facility(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *facility)
{
	char *end;
	long n;

	o->facility = DAEMON;
	if (!*facility)
		return 0;
	for (int i = 0; i < FACILITIES; i++) {
		if (facilities[i] && strcmp(facilities[i], facility) == 0) {
			o->facility = i;
			return 0;
		}
	}
	n = strtol(facility, &end, 10);
	if (*end || n < 0 || n >= FACILITIES)
		return host->fail(host, call, DKD_ERR_INVALID, 0, "invalid syslog facility");
	o->facility = (int)n;
	return 0;
}

static int read_format(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *format)
{
	static const char *const formats[] = { "", "rfc3164", "rfc5424", "rfc5424micro" };

	for (int i = 0; i < 4; i++) {
		if (strcmp(formats[i], format) == 0) {
			o->format = (enum syslog_format)i;
			o->counted = o->secure && o->format >= SYSLOG_RFC5424;
			return 0;
		}
	}
	return host->fail(host, call, DKD_ERR_INVALID, 0, "Invalid syslog format");
}

static int read_tls(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len)
{
	static const char *const keys[] = { "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key" };
	const char *skip = dkd_pair_get(v, len, "syslog-tls-skip-verify");

	for (size_t i = 0; i < 3; i++) {
		const char *value = get(v, len, keys[i]);

		if (*value && !(o->files[i] = strdup(value)))
			return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	}
	/* Docker's takes any word for yes, also one that says no */
	o->tls = (struct tls_options){ .ca = o->files[0], .cert = o->files[1], .key = o->files[2], .skip_verify = skip };
	if (skip)
		words_bool(skip, &o->tls.skip_verify);
	return 0;
}

int syslog_options_read(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v,
	uint32_t len)
{
	static const char *const known[] = { "env", "env-regex", "labels", "labels-regex", "syslog-address", "syslog-facility",
		"syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify", "tag", NULL };

	memset(o, 0, sizeof(*o));
	if (words_known(host, call, v, len, known, "syslog") < 0 || read_tls(o, host, call, v, len) < 0 ||
		read_address(o, host, call, get(v, len, "syslog-address")) < 0 ||
		read_facility(o, host, call, get(v, len, "syslog-facility")) < 0 || read_format(o, host, call, get(v, len, "syslog-format")) < 0) {
		syslog_options_done(o);
		return -1;
	}
	return 0;
}

int syslog_options_reach(const struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call)
{
	struct stat st;

	if (strcmp(o->address, o->host) == 0 || *o->port || stat(o->host, &st) == 0)
		return 0;
	return dkd_failf(host, call, DKD_ERR_INVALID, 0, "stat %s: %s", o->host, errno == ENOENT ? "no such file or directory" : strerror(errno));
}

void syslog_options_done(struct syslog_options *o)
{
	for (size_t i = 0; i < 3; i++)
		free(o->files[i]);
	free(o->address);
	memset(o, 0, sizeof(*o));
}
