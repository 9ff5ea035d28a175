/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mutexes with a rank. Locks are taken in one order: LOCK_MAP -> LOCK_OBJECT -> LOCK_LEAF (docs/threads.md);
 * builds with --enable-debug abort on a violation, on unlocking by another thread, and on lock_none_held() lying.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

enum lock_rank { LOCK_MAP = 1, LOCK_OBJECT, LOCK_LEAF };

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
};
#define LOCK_INIT(rank_) { PTHREAD_MUTEX_INITIALIZER, rank_ }

void lock_init(struct lock *l, enum lock_rank rank);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
/* cond is waited for with the lock held; timeout_ns < 0 waits for ever. 0, or ETIMEDOUT. cond uses CLOCK_MONOTONIC (lock_cond_init). */
int lock_wait(struct lock *l, pthread_cond_t *cond, long long timeout_ns);
void lock_cond_init(pthread_cond_t *cond);
/* Asserts that this thread holds no lock: before a driver call, a fork, a disk sync, a socket write. */
void lock_none_held(void);

static inline void lock_dropp(struct lock **l) { if (*l) lock_drop(*l); }
static inline struct lock *lock_taken(struct lock *l) { lock_take(l); return l; }
/* Holds l to the end of the scope. */
#define WITH_LOCK(l) \
	__attribute__((cleanup(lock_dropp), unused)) struct lock *LOCK_NAME_(__LINE__) = lock_taken(l)
#define LOCK_NAME_(n) LOCK_NAME__(n)
#define LOCK_NAME__(n) lock_held_##n

#endif
