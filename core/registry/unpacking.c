/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/unpacking.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define STACK (256 * 1024)
#define TELL_NS (100 * NSEC_PER_MSEC)

enum job { JOB_NONE, JOB_PLAN, JOB_FILL, JOB_SETTLE };

static void wake(struct unpacking *u)
{
	uint64_t one = 1;

	if (write(u->wake, &one, sizeof(one)) < 0)
		return; /* it is awake already */
}

static void drop(struct unpacking *u, const char *chain)
{
	OWN_ERR struct err err = ERR_INIT;

	if (chain && layer_unref(u->store, chain, NULL, &err) < 0)
		log_warn("layer %s: %s", chain, err_text(&err));
}

static int cancelled(struct err *err)
{
	return err_set(err, ERR_CANCELLED, "cancelled");
}

static bool stopped(struct unpacking *u)
{
	return __atomic_load_n(&u->stop, __ATOMIC_RELAXED);
}

/* --- which job is next; under the lock --- */

static bool can_settle(const struct unpacking *u)
{
	const struct unpack_layer *x = &u->v[u->settled];

	/* who plans the layer above looks at this one */
	return !u->settling && u->settled < u->planned && !(u->planning && u->settled + 1 == u->planned) &&
		(x->state == UNPACK_FILLED || x->state == UNPACK_THERE);
}

static bool can_plan(const struct unpacking *u)
{
	if (u->planning || u->planned == u->len || (u->settling && u->settled + 1 == u->planned))
		return false;
	if (!u->stacks)
		return u->planned == u->settled && u->v[u->planned].whole;
	for (size_t i = u->planned; i < u->len; i++)
		if (u->v[i].whole)
			return true;
	return false;
}

static bool can_fill(const struct unpacking *u, size_t *ret)
{
	for (*ret = u->settled; *ret < u->planned; ++*ret)
		if (u->v[*ret].state == UNPACK_DRAFT && u->v[*ret].whole)
			return true;
	return false;
}

/* The lowest layers first. Waits for one; JOB_NONE at the end. */
static enum job next_job(struct unpacking *u, size_t *ret)
{
	WITH_LOCK(&u->lock);

	for (; !u->stop && u->settled < u->len; lock_wait(&u->lock, &u->more, -1)) {
		if (u->redo)
			continue;
		if (can_settle(u)) {
			u->settling = true;
			*ret = u->settled;
			return JOB_SETTLE;
		}
		if (can_fill(u, ret)) {
			u->v[*ret].state = UNPACK_FILLING;
			u->filling++;
			return JOB_FILL;
		}
		if (can_plan(u)) {
			u->planning = true;
			*ret = u->planned;
			return JOB_PLAN;
		}
	}
	return JOB_NONE;
}

/* --- planning --- */

static int claim(struct unpacking *u, struct unpack_layer *x, struct err *err)
{
	struct partials *p = u->l->r->partials;

	while (!x->claimed) {
		if (stopped(u))
			return cancelled(err);
		x->claimed = partials_claim(p, x->chain);
		if (!x->claimed)
			partials_wait(p);
	}
	return 0;
}

static void release(struct unpacking *u, struct unpack_layer *x)
{
	if (x->claimed)
		partials_release(u->l->r->partials, x->chain);
	x->claimed = false;
}

/* What layer i will stand on: nobody settles that meanwhile. */
static struct layer_draft *draft_on_below(struct unpacking *u, size_t i, struct err *err)
{
	const struct layer_draft *below = NULL;
	const char *parent = NULL;

	lock_take(&u->lock);
	if (i == u->settled)
		parent = u->below;
	else if (u->v[i - 1].state == UNPACK_THERE)
		parent = u->v[i - 1].chain;
	else
		below = u->v[i - 1].draft;
	lock_drop(&u->lock);
	return layer_draft_new(u->store, parent, below, err);
}

static int plan(struct unpacking *u, size_t i, struct err *err)
{
	struct unpack_layer *x = &u->v[i];
	bool there;

	if (claim(u, x, err) < 0)
		return -1;
	there = layer_ref(u->store, x->chain, NULL) == 0;
	if (there)
		release(u, x);
	else if (!(x->draft = draft_on_below(u, i, err)))
		return err_wrap(err, "failed to register layer");
	lock_take(&u->lock);
	x->state = there ? UNPACK_THERE : UNPACK_DRAFT;
	u->planned++;
	lock_drop(&u->lock);
	return 0;
}

/* --- filling --- */

/* A file as a source, which says how far it is and ends when the others give up. */
struct source { struct reader reader; struct unpacking *u; struct unpack_layer *x; int fd; int64_t at, told; };

static ssize_t source_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct source *s = (struct source *)reader;
	int64_t now = clock_mono();
	ssize_t n;

	if (stopped(s->u))
		return cancelled(err);
	n = pread(s->fd, data, size, s->at);
	if (n < 0)
		return err_errno(err, errno, "read a fetched layer");
	s->at += n;
	__atomic_store_n(&s->x->at, s->at, __ATOMIC_RELAXED);
	if (now - s->told > TELL_NS) {
		s->told = now;
		wake(s->u);
	}
	return n;
}

static int fill(struct unpacking *u, size_t i, struct err *err)
{
	struct unpack_layer *x = &u->v[i];
	OWN_FD int fd = partial_file(u->l->r->partials, x->partial, err);
	struct source s = { { source_read, NULL }, u, x, fd, 0, 0 };
	int rc = fd < 0 ? -1 : layer_draft_fill(x->draft, &s.reader, x->diffid, u->l->pull->cancel, err);

	if (rc < 0)
		err_wrap(err, "failed to register layer");
	lock_take(&u->lock);
	x->state = UNPACK_FILLED;
	lock_drop(&u->lock);
	return rc;
}

/* --- settling --- */

/* The layer of which this is a draft stands on another's copy of its parent: it and what is above is done once more. */
static void again(struct unpacking *u, size_t from)
{
	struct layer_draft **drafts = xcalloc(u->len, sizeof(*drafts));
	OWN_STRV struct strv there = { 0 };

	lock_take(&u->lock);
	u->redo = true;
	while (u->filling || u->planning)
		lock_wait(&u->lock, &u->more, -1);
	for (size_t i = from; i < u->planned; i++) {
		drafts[i] = STEAL(u->v[i].draft);
		if (u->v[i].state == UNPACK_THERE)
			strv_add(&there, u->v[i].chain);
		u->v[i].state = UNPACK_WAITING;
	}
	u->planned = from;
	u->redo = false;
	lock_drop(&u->lock);
	for (size_t i = u->len; i-- > 0;)
		layer_draft_free(drafts[i]);
	for (size_t i = 0; i < there.len; i++)
		drop(u, there.v[i]);
	free(drafts);
}

static int settle(struct unpacking *u, size_t i, struct err *err)
{
	struct unpack_layer *x = &u->v[i];
	int rc = x->draft ? layer_draft_commit(x->draft, u->below, NULL, err) : 0;

	if (rc > 0)
		again(u, i);
	if (rc != 0)
		return rc < 0 ? err_wrap(err, "failed to register layer") : 0;
	layer_draft_free(STEAL(x->draft));
	release(u, x);
	drop(u, u->below);
	str_set(&u->below, x->chain);
	known_add(u->l->r->known, x->diffid, x->digest, u->l->ref);
	u->used(u->ctx, i);
	lock_take(&u->lock);
	x->state = UNPACK_SETTLED;
	u->settled++;
	lock_drop(&u->lock);
	wake(u);
	return 0;
}

/* --- the threads --- */

static int do_job(struct unpacking *u, enum job job, size_t i, struct err *err)
{
	return job == JOB_PLAN ? plan(u, i, err) : job == JOB_FILL ? fill(u, i, err) : settle(u, i, err);
}

static void end_job(struct unpacking *u, enum job job, struct err *err)
{
	WITH_LOCK(&u->lock);

	if (job == JOB_PLAN)
		u->planning = false;
	else if (job == JOB_SETTLE)
		u->settling = false;
	else
		u->filling--;
	if (err->msg) {
		if (!u->failure.msg)
			err_move(&u->failure, err);
		__atomic_store_n(&u->stop, true, __ATOMIC_RELAXED);
	}
	pthread_cond_broadcast(&u->more);
}

static void *take_jobs(void *arg)
{
	struct unpacking *u = arg;
	enum job job;
	size_t i;

	while ((job = next_job(u, &i)) != JOB_NONE) {
		OWN_ERR struct err err = ERR_INIT;

		do_job(u, job, i, &err);
		end_job(u, job, &err);
	}
	lock_take(&u->lock);
	u->running--;
	lock_drop(&u->lock);
	wake(u);
	return NULL;
}

static size_t threads_for(const struct unpacking *u)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = !u->stacks ? 1 : cpus < 2 ? 2 : cpus > UNPACKERS_MAX ? UNPACKERS_MAX : (size_t)cpus;

	return n < u->len ? n : u->len;
}

void unpacking_init(struct unpacking *u, const struct layers *l, void (*used)(void *ctx, size_t i), void *ctx)
{
	*u = (struct unpacking){ .l = l, .store = image_store_layers(l->r->images), .used = used, .ctx = ctx, .wake = -1 };
	u->stacks = layer_drafts_stack(u->store);
	lock_init(&u->lock, LOCK_LEAF);
	lock_cond_init(&u->more);
}

int unpacking_start(struct unpacking *u, struct err *err)
{
	pthread_attr_t attr;
	int rc = 0;

	u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->wake < 0)
		return err_errno(err, errno, "make an event");
	u->running = threads_for(u);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	for (size_t n = u->running; u->started < n && rc == 0; u->started += rc == 0)
		rc = pthread_create(&u->threads[u->started], &attr, take_jobs, u);
	pthread_attr_destroy(&attr);
	return rc ? err_errno(err, rc, "start a thread that unpacks") : 0;
}

void unpacking_whole(struct unpacking *u, size_t i)
{
	WITH_LOCK(&u->lock);

	u->v[i].whole = true;
	pthread_cond_broadcast(&u->more);
}

size_t unpacking_look(struct unpacking *u, struct unpack_at ret[UNPACKERS_MAX], size_t *ret_filling, bool *ret_ended)
{
	WITH_LOCK(&u->lock);

	*ret_filling = 0;
	*ret_ended = u->running == 0;
	for (size_t i = u->settled; i < u->planned && *ret_filling < UNPACKERS_MAX; i++)
		if (u->v[i].state == UNPACK_FILLING)
			ret[(*ret_filling)++] = (struct unpack_at){ i, __atomic_load_n(&u->v[i].at, __ATOMIC_RELAXED) };
	return u->settled;
}

void unpacking_stop(struct unpacking *u)
{
	lock_take(&u->lock);
	__atomic_store_n(&u->stop, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&u->more);
	lock_drop(&u->lock);
	while (u->started)
		pthread_join(u->threads[--u->started], NULL);
	for (size_t i = u->len; i-- > u->settled;) {
		layer_draft_free(STEAL(u->v[i].draft));
		if (u->v[i].state == UNPACK_THERE)
			drop(u, u->v[i].chain);
		u->v[i].state = UNPACK_WAITING;
		release(u, &u->v[i]);
	}
}

void unpacking_done(struct unpacking *u)
{
	for (size_t i = 0; i < u->len; i++)
		free(u->v[i].chain);
	free(u->v);
	fd_close(&u->wake);
	err_done(&u->failure);
	lock_done(&u->lock);
	pthread_cond_destroy(&u->more);
}
