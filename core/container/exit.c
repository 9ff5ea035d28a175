/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What follows an exit: undoing the start, the state, the event, the waiters, the restart policy, autoremove. */
#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"

#define DELAY_FIRST (100 * NSEC_PER_MSEC)
#define DELAY_MAX (60 * NSEC_PER_SEC)
#define RAN_WELL (10 * NSEC_PER_SEC)
#define RESTORING_NS (20 * NSEC_PER_MSEC)
#define OOM_EVENTS 100 /* the most that one message of a shim makes */

struct exit_note {
	struct container *container;
	char *exec_id;
	struct shim_exit ex;
};

static void tell_oom(struct container *c, int kills)
{
	for (int i = 0; i < kills && i < OOM_EVENTS; i++)
		container_event(c, "oom", NULL);
}

static void exit_note_free(void *ctx)
{
	struct exit_note *n = ctx;

	container_unref(n->container);
	free(n->exec_id);
	free(n);
}

static void exit_note_handle(void *ctx)
{
	struct exit_note *n = ctx;

	if (n->exec_id) {
		exec_on_exit(n->container, n->exec_id, &n->ex);
	} else {
		op_begin_any(n->container);
		container_exited_op(n->container, &n->ex);
		op_end(n->container);
	}
	exit_note_free(n);
}

/* On the monitor's thread: hands the work over and returns. */
void container_on_exit(void *ctx, const char *container_id, const char *exec_id, const struct shim_exit *ex)
{
	struct container_store *s = ctx;
	struct container *c = store_by_id(s, container_id);
	struct exit_note *n;

	if (!c)
		return;
	n = xcalloc(1, sizeof(*n));
	n->container = c;
	n->exec_id = xstrdup(exec_id);
	n->ex = *ex;
	work_post(s->work, 0, exit_note_handle, exit_note_free, n);
}

/* On the monitor's thread. */
void container_on_oom(void *ctx, const char *container_id, int kills)
{
	CLEANUP(container_unrefp) struct container *c = store_by_id(ctx, container_id);

	if (!c)
		return;
	lock_take(&c->lock);
	c->rec.state.oom_killed = true;
	lock_drop(&c->lock);
	tell_oom(c, kills);
}

static bool policy_is(const struct container *c, const char *name)
{
	return c->host.restart.name && streq(c->host.restart.name, name);
}

/* Under the lock. */
static bool wants_restart(const struct container *c, int code)
{
	int64_t max = c->host.restart.maximum_retry_count;

	if (c->no_restart || c->keep || c->removed || c->rec.state.removal || atomic_load(&c->store->stopping))
		return false;
	if (policy_is(c, "always"))
		return true;
	if (policy_is(c, "unless-stopped"))
		return !c->rec.manually_stopped;
	return (policy_is(c, "on-failure") || policy_is(c, "on-unhealthy")) && code != 0 && (max <= 0 || c->rec.restart_count < max);
}

/* The wait before the next try: doubles up to a minute, starts anew after a run of ten seconds. */
static int64_t next_delay(struct container *c, int64_t ran)
{
	if (ran >= RAN_WELL || !c->restart_delay)
		c->restart_delay = DELAY_FIRST;
	else if (c->restart_delay < DELAY_MAX)
		c->restart_delay = c->restart_delay * 2 > DELAY_MAX ? DELAY_MAX : c->restart_delay * 2;
	return c->restart_delay;
}

struct restart_plan { struct container *container; uint64_t epoch; };

static void restart_plan_free(void *ctx)
{
	struct restart_plan *p = ctx;

	container_unref(p->container);
	free(p);
}

static void restart_now(void *ctx)
{
	struct restart_plan *p = ctx;
	struct container *c = p->container;
	OWN_ERR struct err err = ERR_INIT;
	bool valid, failed = false;

	/* the sweeps of the daemon's start would take what this one makes for a leftover */
	if (atomic_load(&c->store->restoring)) {
		work_post(c->store->work, clock_mono() + RESTORING_NS, restart_now, restart_plan_free, p);
		return;
	}
	op_begin_any(c);
	lock_take(&c->lock);
	valid = c->restart_epoch == p->epoch && c->rec.state.restarting && !c->removed && !atomic_load(&c->store->stopping);
	lock_drop(&c->lock);
	if (valid && container_start_op(c, &err) < 0) {
		lock_take(&c->lock);
		c->rec.state.running = c->rec.state.restarting = false;
		waiters_wake(c, false);
		pthread_cond_broadcast(&c->changed);
		lock_drop(&c->lock);
		failed = true;
	}
	if (failed)
		container_save_state(c);
	op_end(c);
	restart_plan_free(p);
}

void container_plan_restart(struct container *c, int64_t delay_ns)
{
	struct restart_plan *p = xcalloc(1, sizeof(*p));

	p->container = container_ref(c);
	lock_take(&c->lock);
	p->epoch = ++c->restart_epoch;
	lock_drop(&c->lock);
	work_post(c->store->work, clock_mono() + delay_ns, restart_now, restart_plan_free, p);
}

/* The lock is held. The sandbox has taken its endpoints with it. */
static void forget_endpoints(struct container *c)
{
	for (size_t i = 0; i < c->rec.net.networks.len; i++)
		str_set(&((struct endpoint *)jmap_at(&c->rec.net.networks, i, &endpoint_desc))->endpoint_id, "");
}

static int64_t publish_exit(struct container *c, const struct shim_exit *ex, bool *ret_restart)
{
	struct container_state *st = &c->rec.state;
	int64_t ran, delay = 0;
	WITH_LOCK(&c->lock);

	st->paused = false;
	st->pid = 0;
	st->exit_code = ex->code;
	st->oom_killed = ex->oom;
	st->finished_at = ex->time ? ex->time : clock_now();
	/* clocks may be set while it runs; only of what the last daemon started there is no better one */
	if (c->started_mono)
		ran = clock_mono() - c->started_mono;
	else
		ran = st->started_at > 0 ? st->finished_at - st->started_at : RAN_WELL;
	*ret_restart = wants_restart(c, ex->code);
	if (*ret_restart) {
		delay = next_delay(c, ran);
		c->rec.restart_count++;
	}
	st->restarting = *ret_restart;
	st->running = *ret_restart;
	c->leaving = !*ret_restart;
	health_end(c);
	forget_endpoints(c);
	return delay;
}

/* Those who wait for the exit see its traces gone and its event out. */
static void announce(struct container *c, const struct shim_exit *ex, int64_t started)
{
	char code[16], seconds[24];
	int64_t ran = (ex->time ? ex->time : clock_now()) - started;

	snprintf(code, sizeof(code), "%d", ex->code);
	snprintf(seconds, sizeof(seconds), "%lld", (long long)(ran > 0 ? ran / NSEC_PER_SEC : 0));
	tell_oom(c, ex->oom_untold);
	container_event(c, "die", "exitCode", code, "execDuration", seconds, NULL);
}

/* All others end with their init. */
static bool shares_pids(const struct container *c)
{
	return !str_empty(c->host.pid_mode) && !streq(c->host.pid_mode, "private");
}

void container_exited_op(struct container *c, const struct shim_exit *ex)
{
	CLEANUP(run_putp) struct run *run = NULL;
	OWN_ERR struct err err = ERR_INIT;
	bool restart, autoremove;
	int64_t delay, started;

	lock_take(&c->lock);
	if (!c->rec.state.running || c->rec.state.restarting) {
		lock_drop(&c->lock);
		return; /* a start that failed, or told twice */
	}
	run = STEAL(c->run);
	started = c->rec.state.started_at;
	lock_drop(&c->lock);
	if (ex->lost)
		log_warn("container %s: its monitor is gone, exit code %d", c->id, ex->code);
	execs_end(c);
	if (run && shim_release(run->shim, &err) < 0)
		log_debug("container %s: %s", c->id, err_text(&err));
	/* of what another daemon may have called so as well, this one's are only those of its own runs */
	if (run || container_has_run_dir(c))
		container_drop_groups(c, shares_pids(c));
	container_unwind(c);
	delay = publish_exit(c, ex, &restart);
	execs_forget_unstarted(c);
	/* on a full disk the shim's record of the exit is all there is */
	if (container_save_state(c))
		container_drop_run_dir(c);
	announce(c, ex, started);
	container_tell_unwound(c);
	lock_take(&c->lock);
	c->leaving = false;
	autoremove = c->host.auto_remove && !restart && !c->keep && !c->rec.state.removal && !c->removed;
	waiters_wake(c, false);
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	if (restart)
		container_plan_restart(c, delay);
	err_done(&err);
	if (autoremove && container_remove_op(c, true, &err) < 0)
		log_error("container %s: cannot remove it after its exit: %s", c->id, err_text(&err));
}
