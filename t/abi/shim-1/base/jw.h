/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON writer: appends compact JSON to a buffer, commas kept by the writer. Strings that are not UTF-8 get U+FFFD
 * for each bad byte, and <, >, & are escaped, both as Go's encoder does.
 */
#ifndef BASE_JW_H
#define BASE_JW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct jw {
	struct buf *b;
	bool comma; /* a value stands before in this object or array */
};

static inline void jw_init(struct jw *w, struct buf *b) { *w = (struct jw){ .b = b }; }
void jw_obj(struct jw *w);
void jw_obj_end(struct jw *w);
void jw_arr(struct jw *w);
void jw_arr_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, const char *s); /* NULL prints "" */
void jw_strn(struct jw *w, const char *s, size_t size);
void jw_int(struct jw *w, int64_t n);
void jw_uint(struct jw *w, uint64_t n);
void jw_bool(struct jw *w, bool b);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, const char *json); /* complete JSON text, trusted */
void jw_time(struct jw *w, int64_t ns);      /* RFC3339Nano string */
void jw_strv(struct jw *w, const struct strv *sv);     /* null when not set */
void jw_strmap(struct jw *w, const struct strmap *m);  /* null when not set; sorted by key as Go prints maps */

/* Key and value in one. */
void jw_kstr(struct jw *w, const char *key, const char *s);
void jw_kint(struct jw *w, const char *key, int64_t n);
void jw_kbool(struct jw *w, const char *key, bool b);
void jw_knull(struct jw *w, const char *key);
void jw_kraw(struct jw *w, const char *key, const char *json);
void jw_ktime(struct jw *w, const char *key, int64_t ns);
void jw_kstrv(struct jw *w, const char *key, const struct strv *sv);
void jw_kstrmap(struct jw *w, const char *key, const struct strmap *m);
void jw_kobj(struct jw *w, const char *key);
void jw_karr(struct jw *w, const char *key);

/* Appends s as one quoted JSON string. */
void jw_quote(struct buf *b, const char *s);

#endif
