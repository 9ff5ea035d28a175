/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host table for drivers under test: options are lines KEY=VALUE of a text; a failure without words aborts. */
#ifndef T_FUZZ_HOST_H
#define T_FUZZ_HOST_H

#include <dockerd/driver.h>

#include "fuzz.h"

static struct {
	struct strv keys, values;
	unsigned failures; /* of fail() */
} fuzz_told;

static inline void fuzz_host_log(const struct dkd_host *host, uint32_t level, const char *text)
{
	(void)host;
	FUZZ_CHECK(level && *text);
}

static inline int32_t fuzz_host_fail(const struct dkd_host *host, const struct dkd_call *call, uint32_t class, int32_t sys, const char *text)
{
	(void)host, (void)call, (void)sys;
	FUZZ_CHECK(class >= DKD_ERR_INTERNAL && class <= DKD_ERR_CANCELLED && *text);
	fuzz_told.failures++;
	return -1;
}

static inline const char *fuzz_host_option(const struct dkd_host *host, const char *key)
{
	(void)host;
	for (size_t i = 0; i < fuzz_told.keys.len; i++)
		if (strcmp(fuzz_told.keys.v[i], key) == 0)
			return fuzz_told.values.v[i];
	return NULL;
}

static inline int32_t fuzz_host_each(const struct dkd_host *host, dkd_emit_pair *emit, void *to)
{
	(void)host;
	for (size_t i = 0; i < fuzz_told.keys.len; i++)
		if (emit(to, fuzz_told.keys.v[i], fuzz_told.values.v[i]) != 0)
			break;
	return 0;
}

static inline const struct dkd_idmaps *fuzz_host_idmaps(const struct dkd_host *host)
{
	(void)host;
	return NULL;
}

static inline int32_t fuzz_host_run(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, dkd_emit *emit, void *to)
{
	(void)argv, (void)emit, (void)to;
	return fuzz_host_fail(host, call, DKD_ERR_NOT_FOUND, 0, "no programs here");
}

static const struct dkd_host fuzz_host = {
	.size = sizeof(fuzz_host), .daemon_version = "fuzz", .log = fuzz_host_log, .fail = fuzz_host_fail, .option = fuzz_host_option,
	.each_option = fuzz_host_each, .idmaps = fuzz_host_idmaps, .run = fuzz_host_run,
};
static const struct dkd_call fuzz_call = { .size = sizeof(fuzz_call), .cancel_fd = -1 };

/* Takes the options over. Keys that stand twice are one, of several lines, as in the configuration. */
static inline void fuzz_host_begin(const char *text)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		char *eq = strchr(lines.v[i], '=');
		size_t n = 0;

		if (!eq)
			continue;
		*eq++ = '\0';
		while (n < fuzz_told.keys.len && strcmp(fuzz_told.keys.v[n], lines.v[i]) != 0)
			n++;
		if (n < fuzz_told.keys.len) {
			char *more = xasprintf("%s\n%s", fuzz_told.values.v[n], eq);

			free(fuzz_told.values.v[n]);
			fuzz_told.values.v[n] = more;
		} else {
			strv_add(&fuzz_told.keys, lines.v[i]);
			strv_add(&fuzz_told.values, eq);
		}
	}
	fuzz_told.failures = 0;
}

static inline void fuzz_host_end(void)
{
	strv_done(&fuzz_told.keys);
	strv_done(&fuzz_told.values);
}

#endif
