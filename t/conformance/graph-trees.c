/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Differences: written as an image's layer is, made by a container, and read as a commit does. */
#include <errno.h>
#include <stdio.h>

#include "base/fs.h"
#include "graph.h"

static void make_base(void)
{
	make_layer(layer(1), NULL, "keep=k", "change=old", "gone=g", "dir/a=a", "dir/b=b", "tree/deep/er/file=f", "turns/file=t", "flat=f", NULL);
}

#define CHANGED "A /added, A /dir2, A /dir2/new, A /flat/now, A /flat/now/deep, C /change, C /flat, C /turns, D /dir/a, D /gone, D /tree/deep"

static const char *style_name(const struct graph_tree *t)
{
	return t->mounted ? "none: the mounted layer" : t->whiteout == DKD_GRAPH_WHITEOUT_OVERLAY ? "overlay" :
		t->whiteout == DKD_GRAPH_WHITEOUT_AUFS ? "aufs" : t->whiteout == DKD_GRAPH_WHITEOUT_DELETE ? "the whole" : "unknown";
}

static bool remove_any(struct graph_tree *t, const char *path)
{
	return fs_remove_tree(t->fd, path, NULL) == 0;
}

/* A file where a directory was, and the other way round: no whiteouts are needed for them. */
static bool write_changes(struct graph_tree *t)
{
	return tree_write(t, "change", "changed") == 0 && tree_write(t, "added", "1") == 0 && tree_write(t, "dir2/new", "2") == 0 &&
		tree_delete(t, "gone") == 0 && tree_delete(t, "dir/a") == 0 && tree_delete(t, "tree/deep") == 0 &&
		remove_any(t, "turns") && tree_write(t, "turns", "a file now") == 0 && remove_any(t, "flat") && tree_write(t, "flat/now/deep", "3") == 0;
}

static void look_at_changes(const char *dir)
{
	check_ok(has_text(dir, "keep", "k") && has_text(dir, "change", "changed") && has_text(dir, "added", "1") && has_text(dir, "dir2/new", "2"), "what is added and changed is seen");
	check_ok(missing(dir, "gone") && missing(dir, "dir/a") && missing(dir, "tree/deep"), "what is deleted is not");
	check_ok(has_text(dir, "dir/b", "b"), "what stands beside it is");
	check_ok(has_text(dir, "turns", "a file now") && has_text(dir, "flat/now/deep", "3"), "a directory becomes a file, a file a directory");
}

void graph_case_apply(struct check *c)
{
	OWN_FREE char *dir = NULL;
	struct graph_tree t;

	if (!graph_begin(c))
		return;
	make_base();
	works(graph_create(layer(2), layer(1), false) == 0 && graph_tree(layer(2), layer(1), DKD_GRAPH_TREE_WRITE, &t) == 0, "a layer is opened to be written");
	check_note("style of whiteouts: %s", style_name(&t));
	check_ok(t.whiteout <= DKD_GRAPH_WHITEOUT_AUFS, "its style of whiteouts is a known one");
	check_ok(write_changes(&t), "differences are written");
	works(graph_tree_done(&t) == 0, "its tree is closed");
	dir = graph_get(layer(2));
	works(dir != NULL, "mounted");
	look_at_changes(dir);
	graph_put(layer(2));
	changes_are(layer(2), layer(1), CHANGED, "the same differences are read");
	graph_create(layer(3), layer(2), true);
	str_set(&dir, NULL);
	dir = graph_get(layer(3));
	look_at_changes(dir);
	check_ok(put_text(dir, "gone", "back again") && mkdir(below(dir, "tree/deep"), 0755) == 0, "a container makes anew what was deleted");
	check_ok(missing(dir, "tree/deep/er"), "without what was in it");
	graph_put(layer(3));
	changes_are(layer(3), layer(2), "A /gone, A /tree/deep", "which is new to its parent");
	changes_are(layer(1), NULL, "A /change, A /dir, A /dir/a, A /dir/b, A /flat, A /gone, A /keep, A /tree, A /tree/deep, A /tree/deep/er, A /tree/deep/er/file, A /turns, A /turns/file",
		"to nothing, everything is new");
	graph_end();
}

void graph_case_changes(struct check *c)
{
	OWN_FREE char *dir = NULL;

	if (!graph_begin(c))
		return;
	make_base();
	graph_create(layer(2), layer(1), true);
	changes_are(layer(2), layer(1), "", "a layer that nobody wrote to differs in nothing");
	dir = graph_get(layer(2));
	check_ok(dir && put_text(dir, "change", "changed") && put_text(dir, "added", "1") && mkdir(below(dir, "dir2"), 0755) == 0 && put_text(dir, "dir2/new", "2"), "a container adds and changes");
	check_ok(unlink(below(dir, "gone")) == 0 && unlink(below(dir, "dir/a")) == 0 && fs_remove_tree(AT_FDCWD, below(dir, "tree/deep"), NULL) == 0, "deletes");
	check_ok(fs_remove_tree(AT_FDCWD, below(dir, "turns"), NULL) == 0 && put_text(dir, "turns", "a file now") && unlink(below(dir, "flat")) == 0 &&
		mkdir(below(dir, "flat"), 0755) == 0 && mkdir(below(dir, "flat/now"), 0755) == 0 && put_text(dir, "flat/now/deep", "3"), "and puts one thing in another's place");
	works(graph_put(layer(2)) == 0, "unmounted");
	changes_are(layer(2), layer(1), CHANGED, "its differences");
	changes_are(layer(2), layer(1), CHANGED, "and once more");
	free(dir);
	dir = graph_get(layer(2));
	changes_are(layer(2), layer(1), CHANGED, "while it is mounted, too");
	check_ok(put_text(dir, "more", "m"), "a container goes on");
	graph_put(layer(2));
	changes_are(layer(2), layer(1), "A /added, A /dir2, A /dir2/new, A /flat/now, A /flat/now/deep, A /more, C /change, C /flat, C /turns, D /dir/a, D /gone, D /tree/deep", "with what it did then");
	graph_end();
}

void graph_case_opaque(struct check *c)
{
	OWN_FREE char *dir = NULL;
	struct graph_tree t;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "d/one=1", "d/two=2", "d/sub/three=3", "e/four=4", NULL);
	graph_create(layer(2), layer(1), false);
	works(graph_tree(layer(2), layer(1), DKD_GRAPH_TREE_WRITE, &t) == 0, "a layer to write");
	check_ok(tree_opaque(&t, "d") == 0 && tree_write(&t, "d/two", "other") == 0, "a directory that hides what is below");
	works(graph_tree_done(&t) == 0, "closed");
	dir = graph_get(layer(2));
	check_ok(has_text(dir, "d/two", "other") && missing(dir, "d/one") && missing(dir, "d/sub") && has_text(dir, "e/four", "4"), "only what is in it is seen");
	graph_put(layer(2));
	changes_are(layer(2), layer(1), "C /d/two, D /d/one, D /d/sub", "the rest is deleted");
	graph_create(layer(3), layer(2), true);
	str_set(&dir, NULL);
	dir = graph_get(layer(3));
	check_ok(has_text(dir, "d/two", "other") && missing(dir, "d/one"), "above it, too");
	check_ok(dir && fs_remove_tree(AT_FDCWD, below(dir, "e"), NULL) == 0 && mkdir(below(dir, "e"), 0755) == 0 && put_text(dir, "e/five", "5"), "a container makes one by removing and making");
	graph_put(layer(3));
	changes_are(layer(3), layer(2), "A /e/five, D /e/four", "which is told as what it did");
	check_ok(layer_has(layer(3), "e/four", NULL) && layer_has(layer(3), "e/five", "5"), "and stays so");
	graph_end();
}

/* Layers may be written before their parents are, where the driver says so. */
void graph_case_parallel(struct check *c)
{
	struct graph_tree low, high;

	if (!graph_begin(c))
		return;
	if (!(box.caps & DKD_GRAPH_CAP_PARALLEL)) {
		check_skip("layers at the same time", "the driver writes one after the other");
		graph_end();
		return;
	}
	works(graph_create(layer(1), NULL, false) == 0 && graph_create(layer(2), layer(1), false) == 0 && graph_create(layer(3), layer(2), false) == 0, "three layers");
	works(graph_tree(layer(3), layer(2), DKD_GRAPH_TREE_WRITE, &high) == 0 && graph_tree(layer(1), NULL, DKD_GRAPH_TREE_WRITE, &low) == 0, "the third and the first are written");
	check_ok(!high.mounted && tree_write(&high, "d/top", "3") == 0 && tree_delete(&high, "low") == 0, "the third first");
	check_ok(tree_write(&low, "d/bottom", "1") == 0 && tree_write(&low, "low", "x") == 0, "then the first");
	works(graph_tree_done(&high) == 0 && graph_tree_done(&low) == 0, "closed");
	check_ok(layer_has(layer(3), "d/top", "3") && layer_has(layer(3), "d/bottom", "1") && layer_has(layer(3), "low", NULL), "together they are what they should be");
	graph_end();
}
