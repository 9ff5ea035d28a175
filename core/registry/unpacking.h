/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layers that a pull fetches, on their way into the store; private to fetching.c and unpacking.c. Each goes through three jobs: it is planned (claimed,
 * and a draft of it is made), filled from its file, and settled (put on its parent). Planning and settling go from the bottom up; filling goes in whatever
 * order files come, where the graph driver lets drafts stand on each other. Threads take the jobs as they come up.
 */
#ifndef REGISTRY_UNPACKING_H
#define REGISTRY_UNPACKING_H

#include <pthread.h>

#include "base/lock.h"
#include "registry/registry-priv.h"

#define UNPACKERS_MAX 4

enum unpack_state { UNPACK_WAITING, UNPACK_DRAFT, UNPACK_FILLING, UNPACK_FILLED, UNPACK_THERE /* another's, referenced */, UNPACK_SETTLED };

struct unpack_layer {
	char *chain;
	const char *diffid, *digest; /* digest: of its blob */
	struct partial *partial;     /* where that comes in; the caller's */
	enum unpack_state state;
	bool whole;                  /* the blob */
	bool claimed;
	struct layer_draft *draft;
	int64_t at;                  /* how far filling is; atomic */
};

struct unpacking {
	const struct layers *l;
	struct layer_store *store;
	struct unpack_layer *v;      /* from the bottom up */
	size_t len;
	char *below;                 /* the highest layer that is in the store, referenced; NULL for none */
	int wake;                    /* eventfd: there is something to tell */
	void (*used)(void *ctx, size_t i);
	void *ctx;

	pthread_t threads[UNPACKERS_MAX];
	size_t started;
	struct lock lock;            /* LEAF: everything below, state, whole */
	pthread_cond_t more;         /* jobs, or the end */
	bool stacks, stop;
	bool planning, settling;     /* somebody is at v[planned], at v[settled] */
	bool redo;                   /* what is planned goes: no new jobs */
	size_t planned, settled, filling, running;
	struct err failure;
};

/* used: layer i needs its blob no more; no two threads call it at once. The caller sets v, len and below. */
void unpacking_init(struct unpacking *u, const struct layers *l, void (*used)(void *ctx, size_t i), void *ctx);
int unpacking_start(struct unpacking *u, struct err *err);
/* The blob of layer i is whole. */
void unpacking_whole(struct unpacking *u, size_t i);

struct unpack_at { size_t i; int64_t at; };
/* How many layers are settled, and those that are being filled; *ret_ended: no thread is left. */
size_t unpacking_look(struct unpacking *u, struct unpack_at ret[UNPACKERS_MAX], size_t *ret_filling, bool *ret_ended);
/* Ends the threads, and drops what is not settled; u->below is the caller's then. */
void unpacking_stop(struct unpacking *u);
void unpacking_done(struct unpacking *u);

#endif
