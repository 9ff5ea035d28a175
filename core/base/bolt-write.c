/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A tree is always written as a whole, page behind page, where nothing of the one that counts lies: in front of it or behind
 * the end. It counts once its meta page is written, which is in one sector.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bolt-format.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/str.h"

#define PAGE_SIZE   4096u /* of new files */
#define FIRST_PAGE  2
#define ELEMENTS    0xfffe /* of a page */

/* A page that is written, by the first key below it. */
struct below { const char *key; size_t key_size; uint64_t page; };

/* Pages in a row, of which the first has the number first. */
struct tree {
	struct buf b;
	size_t page_size;
	uint64_t first;
	uint64_t root;
};

static void tree_done(struct tree *t) { buf_done(&t->b); }

void bolt_pairs_add(struct bolt_pairs *p, const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct bolt_pair *at;

	/* room grows by doubling */
	if ((p->len & (p->len - 1)) == 0)
		p->v = xrealloc(p->v, (p->len ? 2 * p->len : 1) * sizeof(*p->v));
	at = &p->v[p->len++];
	*at = (struct bolt_pair){ xmalloc(key_size + 1), xmalloc(value_size + 1), key_size, value_size };
	memcpy(at->key, key, key_size);
	memcpy(at->value, value, value_size);
}

void bolt_pairs_done(struct bolt_pairs *p)
{
	for (size_t i = 0; i < p->len; i++) {
		free(p->v[i].key);
		free(p->v[i].value);
	}
	free(p->v);
	*p = (struct bolt_pairs){ 0 };
}

static int compare(const void *a, const void *b)
{
	const struct bolt_pair *x = a, *y = b;
	size_t n = x->key_size < y->key_size ? x->key_size : y->key_size;
	int rc = memcmp(x->key, y->key, n);

	return rc ? rc : (x->key_size > y->key_size) - (x->key_size < y->key_size);
}

static int sort(struct bolt_pairs *p, struct err *err)
{
	if (p->len)
		qsort(p->v, p->len, sizeof(*p->v), compare);
	for (size_t i = 0; i < p->len; i++)
		if (!p->v[i].key_size || p->v[i].key_size > UINT16_MAX / 2 || p->v[i].value_size > INT32_MAX || (i && compare(&p->v[i - 1], &p->v[i]) == 0))
			return err_set(err, ERR_INVALID, "a key is empty, too long, or there twice");
	return 0;
}

static uint64_t pages_of(const struct tree *t, size_t size)
{
	return (size + t->page_size - 1) / t->page_size;
}

/* A page, and those it flows over into, of zeros behind its head; size: what it will hold, with the head. */
static char *page_new(struct tree *t, uint16_t flags, size_t count, size_t size, uint64_t *ret_id)
{
	uint64_t n = pages_of(t, size);
	struct bolt_page head = { t->first + t->b.size / t->page_size, flags, (uint16_t)count, (uint32_t)(n - 1) };
	char *at = buf_reserve(&t->b, n * t->page_size);

	memset(at, 0, n * t->page_size);
	memcpy(at, &head, sizeof(head));
	t->b.size += n * t->page_size;
	*ret_id = head.id;
	return at;
}

static uint64_t put_leaf(struct tree *t, const struct bolt_pair *v, size_t len, size_t size, uint32_t flags)
{
	uint64_t id;
	char *page = page_new(t, BOLT_LEAF, len, size, &id), *element = page + sizeof(struct bolt_page);
	char *data = element + len * sizeof(struct bolt_leaf);

	for (size_t i = 0; i < len; i++, element += sizeof(struct bolt_leaf)) {
		const struct bolt_leaf l = { flags, (uint32_t)(data - element), (uint32_t)v[i].key_size, (uint32_t)v[i].value_size };

		memcpy(element, &l, sizeof(l));
		memcpy(data, v[i].key, v[i].key_size);
		data += v[i].key_size;
		memcpy(data, v[i].value, v[i].value_size);
		data += v[i].value_size;
	}
	return id;
}

static uint64_t put_branch(struct tree *t, const struct below *v, size_t len, size_t size)
{
	uint64_t id;
	char *page = page_new(t, BOLT_BRANCH, len, size, &id), *element = page + sizeof(struct bolt_page);
	char *data = element + len * sizeof(struct bolt_branch);

	for (size_t i = 0; i < len; i++, element += sizeof(struct bolt_branch)) {
		const struct bolt_branch b = { (uint32_t)(data - element), (uint32_t)v[i].key_size, v[i].page };

		memcpy(element, &b, sizeof(b));
		memcpy(data, v[i].key, v[i].key_size);
		data += v[i].key_size;
	}
	return id;
}

/* How many items from i on fill a page, at least one; their size with the page's head. */
static size_t fill(const struct tree *t, size_t i, size_t len, size_t (*size_of)(const void *v, size_t i), const void *v, size_t *ret_size)
{
	size_t size = sizeof(struct bolt_page), n = 0;

	while (i + n < len && n < ELEMENTS) {
		size_t more = sizeof(struct bolt_leaf) + size_of(v, i + n);

		if (n && size + more > t->page_size)
			break;
		size += more;
		n++;
	}
	*ret_size = size;
	return n;
}

static size_t pair_size(const void *v, size_t i)
{
	const struct bolt_pair *p = v;

	return p[i].key_size + p[i].value_size;
}

static size_t below_size(const void *v, size_t i) { return ((const struct below *)v)[i].key_size; }

/* Leaves, and branches over them until there is one page. */
static uint64_t put_pairs(struct tree *t, const struct bolt_pairs *p)
{
	OWN_FREE struct below *v = xcalloc(p->len + 1, sizeof(*v));
	size_t len = 0, size;

	if (!p->len)
		return put_leaf(t, NULL, 0, sizeof(struct bolt_page), 0);
	for (size_t i = 0, n; i < p->len; i += n) {
		n = fill(t, i, p->len, pair_size, p->v, &size);
		v[len++] = (struct below){ p->v[i].key, p->v[i].key_size, put_leaf(t, &p->v[i], n, size, 0) };
	}
	while (len > 1) {
		size_t above = 0;

		for (size_t i = 0, n; i < len; i += n) {
			n = fill(t, i, len, below_size, v, &size);
			v[above++] = (struct below){ v[i].key, v[i].key_size, put_branch(t, &v[i], n, size) };
		}
		len = above;
	}
	return v[0].page;
}

static void build(struct tree *t, const char *bucket, const struct bolt_pairs *p)
{
	struct bolt_bucket value = { put_pairs(t, p), 0 };
	const struct bolt_pair top = { (char *)bucket, (char *)&value, strlen(bucket), sizeof(value) };

	t->root = put_leaf(t, &top, 1, sizeof(struct bolt_page) + sizeof(struct bolt_leaf) + pair_size(&top, 0), BOLT_BUCKET);
}

/* The list of free pages, behind the tree: all of end pages that are not its own; room: pages it takes. */
static uint64_t put_free_list(struct tree *t, uint64_t end, uint64_t room)
{
	uint64_t after = t->first + t->b.size / t->page_size + room, n = 0, id;
	char *page = page_new(t, BOLT_FREE_LIST, 0, room * t->page_size, &id), *list = page + sizeof(struct bolt_page);
	struct bolt_page head;
	bool many;

	for (uint64_t i = FIRST_PAGE; i < end; i++)
		n += i < t->first || i >= after;
	memcpy(&head, page, sizeof(head));
	many = n >= 0xffff;
	head.count = many ? 0xffff : (uint16_t)n;
	memcpy(page, &head, sizeof(head));
	if (many) {
		memcpy(list, &n, sizeof(n));
		list += sizeof(n);
	}
	for (uint64_t i = FIRST_PAGE; i < end; i++) {
		if (i >= t->first && i < after)
			continue;
		memcpy(list, &i, sizeof(i));
		list += sizeof(i);
	}
	return id;
}

static void put_meta(char ret[sizeof(struct bolt_page) + sizeof(struct bolt_meta)], const struct tree *t, uint64_t free_list, uint64_t pages,
	uint64_t transaction)
{
	const struct bolt_page head = { transaction % 2, BOLT_META, 0, 0 };
	struct bolt_meta m = { BOLT_MAGIC, BOLT_FORMAT, (uint32_t)t->page_size, 0, { t->root, 0 }, free_list, pages, transaction, 0 };

	m.sum = bolt_sum(&m);
	memcpy(ret, &head, sizeof(head));
	memcpy(ret + sizeof(head), &m, sizeof(m));
}

int bolt_make(const char *path, const char *bucket, struct bolt_pairs *p, struct err *err)
{
	CLEANUP(tree_done) struct tree t = { .page_size = PAGE_SIZE, .first = FIRST_PAGE };
	OWN_BUF struct buf file = { 0 };
	uint64_t free_list, pages;

	if (sort(p, err) < 0)
		return -1;
	build(&t, bucket, p);
	free_list = put_free_list(&t, FIRST_PAGE, 1);
	pages = FIRST_PAGE + t.b.size / t.page_size;
	for (uint64_t i = 0; i < FIRST_PAGE; i++) {
		char *at = buf_reserve(&file, t.page_size);

		memset(at, 0, t.page_size);
		put_meta(at, &t, free_list, pages, i);
		file.size += t.page_size;
	}
	buf_add(&file, t.b.data, t.b.size);
	return fs_write_atomic(AT_FDCWD, path, file.data, file.size, 0600, FS_SYNC, err);
}

static int collect(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err)
{
	(void)err;
	bolt_pairs_add(ctx, key, key_size, value, value_size);
	return 0;
}

static bool same(const struct bolt_pairs *a, const struct bolt_pairs *b)
{
	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		if (compare(&a->v[i], &b->v[i]) != 0 || a->v[i].value_size != b->v[i].value_size ||
		    memcmp(a->v[i].value, b->v[i].value, a->v[i].value_size) != 0)
			return false;
	return true;
}

static int put(int fd, const void *data, size_t size, uint64_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pwrite(fd, (const char *)data + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return fdatasync(fd);
}

static int write_tree(int fd, const struct bolt_survey *s, const char *bucket, const struct bolt_pairs *p, struct err *err)
{
	CLEANUP(tree_done) struct tree t = { .page_size = s->meta.page_size, .first = FIRST_PAGE };
	char meta[sizeof(struct bolt_page) + sizeof(struct bolt_meta)];
	uint64_t room, end = s->meta.pages, free_list;

	build(&t, bucket, p);
	room = pages_of(&t, sizeof(struct bolt_page) + (end + 1) * sizeof(uint64_t));
	if (t.first + t.b.size / t.page_size + room > s->lowest) {
		buf_reset(&t.b);
		t.first = end;
		build(&t, bucket, p);
	}
	free_list = put_free_list(&t, end, room);
	if (t.first + t.b.size / t.page_size > end)
		end = t.first + t.b.size / t.page_size;
	put_meta(meta, &t, free_list, end, s->meta.transaction + 1);
	if (put(fd, t.b.data, t.b.size, t.first * t.page_size) < 0 ||
	    put(fd, meta, sizeof(meta), (s->meta.transaction + 1) % 2 * t.page_size) < 0)
		return err_errno(err, errno, "write");
	return 0;
}

int bolt_update(const char *path, size_t max, const char *bucket, struct bolt_pairs *p, struct err *err)
{
	OWN_BOLT_PAIRS struct bolt_pairs old = { 0 };
	OWN_BUF struct buf data = { 0 };
	OWN_FD int fd = -1;
	struct bolt_survey s;

	if (sort(p, err) < 0 || fs_read(AT_FDCWD, path, max, &data, err) < 0)
		return -1;
	if (bolt_survey(data.data, data.size, bucket, collect, &old, &s, err) < 0)
		return err_wrap(err, "%s", path);
	/* the page of the older meta is written over, and what lies behind the last page */
	if (s.others || s.lowest < FIRST_PAGE || s.highest >= s.meta.pages || s.meta.pages > data.size / s.meta.page_size ||
	    s.meta_page != s.meta.transaction % 2 || s.meta.transaction == UINT64_MAX)
		return err_set(err, ERR_INVALID, "%s: it is not as Docker makes it", path);
	if (sort(&old, NULL) == 0 && same(&old, p))
		return 0;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_errno(err, errno, "open %s", path);
	return write_tree(fd, &s, bucket, p, err) < 0 ? err_wrap(err, "%s", path) : 0;
}
