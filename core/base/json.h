/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON in: text -> plain structs, driven by tables, so that no json_t outlives a request.
 * A table (struct jdesc) lists the fields of one struct, in the order in which Docker prints them; decoding, encoding,
 * freeing and copying all read the same table. Keys match exactly: one in another case is an error, as nobody who judges a
 * body before us must read another one; so is a key given twice. Unknown keys are ignored, or kept when the table has a J_REST
 * field.
 * Type errors are ERR_INVALID and name the place by JSON pointer.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jw.h"
#include "base/str.h"

enum jtype {
	J_STR,      /* char *; null leaves NULL; printed as "" when NULL */
	J_BOOL,     /* bool */
	J_I64,      /* int64_t */
	J_U64,      /* uint64_t, up to INT64_MAX */
	J_OPT_BOOL, /* struct opt_bool: null when not set */
	J_OPT_I64,  /* struct opt_i64: null when not set */
	J_STRV,     /* struct strv: null when not set */
	J_WORDS,    /* struct strv; a plain string is taken as one word (Docker's StrSlice) */
	J_STRMAP,   /* struct strmap: null when not set */
	J_SET,      /* struct strv; {"key":{},...}: null when not set, printed sorted */
	J_PAIR,     /* int64_t[2]; an array of at most two integers, printed [a,b] */
	J_TIME,     /* int64_t ns; RFC 3339; 0 from "" */
	J_OBJ,      /* struct, inline; sub is its table */
	J_PTR,      /* struct *, owned; null when NULL */
	J_LIST,     /* struct jlist of structs */
	J_MAP,      /* struct jmap of structs by string */
	J_RAW,      /* char *, owned JSON text of any value, or of one that sub's table can read; null when NULL */
	J_REST,     /* char *, owned: the object's unknown members as JSON text without braces, printed last; key is NULL */
};

#define J_OMITEMPTY 1 /* not printed when empty, as Go's omitempty */
#define J_REQUIRED  2 /* absent or null is an error */
#define J_ANY_CASE  16 /* the key may be spelt in another case, because a known client does */
#define J_NOPRINT   4 /* read only */
#define J_NONNULL   8 /* an unset list or map prints [] or {} instead of null */

struct opt_bool { bool set, v; };
struct opt_i64 { bool set; int64_t v; };
struct jlist { void *v; size_t len; bool set; };              /* items lie one after the other */
struct jmap { char **keys; void *v; size_t len; bool set; };  /* items lie one after the other, keys beside */

struct jdesc;
struct jfield {
	const char *key;
	uint8_t type, flags;
	uint16_t offset;
	const struct jdesc *sub; /* J_OBJ, J_PTR, J_LIST, J_MAP; J_RAW may have one */
};
struct jdesc {
	size_t size;
	const struct jfield *fields;
	size_t len;
};

#define JFIELD(st, member, key_, type_, flags_) { key_, type_, flags_, offsetof(struct st, member), NULL }
#define JFIELD_SUB(st, member, key_, type_, flags_, sub_) { key_, type_, flags_, offsetof(struct st, member), &(sub_) }
/* Defines NAME, the table of struct st, from the rows that follow. */
#define JDESC(name, st, ...) \
	static const struct jfield name##_fields[] = { __VA_ARGS__ }; \
	const struct jdesc name = { sizeof(struct st), name##_fields, sizeof(name##_fields) / sizeof(name##_fields[0]) }
#define JDESC_STATIC(name, st, ...) \
	static const struct jfield name##_fields[] = { __VA_ARGS__ }; \
	static const struct jdesc name = { sizeof(struct st), name##_fields, sizeof(name##_fields) / sizeof(name##_fields[0]) }

/* Parses one JSON text: duplicates, trailing bytes, more than 64 levels and NUL in strings are errors (ERR_INVALID). */
json_t *json_read(const char *text, size_t size, struct err *err);
/* The members of an object that are strings, put into ret; what is no object has none. */
void json_strings(const json_t *js, struct strmap *ret);
/*
 * Gives the members that the table knows in another spelling of upper and lower case its own, down through its objects, as Go's decoder takes them.
 * Of what is there in two spellings one stays, which jdesc_decode() refuses.
 */
void jdesc_any_case(const struct jdesc *d, json_t *js);
/* Decodes into *obj, which the caller zeroed or filled with defaults. On failure *obj is still to be freed. */
int jdesc_decode(const struct jdesc *d, json_t *js, void *obj, struct err *err);
/* json_read + jdesc_decode. */
int jdesc_parse(const struct jdesc *d, const char *text, size_t size, void *obj, struct err *err);
void jdesc_encode(const struct jdesc *d, const void *obj, struct jw *w);
void jw_kdesc(struct jw *w, const char *key, const struct jdesc *d, const void *obj);
/* Releases what obj owns and zeroes it; obj itself is the caller's. */
void jdesc_clear(const struct jdesc *d, void *obj);
/* dst is zeroed memory or a cleared object. */
void jdesc_copy(const struct jdesc *d, void *dst, const void *src);
/* Appends a zeroed item and returns it. */
void *jlist_add(struct jlist *l, const struct jdesc *d);
void *jmap_add(struct jmap *m, const char *key, const struct jdesc *d);
void *jmap_get(const struct jmap *m, const char *key, const struct jdesc *d); /* NULL when absent */
static inline void *jlist_at(const struct jlist *l, size_t i, const struct jdesc *d) { return (char *)l->v + i * d->size; }
static inline void *jmap_at(const struct jmap *m, size_t i, const struct jdesc *d) { return (char *)m->v + i * d->size; }

#define OWN_JSON __attribute__((cleanup(json_decrefp)))

#endif
