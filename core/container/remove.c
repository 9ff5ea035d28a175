/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/log.h"
#include "base/metrics.h"
#include "container/bundle/bundle.h"
#include "container/internal.h"
#include "image/layer.h"

/* Marks it; one removal at a time. */
static int mark(struct container *c, bool force, bool *ret_running, struct err *err)
{
	WITH_LOCK(&c->lock);
	struct container_state *st = &c->rec.state;

	if (st->removal || c->removed)
		return err_set(err, ERR_CONFLICT, "removal of container %s is already in progress", c->id);
	if (st->running && !force) {
		if (st->paused)
			return err_set(err, ERR_CONFLICT,
				"You cannot remove a paused container %s. Unpause and then stop the container before "
				"attempting removal or force remove",
				c->id);
		return err_set(err, ERR_CONFLICT,
			"You cannot remove a %s container %s. Stop the container before attempting removal or force remove",
			st->restarting ? "restarting" : "running", c->id);
	}
	st->removal = true;
	*ret_running = st->running;
	if (st->restarting) {
		c->restart_epoch++;
		st->running = st->restarting = false;
		*ret_running = false;
		waiters_wake(c, false);
		pthread_cond_broadcast(&c->changed);
	}
	return 0;
}

static void unmark(struct container *c)
{
	WITH_LOCK(&c->lock);

	c->rec.state.removal = false;
}

static int remove_all(struct container *c, bool volumes, struct err *err)
{
	struct container_store *s = c->store;
	OWN_FREE char *dir = container_dir(c);
	OWN_FREE char *record = xasprintf("%s/config.v2.json", dir), *copy = xasprintf("%s.copy", record);
	OWN_FREE char *name = NULL;
	OWN_ERR struct err why = ERR_INIT;

	lock_take(&c->lock);
	c->rec.state.removal = true;
	lock_drop(&c->lock);
	/* The mark outlives a crash: the next start then finishes what was begun here. */
	container_save_state(c);
	execs_forget(c);
	ship_stop(c);
	views_settle(c);
	if (c->damaged && container_has_run_dir(c))
		container_end_run(c);
	if (rwlayer_remove(image_store_layers(s->deps.images), c->id, &why) < 0) {
		lock_take(&c->lock);
		c->rec.state.dead = why.sys != EROFS; /* a read-only disk took nothing away */
		c->rec.state.removal = false;
		lock_drop(&c->lock);
		container_save_state(c);
		err_move(err, &why);
		return err_wrap(err, "container %s: driver \"%s\" failed to remove root filesystem", c->id, c->rec.driver);
	}
	container_drop_groups(c, false);
	mounts_forget(c, volumes);
	if (!volumes)
		unfinished_end(s, c->id);
	/* The copy would bring it back. */
	if (unlink(copy) < 0 && errno != ENOENT && errno != EISDIR)
		log_warn("container %s: cannot remove %s: %s", c->id, copy, strerror(errno));
	/* The record first: a folder without one is a leftover, whatever else is still in it. */
	if (unlink(record) < 0 && errno != ENOENT && errno != EISDIR)
		log_warn("container %s: cannot remove %s: %s", c->id, record, strerror(errno));
	if (fs_remove_tree(AT_FDCWD, dir, err) < 0)
		return err_wrap(err, "unable to remove filesystem for %s", c->id);
	if (!c->host.auto_remove && fs_sync_dir(s->dir, err) < 0)
		return -1;
	container_drop_run_dir(c);
	lock_take(&c->lock);
	name = xstrdup(c->rec.name);
	lock_drop(&c->lock);
	store_name_free(s, name, c->id);
	store_drop(s, c);
	damage_forget("container", c->id);
	container_event(c, "destroy", NULL);
	lock_take(&c->lock);
	c->removed = true;
	waiters_wake(c, true);
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	attachments_drop(c);
	return 0;
}

int container_remove_op(struct container *c, bool volumes, struct err *err)
{
	int64_t began = clock_mono();

	if (remove_all(c, volumes, err) == 0) {
		metrics_time(METRIC_CONTAINER_ACTIONS, "delete", clock_mono() - began);
		return 0;
	}
	waiters_fail_removal(c, err_text(err));
	return -1;
}

int container_remove(struct container *c, bool force, bool volumes, struct err *err)
{
	bool running = false;
	int r;

	/* A start or an exit under way comes to its end first; none begins behind the mark. */
	op_begin_any(c);
	r = mark(c, force, &running, err);
	op_end(c);
	if (r < 0)
		return -1;
	if (running) {
		OWN_ERR struct err gone = ERR_INIT;

		lock_take(&c->lock);
		c->no_restart = true;
		lock_drop(&c->lock);
		if (container_signal(c, SIGKILL, &gone) < 0 && gone.class != ERR_CONFLICT)
			log_warn("container %s: %s", c->id, err_text(&gone));
		if (!container_wait_killed(c)) {
			unmark(c);
			return err_set(
				err, ERR_INTERNAL, "cannot remove container \"%s\": could not kill container", c->rec.name);
		}
	}
	if (op_begin(c, err) < 0)
		return -1;
	r = container_remove_op(c, volumes, err);
	op_end(c);
	if (r < 0)
		unmark(c);
	return r;
}
