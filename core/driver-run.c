/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that drivers run: by the spawner, since the daemon never forks. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/program.h"
#include "driver.h"

static _Atomic(struct spawner *) spawner;

void driver_set_spawner(struct spawner *s)
{
	atomic_store(&spawner, s);
}

/* Milliseconds until the call's deadline, -1 for none. */
static int time_left(const struct dkd_call *call)
{
	int64_t left;

	if (!call->deadline)
		return -1;
	left = (call->deadline - clock_mono()) / 1000000;
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

int32_t driver_run(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, dkd_emit *emit, void *to)
{
	struct cancel cancel = { .client_fd = call->cancel_fd, .stop_fd = call->cancel_fd };
	struct driver_call *c = call->opaque;
	OWN_FREE char *path = program_find(argv[0]);
	OWN_FREE char **args = NULL;
	OWN_BUF struct buf out = { 0 };
	struct spawner *s = atomic_load(&spawner);
	size_t n = 0;
	int status;

	if (!s)
		return host->fail(host, call, DKD_ERR_UNAVAILABLE, 0, "no program can be run now");
	if (!path)
		return dkd_failf(host, call, DKD_ERR_NOT_FOUND, 0, "the program %s is not on this host", argv[0]);
	while (argv[n])
		n++;
	args = xcalloc(n + 1, sizeof(*args));
	args[0] = path;
	for (size_t i = 1; i < n; i++)
		args[i] = (char *)(uintptr_t)argv[i];
	if (spawner_run(s, args, NULL, -1, time_left(call), &cancel, &status, &out, &c->failed) < 0) {
		if (time_left(call) == 0)
			c->failed.class = ERR_CANCELLED;
		return -1;
	}
	if (emit && out.size)
		emit(to, out.data);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
