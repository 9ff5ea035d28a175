/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's end: every container is asked to stop, those that others need after those others, as far as the time allows.
 */
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"

#define LOOK_NS (20 * 1000000)
#define GRACE_NS (2 * NSEC_PER_SEC) /* from SIGKILL until a shim that does not tell of it is ended */

struct stopping {
	struct container *container;
	int64_t hold_until;        /* those that need it may end before, until then */
	bool asked;
	int64_t kill_at, end_at;
	size_t *needed_by, needed_by_len;
};

static void stop_signal_to(struct stopping *sp)
{
	struct container *c = sp->container;
	int timeout = container_stop_timeout(c);

	sp->asked = true;
	sp->kill_at = timeout < 0 ? INT64_MAX : clock_mono() + timeout * NSEC_PER_SEC;
	container_signal(c, container_stop_signal(c), NULL);
}

static void end_stuck(struct container *c)
{
	CLEANUP(run_putp) struct run *run = container_run(c);

	if (run && shim_end_stuck(run->shim))
		log_warn("container %s has ended, but its shim did not tell; it was ended, too", c->id);
}

/* Somebody who needs it still runs. */
static bool is_held(const struct stopping *v, const struct stopping *sp)
{
	if (clock_mono() >= sp->hold_until)
		return false;
	for (size_t i = 0; i < sp->needed_by_len; i++)
		if (container_is_running(v[sp->needed_by[i]].container))
			return true;
	return false;
}

/* Each that runs learns who needs it. What it may be held for leaves it its own time before end. */
static void plan(struct stopping *v, size_t n, int64_t end)
{
	for (size_t i = 0; i < n; i++) {
		int64_t own = container_stop_timeout(v[i].container);
		struct need *needs;
		size_t len = container_needs(v[i].container, &needs);

		v[i].hold_until = end == INT64_MAX || own < 0 ? end : end - (own + 1) * NSEC_PER_SEC;
		for (size_t k = 0; k < len; k++)
			for (size_t j = 0; j < n; j++)
				if (v[j].container == needs[k].on && i != j) {
					v[j].needed_by = xrealloc(v[j].needed_by, (v[j].needed_by_len + 1) * sizeof(size_t));
					v[j].needed_by[v[j].needed_by_len++] = i;
				}
		needs_free(needs, len);
	}
}

/* One look at each: true while one still runs. */
static bool press_on(struct stopping *v, size_t n)
{
	bool left = false;

	for (size_t i = 0; i < n; i++) {
		if (!container_is_running(v[i].container))
			continue;
		left = true;
		if (!v[i].asked) {
			if (!is_held(v, &v[i]))
				stop_signal_to(&v[i]);
			continue;
		}
		if (!v[i].end_at && clock_mono() >= v[i].kill_at) {
			v[i].end_at = clock_mono() + GRACE_NS;
			container_signal(v[i].container, SIGKILL, NULL);
		} else if (v[i].end_at && clock_mono() >= v[i].end_at) {
			v[i].end_at = INT64_MAX;
			end_stuck(v[i].container);
		}
	}
	return left;
}

void container_store_shutdown(struct container_store *s, int timeout_ms)
{
	int64_t end = timeout_ms < 0 ? INT64_MAX : clock_mono() + timeout_ms * INT64_C(1000000);
	struct timespec look = { 0, LOOK_NS };
	struct container **all;
	struct stopping *v;
	size_t n, running = 0;

	atomic_store(&s->stopping, true);
	n = store_all(s, &all);
	v = xcalloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		if (container_is_running(all[i]))
			v[running++].container = all[i];
	plan(v, running, end);
	while (press_on(v, running) && clock_mono() < end)
		nanosleep(&look, NULL);
	for (size_t i = 0; i < running; i++)
		if (container_is_running(v[i].container))
			container_signal(v[i].container, SIGKILL, NULL);
	for (size_t i = 0; i < running; i++)
		free(v[i].needed_by);
	for (size_t i = 0; i < n; i++)
		container_unref(all[i]);
	free(all);
	free(v);
}
