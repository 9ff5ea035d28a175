/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filters parameter of list, prune and event requests: {"label":["x"]} and {"label":{"x":true}}. A plain value, not
 * thread-safe. An absent key matches everything.
 */
#ifndef BASE_FILTERS_H
#define BASE_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct filters {
	struct filter_key { char *key; struct strv values; } *v;
	size_t len;
};
#define OWN_FILTERS CLEANUP(filters_done)

/* json NULL or "": no filters. ERR_INVALID "invalid filter". */
int filters_parse(const char *json, struct filters *ret, struct err *err);
void filters_done(struct filters *f);
void filters_add(struct filters *f, const char *key, const char *value);
/* allowed ends with NULL. ERR_INVALID "invalid filter 'foo'"; also for patterns of name and id that filters_match() refuses. */
int filters_validate(const struct filters *f, const char *const *allowed, struct err *err);

/* The values of a key, NULL when it is absent. */
const struct strv *filters_get(const struct filters *f, const char *key);
static inline bool filters_has(const struct filters *f, const char *key) { return filters_get(f, key) != NULL; }
/* One of the values is this. */
bool filters_exact(const struct filters *f, const char *key, const char *value);
/* One of the values is this or a prefix of it. */
bool filters_prefix(const struct filters *f, const char *key, const char *value);
/*
 * One of the values is this, or is a regular expression found in it (names, ids). Patterns over 256 bytes, with counted
 * repetition or with back-references could cost exponential time or memory: they match only as plain text.
 */
bool filters_match(const struct filters *f, const char *key, const char *value);
/* Every value ("k" or "k=v") holds for the labels. */
bool filters_labels(const struct filters *f, const char *key, const struct strmap *labels);
/* "label" holds and "label!" does not: the pair that list and prune requests share. */
bool filters_labels_pass(const struct filters *f, const struct strmap *labels);
/* One value out of 1, true, 0, false. ERR_INVALID "invalid filter 'dangling=[x]'". */
int filters_bool(const struct filters *f, const char *key, bool absent, bool *ret, struct err *err);
/* "until": *ret in ns, INT64_MAX when absent. ERR_INVALID when it is no time or given twice. */
int filters_until(const struct filters *f, int64_t now, int64_t *ret, struct err *err);

#endif
