/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "container/internal.h"

/* Guarded by its container's lock; the eventfd becomes readable once it is done. */
struct waiter {
	struct container *container;
	enum wait_condition cond;
	int fd;
	bool done;
	int code;
	char *error;
	struct waiter *next;
};

static void waiter_finish(struct waiter *w)
{
	const struct container_state *st = &w->container->rec.state;
	uint64_t one = 1;

	w->done = true;
	w->code = (int)st->exit_code;
	/* Of a removed container only the code is told, as Docker does. */
	w->error = str_empty(st->error) || w->cond == WAIT_REMOVED ? NULL : xstrdup(st->error);
	if (w->fd >= 0 && write(w->fd, &one, sizeof(one)) < 0)
		log_error("cannot wake a waiter");
}

struct waiter *container_wait_begin(struct container *c, enum wait_condition cond, struct err *err)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->fd < 0) {
		free(w);
		err_set(err, ERR_UNAVAILABLE, "cannot wait: no file descriptor left");
		return NULL;
	}
	w->cond = cond;
	w->container = container_ref(c);
	lock_take(&c->lock);
	if ((cond == WAIT_NOT_RUNNING && (!c->rec.state.running || c->rec.state.restarting)) ||
		(cond == WAIT_REMOVED && c->removed)) {
		waiter_finish(w);
	} else {
		w->next = c->waiters;
		c->waiters = w;
	}
	lock_drop(&c->lock);
	return w;
}

void waiters_wake(struct container *c, bool removed)
{
	struct waiter **at = &c->waiters, *w;

	while ((w = *at)) {
		if (w->cond == WAIT_REMOVED && !removed) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		waiter_finish(w);
	}
}

void waiters_fail_removal(struct container *c, const char *why)
{
	struct waiter **at = &c->waiters, *w;
	WITH_LOCK(&c->lock);

	while ((w = *at)) {
		if (w->cond != WAIT_REMOVED) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		waiter_finish(w);
		str_set(&w->error, why);
	}
}

static void waiter_unlink(struct waiter *w)
{
	struct container *c = w->container;
	WITH_LOCK(&c->lock);

	for (struct waiter **at = &c->waiters; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			return;
		}
}

int container_wait_end(struct waiter *w, const struct cancel *cancel, int *ret_code, char **ret_error, struct err *err)
{
	int r = cancel_wait(cancel, w->fd, POLLIN, -1);

	waiter_unlink(w);
	if (!w->done)
		r = -1;
	if (r >= 0) {
		*ret_code = w->code;
		*ret_error = STEAL(w->error);
		r = 0;
	} else {
		err_set(err, ERR_CANCELLED, "the wait was cancelled");
	}
	container_unref(w->container);
	close(w->fd);
	free(w->error);
	free(w);
	return r;
}
