/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers of the daemon before: what runs is adopted, what was cut off is ended or goes on, what was to go goes. */
#include "container-box.h"

static void test_adopted(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("keep", "");

	container_start(c, &err);
	container_unref(c);
	adopt_as = 1;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && container_is_running(c) && shims == 1 && mounts_held == 1, "a running container is adopted with its mounts");
	container_unref(c);
	adopt_as = 3;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && container_is_running(c) && !c->op && shims == 1 && mounts_held == 1, "one whose process is seen alive needs no shim's answer");
	container_unref(c);
	for (int i = 0; i < 2; i++) {
		OWN_FREE char *mark = NULL;

		c = container_find(store, "keep", &err);
		mark = xasprintf("%s/containers/%s/freezing", deps.exec_root, c->id);
		resumed = marked = 0;
		ok(container_pause(c, true, &err) == 0 && marked == 1 && access(mark, F_OK) < 0, "a pause is marked while it goes on (%s)", err_text(&err));
		if (i == 0)
			ok(container_pause(c, false, &err) == 0 && marked == 2 && access(mark, F_OK) < 0, "and its end");
		container_unref(c);
		fclose(fopen(mark, "w"));
		adopt_as = i ? 1 : 3;
		resumed = 0;
		reopen();
		ok(container_store_settle(store, -1) == 0, "settled");
		c = container_find(store, "keep", &err);
		ok(c && container_is_running(c) && !c->rec.state.paused && resumed == 1 && access(mark, F_OK) < 0,
			"one that the last daemon %s as it ended goes on", i ? "unpaused" : "paused");
		container_unref(c);
	}
	adopt_as = 2;
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && streq(state_word(&c->rec.state), "exited") && c->rec.state.exit_code == 9,
		"one that ended meanwhile has its exit code");
	is_int(mounts_held, 0, "and holds no mount");
	container_unref(c);
}

/* A start or a restart that the daemon's end cut off, and what runs of a container that was to go. */
static void test_cut_off(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("half", "");
	struct stat st;

	OWN_FREE char *run = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	container_unref(c);
	reopen();
	c = container_find(store, "half", &err);
	ok(c && streq(state_word(&c->rec.state), "created"), "a container that never ran is still created");
	container_unref(c);
	mkdir(run, 0700);
	adopt_as = 0;
	reopen();
	c = container_find(store, "half", &err);
	ok(c && streq(state_word(&c->rec.state), "created") && stat(run, &st) < 0,
		"so is one whose start was cut off before its shim");
	container_unref(c);
	mkdir(run, 0700);
	adopt_as = 1;
	reopen();
	c = container_find(store, "half", &err);
	ok(c && container_is_running(c) && shims == 1, "one whose shim went on is adopted");
	container_remove(c, true, false, &err);
	container_unref(c);
	c = create("half", ",\"HostConfig\":{\"RestartPolicy\":{\"Name\":\"always\"}}");
	OWN_FREE char *run2 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	exit_at_once = 1;
	container_start(c, &err);
	until(c, "restarting");
	container_unref(c);
	container_store_close(store);
	store = NULL;
	mkdir(run2, 0700);
	reopen();
	exit_at_once = -1;
	c = container_find(store, "half", &err);
	ok(c && container_is_running(c) && !c->rec.state.restarting && shims == 1, "a restart that went on without a daemon is adopted, not repeated");
	lock_take(&c->lock);
	c->rec.state.removal = true;
	lock_drop(&c->lock);
	container_save_state(c);
	container_unref(c);
	reopen();
	for (int i = 0; i < 4000 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c && discarded == 1 && stat(run2, &st) < 0, "what runs of a container that was to be removed is ended");
}

static void test_removed(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *stray = xasprintf("%s/containers/%064d", deps.exec_root, 8);
	struct container *c;
	struct stat st;

	c = create("half", ",\"HostConfig\":{\"AutoRemove\":true}");
	container_unref(c);
	reopen();
	for (int i = 0; i < 4000 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c, "--rm: one that was never started goes, too");
	c = create("half", ",\"HostConfig\":{\"AutoRemove\":true}");
	OWN_FREE char *run3 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	container_unref(c);
	container_store_close(store);
	store = NULL;
	mkdir(run3, 0700);
	adopt_as = 0;
	reopen();
	for (int i = 0; i < 4000 && (c = container_find(store, "half", NULL)); i++) {
		container_unref(c);
		usleep(5000);
	}
	ok(!c, "also when its start or its exit was cut off");
	c = create("half", "");
	OWN_FREE char *run4 = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	OWN_FREE char *home = container_dir(c), *moved = xasprintf("%s.away", home);
	container_start(c, &err);
	rename(home, moved);
	container_kill(c, "KILL", &err);
	ok(until(c, "exited") && stat(run4, &st) == 0, "an exit that cannot be written keeps the shim's record of it");
	rename(moved, home);
	container_remove(c, false, false, &err);
	ok(stat(run4, &st) < 0, "until the container goes");
	container_unref(c);
	mkdir(stray, 0700);
	reopen();
	ok(discarded == 2 && stat(stray, &st) < 0, "what runs without a container is ended");
}

int main(void)
{
	box_open();
	test_adopted();
	test_cut_off();
	test_removed();
	ok(adopted && !adopted_late && !atomic_load(&store->restoring), "what is adopted is so before restarts may come, and they may then");
	box_close();
	return tap_done();
}
