/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/sanitized.h"

#if SANITIZED

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

#define REPORT "DKD_SANITIZER_REPORT"

static const char *const options[] = { "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS" };

void sanitized_environment(struct strv *env)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (getenv(options[i]))
			strv_addf(env, "%s=%s", options[i], getenv(options[i]));
}

/* Options without log_path, which goes into a variable of its own; and without the symbolizer, a program. */
void sanitized_confined_environment(struct strv *env)
{
	const char *path = NULL;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const char *text = getenv(options[i]), *at = text ? strstr(text, "log_path=") : NULL;
		size_t n = at ? strcspn(at, ":") : 0;

		if (!text)
			continue;
		if (at && !path) {
			path = at + strlen("log_path=");
			strv_addf(env, REPORT "=%.*s", (int)(n - strlen("log_path=")), path);
		}
		if (at)
			strv_addf(env, "%s=symbolize=0:%.*s%s", options[i], (int)(at - text), text, at[n] ? at + n + 1 : at + n);
		else
			strv_addf(env, "%s=symbolize=0:%s", options[i], text);
	}
}

void sanitized_open_report(void)
{
	const char *path = getenv(REPORT);
	OWN_FREE char *file = path ? xasprintf("%s.untar.%d", path, (int)getpid()) : NULL;
	OWN_FD int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644) : -1;

	if (fd >= 0)
		dup2(fd, STDERR_FILENO);
}

#else

void sanitized_environment(struct strv *env)
{
}

void sanitized_confined_environment(struct strv *env)
{
}

void sanitized_open_report(void)
{
}

#endif
