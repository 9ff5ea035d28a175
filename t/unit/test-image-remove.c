/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/remove.h"

#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "fake-layers.h"
#include "tap.h"

#define D(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define A D("a")
#define B D("b")

static char dir[] = "/tmp/test-remove-XXXXXX";
static struct image_store *store;
static struct strv running, stopped; /* "IMAGE CONTAINER" */

static void find(void *ctx, const char *id, struct strv *run, struct strv *stop)
{
	for (size_t i = 0; i < running.len; i++)
		if (str_has_prefix(running.v[i], id))
			strv_add(run, running.v[i] + 72);
	for (size_t i = 0; i < stopped.len; i++)
		if (str_has_prefix(stopped.v[i], id))
			strv_add(stop, stopped.v[i] + 72);
}
static const struct image_users users = { find, NULL };

static void make(const char *comment, const char *diffs, const char *parent, const char *tags, char id[72])
{
	OWN_FREE char *text = xasprintf("{\"comment\":\"%s\",\"rootfs\":{\"diff_ids\":[%s]}}", comment, diffs);
	OWN_STRV struct strv names = { 0 };

	BUG_ON(image_create(store, text, strlen(text), parent, id, NULL) < 0);
	if (*tags)
		strv_split(&names, tags, " ");
	for (size_t i = 0; i < names.len; i++) {
		OWN_REFERENCE struct reference r = { 0 };

		BUG_ON(reference_parse(names.v[i], &r, NULL) < 0 || image_tag(store, id, &r, NULL, NULL) < 0);
	}
}

/* want: "U:x D:y ..." with ids by their place in ids[], or the error. */
static void removes(const char *name, bool force, const char *want)
{
	OWN_REMOVALS struct removals gone = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	int rc = image_remove(store, name, force, true, &users, &gone, &err);

	buf_adds(&b, "");
	for (size_t i = 0; i < gone.len; i++)
		buf_addf(&b, "%s%c:%s", i ? " " : "", gone.v[i].kind == REMOVAL_UNTAGGED ? 'U' : gone.v[i].kind == REMOVAL_DELETED ? 'D' : 'L', gone.v[i].text);
	is_str(rc < 0 ? err_text(&err) : b.data, want, "rmi%s %.30s", force ? " -f" : "", name);
	if (rc < 0)
		is_int(err.class, strstr(want, "No such") ? ERR_NOT_FOUND : ERR_CONFLICT, "in its class");
}

static bool any(void *ctx, const struct image *img) { return !ctx || (img->comment && streq(img->comment, ctx)); }

static void test_tags(void)
{
	OWN_FREE char *deleted = NULL, *conflict = NULL, *forced = NULL, *in_use = NULL;
	char id[72];

	make("t", "\"" A "\"", NULL, "one one:2 other one@" B, id);
	removes("nosuch", false, "No such image: nosuch:latest");
	removes("one", false, "U:one:latest");
	conflict = xasprintf("conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories", id + 7);
	removes(id, false, conflict);
	removes("one:2", false, "U:one:2 U:one@" B);
	strv_addf(&stopped, "%s cccccccccccccccccccc", id);
	in_use = xasprintf("conflict: unable to remove repository reference \"other\" (must force) - container cccccccccccc is using its referenced image %.12s", id + 7);
	removes("other", false, in_use);
	forced = xasprintf("conflict: unable to delete %.12s (must be forced) - image is being used by stopped container cccccccccccc", id + 7);
	removes(id, false, forced);
	strv_addf(&running, "%s dddddddddddddddddddd", id);
	free(conflict);
	conflict = xasprintf("conflict: unable to delete %.12s (cannot be forced) - image is being used by running container dddddddddddd", id + 7);
	removes(id, true, conflict);
	strv_done(&running);
	deleted = xasprintf("U:other:latest D:%s", id);
	removes("other", true, deleted);
	strv_done(&stopped);
}

static void test_parents(void)
{
	OWN_FREE char *children = NULL, *want = NULL, *both = NULL;
	char base[72], child[72], leaf[72];

	make("base", "\"" A "\"", NULL, "", base);
	make("child", "\"" A "\"", base, "child", child);
	children = xasprintf("conflict: unable to delete %.12s (cannot be forced) - image has dependent child images", base + 7);
	removes(base, true, children);
	make("leaf", "\"" A "\"", base, "leaf", leaf);
	want = xasprintf("U:child:latest D:%s", child);
	removes("child", false, want);
	both = xasprintf("U:leaf:latest D:%s D:%s", leaf, base);
	removes("leaf", false, both);
}

static void test_prune(void)
{
	struct removals gone = { 0 };
	char tagged[72], dangling[72], used[72];

	fake_add(NULL, B, "123", 3);
	make("tagged", "\"" A "\"", NULL, "tagged", tagged);
	make("dangling", "\"" B "\"", NULL, "", dangling);
	make("used", "\"" B "\"", NULL, "", used);
	layer_unref(NULL, B, NULL, NULL);
	strv_addf(&stopped, "%s cccccccccccccccccccc", used);
	ok(image_prune(store, true, any, (void *)"nothing", &users, NULL, &gone, NULL) == 0 && gone.len == 0, "what is not wanted stays");
	ok(image_prune(store, true, any, NULL, &users, NULL, &gone, NULL) == 0, "a prune");
	ok(gone.len == 1 && streq(gone.v[0].text, dangling), "takes the dangling one, not the used or the tagged one");
	is_int(gone.reclaimed, 0, "whose layer another has");
	removals_done(&gone);
	strv_done(&stopped);
	ok(image_prune(store, true, any, NULL, &users, NULL, &gone, NULL) == 0 && gone.len == 2, "once unused the other goes with its layer");
	is_int(gone.reclaimed, 3, "which is counted");
	removals_done(&gone);
	ok(image_prune(store, false, any, NULL, &users, NULL, &gone, NULL) == 0 && gone.len == 2, "all unused: the tagged one, too");
	removals_done(&gone);
}

static const char *late; /* is tagged while it is on its way out */

static void tag_late(void)
{
	OWN_REFERENCE struct reference r = { 0 };

	BUG_ON(reference_parse("late", &r, NULL) < 0 || image_tag(store, late, &r, NULL, NULL) < 0);
}

static void untag_late(void)
{
	OWN_REFERENCE struct reference r = { 0 };

	BUG_ON(reference_parse("late", &r, NULL) < 0 || (reference_add_latest(&r), image_untag(store, &r, NULL)) < 0);
}

/* A load that makes an image which a prune has just found to be dangling is answered: image and tag stay. */
static void test_late_tag(void)
{
	struct removals gone = { 0 };
	OWN_FREE char *conflict = NULL, *want = NULL;
	char id[72];

	make("late", "\"" A "\"", NULL, "", id);
	late = id;
	fake_at_size = tag_late;
	ok(image_prune(store, true, any, (void *)"late", &users, NULL, &gone, NULL) == 0 && gone.len == 0, "a prune leaves what was tagged meanwhile");
	removals_done(&gone);
	untag_late();
	conflict = xasprintf("conflict: unable to delete %.12s (must be forced) - image is referenced in multiple repositories", id + 7);
	removes(id, false, conflict);
	want = xasprintf("U:late:latest D:%s", id);
	removes(id, true, want);
	fake_at_size = NULL;
}

int main(void)
{
	log_set_level(LOG_FATAL);
	BUG_ON(!mkdtemp(dir));
	store = image_store_open((struct layer_store *)1, dir, NULL);
	BUG_ON(!store);
	fake_add(NULL, A, "12345", 5);
	test_tags();
	test_parents();
	test_prune();
	test_late_tag();
	image_store_close(store);
	fs_remove_tree(AT_FDCWD, dir, NULL);
	return tap_done();
}
