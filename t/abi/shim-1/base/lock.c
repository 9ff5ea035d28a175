/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/lock.h"

#include <errno.h>
#include <time.h>

#include "base/err.h"

#ifdef DKD_DEBUG
static __thread int held[LOCK_LEAF + 1];

static void note_take(const struct lock *l)
{
	for (int r = (int)l->rank; r <= LOCK_LEAF; r++)
		BUG_ON(held[r]);
	held[l->rank]++;
}

static void note_drop(const struct lock *l)
{
	BUG_ON(held[l->rank] != 1);
	held[l->rank]--;
}

void lock_none_held(void)
{
	for (int r = LOCK_MAP; r <= LOCK_LEAF; r++)
		BUG_ON(held[r]);
}
#else
static void note_take(const struct lock *l) { (void)l; }
static void note_drop(const struct lock *l) { (void)l; }
void lock_none_held(void) { }
#endif

void lock_init(struct lock *l, enum lock_rank rank)
{
	pthread_mutex_init(&l->mutex, NULL);
	l->rank = rank;
}

void lock_done(struct lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

void lock_take(struct lock *l)
{
	note_take(l);
	BUG_ON(pthread_mutex_lock(&l->mutex));
}

void lock_drop(struct lock *l)
{
	note_drop(l);
	BUG_ON(pthread_mutex_unlock(&l->mutex));
}

void lock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

int lock_wait(struct lock *l, pthread_cond_t *cond, long long timeout_ns)
{
	struct timespec ts;

	if (timeout_ns < 0)
		return pthread_cond_wait(cond, &l->mutex);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += timeout_ns / 1000000000;
	ts.tv_nsec += timeout_ns % 1000000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	return pthread_cond_timedwait(cond, &l->mutex, &ts);
}
