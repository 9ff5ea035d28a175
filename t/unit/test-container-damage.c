/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders of containers that are damaged, empty, or of a create that did not come to its end. */
#include "base/damage.h"
#include "container-box.h"

/* One that ended without a daemon. */
static void test_damaged(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct container *c = create("keep", "");
	OWN_FREE char *file = xasprintf("%s/containers/%s/config.v2.json", dir, c->id), *half = xasprintf("%s/containers/%064d", dir, 7);
	OWN_FREE char *aside = xasprintf("%s/containers/%s", deps.exec_root, c->id);
	struct stat st;

	container_start(c, &err);
	container_unref(c);
	adopt_as = 2;
	reopen();
	mkdir(aside, 0700);
	mkdir(half, 0700);
	ok(truncate(file, 100) == 0, "a damaged file");
	reopen();
	c = container_find(store, "keep", &err);
	ok(c && !c->damaged && damage_count(DAMAGE_REPAIRED) == 1, "comes from its copy");
	container_unref(c);
	mkdir(aside, 0700);
	OWN_FREE char *copy = xasprintf("%s.copy", file);
	ok(truncate(file, 100) == 0 && truncate(copy, 0) == 0, "with its copy");
	reopen();
	c = container_find(store, "damaged_", NULL);
	ok(!c && (c = container_find(store, strrchr(aside, '/') + 1, &err)) && c->damaged && streq(state_word(&c->rec.state), "dead") &&
		str_has_prefix(c->rec.name, "/damaged_") && str_has_prefix(c->rec.state.error, "damaged: "),
		"a container whose record is lost is listed as dead, with the reason");
	ok(container_start(c, &err) < 0 && strstr(err_text(&err), "is damaged"), "and does not start: %s", err_text(&err));
	ok(container_rename(c, "other", &err) < 0, "nor get another name");
	ok(stat(file, &st) == 0 && st.st_size == 100 && stat(aside, &st) == 0, "its files and its run are left alone");
	ok(container_remove(c, true, false, &err) == 0 && stat(file, &st) < 0 && stat(aside, &st) < 0, "it can be removed: %s", err_text(&err));
	is_int(damage_count(DAMAGE_LOST), 0, "and is damaged no more");
	container_unref(c);
	ok(stat(half, &st) < 0, "a folder without a record is swept");
	ok(adopted && !adopted_late && !atomic_load(&store->restoring), "what is adopted is so before restarts may come, and they may then");
}

static int heard_of[2];
static void hear(void *ctx, const struct damage *d)
{
	heard_of[0] += d->id[0] == '1';
	heard_of[1] += d->id[0] == '2';
}

/* A folder with the mark of an unfinished create and no whole record goes; without the mark it is a damaged container. */
static void test_leftovers(void)
{
	static const char *const ids[] = { "1111111111111111111111111111111111111111111111111111111111111111",
		"2222222222222222222222222222222222222222222222222222222222222222" };
	OWN_FREE char *gone = xasprintf("%s/containers/%s", dir, ids[0]), *kept = xasprintf("%s/containers/%s", dir, ids[1]);
	OWN_FREE char *cmd = xasprintf("mkdir -p %s/unfinished %s; : > %s/config.v2.json; : > %s/config.v2.json", gone, kept, gone, kept);
	CLEANUP(container_unrefp) struct container *c = NULL;

	ok(system(cmd) == 0, "two folders with empty records");
	memset(heard_of, 0, sizeof(heard_of));
	*layer_told = '\0';
	damage_listen(hear, NULL);
	reopen();
	damage_listen(NULL, NULL);
	ok(heard_of[0] == 0 && heard_of[1] == 1, "no damage is told of the unfinished one: %d, %d", heard_of[0], heard_of[1]);
	is_str(layer_told, ids[1], "nor of its layer");
	c = store_by_id(store, ids[0]);
	ok(!c && !fs_exists(gone), "the unfinished one goes");
	c = store_by_id(store, ids[1]);
	ok(c && c->damaged && fs_exists(kept), "the other is listed");
}

int main(void)
{
	box_open();
	test_damaged();
	test_leftovers();
	box_close();
	return tap_done();
}
