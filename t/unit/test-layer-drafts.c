/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers on their way into the store: not synced yet, drafts on one another, what a crash leaves. */
#include "layer-box.h"

/* What was not synced yet is nothing yet: a crash leaves it in tmp, and nothing of it stays. */
static void test_sync(void)
{
	OWN_BUF struct buf tar = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *low = NULL, *high = NULL;
	struct layer_store *s = reopen(NULL);

	make_tar(&tar, "sync");
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &low, &err) == 0, "registers: %s", err_text(&err));
	ok(reg_staged(s, low, tar.data, tar.size, NULL, &high, &err) == 0, "and on top: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 0, "nothing has its place yet");
	rebuilt(s, high, &tar, "staged");
	fake_fail_sync = 1;
	ok(layer_sync(s, &err) < 0, "a sync fails");
	err_done(&err);
	is_int(count("image/fake/layerdb/sha256"), 0, "still nothing has its place");
	ok(layer_sync(s, &err) == 0, "the next does not: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 2, "both have their places");
	is_int(count("image/fake/layerdb/tmp"), 0, "and are staged no more");
	rebuilt(s, high, &tar, "synced");
	fake_fail_sync = 1;
	ok(layer_sync(s, &err) == 0 && fake_fail_sync == 1, "with nothing new there is no sync");
	fake_fail_sync = 0;
	layer_unref(s, high, NULL, NULL);
	layer_unref(s, low, NULL, NULL);
	is_int(count("layers") + count("image/fake/layerdb/sha256"), 0, "they go");

	free(STEAL(low));
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &low, &err) == 0, "registers again");
	shell("for f in %s/image/fake/layerdb/tmp/*/*; do : > $f; done", dir);
	s = reopen(s);
	ok(!layer_exists(s, low), "after a power cut it is not there");
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "nor is anything of it, though its files are empty");

	free(STEAL(high));
	ok(reg_staged(s, NULL, tar.data, tar.size, NULL, &high, &err) == 0, "registers again");
	layer_unref(s, high, NULL, NULL);
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "one that goes before it was synced leaves nothing");
	ok(layer_sync(s, &err) == 0, "and is forgotten");
	layer_store_close(s);
}

static int fill(struct layer_draft *d, const struct buf *tar, struct err *err)
{
	struct mem_reader in;

	mem_reader_init(&in, tar->data, tar->size);
	return layer_draft_fill(d, &in.reader, NULL, NULL, err);
}

/* Nobody frees what a crash ends; kept, so that it is no leak. */
static struct layer_draft *volatile ended[2];

/* Two drafts on one another, the upper one filled first. */
static void test_drafts(void)
{
	OWN_BUF struct buf low = { 0 }, high = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *first = NULL, *second = NULL, *other = NULL, *want = NULL, *sum = NULL;
	struct layer_store *s = reopen(NULL);
	struct layer_draft *a, *b, *c;
	char digest[DIGEST_TEXT];

	make_tar(&low, "low");
	make_tar(&high, "high");
	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	ok(a && b && fill(b, &high, &err) == 0, "a draft on a draft is filled first: %s", err_text(&err));
	is_int(count("image/fake/layerdb/sha256"), 0, "neither is in the store");
	is_int(count("image/fake/layerdb/tmp"), 2, "both are noted, so that a crash leaves nothing");
	ok(fill(a, &low, &err) == 0 && layer_draft_commit(a, NULL, &first, &err) == 0, "the lower one goes in: %s", err_text(&err));
	layer_draft_free(a);
	ok(layer_draft_commit(b, first, &second, &err) == 0, "then the upper one: %s", err_text(&err));
	layer_draft_free(b);
	digest_of(high.data, high.size, digest);
	want = layer_chain_id(first, digest);
	is_str(second, want, "on top of it");
	ok(layer_sync(s, &err) == 0, "both are synced: %s", err_text(&err));
	rebuilt(s, second, &high, "the upper one");
	is_int(count("layers"), 2, "the driver has two layers");
	layer_unref(s, second, NULL, NULL);

	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	c = layer_draft_new(s, first, NULL, &err);
	ok(a && b && c && fill(a, &low, &err) == 0 && fill(b, &high, &err) == 0 && fill(c, &high, &err) == 0, "three drafts: %s", err_text(&err));
	ok(layer_draft_commit(a, NULL, &other, &err) == 0 && streq(other, first), "the layer of one was there already");
	layer_draft_free(a);
	is_int(layer_draft_commit(b, first, NULL, &err), 1, "what stands on the copy that went is to be made anew");
	layer_draft_free(b);
	ok(layer_draft_commit(c, first, &sum, &err) == 0 && streq(sum, second), "what stands on the store's own goes in: %s", err_text(&err));
	layer_draft_free(c);
	layer_unref(s, second, NULL, NULL);
	layer_unref(s, first, NULL, NULL);
	layer_unref(s, first, NULL, NULL);
	is_int(count("layers"), 0, "nothing is left");
	ok(!layer_exists(s, first), "with the last reference the layer goes");

	a = layer_draft_new(s, NULL, NULL, &err);
	b = layer_draft_new(s, NULL, a, &err);
	ok(fill(b, &low, NULL) == 0, "drafts that a crash ends");
	ended[0] = a;
	ended[1] = b;
	layer_store_close(s);
	s = reopen(NULL);
	is_int(count("layers") + count("image/fake/layerdb/tmp"), 0, "leave nothing behind");
	layer_store_close(s);
}

int main(void)
{
	if (!box_open())
		return tap_done();
	test_drafts();
	test_sync();
	box_close();
	return tap_done();
}
