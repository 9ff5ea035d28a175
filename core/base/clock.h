/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time: wall-clock nanoseconds since 1970 (int64_t, good to 2262) and Docker's spellings of it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_TEXT 40
#define NSEC_PER_SEC INT64_C(1000000000)
#define NSEC_PER_MSEC (NSEC_PER_SEC / 1000)
/* Go's zero time, "0001-01-01T00:00:00Z". */
#define CLOCK_ZERO INT64_MIN

int64_t clock_now(void);           /* CLOCK_REALTIME, ns */
int64_t clock_mono(void);          /* CLOCK_MONOTONIC, ns: for time-outs */
/* RFC 3339 with up to nine fraction digits, trailing zeros cut as Go's RFC3339Nano does, in UTC. */
char *clock_rfc3339nano(int64_t ns, char ret[CLOCK_TEXT]);
/* Always nine fraction digits (log time stamps). */
char *clock_rfc3339fixed(int64_t ns, char ret[CLOCK_TEXT]);
/* RFC 3339 with any offset, or false. */
bool clock_parse_rfc3339(const char *s, int64_t *ret);
/* since/until of the API: unix[.fraction], RFC 3339 in its shortened forms, or a Go duration before now. */
bool clock_parse_stamp(const char *s, int64_t now, int64_t *ret);
/* Go duration ("1h30m", "1.5s", "300ms"); false on anything else. */
bool clock_parse_duration(const char *s, int64_t *ret);
/* The other way round: "1m30s", "1.5s", "300ms", "0s". */
char *clock_go_duration(int64_t ns, char ret[CLOCK_TEXT]);
/* Docker's human words: "Less than a second", "3 seconds", "About a minute", "2 hours"... */
char *clock_human(int64_t ns, char ret[CLOCK_TEXT]);

#endif
