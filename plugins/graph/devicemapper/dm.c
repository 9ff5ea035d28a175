/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dm.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define LONGEST_MS 100

int dm_refuse(struct dm_error *e, uint32_t class, int32_t sys, const char *fmt, ...)
{
	va_list ap;

	if (e->class || e->said)
		return -1;
	e->class = class;
	e->sys = sys;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return -1;
}

int32_t dm_tell(const struct dkd_host *host, const struct dkd_call *call, const struct dm_error *e)
{
	uint32_t class = e->class == DKD_ERR_INTERNAL && e->sys == ENOSPC ? DKD_ERR_NO_SPACE :
		e->class == DKD_ERR_INTERNAL && e->sys == ECANCELED ? DKD_ERR_CANCELLED : e->class;

	return e->said ? -1 : host->fail(host, call, class, e->sys, e->text);
}

static bool expired(const struct dkd_call *call)
{
	struct timespec now;

	if (!call || !call->deadline)
		return false;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec >= call->deadline;
}

int dm_patience(const struct dkd_call *call, unsigned *turn)
{
	struct pollfd caller = { .fd = call ? call->cancel_fd : -1, .events = POLLIN };
	unsigned n = (*turn)++, ms = n < 7 ? 1u << n : LONGEST_MS;

	if (n >= 7 + (PATIENCE_MS - 127) / LONGEST_MS)
		return errno = EBUSY, -1;
	if (expired(call) || poll(&caller, 1, (int)ms) > 0)
		return errno = ECANCELED, -1;
	return 0;
}

bool dm_has_program(const char *name)
{
	const char *path = getenv("PATH"), *at = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char full[PATH_MAX];

	while (*at) {
		size_t len = strcspn(at, ":");

		if (*at == '/' && snprintf(full, sizeof(full), "%.*s/%s", (int)len, at, name) < (int)sizeof(full) && access(full, X_OK) == 0)
			return true;
		at += len + (at[len] == ':');
	}
	return false;
}
