/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <malloc.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"

#define IDLE_NS (2 * NSEC_PER_SEC)

struct item {
	int64_t due;
	void (*fn)(void *ctx);
	void (*drop)(void *ctx);
	void *ctx;
	struct item *next;
};

/* The queue is sorted by due time; only the thread that waits for its head idles longer than IDLE_NS. */
struct work {
	struct lock lock; /* LEAF: guards all below */
	pthread_cond_t more, left;
	struct item *head;
	int max, threads, waiting;
	bool watched;  /* a thread waits until the head is due */
	bool ending;
};

static void *work_thread(void *arg);

struct work *work_new(int max_threads)
{
	struct work *w = xcalloc(1, sizeof(*w));

	lock_init(&w->lock, LOCK_LEAF);
	lock_cond_init(&w->more);
	lock_cond_init(&w->left);
	w->max = max_threads;
	return w;
}

void work_stop(struct work *w)
{
	WITH_LOCK(&w->lock);

	w->ending = true;
	pthread_cond_broadcast(&w->more);
	while (w->threads)
		lock_wait(&w->lock, &w->left, -1);
}

void work_free(struct work *w)
{
	struct item *it;

	if (!w)
		return;
	work_stop(w);
	while ((it = w->head)) {
		w->head = it->next;
		if (it->drop)
			it->drop(it->ctx);
		free(it);
	}
	pthread_cond_destroy(&w->more);
	pthread_cond_destroy(&w->left);
	lock_done(&w->lock);
	free(w);
}

/* What could be taken at once; one of those that wait may have been woken for some of it and not have come to it yet. */
static int due_now(const struct work *w)
{
	int64_t now = clock_mono();
	int n = 0;

	for (const struct item *it = w->head; it && it->due <= now; it = it->next)
		n++;
	return n;
}

void work_post(struct work *w, int64_t due_ns, void (*fn)(void *ctx), void (*drop)(void *ctx), void *ctx)
{
	struct item *it = xcalloc(1, sizeof(*it)), **at = &w->head;
	pthread_attr_t attr;
	pthread_t thread;
	bool grow;

	*it = (struct item){ .due = due_ns, .fn = fn, .drop = drop, .ctx = ctx };
	lock_take(&w->lock);
	while (*at && (*at)->due <= due_ns)
		at = &(*at)->next;
	it->next = *at;
	*at = it;
	grow = w->threads < w->max && (!w->waiting || due_now(w) > w->waiting);
	w->threads += grow;
	/* All: the one that watches may have an older head in mind. */
	pthread_cond_broadcast(&w->more);
	lock_drop(&w->lock);
	if (!grow)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 512 << 10);
	if (pthread_create(&thread, &attr, work_thread, w)) {
		lock_take(&w->lock);
		w->threads--;
		pthread_cond_broadcast(&w->left);
		lock_drop(&w->lock);
		log_error("cannot start a worker thread");
	}
	pthread_attr_destroy(&attr);
}

void work_cancel(struct work *w, bool (*match)(const void *ctx, const void *key), const void *key)
{
	struct item *gone = NULL, *it;

	lock_take(&w->lock);
	for (struct item **at = &w->head; (it = *at);) {
		if (!match(it->ctx, key)) {
			at = &it->next;
			continue;
		}
		*at = it->next;
		it->next = gone;
		gone = it;
	}
	lock_drop(&w->lock);
	while ((it = gone)) {
		gone = it->next;
		if (it->drop)
			it->drop(it->ctx);
		free(it);
	}
}

/* Waits for the next due item; NULL when the thread shall leave. Among those that wait, one watches the clock for the head. */
static struct item *next_item(struct work *w)
{
	for (;;) {
		struct item *it = w->head;
		int64_t now = clock_mono();
		bool watch = it && !w->watched;
		int timed_out;

		if (it && it->due <= now) {
			w->head = it->next;
			if (w->head && !w->watched)
				pthread_cond_signal(&w->more); /* somebody else watches the next one */
			return it;
		}
		if (w->ending)
			return NULL;
		w->waiting++;
		w->watched |= watch;
		timed_out = lock_wait(&w->lock, &w->more, watch ? it->due - now : IDLE_NS);
		w->waiting--;
		if (watch)
			w->watched = false;
		else if (timed_out && (!w->head || w->watched))
			return NULL;
	}
}

static void *work_thread(void *arg)
{
	struct work *w = arg;
	struct item *it;
	bool last;

	lock_take(&w->lock);
	while ((it = next_item(w))) {
		lock_drop(&w->lock);
		it->fn(it->ctx);
		free(it);
		lock_take(&w->lock);
	}
	/* a burst is over: what it has freed goes back to the kernel, before work_free() may go on */
	last = w->threads == 1 && !w->ending;
	if (last) {
		lock_drop(&w->lock);
		malloc_trim(0);
		lock_take(&w->lock);
	}
	w->threads--;
	pthread_cond_broadcast(&w->left);
	lock_drop(&w->lock);
	return NULL;
}
