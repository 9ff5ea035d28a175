/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strings, string vectors and string maps. Small allocations die on exhaustion (xmalloc and friends);
 * whatever a client sizes is limited before it gets here.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size); /* zeroed */
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);         /* NULL stays NULL */
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

static inline bool streq(const char *a, const char *b) { return strcmp(a, b) == 0; }
static inline bool str_empty(const char *s) { return !s || !*s; }
static inline bool str_has_prefix(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }
bool str_has_suffix(const char *s, const char *suffix);
/* Go's spellings of true and false (strconv.ParseBool), and no other. */
bool str_bool(const char *s, bool *ret);
/* Replaces an owned string. */
void str_set(char **dst, const char *value);
/* Whole-string base-10 numbers; false on anything else or out of range. */
bool str_to_i64(const char *s, int64_t *ret);
bool str_to_u64(const char *s, uint64_t *ret);
/* Valid UTF-8 without NUL. */
bool str_is_utf8(const char *s, size_t size);
/* Docker's false words: "", 0, no, false, none (any case); everything else is true. NULL is false. */
bool str_to_bool(const char *s);

/* A growing, owned vector of strings; v is NULL-terminated whenever len > 0. "set" tells [] from absent/null. */
struct strv {
	char **v;
	size_t len;
	bool set;
};
void strv_add(struct strv *sv, const char *s);
void strv_addf(struct strv *sv, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void strv_take(struct strv *sv, char *s); /* takes ownership */
void strv_done(struct strv *sv);
void strv_copy(struct strv *dst, const struct strv *src);
/* Takes out the first entry equal to s; false when there is none. */
bool strv_del(struct strv *sv, const char *s);
bool strv_contains(const struct strv *sv, const char *s);
/* Splits on any byte of sep, empty fields kept. */
void strv_split(struct strv *sv, const char *s, const char *sep);
char *strv_join(const struct strv *sv, const char *sep);
void strv_sort(struct strv *sv);
/* Environment lists: "K=V" entries. Returns the value behind "KEY=" or NULL. */
const char *strv_env_get(const struct strv *sv, const char *key);
/* Sets KEY=VALUE, replacing an entry of the same key in place. */
void strv_env_set(struct strv *sv, const char *key, const char *value);
void strv_env_del(struct strv *sv, const char *key);

/* A small ordered map of strings, sorted by key when printed; linear lookup. */
struct strmap {
	struct strmap_entry { char *key, *value; } *v;
	size_t len;
	bool set;
};
void strmap_set(struct strmap *m, const char *key, const char *value);
const char *strmap_get(const struct strmap *m, const char *key); /* NULL when absent */
bool strmap_del(struct strmap *m, const char *key);
void strmap_sort(struct strmap *m);
void strmap_copy(struct strmap *dst, const struct strmap *src);
void strmap_done(struct strmap *m);

#define OWN_STRV CLEANUP(strv_done)
#define OWN_STRMAP CLEANUP(strmap_done)

#endif
