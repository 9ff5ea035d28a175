/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/internal.h"

void op_begin_any(struct container *c)
{
	lock_none_held();
	lock_take(&c->lock);
	while (c->op)
		lock_wait(&c->lock, &c->changed, -1);
	c->op = true;
	lock_drop(&c->lock);
}

int op_begin(struct container *c, struct err *err)
{
	bool gone;

	op_begin_any(c);
	lock_take(&c->lock);
	gone = c->removed;
	lock_drop(&c->lock);
	if (!gone)
		return 0;
	op_end(c);
	return err_set(err, ERR_NOT_FOUND, "No such container: %s", c->id);
}

void op_end(struct container *c)
{
	WITH_LOCK(&c->lock);

	BUG_ON(!c->op);
	c->op = false;
	pthread_cond_broadcast(&c->changed);
}
