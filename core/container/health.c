/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Health checks. A probe is an exec; a pool of threads of its own runs them, so that one that hangs keeps neither exits nor
 * restarts waiting. A probe that outlived its container's run (another epoch) counts for nothing. States, defaults and events
 * are Docker's; the policy "on-unhealthy" restarts what has become unhealthy.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mux.h"
#include "container/internal.h"

#define THREADS 64
#define OUTPUT_MAX 4096
#define RESULTS_MAX 5
#define INTERVAL (30 * NSEC_PER_SEC)
#define START_INTERVAL (5 * NSEC_PER_SEC)
#define RETRIES 3
#define KILL_MS 1000 /* a probe that was killed is waited for */
#define STEP_MS 500  /* how long the end of the daemon may wait for a probe */

struct health_pool {
	struct work *work;
	int stop_fd;
	atomic_bool stopping;
};

/* By id: a check that is hours away must not keep the container that was removed. */
struct check { struct container_store *store; char id[65]; uint64_t epoch; };
/* What the configuration asks for; its own copy. */
struct plan { struct strv cmd; int64_t interval, timeout, start_period, start_interval, retries; };

static void check_run(void *ctx);

struct health_pool *health_pool_new(struct err *err)
{
	struct health_pool *p = xcalloc(1, sizeof(*p));

	p->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->stop_fd < 0) {
		err_errno(err, errno, "start the health checks");
		free(p);
		return NULL;
	}
	p->work = work_new(THREADS);
	return p;
}

void health_pool_stop(struct health_pool *p)
{
	if (!p)
		return;
	atomic_store(&p->stopping, true);
	BUG_ON(eventfd_write(p->stop_fd, 1) < 0);
	work_stop(p->work);
}

void health_pool_free(struct health_pool *p)
{
	if (!p)
		return;
	health_pool_stop(p);
	work_free(p->work);
	fd_close(&p->stop_fd);
	free(p);
}

const char *health_word(const struct health_state *h)
{
	return h && !str_empty(h->status) ? h->status : "none";
}

static bool has_check(const struct container_config *cfg)
{
	const struct image_health *h = cfg->healthcheck;

	return h && h->test.len > 1 && (streq(h->test.v[0], "CMD") || streq(h->test.v[0], "CMD-SHELL"));
}

static int64_t or_else(int64_t v, int64_t other)
{
	return v > 0 ? v : other;
}

/* An image may say less than a client may. */
static int64_t time_or(int64_t v, int64_t other)
{
	return or_else(v > 0 && v < NSEC_PER_MSEC ? NSEC_PER_MSEC : v, other);
}

/* Under the lock. */
static void read_plan(const struct container_config *cfg, struct plan *ret)
{
	const struct image_health *h = cfg->healthcheck;
	bool shell = streq(h->test.v[0], "CMD-SHELL");

	if (shell && cfg->shell.len) {
		strv_copy(&ret->cmd, &cfg->shell);
	} else if (shell) {
		strv_add(&ret->cmd, "/bin/sh");
		strv_add(&ret->cmd, "-c");
	}
	for (size_t i = 1; i < h->test.len; i++)
		strv_add(&ret->cmd, h->test.v[i]);
	ret->interval = time_or(h->interval, INTERVAL);
	ret->timeout = time_or(h->timeout, INTERVAL);
	ret->start_period = h->start_period;
	ret->start_interval = time_or(h->start_interval, START_INTERVAL);
	ret->retries = or_else(h->retries, RETRIES);
}

/* Under the lock: the wait before the next probe. */
static int64_t next_wait(const struct container *c)
{
	const struct image_health *h = c->rec.config.healthcheck;
	bool starting = streq(health_word(c->rec.state.health), "starting");

	if (starting && clock_mono() - c->health_since < h->start_period)
		return time_or(h->start_interval, START_INTERVAL);
	return time_or(h->interval, INTERVAL);
}

static void post(struct container *c, uint64_t epoch, int64_t wait)
{
	struct check *k = xcalloc(1, sizeof(*k));
	int64_t now = clock_mono();

	*k = (struct check){ .store = c->store, .epoch = epoch };
	memcpy(k->id, c->id, sizeof(k->id));
	work_post(c->store->health->work, wait < INT64_MAX - now ? now + wait : INT64_MAX, check_run, free, k);
}

static bool is_check_of(const void *ctx, const void *container)
{
	const struct check *k = ctx;

	return streq(k->id, ((const struct container *)container)->id);
}

/* Under the lock. Whatever a clock was set to meanwhile, a run that was adopted is not older than its epoch says. */
static int64_t began(const struct container_state *st, bool fresh)
{
	int64_t age = fresh || st->started_at <= 0 ? 0 : clock_now() - st->started_at;

	return clock_mono() - (age > 0 ? age : 0);
}

void health_begin(struct container *c, bool fresh)
{
	struct container_state *st = &c->rec.state;
	uint64_t epoch;
	int64_t wait;
	bool on;

	if (!c->store->health)
		return;
	lock_take(&c->lock);
	epoch = ++c->health_epoch;
	work_cancel(c->store->health->work, is_check_of, c);
	on = c->health_on = has_check(&c->rec.config) && st->running && !st->restarting && !st->paused;
	if (fresh || !c->health_since)
		c->health_since = began(st, fresh);
	if (on && !st->health)
		st->health = xcalloc(1, sizeof(*st->health));
	if (on)
		st->health->log.set = true;
	if (on && (fresh || !st->health->status)) {
		str_set(&st->health->status, "starting");
		st->health->failing_streak = 0;
	}
	if (!has_check(&c->rec.config) && st->health) {
		jdesc_clear(&health_state_desc, st->health);
		free(STEAL(st->health));
	}
	wait = on ? next_wait(c) : 0;
	lock_drop(&c->lock);
	if (on)
		post(c, epoch, wait);
}

void health_end(struct container *c)
{
	c->health_epoch++;
	if (c->store->health)
		work_cancel(c->store->health->work, is_check_of, c);
	if (c->health_on && c->rec.state.health)
		str_set(&c->rec.state.health->status, "unhealthy");
	c->health_on = false;
}

/* What both streams say, up to the limit; the rest is read and dropped. */
struct output { struct buf text; bool cut; struct demux demux; };

static int take_bytes(void *ctx, const void *data, size_t size)
{
	struct output *o = ctx;
	size_t room = OUTPUT_MAX - o->text.size;

	buf_add(&o->text, data, size < room ? size : room);
	o->cut |= size > room;
	return 0;
}

static const char *output_text(struct output *o)
{
	if (o->cut)
		buf_add(&o->text, "...", 3);
	buf_add(&o->text, "", 1);
	return o->text.data;
}

/* 1 at the end of the output, 0 when the time is over, -1 when the pool ends. */
static int read_output(const struct health_pool *p, int fd, int64_t end, struct output *o)
{
	const struct cancel stop = { -1, p->stop_fd };

	for (;;) {
		unsigned char data[4096];
		int64_t left = (end - clock_mono()) / 1000000 + 1;
		int r = end > clock_mono() ? cancel_wait(&stop, fd, POLLIN, left > INT32_MAX ? INT32_MAX : (int)left) : 0;
		ssize_t n;

		if (r <= 0)
			return r;
		n = read(fd, data, sizeof(data));
		if (n <= 0 && !(n < 0 && errno == EINTR))
			return 1;
		demux_feed(&o->demux, data, n > 0 ? (size_t)n : 0, take_bytes, o);
	}
}

/* The same for the end of an exec, which may close its streams long before. */
static int await_exit(struct container_store *s, const char *id, int64_t end, int *ret_code)
{
	while (!exec_exit_code(s, id, ret_code)) {
		int64_t left = (end - clock_mono()) / 1000000;

		if (atomic_load(&s->health->stopping))
			return -1;
		if (left <= 0)
			return 0;
		if (!exec_await_end(s, id, left < STEP_MS ? (int)left : STEP_MS)) {
			*ret_code = -1;
			return 1;
		}
	}
	return 1;
}

static void say_late(const struct plan *plan, struct health_probe *ret, struct output *o)
{
	const char *text = output_text(o);
	char words[CLOCK_TEXT];

	clock_go_duration(plan->timeout, words);
	ret->exit_code = -1;
	ret->output = xasprintf("Health check exceeded timeout (%s)%s%s", words, *text ? ": " : "", text);
}

/* False: the daemon ends, and nothing was found out. */
static bool probe(struct container *c, const struct plan *plan, struct health_probe *ret)
{
	struct exec_config cfg = { .attach_stdout = true, .attach_stderr = true };
	struct output o = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int fd = -1;
	char id[65] = "";
	int64_t now = clock_mono(), end = plan->timeout < INT64_MAX - now ? now + plan->timeout : INT64_MAX;
	int r, code = 0;

	strv_copy(&cfg.cmd, &plan->cmd);
	ret->start = clock_now();
	metrics_add(METRIC_HEALTH_CHECKS, 1);
	r = exec_create(c, &cfg, id, &err) == 0 ? exec_start(c->store, id, false, NULL, &fd, &err) : -1;
	metrics_time(METRIC_HEALTH_START, NULL, clock_now() - ret->start);
	if (r < 0) {
		jdesc_clear(&exec_config_desc, &cfg);
		exec_forget(c, id);
		*ret = (struct health_probe){ .start = ret->start, .end = clock_now(), .exit_code = -1, .output = xstrdup(err_text(&err)) };
		return true;
	}
	r = read_output(c->store->health, fd, end, &o);
	if (r > 0)
		r = await_exit(c->store, id, end, &code);
	if (r == 0) {
		exec_kill(c->store, id);
		exec_await_end(c->store, id, KILL_MS);
		say_late(plan, ret, &o);
	} else if (r > 0) {
		ret->exit_code = code;
		ret->output = xstrdup(output_text(&o));
	}
	buf_done(&o.text);
	exec_forget(c, id);
	ret->end = clock_now();
	return r >= 0;
}

/* Under the lock. */
static void add_result(struct health_state *h, struct health_probe *p)
{
	struct jlist *log = &h->log;

	if (log->len >= RESULTS_MAX) {
		struct health_probe *first = jlist_at(log, 0, &health_probe_desc);

		free(first->output);
		memmove(first, first + 1, (log->len - 1) * sizeof(*first));
		*(struct health_probe *)jlist_at(log, log->len - 1, &health_probe_desc) = *p;
	} else {
		*(struct health_probe *)jlist_add(log, &health_probe_desc) = *p;
	}
	p->output = NULL;
}

/* Under the lock: whether the status changed. */
static bool judge(struct container *c, const struct plan *plan, int64_t mono_start, struct health_probe *p)
{
	struct health_state *h = c->rec.state.health;
	const char *was = health_word(h), *is = was;
	bool grace = streq(was, "starting") && mono_start - c->health_since < plan->start_period;

	metrics_add(METRIC_HEALTH_FAILED, p->exit_code != 0);
	if (p->exit_code == 0) {
		h->failing_streak = 0;
		is = "healthy";
	} else if (!grace && ++h->failing_streak >= plan->retries) {
		is = "unhealthy";
	}
	add_result(h, p);
	if (streq(was, is))
		return false;
	str_set(&h->status, is);
	return true;
}

static void save(struct container *c)
{
	if (op_begin(c, NULL) < 0)
		return;
	container_save_state(c);
	op_end(c);
}

/* Of the policy "on-unhealthy": as after a failure, and counted with them. */
static void restart_unhealthy(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;
	uint64_t stops;
	int64_t max;
	bool wanted;

	lock_take(&c->lock);
	max = c->host.restart.maximum_retry_count;
	stops = c->stops;
	wanted = c->host.restart.name && streq(c->host.restart.name, "on-unhealthy") && c->rec.state.running && !c->no_restart &&
		(max <= 0 || c->rec.restart_count < max);
	c->rec.restart_count += wanted;
	lock_drop(&c->lock);
	if (!wanted)
		return;
	log_warn("container %s is unhealthy: it is restarted", c->id);
	if (container_restart_unless_stopped(c, stops, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
}

static void tell(struct container *c, const char *status)
{
	OWN_FREE char *action = xasprintf("health_status: %s", status);

	container_event(c, action, NULL);
	save(c);
	if (streq(status, "unhealthy"))
		restart_unhealthy(c);
}

/* Under the lock. An update may have taken the check away and not have come to say so yet. */
static bool still_valid(const struct check *k, const struct container *c)
{
	return c->health_epoch == k->epoch && c->health_on && !c->removed && has_check(&c->rec.config);
}

/* On a thread of the pool. */
static void check_run(void *ctx)
{
	struct check *k = ctx;
	CLEANUP(container_unrefp) struct container *c = store_by_id(k->store, k->id);
	struct health_probe result = { 0 };
	struct plan plan = { 0 };
	OWN_FREE char *status = NULL;
	int64_t wait = 0, start = clock_mono();
	bool valid;

	if (!c) {
		free(k);
		return;
	}
	lock_take(&c->lock);
	valid = still_valid(k, c) && !atomic_load(&k->store->health->stopping);
	if (valid)
		read_plan(&c->rec.config, &plan);
	lock_drop(&c->lock);
	if (valid && probe(c, &plan, &result)) {
		lock_take(&c->lock);
		valid = still_valid(k, c);
		if (valid && judge(c, &plan, start, &result))
			status = xstrdup(health_word(c->rec.state.health));
		wait = valid ? next_wait(c) : 0;
		lock_drop(&c->lock);
		if (valid)
			post(c, k->epoch, wait);
		if (status)
			tell(c, status);
	}
	free(result.output);
	strv_done(&plan.cmd);
	free(k);
}
