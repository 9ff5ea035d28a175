/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON whose numbers are unsigned 64-bit, as in OCI configurations, where jansson's integers end at 2^63: each number is read as a string
 * of its own digits.
 */
#ifndef BASE_JSON_EXACT_H
#define BASE_JSON_EXACT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* As json_read(), but for numbers. NULL: it is none. */
json_t *json_exact_read(const char *text, size_t size);
/* The text with those unsigned numbers between quotation marks that jansson has no integer for. */
void json_exact_quote_big(const char *text, size_t size, struct buf *ret);
/* A number, or a text of digits. False: it is none, or out of range. js may be NULL. */
bool json_exact_u64(const json_t *js, uint64_t *ret);
bool json_exact_i64(const json_t *js, int64_t *ret);
/* Nothing is said by it: NULL, null, false, 0, "", [] or {}. */
bool json_exact_empty(const json_t *js);

#endif
