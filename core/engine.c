/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/reserve.h"


struct handler {
	char *name;
	job_fn *fn;
	void *ctx;
	const struct timed *timed; /* or NULL */
};

/* Jobs whose time, when they succeed, is a figure of Docker's. Starts and removals count themselves: they come without a job, too. */
static const struct timed { const char *job; enum metric_timer timer; const char *value; } timed_jobs[] = {
	{ "commit", METRIC_CONTAINER_ACTIONS, "commit" },
	{ "container_changes", METRIC_CONTAINER_ACTIONS, "changes" },
	{ "container_create", METRIC_CONTAINER_ACTIONS, "create" },
	{ "image_create", METRIC_IMAGE_ACTIONS, "import" },
	{ "image_delete", METRIC_IMAGE_ACTIONS, "delete" },
	{ "image_get", METRIC_IMAGE_ACTIONS, "save" },
	{ "image_load", METRIC_IMAGE_ACTIONS, "load" },
	{ "image_push", METRIC_IMAGE_ACTIONS, "push" },
	{ "network_connect", METRIC_NETWORK_ACTIONS, "connect" },
	{ "network_disconnect", METRIC_NETWORK_ACTIONS, "release" },
	{ "system_info", METRIC_HOST_INFO, "system_info" },
	{ "system_version", METRIC_HOST_INFO, "system_version" },
};

struct on_shutdown {
	void (*fn)(void *ctx);
	void *ctx;
};

struct engine {
	struct lock lock; /* leaf: guards all below */
	pthread_cond_t changed;
	struct handler *handlers; /* sorted by name */
	size_t n_handlers;
	struct handler catchall;
	struct job *jobs;
	size_t running;
	uint64_t last_id, ended;
	struct on_shutdown *on_shutdown;
	size_t n_on_shutdown;
	bool stopping, stopped;
	int stop_fd;
};

static const struct handler *find(const struct engine *e, const char *name, size_t *ret_at);
static int job_commands(struct job *job, struct err *err);
static bool enter(struct job *job);
static void leave(struct job *job);

struct engine *engine_new(void)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	lock_init(&e->lock, LOCK_LEAF);
	lock_cond_init(&e->changed);
	e->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(e->stop_fd < 0);
	engine_register(e, "commands", job_commands, NULL, NULL);
	return e;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	BUG_ON(e->running != 0);
	for (size_t i = 0; i < e->n_handlers; i++)
		free(e->handlers[i].name);
	free(e->handlers);
	free(e->on_shutdown);
	close(e->stop_fd);
	pthread_cond_destroy(&e->changed);
	lock_done(&e->lock);
	free(e);
}

static const struct timed *timed_job(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(timed_jobs); i++)
		if (streq(timed_jobs[i].job, name))
			return &timed_jobs[i];
	return NULL;
}

int engine_register(struct engine *e, const char *name, job_fn *fn, void *ctx, struct err *err)
{
	size_t at;
	WITH_LOCK(&e->lock);

	if (find(e, name, &at))
		return err_set(err, ERR_CONFLICT, "job \"%s\" is registered already", name);
	e->handlers = xrealloc(e->handlers, (e->n_handlers + 1) * sizeof(*e->handlers));
	memmove(e->handlers + at + 1, e->handlers + at, (e->n_handlers - at) * sizeof(*e->handlers));
	e->handlers[at] = (struct handler){ xstrdup(name), fn, ctx, timed_job(name) };
	e->n_handlers++;
	return 0;
}

void engine_set_catchall(struct engine *e, job_fn *fn, void *ctx)
{
	WITH_LOCK(&e->lock);

	e->catchall = (struct handler){ NULL, fn, ctx, NULL };
}

bool engine_has(const struct engine *e, const char *name)
{
	size_t at;
	WITH_LOCK((struct lock *)&e->lock);

	return find(e, name, &at) != NULL;
}

void engine_commands(struct engine *e, struct strv *ret)
{
	WITH_LOCK(&e->lock);

	for (size_t i = 0; i < e->n_handlers; i++)
		strv_add(ret, e->handlers[i].name);
}

struct job *engine_job(struct engine *e, const char *name, struct err *err)
{
	struct job *job;
	size_t at;
	WITH_LOCK(&e->lock);

	if (!find(e, name, &at) && !e->catchall.fn) {
		err_set(err, ERR_NOT_FOUND, "no such job: %s", name);
		return NULL;
	}
	job = xcalloc(1, sizeof(*job));
	job->name = xstrdup(name);
	job->id = ++e->last_id;
	job->engine = e;
	job->cancel = (struct cancel){ -1, e->stop_fd };
	return job;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	strv_done(&job->args);
	strmap_done(&job->env);
	free((char *)job->name);
	free(job);
}

/* Those that work on a full disk, from the reserve. */
static bool frees_space(const char *name)
{
	static const char *const names[] = { "container_stop", "container_kill", "container_wait", "exec_create", "exec_start" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (streq(name, names[i]))
			return true;
	return str_has_suffix(name, "_delete") || str_has_suffix(name, "_prune");
}

int job_run(struct job *job, struct err *err)
{
	struct engine *e = job->engine;
	const struct handler *h;
	const struct timed *timed;
	int64_t began;
	job_fn *fn;
	size_t at;
	int r;

	if (!enter(job))
		return err_set(err, ERR_UNAVAILABLE, "the daemon is shutting down");
	lock_take(&e->lock);
	h = find(e, job->name, &at);
	if (!h)
		h = &e->catchall;
	fn = h->fn;
	timed = h->timed;
	job->ctx = h->ctx;
	lock_drop(&e->lock);
	if (frees_space(job->name))
		reserve_allow(true);
	began = timed ? clock_mono() : 0;
	r = fn(job, err);
	if (frees_space(job->name)) {
		reserve_allow(false);
		reserve_retake();
	}
	metrics_add(METRIC_JOBS, 1);
	metrics_add(METRIC_JOBS_FAILED, r < 0);
	if (timed && r == 0)
		metrics_time(timed->timer, timed->value, clock_mono() - began);
	if (r < 0)
		reserve_explain(err);
	leave(job);
	return r;
}

int job_getenv_bool(const struct job *job, const char *key)
{
	return str_to_bool(strmap_get(&job->env, key));
}

size_t engine_running(struct engine *e)
{
	WITH_LOCK(&e->lock);

	return e->running;
}

uint64_t engine_ended(struct engine *e)
{
	WITH_LOCK(&e->lock);

	return e->ended;
}

void engine_each_job(struct engine *e, void (*emit)(void *ctx, const char *name, uint64_t id, int64_t age), void *ctx)
{
	int64_t now = clock_now();
	WITH_LOCK(&e->lock);

	for (struct job *job = e->jobs; job; job = job->next)
		emit(ctx, job->name, job->id, now - job->started);
}

int engine_stop_fd(const struct engine *e)
{
	return e->stop_fd;
}

void engine_on_shutdown(struct engine *e, void (*fn)(void *ctx), void *ctx)
{
	WITH_LOCK(&e->lock);

	e->on_shutdown = xrealloc(e->on_shutdown, (e->n_on_shutdown + 1) * sizeof(*e->on_shutdown));
	e->on_shutdown[e->n_on_shutdown++] = (struct on_shutdown){ fn, ctx };
}

/* Begins the shutdown, or waits for the one that runs: false for the second caller. */
static bool shutdown_begin(struct engine *e)
{
	WITH_LOCK(&e->lock);

	if (e->stopping) {
		while (!e->stopped)
			lock_wait(&e->lock, &e->changed, -1);
		return false;
	}
	e->stopping = true;
	eventfd_write(e->stop_fd, 1);
	return true;
}

static bool wait_for_jobs(struct engine *e, int64_t timeout_ns)
{
	int64_t end = clock_mono() + timeout_ns;
	WITH_LOCK(&e->lock);

	while (e->running) {
		int64_t left = timeout_ns < 0 ? -1 : end - clock_mono();

		if (timeout_ns >= 0 && left <= 0)
			return false;
		lock_wait(&e->lock, &e->changed, left);
	}
	return true;
}

void engine_shutdown(struct engine *e, int timeout_ms)
{
	if (!shutdown_begin(e))
		return;
	if (!wait_for_jobs(e, timeout_ms < 0 ? -1 : timeout_ms * NSEC_PER_MSEC / 3))
		log_warn("%zu jobs still run, shutting down without them", engine_running(e));
	for (;;) {
		struct on_shutdown h;

		lock_take(&e->lock);
		if (e->n_on_shutdown == 0) {
			e->stopped = true;
			pthread_cond_broadcast(&e->changed);
			lock_drop(&e->lock);
			return;
		}
		h = e->on_shutdown[--e->n_on_shutdown];
		lock_drop(&e->lock);
		h.fn(h.ctx);
	}
}

/* The handler, or NULL with the place where it would stand. Lock held. */
static const struct handler *find(const struct engine *e, const char *name, size_t *ret_at)
{
	size_t from = 0, to = e->n_handlers;

	while (from < to) {
		size_t mid = (from + to) / 2;
		int c = strcmp(name, e->handlers[mid].name);

		if (c == 0)
			return &e->handlers[mid];
		if (c < 0)
			to = mid;
		else
			from = mid + 1;
	}
	*ret_at = from;
	return NULL;
}

static int job_commands(struct job *job, struct err *err)
{
	OWN_STRV struct strv names = { 0 };

	engine_commands(job->engine, &names);
	for (size_t i = 0; job->out && i < names.len; i++) {
		OWN_FREE char *line = xasprintf("%s\n", names.v[i]);

		if (job->out->write(job->out, line, strlen(line), err) < 0)
			return -1;
	}
	return 0;
}

static bool enter(struct job *job)
{
	struct engine *e = job->engine;
	WITH_LOCK(&e->lock);

	if (e->stopping)
		return false;
	job->started = clock_now();
	job->next = e->jobs;
	job->prev = &e->jobs;
	if (e->jobs)
		e->jobs->prev = &job->next;
	e->jobs = job;
	e->running++;
	return true;
}

static void leave(struct job *job)
{
	struct engine *e = job->engine;
	WITH_LOCK(&e->lock);

	*job->prev = job->next;
	if (job->next)
		job->next->prev = job->prev;
	e->running--;
	e->ended++;
	pthread_cond_broadcast(&e->changed);
}
