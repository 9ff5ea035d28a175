/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TAP producer for unit tests: each check prints one line; main() ends with return tap_done(). */
#ifndef T_TAP_H
#define T_TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

/* The check comes first, then its text, which may tell of what the check did. */
#define ok(cond, ...) ({ int ok_ = (cond) != 0; tap_check(ok_, __FILE__, __LINE__, #cond, __VA_ARGS__); })
#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) tap_is_int((long long)(got), (long long)(want), __FILE__, __LINE__, __VA_ARGS__)

__attribute__((format(printf, 5, 6), unused))
static int tap_check(int good, const char *file, int line, const char *cond, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", good ? "ok" : "not ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		tap_failed++;
		printf("# failed at %s:%d: %s\n", file, line, cond);
	}
	fflush(stdout);
	return good;
}

#define tap_is_str(got, want, file, line, ...) do { \
	const char *got_ = (got), *want_ = (want); \
	int good_ = got_ && want_ ? strcmp(got_, want_) == 0 : got_ == want_; \
	tap_check(good_, file, line, #got, __VA_ARGS__); \
	if (!good_) printf("#  got: %s\n# want: %s\n", got_ ? got_ : "(null)", want_ ? want_ : "(null)"); \
} while (0)

#define tap_is_int(got, want, file, line, ...) do { \
	long long got_ = (got), want_ = (want); \
	if (!tap_check(got_ == want_, file, line, #got, __VA_ARGS__)) \
		printf("#  got: %lld\n# want: %lld\n", got_, want_); \
} while (0)

__attribute__((unused)) static void skip(const char *what, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, what, why);
}

static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
