/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/bolt.h"

#include <fcntl.h>
#include <string.h>

#include "base/bolt-format.h"
#include "base/buf.h"
#include "base/fs.h"

#define DEPTH_MAX  32

struct walk {
	const char *data;
	size_t size, page_size;
	size_t left;          /* pages that may still be looked at: more is a loop */
	bolt_fn *fn;
	void *ctx;
	const char *bucket;   /* to look for, at the top */
	bool inside;
	uint64_t lowest, highest;
	bool others;
};

static int walk_page(struct walk *w, const char *page, size_t room, int depth, struct err *err);

static int damaged(struct err *err)
{
	return err_set(err, ERR_INVALID, "the database is damaged");
}

/* FNV-1a, of all that stands before the sum. */
uint64_t bolt_sum(const struct bolt_meta *m)
{
	const unsigned char *p = (const unsigned char *)m;
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < offsetof(struct bolt_meta, sum); i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static bool read_meta(const char *data, size_t size, size_t at, struct bolt_meta *ret)
{
	if (size < sizeof(struct bolt_page) + sizeof(*ret) || at > size - sizeof(struct bolt_page) - sizeof(*ret))
		return false;
	memcpy(ret, data + at + sizeof(struct bolt_page), sizeof(*ret));
	return ret->magic == BOLT_MAGIC && ret->version == BOLT_FORMAT && ret->page_size >= BOLT_PAGE_MIN && ret->page_size <= BOLT_PAGE_MAX &&
	       (ret->page_size & (ret->page_size - 1)) == 0 && ret->sum == bolt_sum(ret);
}

/* The second page is found by the first one's size; where that is damaged by trying. */
bool bolt_find_meta(const char *data, size_t size, struct bolt_meta *ret, unsigned *ret_page)
{
	struct bolt_meta second;
	bool found = read_meta(data, size, 0, ret);

	*ret_page = 0;
	for (size_t at = found ? ret->page_size : BOLT_PAGE_MIN; at <= BOLT_PAGE_MAX; at *= 2) {
		if (read_meta(data, size, at, &second) && second.page_size == at && (!found || second.transaction > ret->transaction)) {
			*ret = second;
			*ret_page = 1;
			return true;
		}
		if (found)
			break;
	}
	return found;
}

static int walk_at(struct walk *w, uint64_t id, int depth, struct err *err)
{
	size_t pages = w->size / w->page_size;
	struct bolt_page head;

	if (id >= pages)
		return damaged(err);
	if (id < w->lowest)
		w->lowest = id;
	memcpy(&head, w->data + id * w->page_size, sizeof(head));
	if (id + head.overflow > w->highest)
		w->highest = id + head.overflow;
	return walk_page(w, w->data + id * w->page_size, w->size - id * w->page_size, depth, err);
}

/* A bucket's value: its root elsewhere, or the page right behind. */
static int walk_bucket(struct walk *w, const char *value, size_t size, struct err *err)
{
	struct bolt_bucket b;

	if (size < sizeof(b))
		return damaged(err);
	memcpy(&b, value, sizeof(b));
	return b.root ? walk_at(w, b.root, 0, err) : walk_page(w, value + sizeof(b), size - sizeof(b), 0, err);
}

static int walk_leaf(struct walk *w, const char *key, const struct bolt_leaf *l, struct err *err)
{
	const char *value = key + l->key_size;
	int rc;

	if (w->inside) {
		if (!(l->flags & BOLT_BUCKET))
			return w->fn(w->ctx, key, l->key_size, value, l->value_size, err);
		w->others = true;
		return 0;
	}
	if (!(l->flags & BOLT_BUCKET) || l->key_size != strlen(w->bucket) || memcmp(key, w->bucket, l->key_size) != 0) {
		w->others = true;
		return 0;
	}
	w->inside = true;
	rc = walk_bucket(w, value, l->value_size, err);
	w->inside = false;
	return rc;
}

/* room: bytes from page to the end of what it lies in. */
static int walk_page(struct walk *w, const char *page, size_t room, int depth, struct err *err)
{
	struct bolt_page head;

	if (!w->left-- || depth > DEPTH_MAX || room < sizeof(head))
		return damaged(err);
	memcpy(&head, page, sizeof(head));
	if (head.flags != BOLT_BRANCH && head.flags != BOLT_LEAF)
		return damaged(err);
	for (size_t i = 0; i < head.count; i++) {
		size_t at = sizeof(head) + i * sizeof(struct bolt_leaf);
		struct bolt_branch b;
		struct bolt_leaf l;

		if (at + sizeof(l) > room)
			return damaged(err);
		memcpy(&b, page + at, sizeof(b));
		memcpy(&l, page + at, sizeof(l));
		if (head.flags == BOLT_BRANCH) {
			if (walk_at(w, b.page, depth + 1, err) < 0)
				return -1;
			continue;
		}
		if ((uint64_t)at + l.pos + l.key_size + l.value_size > room)
			return damaged(err);
		if (walk_leaf(w, page + at + l.pos, &l, err) < 0)
			return -1;
	}
	return 0;
}

int bolt_each(const char *data, size_t size, const char *bucket, bolt_fn *fn, void *ctx, struct err *err)
{
	struct bolt_survey all;

	return bolt_survey(data, size, bucket, fn, ctx, &all, err);
}

int bolt_survey(const char *data, size_t size, const char *bucket, bolt_fn *fn, void *ctx, struct bolt_survey *ret, struct err *err)
{
	struct walk w = { .data = data, .size = size, .fn = fn, .ctx = ctx, .bucket = bucket, .lowest = UINT64_MAX };
	int rc;

	if (!bolt_find_meta(data, size, &ret->meta, &ret->meta_page))
		return err_set(err, ERR_INVALID, "it is no database, or damaged");
	w.page_size = ret->meta.page_size;
	/* pages within values come on top */
	w.left = 2 * (size / w.page_size) + 16;
	rc = walk_at(&w, ret->meta.root.root, 0, err);
	ret->lowest = w.lowest < ret->meta.free_list ? w.lowest : ret->meta.free_list;
	ret->highest = w.highest;
	ret->others = w.others;
	return rc;
}

int bolt_each_in(const char *path, size_t max, const char *bucket, bolt_fn *fn, void *ctx, struct err *err)
{
	OWN_BUF struct buf data = { 0 };

	if (fs_read(AT_FDCWD, path, max, &data, err) < 0 || bolt_each(data.data, data.size, bucket, fn, ctx, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}
