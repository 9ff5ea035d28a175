/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine.h"

#include "tap.h"

static atomic_int runs;

static int job_hello(struct job *job, struct err *err)
{
	if (job->args.len && streq(job->args.v[0], "fail"))
		return err_set(err, ERR_CONFLICT, "told to fail");
	runs += *(int *)job->ctx;
	return 0;
}

static int job_slow(struct job *job, struct err *err)
{
	runs++;
	if (cancel_wait(&job->cancel, -1, 0, 10000) < 0)
		return err_set(err, ERR_CANCELLED, "stopped");
	return 0;
}

struct out { struct job_stream stream; struct buf text; };

static int out_write(struct job_stream *s, const void *data, size_t size, struct err *err)
{
	buf_add(&((struct out *)s)->text, data, size);
	return 0;
}

static void test_register(void)
{
	struct engine *e = engine_new();
	struct err err = ERR_INIT;
	struct job *job;
	int ten = 10, one = 1;

	ok(engine_register(e, "hello", job_hello, &ten, &err) == 0, "registered");
	ok(engine_has(e, "hello") && !engine_has(e, "hell"), "known by name");
	ok(engine_register(e, "hello", job_hello, &one, &err) < 0 && strstr(err_text(&err), "\"hello\""),
		"twice is an error that names it");
	err_done(&err);
	job = engine_job(e, "hello", &err);
	runs = 0;
	ok(job_run(job, &err) == 0, "it runs");
	is_int(runs, 10, "with the context of the first registration");
	strv_add(&job->args, "fail");
	ok(job_run(job, &err) < 0 && err.class == ERR_CONFLICT, "its error comes back");
	err_done(&err);
	strmap_set(&job->env, "yes", "1");
	strmap_set(&job->env, "no", "False");
	ok(job_getenv_bool(job, "yes") && !job_getenv_bool(job, "no") && !job_getenv_bool(job, "absent"),
		"booleans of the environment");
	job_free(job);
	ok(!engine_job(e, "nobody", &err) && err.class == ERR_NOT_FOUND, "an unknown job");
	err_done(&err);
	engine_set_catchall(e, job_hello, &one);
	job = engine_job(e, "nobody", &err);
	runs = 0;
	ok(job && job_run(job, &err) == 0 && runs == 1, "goes to the catch-all");
	job_free(job);
	engine_free(e);
}

static void test_commands(void)
{
	struct engine *e = engine_new();
	struct out out = { .stream.write = out_write };
	struct job *job;
	int one = 1;

	engine_register(e, "zz", job_hello, &one, NULL);
	engine_register(e, "aa", job_hello, &one, NULL);
	job = engine_job(e, "commands", NULL);
	job->out = &out.stream;
	ok(job_run(job, NULL) == 0, "the job of jobs");
	is_str(out.text.data, "aa\ncommands\nzz\n", "lists them, sorted");
	job_free(job);
	buf_done(&out.text);
	engine_free(e);
}

static void each(void *ctx, const char *name, uint64_t id, int64_t age)
{
	*(int *)ctx += streq(name, "slow") && id > 0 && age >= 0;
}

static void *shutdown_thread(void *e)
{
	engine_shutdown(e, -1);
	return NULL;
}

/* Runs a job beside the test, and frees it. */
static void *job_thread(void *job)
{
	job_run(job, NULL);
	job_free(job);
	return NULL;
}

static int order[3], n_order;
static void handler_one(void *ctx) { order[n_order++] = 1 + (engine_running(ctx) ? 100 : 0); }
static void handler_two(void *ctx) { order[n_order++] = 2 + (engine_running(ctx) ? 100 : 0); }

static void test_shutdown(void)
{
	struct engine *e = engine_new();
	struct err err = ERR_INIT;
	pthread_t t, beside;
	struct job *job;
	int seen = 0;

	engine_register(e, "slow", job_slow, NULL, NULL);
	engine_on_shutdown(e, handler_one, e);
	engine_on_shutdown(e, handler_two, e);
	runs = 0;
	pthread_create(&beside, NULL, job_thread, engine_job(e, "slow", NULL));
	while (!runs)
		usleep(1000);
	engine_each_job(e, each, &seen);
	is_int(seen, 1, "a job is listed while it runs");
	is_int(engine_running(e), 1, "and counted");
	is_int(engine_ended(e), 0, "none has ended");
	job = engine_job(e, "slow", NULL);
	ok(!cancel_fired(&job->cancel), "no token fired");
	pthread_create(&t, NULL, shutdown_thread, e);
	engine_shutdown(e, -1);
	pthread_join(t, NULL);
	ok(cancel_fired(&job->cancel), "shutdown fires the tokens");
	is_int(n_order, 2, "each handler runs once, whoever calls");
	is_int(order[0] * 10 + order[1], 21, "in reverse, after the jobs");
	ok(job_run(job, &err) < 0 && err.class == ERR_UNAVAILABLE, "new jobs are refused");
	err_done(&err);
	job_free(job);
	pthread_join(beside, NULL);
	is_int(engine_ended(e), 1, "one has ended, the refused one does not count");
	engine_free(e);
}

static int job_deaf(struct job *job, struct err *err)
{
	runs++;
	usleep(2500000);
	return 0;
}

static void test_timeout(void)
{
	struct engine *e = engine_new();
	int64_t from, took;
	pthread_t beside;

	engine_register(e, "deaf", job_deaf, NULL, NULL);
	runs = 0;
	pthread_create(&beside, NULL, job_thread, engine_job(e, "deaf", NULL));
	while (!runs)
		usleep(1000);
	from = clock_mono();
	engine_shutdown(e, 300);
	took = (clock_mono() - from) / 1000000;
	ok(took >= 90 && took < 2000, "a deaf job gets a third of the time (%lld ms)", (long long)took);
	pthread_join(beside, NULL);
	engine_free(e);
}

int main(void)
{
	log_set_level(LOG_FATAL);
	test_register();
	test_commands();
	test_shutdown();
	test_timeout();
	return tap_done();
}
