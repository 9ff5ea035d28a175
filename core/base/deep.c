/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/deep.h"

#include <pthread.h>

#define STACK (16u << 20)

struct step {
	deep_walk *walk;
	void *ctx;
	int fd, other, depth;
	struct err *err;
	int result;
};

static void *run(void *arg)
{
	struct step *s = arg;

	s->result = s->walk(s->ctx, s->fd, s->other, s->depth, s->err);
	return NULL;
}

int deep_step(deep_walk *walk, void *ctx, int fd, int other, int depth, struct err *err)
{
	struct step s = { walk, ctx, fd, other, depth, err, -1 };
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (depth != DEEP_SHALLOW)
		return walk(ctx, fd, other, depth, err);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&thread, &attr, run, &s);
	pthread_attr_destroy(&attr);
	if (r)
		return err_errno(err, r, "a thread for deep folders");
	pthread_join(thread, NULL);
	return s.result;
}
