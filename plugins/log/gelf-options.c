/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gelf.h"
#include "words.h"

static int read_host(struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *address)
{
	o->host[strcspn(o->host, "/?#")] = '\0';
	if (words_split(o->host, &o->host, &o->port) != WORDS_OK)
		return host->fail(host, call, DKD_ERR_INVALID, 0, "gelf: please provide gelf-address as proto://host:port");
	if (!words_is_port(o->port))
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "parse \"%s\": invalid port \":%s\" after host", address, o->port);
	return 0;
}

static int read_address(struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *address)
{
	static const char *const others[] = { "unix://", "unixgram://", "tcp+tls://" };

	if (!address || !*address)
		return host->fail(host, call, DKD_ERR_INVALID, 0, "gelf-address is a required parameter");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strncmp(address, others[i], strlen(others[i])) == 0)
			return host->fail(host, call, DKD_ERR_INVALID, 0, "gelf: endpoint needs to be TCP or UDP");
	if (strncmp(address, "udp://", 6) != 0 && strncmp(address, "tcp://", 6) != 0)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "gelf-address should be in form proto://address, got %s", address);
	o->kind = *address == 'u' ? WIRE_UDP : WIRE_TCP;
	o->address = strdup(address);
	if (!o->address)
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	o->host = o->address + 6;
	return read_host(o, host, call, address);
}

static int unknown_value(const struct dkd_host *host, const struct dkd_call *call, const char *key, const char *value)
{
	return dkd_failf(host, call, DKD_ERR_INVALID, 0, "unknown value \"%s\" for log opt \"%s\" for gelf log driver", value, key);
}

static int read_compression(struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *type, const char *level)
{
	static const char *const types[] = { "gzip", "zlib", "none" };
	long n = 1;
	int i = 0;

	if ((type || level) && o->kind != WIRE_UDP)
		return host->fail(host, call, DKD_ERR_INVALID, 0, "compression is only supported on UDP");
	while (type && i < 3 && strcmp(types[i], type) != 0)
		i++;
	if (i == 3)
		return unknown_value(host, call, "gelf-compression-type", type);
	if (level && !words_number(level, -1, 9, &n))
		return unknown_value(host, call, "gelf-compression-level", level);
	o->compression = (enum gelf_compression)i;
	o->level = (int)n;
	return 0;
}

static int read_tcp(const struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const char *key, const char *value,
	long *ret)
{
	if (!value)
		return 0;
	if (o->kind != WIRE_TCP)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "\"%s\" is only valid for TCP", key);
	if (!words_number(value, 0, INT_MAX, ret))
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "\"%s\" must be a positive integer", key);
	return 0;
}

int gelf_options_read(struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len)
{
	static const char *const known[] = { "env", "env-regex", "gelf-address", "gelf-compression-level", "gelf-compression-type",
		"gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay", "labels", "labels-regex", "tag", NULL };

	*o = (struct gelf_options){ .reconnects = 3, .delay = 1 };
	if (read_address(o, host, call, dkd_pair_get(v, len, "gelf-address")) == 0 && words_known(host, call, v, len, known, "gelf") == 0 &&
		read_compression(o, host, call, dkd_pair_get(v, len, "gelf-compression-type"), dkd_pair_get(v, len, "gelf-compression-level")) == 0 &&
		read_tcp(o, host, call, "gelf-tcp-max-reconnect", dkd_pair_get(v, len, "gelf-tcp-max-reconnect"), &o->reconnects) == 0 &&
		read_tcp(o, host, call, "gelf-tcp-reconnect-delay", dkd_pair_get(v, len, "gelf-tcp-reconnect-delay"), &o->delay) == 0)
		return 0;
	gelf_options_done(o);
	return -1;
}

void gelf_options_done(struct gelf_options *o)
{
	free(o->address);
	o->address = NULL;
}
