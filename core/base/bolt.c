/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format: pages, of which 0 and 1 say where the tree of buckets begins (the whole one with the later transaction counts); branches
 * lead to leaves; a bucket is a leaf's value, with a root page or, when it is small, with a page within the value. All in
 * the byte order of the machine, as the library writes it.
 */
#include "base/bolt.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"

#define MAGIC      0xED0CDAEDu
#define FORMAT     2
#define PAGE_MIN   512u
#define PAGE_MAX   65536u
#define DEPTH_MAX  32
#define IS_BRANCH  1
#define IS_LEAF    2
#define IS_BUCKET  1 /* of a leaf's element */

struct page { uint64_t id; uint16_t flags, count; uint32_t overflow; };
struct bucket { uint64_t root, sequence; };
struct meta {
	uint32_t magic, version, page_size, flags;
	struct bucket root;
	uint64_t free_list, pages, transaction, sum;
};
struct branch { uint32_t pos, key_size; uint64_t page; };
struct leaf { uint32_t flags, pos, key_size, value_size; };

struct walk {
	const char *data;
	size_t size, page_size;
	size_t left;          /* pages that may still be looked at: more is a loop */
	bolt_fn *fn;
	void *ctx;
	const char *bucket;   /* to look for, at the top */
	bool inside;
};

static int walk_page(struct walk *w, const char *page, size_t room, int depth, struct err *err);

static int damaged(struct err *err)
{
	return err_set(err, ERR_INVALID, "the database is damaged");
}

/* FNV-1a, of all that stands before the sum. */
static uint64_t sum_of(const struct meta *m)
{
	const unsigned char *p = (const unsigned char *)m;
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < offsetof(struct meta, sum); i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h;
}

static bool read_meta(const char *data, size_t size, size_t at, struct meta *ret)
{
	if (size < sizeof(struct page) + sizeof(*ret) || at > size - sizeof(struct page) - sizeof(*ret))
		return false;
	memcpy(ret, data + at + sizeof(struct page), sizeof(*ret));
	return ret->magic == MAGIC && ret->version == FORMAT && ret->page_size >= PAGE_MIN && ret->page_size <= PAGE_MAX &&
	       (ret->page_size & (ret->page_size - 1)) == 0 && ret->sum == sum_of(ret);
}

/* The second page is found by the first one's size; where that is damaged by trying. */
static bool find_meta(const char *data, size_t size, struct meta *ret)
{
	struct meta second;
	bool found = read_meta(data, size, 0, ret);

	for (size_t at = found ? ret->page_size : PAGE_MIN; at <= PAGE_MAX; at *= 2) {
		if (read_meta(data, size, at, &second) && second.page_size == at && (!found || second.transaction > ret->transaction)) {
			*ret = second;
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

	if (id >= pages)
		return damaged(err);
	return walk_page(w, w->data + id * w->page_size, w->size - id * w->page_size, depth, err);
}

/* A bucket's value: its root elsewhere, or the page right behind. */
static int walk_bucket(struct walk *w, const char *value, size_t size, struct err *err)
{
	struct bucket b;

	if (size < sizeof(b))
		return damaged(err);
	memcpy(&b, value, sizeof(b));
	return b.root ? walk_at(w, b.root, 0, err) : walk_page(w, value + sizeof(b), size - sizeof(b), 0, err);
}

static int walk_leaf(struct walk *w, const char *key, const struct leaf *l, struct err *err)
{
	const char *value = key + l->key_size;
	int rc;

	if (w->inside)
		return l->flags & IS_BUCKET ? 0 : w->fn(w->ctx, key, l->key_size, value, l->value_size, err);
	if (!(l->flags & IS_BUCKET) || l->key_size != strlen(w->bucket) || memcmp(key, w->bucket, l->key_size) != 0)
		return 0;
	w->inside = true;
	rc = walk_bucket(w, value, l->value_size, err);
	w->inside = false;
	return rc;
}

/* room: bytes from page to the end of what it lies in. */
static int walk_page(struct walk *w, const char *page, size_t room, int depth, struct err *err)
{
	struct page head;

	if (!w->left-- || depth > DEPTH_MAX || room < sizeof(head))
		return damaged(err);
	memcpy(&head, page, sizeof(head));
	if (head.flags != IS_BRANCH && head.flags != IS_LEAF)
		return damaged(err);
	for (size_t i = 0; i < head.count; i++) {
		size_t at = sizeof(head) + i * sizeof(struct leaf);
		struct branch b;
		struct leaf l;

		if (at + sizeof(l) > room)
			return damaged(err);
		memcpy(&b, page + at, sizeof(b));
		memcpy(&l, page + at, sizeof(l));
		if (head.flags == IS_BRANCH) {
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
	struct walk w = { .data = data, .size = size, .fn = fn, .ctx = ctx, .bucket = bucket };
	struct meta meta;

	if (!find_meta(data, size, &meta))
		return err_set(err, ERR_INVALID, "it is no database, or damaged");
	w.page_size = meta.page_size;
	/* pages within values come on top */
	w.left = 2 * (size / meta.page_size) + 16;
	return walk_at(&w, meta.root.root, 0, err);
}

int bolt_each_in(const char *path, size_t max, const char *bucket, bolt_fn *fn, void *ctx, struct err *err)
{
	OWN_BUF struct buf data = { 0 };

	if (fs_read(AT_FDCWD, path, max, &data, err) < 0 || bolt_each(data.data, data.size, bucket, fn, ctx, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}
