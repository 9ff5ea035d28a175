/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the options of log drivers have in common, in Docker's words. */
#ifndef LOG_WORDS_H
#define LOG_WORDS_H

#include <stdbool.h>

#include <dockerd/log.h>

/* -1: one is not in known (its end is NULL); told through host->fail(). */
int words_known(const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len, const char *const *known,
	const char *driver);
/* A whole number with perhaps a sign; false: it is none, or out of range. */
bool words_number(const char *s, long least, long most, long *ret);
bool words_is_port(const char *s);
/* "true", "0", "F"... */
bool words_bool(const char *s, bool *ret);
/* "300ms", "-1.5h", "2h45m"; false: it is none, why says what is wrong. */
bool words_duration(const char *s, int64_t *ret_ns, char *why, size_t why_size);
/* Is it a number of bytes, "1.5m", "8 MiB"? */
bool words_is_size(const char *s);

enum words_split { WORDS_OK, WORDS_NO_PORT, WORDS_COLONS, WORDS_BRACKET };

/* HOST:PORT, [V6]:PORT; cut up in place. *ret_port is NULL without one. */
enum words_split words_split(char *s, char **ret_host, char **ret_port);

#endif
