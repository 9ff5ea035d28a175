/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/deep.h"

#include <pthread.h>

#define STACK (16u << 20)

struct call {
	int (*fn)(void *arg);
	void *arg;
	int result;
};

static void *run(void *arg)
{
	struct call *c = arg;

	c->result = c->fn(c->arg);
	return NULL;
}

int deep_call(int (*fn)(void *arg), void *arg, struct err *err)
{
	struct call c = { fn, arg, -1 };
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&thread, &attr, run, &c);
	pthread_attr_destroy(&attr);
	if (r)
		return err_errno(err, r, "a thread for deep folders");
	pthread_join(thread, NULL);
	return c.result;
}
