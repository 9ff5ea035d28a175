/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals and what is made of them: kill, stop, restart, pause, resize. Nothing here holds the operation while it waits for an
 * exit. */
#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"

#define STOP_TIMEOUT_DEFAULT 10
#define KILL_WAIT (10 * NSEC_PER_SEC)
#define UNDO_WAIT (180 * NSEC_PER_SEC) /* longer than any call of a driver */
#define STUCK_AFTER (4 * NSEC_PER_SEC) /* output that nobody takes holds back the report of an exit for two */

static int not_running(const struct container *c, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
}

int container_stop_signal(const struct container *c)
{
	int sig = str_empty(c->rec.config.stop_signal) ? SIGTERM : signal_parse(c->rec.config.stop_signal);

	return sig > 0 ? sig : SIGTERM;
}

/* What a client names; 0 with err set when it is none. */
static int client_signal(const char *s, struct err *err)
{
	int sig = signal_parse(s);
	int64_t n;

	if (sig > 0)
		return sig;
	if (str_to_i64(s, &n) && n > 0)
		err_set(err, ERR_INVALID, "The linux daemon does not support signal %lld", (long long)n);
	else
		err_set(err, ERR_INVALID, "Invalid signal: %.64s", s);
	return 0;
}

int container_check_signal(const char *signal, struct err *err)
{
	int64_t n;

	if (str_empty(signal) || signal_parse(signal) > 0 || (str_to_i64(signal, &n) && n > 0))
		return 0;
	return err_set(err, ERR_INVALID, "Invalid signal: %.64s", signal);
}

int container_stop_timeout(const struct container *c)
{
	if (c->rec.config.stop_timeout.set)
		return (int)c->rec.config.stop_timeout.v;
	if (c->store->deps.defaults && c->store->deps.defaults->stop_timeout >= 0)
		return c->store->deps.defaults->stop_timeout;
	return STOP_TIMEOUT_DEFAULT;
}

enum ending { NOT_RUNNING, RUNNING, WAS_RESTARTING };
#define BY_HAND 1u      /* a stop that "unless-stopped" remembers */
#define NO_RESTART 2u   /* the restart policy pauses, and a restart that is planned is called off */
#define KEEP 4u         /* autoremove waits */

/*
 * Says what a client wants of a container that may run. By the holder of the operation, so that a start (a restart of the
 * policy's, too) comes wholly before or wholly after; where only a restart was planned, the container's life ends right here.
 */
static enum ending intend(struct container *c, unsigned what)
{
	struct container_state *st = &c->rec.state;
	enum ending was;

	op_begin_any(c);
	lock_take(&c->lock);
	was = !st->running ? NOT_RUNNING : st->restarting ? WAS_RESTARTING : RUNNING;
	if (what & KEEP)
		c->keep++;
	if (what & BY_HAND)
		c->stops++;
	if (was != NOT_RUNNING && (what & NO_RESTART))
		c->no_restart = true;
	if (was != NOT_RUNNING && (what & BY_HAND))
		c->rec.manually_stopped = true;
	if (was == WAS_RESTARTING && (what & NO_RESTART)) {
		c->restart_epoch++;
		st->running = st->restarting = false;
		pthread_cond_broadcast(&c->changed);
		waiters_wake(c, false);
	}
	lock_drop(&c->lock);
	if (was == WAS_RESTARTING && (what & NO_RESTART))
		container_save_state(c);
	op_end(c);
	return was;
}

/* What is frozen does not die of a signal. */
static void thaw(struct container *c, struct run *run)
{
	bool thawed = false;

	freeze_take(c);
	lock_take(&c->lock);
	thawed = c->run == run && c->rec.state.paused;
	lock_drop(&c->lock);
	if (thawed && shim_pause(run->shim, false, NULL) == 0) {
		lock_take(&c->lock);
		c->rec.state.paused = false;
		lock_drop(&c->lock);
	} else {
		thawed = false;
	}
	freeze_drop(c);
	if (!thawed)
		return;
	health_begin(c, false);
	container_event(c, "unpause", NULL);
}

int container_signal(struct container *c, int sig, struct err *err)
{
	CLEANUP(run_putp) struct run *run = NULL;
	char number[16];
	OWN_ERR struct err why = ERR_INIT;
	bool ends;

	lock_take(&c->lock);
	if (!c->rec.state.running || !c->run) {
		lock_drop(&c->lock);
		return not_running(c, err);
	}
	if (c->rec.state.restarting) {
		lock_drop(&c->lock);
		return err_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running", c->id);
	}
	run = c->run;
	atomic_fetch_add(&run->refs, 1);
	ends = str_empty(c->rec.config.stop_signal) || sig == SIGKILL || sig == container_stop_signal(c);
	if (ends)
		c->no_restart = true;
	if (!atomic_load(&c->store->stopping))
		c->rec.manually_stopped = true;
	run->killed |= sig == SIGKILL;
	lock_drop(&c->lock);
	if (shim_kill(run->shim, NULL, sig, false, &why) < 0)
		return why.class == ERR_NOT_FOUND ? not_running(c, err) : err_move(err, &why);
	if (ends)
		thaw(c, run);
	snprintf(number, sizeof(number), "%d", sig);
	container_event(c, "kill", "signal", number, NULL);
	return 0;
}

bool container_wait_stopped(struct container *c, int64_t timeout_ns)
{
	WITH_LOCK(&c->lock);
	int64_t end = timeout_ns < 0 ? 0 : clock_mono() + timeout_ns;

	/* who waits tells of a stop, which comes behind the exit */
	while (c->rec.state.running || c->leaving) {
		int64_t left = timeout_ns < 0 ? -1 : end - clock_mono();

		if (timeout_ns >= 0 && left <= 0)
			return false;
		lock_wait(&c->lock, &c->changed, left);
	}
	return true;
}

bool container_wait_killed(struct container *c)
{
	CLEANUP(run_putp) struct run *run = NULL;

	if (container_wait_stopped(c, STUCK_AFTER))
		return true;
	run = container_run(c);
	lock_none_held();
	if (run && shim_end_stuck(run->shim))
		log_warn("container %s has ended, but its shim did not tell; it was ended, too", c->id);
	/* What has ended is not told before its volumes and networks are let go, for which a plugin may take its time. */
	return container_wait_stopped(c, container_ended(c) ? UNDO_WAIT : KILL_WAIT);
}

int container_kill(struct container *c, const char *signal, struct err *err)
{
	int sig = str_empty(signal) ? SIGKILL : client_signal(signal, err);

	if (!sig)
		return -1;
	if (intend(c, sig == SIGKILL ? BY_HAND | NO_RESTART : 0) == WAS_RESTARTING && sig == SIGKILL)
		return 0;
	if (container_signal(c, sig, err) < 0)
		return -1;
	if (sig == SIGKILL && !container_wait_killed(c))
		log_warn("container %s has not ended %lld s after SIGKILL", c->id, (long long)((STUCK_AFTER + KILL_WAIT) / NSEC_PER_SEC));
	return 0;
}

/* The stop itself, without the event. */
static int stop_running(struct container *c, int sig, int timeout_s, struct err *err)
{
	OWN_ERR struct err gone = ERR_INIT;

	if (container_signal(c, sig, &gone) < 0) {
		if (gone.class != ERR_CONFLICT)
			log_warn("container %s: signal %d failed, killing it: %s", c->id, sig, err_text(&gone));
	} else if (container_wait_stopped(c, timeout_s < 0 ? -1 : timeout_s * NSEC_PER_SEC)) {
		return 0;
	}
	err_done(&gone);
	if (!container_wait_stopped(c, 0) && container_signal(c, SIGKILL, &gone) < 0 && gone.class != ERR_CONFLICT)
		return err_move(err, &gone);
	if (!container_wait_killed(c))
		return err_set(err, ERR_INTERNAL, "container %s did not end after SIGKILL", c->id);
	return 0;
}

static int parse_stop(
	struct container *c, const char *signal, const int *timeout_s, int *ret_sig, int *ret_timeout, struct err *err)
{
	WITH_LOCK(&c->lock);

	*ret_timeout = timeout_s ? *timeout_s : container_stop_timeout(c);
	*ret_sig = str_empty(signal) ? container_stop_signal(c) : client_signal(signal, err);
	return *ret_sig ? 0 : -1;
}

int container_stop(struct container *c, const char *signal, const int *timeout_s, struct err *err)
{
	int sig, timeout;
	enum ending was;

	if (parse_stop(c, signal, timeout_s, &sig, &timeout, err) < 0)
		return -1;
	was = intend(c, BY_HAND | NO_RESTART);
	if (was == NOT_RUNNING)
		return err_set(err, ERR_NOT_MODIFIED, "Container already stopped");
	if (was == RUNNING && stop_running(c, sig, timeout, err) < 0)
		return err_wrap(err, "Cannot stop container: %s", c->id);
	container_event(c, "stop", NULL);
	return 0;
}

static int restart(struct container *c, const char *signal, const int *timeout_s, const uint64_t *stops, struct err *err)
{
	bool stopped = false;
	int sig, timeout, r = 0;
	enum ending was;

	if (parse_stop(c, signal, timeout_s, &sig, &timeout, err) < 0)
		return -1;
	was = intend(c, NO_RESTART | KEEP);
	if (was == RUNNING)
		r = stop_running(c, sig, timeout, err);
	if (was != NOT_RUNNING && r == 0)
		container_event(c, "stop", NULL);
	op_begin_any(c);
	lock_take(&c->lock);
	c->keep--; /* a start that fails removes it again */
	if (r == 0 && c->removed)
		r = err_set(err, ERR_NOT_FOUND, "No such container: %s", c->id);
	else
		stopped = stops && *stops != c->stops;
	lock_drop(&c->lock);
	if (r == 0 && !stopped)
		r = container_start_op(c, err);
	op_end(c);
	if (stopped)
		return r;
	if (r < 0 && err && err->class == ERR_NOT_MODIFIED) {
		err_done(err);
		r = 0;
	}
	if (r < 0)
		return err_wrap(err, "Cannot restart container %s", c->id);
	container_event(c, "restart", NULL);
	return 0;
}

int container_restart(struct container *c, const char *signal, const int *timeout_s, struct err *err)
{
	return restart(c, signal, timeout_s, NULL, err);
}

int container_restart_unless_stopped(struct container *c, uint64_t stops, struct err *err)
{
	return restart(c, NULL, NULL, &stops, err);
}

int container_resize(struct container *c, int64_t rows, int64_t cols, struct err *err)
{
	CLEANUP(run_putp) struct run *run = container_run(c);
	char h[24], w[24];

	if (rows < 0 || rows > UINT16_MAX || cols < 0 || cols > UINT16_MAX)
		return err_set(err, ERR_INVALID, "a terminal of %lld rows and %lld columns is not possible", (long long)rows,
			(long long)cols);
	if (!container_is_running(c) || !run)
		return not_running(c, err);
	/* Without a terminal there is nothing to do, but Docker tells of it all the same. */
	if (c->rec.config.tty && shim_resize(run->shim, NULL, (uint16_t)rows, (uint16_t)cols, err) < 0)
		return err && err->class == ERR_NOT_FOUND ? not_running(c, err) : -1;
	snprintf(h, sizeof(h), "%lld", (long long)rows);
	snprintf(w, sizeof(w), "%lld", (long long)cols);
	container_event(c, "resize", "height", h, "width", w, NULL);
	return 0;
}
