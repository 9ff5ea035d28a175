/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers as such: made, listed, mounted, removed, and found again. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "graph.h"

void graph_case_open(struct check *c)
{
	OWN_FREE char *key = xasprintf("%s.nosuchoption", c->driver->desc->name);
	struct dkd_graph *other = NULL;
	struct stat st;

	if (!graph_begin(c))
		return;
	check_ok(stat(box.root, &st) == 0 && S_ISDIR(st.st_mode), "its root is made");
	check_ok((st.st_mode & 022) == 0 && st.st_uid == geteuid(), "which others may not write");
	graph_shut();
	refused(graph_open_with(c, key, "1", &other), ERR_INVALID, "an option that it does not know is an error");
	refused(graph_open_with(c, "nosuchdriver.size", "1", &other), ERR_INVALID, "another driver's option, too");
	if (graph_begin(c))
		graph_end();
}

static int32_t stop_at_once(void *to, const char *text)
{
	(void)text;
	++*(int *)to;
	return 1;
}

static void check_list(void)
{
	struct driver_call call;
	int seen = 0;
	int32_t rc;

	if (!box.ops->list) {
		check_skip("list", "the driver cannot list its layers");
		return;
	}
	check_ok(graph_lists(layer(1)) && graph_lists(layer(2)) && graph_lists(layer(3)), "all are listed");
	driver_call_begin(&call, kit.c->driver);
	rc = box.ops->list(&call.abi, box.g, stop_at_once, &seen);
	driver_call_end(&call, rc, NULL);
	check_ok(rc == 0 && seen == 1, "a list ends when no more is wanted, and that is no failure");
}

void graph_case_layers(struct check *c)
{
	if (!graph_begin(c))
		return;
	check_ok(graph_exists(layer(1)) == 0 && !graph_lists(layer(1)), "a layer that was not made is not there");
	works(graph_create(layer(1), NULL, false) == 0, "a layer without a parent");
	works(graph_create(layer(2), layer(1), false) == 0, "one on it");
	works(graph_create(layer(3), layer(1), true) == 0, "a container's on it");
	check_ok(graph_exists(layer(1)) == 1 && graph_exists(layer(2)) == 1 && graph_exists(layer(3)) == 1, "all are there");
	check_list();
	refused(graph_create(layer(2), layer(1), false), ERR_CONFLICT, "an id that is taken is refused as a conflict");
	check_ok(graph_exists(layer(2)) == 1, "and stays what it was");
	refused(graph_create(layer(5), layer(4), false), ERR_NOT_FOUND, "a parent that is not there is refused as not found");
	check_ok(graph_exists(layer(5)) == 0 && !graph_lists(layer(5)), "and leaves nothing");
	refused(graph_create_with(layer(5), layer(1), DKD_GRAPH_RW, "nosuchoption", "1", NULL), ERR_INVALID, "an option of a layer that it does not know is an error");
	refused(graph_create_with(layer(5), layer(1), 0, "nosuchoption", "1", NULL), ERR_INVALID, "of a read-only layer, too");
	check_ok(graph_exists(layer(5)) == 0 && !graph_lists(layer(5)), "and leaves nothing");
	works(graph_create("a.name_with-all-of.them", layer(1), false) == 0 && graph_exists("a.name_with-all-of.them") == 1, "an id may have all letters that ids may have");
	works(graph_remove(layer(3)) == 0 && graph_exists(layer(3)) == 0 && !graph_lists(layer(3)), "one is removed");
	works(graph_remove(layer(3)) == 0, "removing it again is fine");
	works(graph_remove(layer(9)) == 0, "so is one that never was");
	works(graph_create(layer(3), layer(2), true) == 0 && graph_exists(layer(3)) == 1, "its id may be taken again");
	graph_end();
}

static bool get_fails(const char *id, const char *what)
{
	OWN_FREE char *dir = graph_get(id);

	return refused(dir ? 0 : -1, ERR_NOT_FOUND, what);
}

void graph_case_mounts(struct check *c)
{
	OWN_FREE char *dir = NULL, *base = NULL, *again = NULL;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "a=1", "d/b=2", NULL);
	graph_create(layer(2), layer(1), true);
	get_fails(layer(9), "a layer that is not there is not mounted");
	works(graph_put(layer(2)) == 0, "put of a layer that is not mounted is fine");
	dir = graph_get(layer(2));
	works(dir != NULL, "a container's layer is mounted");
	check_ok(has_text(dir, "a", "1") && has_text(dir, "d/b", "2"), "and has what is in its parent");
	check_ok(put_text(dir, "a", "changed") && put_text(dir, "c", "new") && unlink(below(dir, "d/b")) == 0, "it is written to");
	base = graph_get(layer(1));
	works(base != NULL, "its parent is mounted beside it");
	check_ok(has_text(base, "a", "1") && has_text(base, "d/b", "2") && missing(base, "c"), "and sees nothing of that");
	works(graph_put(layer(1)) == 0 && graph_put(layer(2)) == 0, "both are unmounted");
	works(graph_put(layer(2)) == 0, "twice is fine");
	again = graph_get(layer(2));
	works(again != NULL, "mounted after it was unmounted");
	check_ok(again && streq(again, dir), "in the same place");
	check_ok(has_text(again, "a", "changed") && has_text(again, "c", "new") && missing(again, "d/b"), "it has what was written and lacks what was removed");
	free(again);
	again = graph_get(layer(2));
	works(again != NULL && streq(again, dir) && has_text(again, "c", "new"), "mounted while it is mounted, as after a crash: taken as it is");
	works(graph_remove(layer(2)) == 0 && graph_exists(layer(2)) == 0, "removed while it is mounted");
	check_ok(missing(again, "c"), "nothing of it is seen any more");
	graph_create(layer(3), layer(1), true);
	str_set(&dir, NULL);
	dir = graph_get_with(layer(3), DKD_GRAPH_VOLATILE, NULL);
	works(dir && has_text(dir, "a", "1") && put_text(dir, "v", "v") && graph_put(layer(3)) == 0, "a volatile mount");
	check_ok(layer_has(layer(3), "v", "v"), "and one that is none, with what was written");
	str_set(&dir, NULL);
	dir = graph_get_with(layer(1), DKD_GRAPH_READONLY, NULL);
	works(dir && has_text(dir, "a", "1") && graph_put(layer(1)) == 0, "a mount to read only");
	check_ok(layer_has(layer(1), "a", "1"), "leaves the layer as it is");
	works(graph_sync() == 0, "sync");
	graph_end();
}

struct facts { unsigned len, bad; };

static int32_t count_fact(void *to, const char *key, const char *value)
{
	struct facts *f = to;

	f->len++;
	f->bad += !key || !*key || !value;
	return 0;
}

void graph_case_facts(struct check *c)
{
	struct driver_call call;
	struct facts f = { 0 };
	uint64_t caps = 0;
	int32_t rc;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "a=1", NULL);
	if (box.ops->status) {
		driver_call_begin(&call, c->driver);
		rc = box.ops->status(&call.abi, box.g, count_fact, &f);
		check_ok(driver_call_end(&call, rc, &why) == 0 && f.bad == 0, "status: %u lines, each with a name and a value", f.len);
	} else {
		check_skip("status", "the driver has none");
	}
	if (box.ops->metadata) {
		f = (struct facts){ 0 };
		driver_call_begin(&call, c->driver);
		rc = box.ops->metadata(&call.abi, box.g, layer(1), count_fact, &f);
		check_ok(driver_call_end(&call, rc, &why) == 0 && f.bad == 0, "metadata: %u lines, each with a name and a value", f.len);
		driver_call_begin(&call, c->driver);
		rc = box.ops->metadata(&call.abi, box.g, layer(9), count_fact, &f);
		refused(driver_call_end(&call, rc, &why), ERR_NOT_FOUND, "metadata of a layer that is not there");
	} else {
		check_skip("metadata", "the driver has none");
	}
	if (box.ops->capabilities) {
		driver_call_begin(&call, c->driver);
		rc = box.ops->capabilities(&call.abi, box.g, &caps);
		check_ok(driver_call_end(&call, rc, &why) == 0 && caps == box.caps, "capabilities stay what they are");
		check_ok(!(caps & ~(DKD_GRAPH_CAP_QUOTA | DKD_GRAPH_CAP_IDMAP | DKD_GRAPH_CAP_PARALLEL)), "and are known ones");
	} else {
		check_skip("capabilities", "the driver has none");
	}
	if (box.ops->sync_layer) {
		driver_call_begin(&call, c->driver);
		rc = box.ops->sync_layer(&call.abi, box.g, layer(1));
		works(driver_call_end(&call, rc, &why) == 0, "one layer is synced");
	} else {
		check_skip("sync_layer", "the driver has none");
	}
	graph_end();
}

/* Restarts: what one process leaves, the next one finds. */

static int leave_mounted(struct check *c, void *arg)
{
	OWN_FREE char *dir = NULL;

	(void)arg;
	if (!graph_begin(c))
		return 1;
	make_layer(layer(1), NULL, "a=1", NULL);
	graph_create(layer(2), layer(1), true);
	graph_create(layer(3), layer(1), true);
	dir = graph_get(layer(2));
	works(dir && put_text(dir, "held", "open"), "a layer is mounted");
	graph_leave();
	check_ok(has_text(dir, "held", "open"), "and stays so when the driver is closed without its clean-up (live restore)");
	return 0;
}

static int find_mounted(struct check *c, void *arg)
{
	OWN_FREE char *dir = NULL;

	(void)arg;
	if (!graph_begin(c))
		return 1;
	dir = graph_get(layer(2));
	works(dir && has_text(dir, "held", "open") && has_text(dir, "a", "1"), "the next process finds it as it is");
	check_ok(put_text(dir, "later", "x"), "and writes to it");
	works(graph_put(layer(2)) == 0, "unmounts it");
	check_ok(layer_has(layer(2), "later", "x") && layer_has(layer(2), "held", "open"), "and mounts it again");
	check_ok(layer_has(layer(3), "a", "1"), "so does one that was not mounted");
	free(dir);
	dir = graph_get(layer(3));
	graph_shut();
	return 0;
}

static int find_unmounted(struct check *c, void *arg)
{
	(void)arg;
	if (!graph_begin(c))
		return 1;
	check_ok(layer_has(layer(3), "a", "1"), "after a clean-up layers can be mounted again");
	for (unsigned i = 1; i <= 3; i++)
		strv_add(&box.made, layer(i));
	graph_end();
	return 0;
}

void graph_case_restart(struct check *c)
{
	int (*const steps[])(struct check *, void *) = { leave_mounted, find_mounted, find_unmounted };

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		int status = check_apart(c, steps[i], NULL);

		if (!WIFEXITED(status) || WEXITSTATUS(status))
			check_ok(false, "process %zu ends well", i + 1);
	}
}
