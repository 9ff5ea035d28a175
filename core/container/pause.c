/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pause and unpause. A freeze that the end of the daemon comes into would stand for ever, unknown to the next one, and what is
 * frozen does not even die of a kill. So a mark in the run folder says that one is under way, be it of a pause or of a
 * commit; who adopts a container with the mark lets it go on: nobody was told that it stands still.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "base/log.h"
#include "container/internal.h"

#define FREEZE_TRIES 5

static char *mark_path(const struct container *c)
{
	return xasprintf("%s/%s/freezing", c->store->run_dir, c->id);
}

int freeze_begin(struct container *c, struct err *err)
{
	OWN_FREE char *path = mark_path(c);
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_errno(err, errno, "create %s", path) : 0;
}

void freeze_end(struct container *c)
{
	OWN_FREE char *path = mark_path(c);

	unlink(path);
}

void freeze_take(struct container *c)
{
	lock_none_held();
	lock_take(&c->lock);
	while (c->freezing)
		lock_wait(&c->lock, &c->changed, -1);
	c->freezing = true;
	lock_drop(&c->lock);
}

void freeze_drop(struct container *c)
{
	WITH_LOCK(&c->lock);

	c->freezing = false;
	pthread_cond_broadcast(&c->changed);
}

bool freeze_is_open(const struct container *c)
{
	OWN_FREE char *path = mark_path(c);

	return fs_exists(path);
}

void freeze_undo(struct container *c)
{
	CLEANUP(run_putp) struct run *run = container_run(c);
	OWN_ERR struct err err = ERR_INIT;
	bool was_paused;

	/* it may not have come to the freeze, or have ended it: that is no failure */
	if (!run || shim_pause(run->shim, false, &err) < 0)
		log_debug("container %s: %s", c->id, err_text(&err));
	log_info("container %s: the last daemon ended while it paused it; it goes on", c->id);
	lock_take(&c->lock);
	was_paused = c->rec.state.paused;
	c->rec.state.paused = false;
	lock_drop(&c->lock);
	if (was_paused)
		health_begin(c, false);
	if (container_save_state(c))
		freeze_end(c);
}

static int not_running(const struct container *c, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
}

static int check(struct container *c, bool pause, const struct run *run, struct err *err)
{
	WITH_LOCK(&c->lock);
	const struct container_state *st = &c->rec.state;

	if (!pause && (!st->running || !st->paused))
		return err_set(err, ERR_CONFLICT, "Container %s is not paused", c->id);
	/* what is being killed would not come to its end */
	if (!st->running || !run || (pause && run->killed))
		return not_running(c, err);
	if (pause && st->paused)
		return err_set(err, ERR_CONFLICT, "Container %s is already paused", c->id);
	if (st->restarting)
		return err_set(err, ERR_CONFLICT, "Container %s is restarting, wait until the container is running", c->id);
	return 0;
}

/* The runtime waits for a moment only, in which a busy or throttled process may not come to stand still. */
static int freeze(struct container *c, struct run *run, bool pause, struct err *err)
{
	for (int tries = 1;; tries++) {
		OWN_ERR struct err why = ERR_INIT;

		if (shim_pause(run->shim, pause, &why) == 0)
			return 0;
		if (container_ends(c))
			return not_running(c, err);
		if (tries < FREEZE_TRIES && pause && strstr(err_text(&why), "unable to freeze"))
			continue;
		err_move(err, &why);
		return err_wrap(err, "Cannot %s container %s", pause ? "pause" : "unpause", c->id);
	}
}

static int pause_op(struct container *c, bool pause, struct err *err)
{
	CLEANUP(run_putp) struct run *run = container_run(c);

	if (check(c, pause, run, err) < 0 || freeze_begin(c, err) < 0)
		return -1;
	if (freeze(c, run, pause, err) < 0) {
		freeze_end(c);
		return -1;
	}
	lock_take(&c->lock);
	c->rec.state.paused = pause;
	if (pause)
		health_end(c);
	lock_drop(&c->lock);
	if (!pause)
		health_begin(c, false);
	if (container_save_state(c))
		freeze_end(c);
	container_event(c, pause ? "pause" : "unpause", NULL);
	return 0;
}

int container_pause(struct container *c, bool pause, struct err *err)
{
	int r;

	if (op_begin(c, err) < 0)
		return -1;
	freeze_take(c);
	r = pause_op(c, pause, err);
	freeze_drop(c);
	op_end(c);
	return r;
}
