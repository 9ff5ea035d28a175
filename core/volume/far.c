/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drivers that are processes of their own may hang, for ever and at any time. Lists of volumes ask each on a thread of its own, at most one
 * for each, and wait for a moment only: what a driver told before stands until it tells something else.
 */
#include <pthread.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "volume/volume_i.h"

#define WAIT (300 * NSEC_PER_MSEC)
#define PATIENCE (5 * NSEC_PER_SEC) /* where something else would be made for want of an answer */
#define PAUSE (5 * NSEC_PER_SEC) /* before one is asked again that did not answer */
#define DRIVERS_MAX 64

struct one {
	struct far *far;
	struct one *next;
	char *name;
	pthread_t thread;
	bool started;   /* there is a thread to join */
	bool running;   /* ... that has not ended */
	bool late;      /* the last one did not answer in time, or not at all */
	int64_t begun;  /* clock_mono() */
	int64_t again;  /* not before */
};

struct far {
	struct volume_drivers *drivers;
	far_take_fn *take;
	void *ctx;
	struct lock lock;     /* LOCK_LEAF: all below */
	pthread_cond_t ended; /* one of the threads */
	struct one *ones;
	size_t len;
	bool closing;
};

struct far *far_new(struct volume_drivers *ds, far_take_fn *take, void *ctx)
{
	struct far *f = xcalloc(1, sizeof(*f));

	f->drivers = ds;
	f->take = take;
	f->ctx = ctx;
	lock_init(&f->lock, LOCK_LEAF);
	lock_cond_init(&f->ended);
	return f;
}

void far_free(struct far *f)
{
	lock_take(&f->lock);
	f->closing = true;
	lock_drop(&f->lock);
	for (struct one *o = f->ones, *next; o; o = next) {
		next = o->next;
		if (o->started)
			pthread_join(o->thread, NULL);
		free(o->name);
		free(o);
	}
	pthread_cond_destroy(&f->ended);
	lock_done(&f->lock);
	free(f);
}

struct infos { struct volume_info *v; size_t len; };

static void collect(void *ctx, struct volume_info *info)
{
	struct infos *all = ctx;

	if ((all->len & (all->len - 1)) == 0)
		all->v = xrealloc(all->v, (all->len ? 2 * all->len : 1) * sizeof(*all->v));
	all->v[all->len++] = *info;
	*info = (struct volume_info){0};
}

static int ask(struct far *f, const char *name, struct err *err)
{
	struct volume_driver *d = volume_driver_get(f->drivers, name, err);
	struct infos all = {0};
	int64_t asked = clock_mono();
	int rc = d ? volume_driver_list(d, collect, &all, err) : -1;

	if (rc == 0)
		f->take(f->ctx, d, all.v, all.len, asked);
	for (size_t i = 0; i < all.len; i++)
		volume_info_done(&all.v[i]);
	free(all.v);
	return rc;
}

static void *run(void *arg)
{
	struct one *o = arg;
	struct far *f = o->far;
	OWN_ERR struct err err = ERR_INIT;
	int rc = ask(f, o->name, &err);
	bool was;

	WITH_LOCK(&f->lock);
	was = o->late;
	o->late = rc < 0 || clock_mono() - o->begun > WAIT;
	o->again = rc < 0 ? clock_mono() + PAUSE : 0;
	o->running = false;
	if (rc < 0 && !was && err.class != ERR_NOT_FOUND)
		log_warn("volume driver %s does not tell what it has: %s", o->name, err_text(&err));
	pthread_cond_broadcast(&f->ended);
	return NULL;
}

static struct one *find(struct far *f, const char *name)
{
	struct one *o = f->ones;

	while (o && !streq(o->name, name))
		o = o->next;
	return o;
}

/* Under the lock. NULL: it is not asked now. */
static struct one *start(struct far *f, const char *name)
{
	struct one *o = find(f, name);

	if (f->closing || (!o && f->len == DRIVERS_MAX))
		return NULL;
	if (!o) {
		o = xcalloc(1, sizeof(*o));
		o->far = f;
		o->name = xstrdup(name);
		o->next = f->ones;
		f->ones = o;
		f->len++;
	}
	if (o->running)
		return o;
	if (clock_mono() < o->again)
		return NULL;
	if (o->started)
		pthread_join(o->thread, NULL); /* it has let go of the lock for the last time, or is about to end */
	o->begun = clock_mono();
	o->started = o->running = pthread_create(&o->thread, NULL, run, o) == 0;
	return o->running ? o : NULL;
}

/* Is one that is worth waiting for at work? Who is patient waits for those that are slow, too, but not once more for one that hangs. */
static bool any_running(const struct far *f, bool patient, int64_t now)
{
	for (const struct one *o = f->ones; o; o = o->next)
		if (o->running && (patient ? now - o->begun < PATIENCE : !o->late))
			return true;
	return false;
}

void far_refresh(struct far *f, const struct strv *known, bool patient)
{
	OWN_STRV struct strv names = {0};
	int64_t now = clock_mono(), until = now + (patient ? PATIENCE : WAIT);

	strv_copy(&names, known);
	volume_drivers_far(&names);
	if (!names.len)
		return;
	WITH_LOCK(&f->lock);
	for (size_t i = 0; i < names.len; i++)
		start(f, names.v[i]);
	for (; now < until && any_running(f, patient, now); now = clock_mono())
		lock_wait(&f->lock, &f->ended, until - now);
	for (struct one *o = f->ones; o; o = o->next)
		o->late |= o->running && clock_mono() - o->begun > WAIT;
}

bool far_answers(struct far *f, const char *name)
{
	WITH_LOCK(&f->lock);
	const struct one *o = find(f, name);

	return o && !o->late && !o->running;
}
