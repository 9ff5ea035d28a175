/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to bolt.c and bolt-write.c. The format: pages, of which 0 and 1 say where the tree of buckets begins (the whole one with the
 * later transaction counts); branches lead to leaves; a bucket is a leaf's value, with a root page or, when it is small, with
 * a page within the value. All in the byte order of the machine, as the library writes it.
 */
#ifndef BASE_BOLT_FORMAT_H
#define BASE_BOLT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bolt.h"

#define BOLT_MAGIC      0xED0CDAEDu
#define BOLT_FORMAT     2
#define BOLT_PAGE_MIN   512u
#define BOLT_PAGE_MAX   65536u
#define BOLT_BRANCH     1    /* of a page */
#define BOLT_LEAF       2
#define BOLT_META       4
#define BOLT_FREE_LIST  16
#define BOLT_BUCKET     1    /* of a leaf's element */

struct bolt_page { uint64_t id; uint16_t flags, count; uint32_t overflow; };
struct bolt_bucket { uint64_t root, sequence; };
struct bolt_meta {
	uint32_t magic, version, page_size, flags;
	struct bolt_bucket root;
	uint64_t free_list, pages, transaction, sum;
};
/* pos: from the element itself. Both have one size. */
struct bolt_branch { uint32_t pos, key_size; uint64_t page; };
struct bolt_leaf { uint32_t flags, pos, key_size, value_size; };

uint64_t bolt_sum(const struct bolt_meta *m);
/* The meta page that counts; false: there is none. */
bool bolt_find_meta(const char *data, size_t size, struct bolt_meta *ret, unsigned *ret_page);

/* What a database holds besides the pairs of a bucket. */
struct bolt_survey {
	struct bolt_meta meta;
	unsigned meta_page;
	uint64_t lowest, highest; /* the first page in use, but for 0 and 1, and the last of the tree */
	bool others;      /* there are other buckets, or buckets within that one: their pages were not looked at */
};
int bolt_survey(const char *data, size_t size, const char *bucket, bolt_fn *fn, void *ctx, struct bolt_survey *ret, struct err *err);

#endif
