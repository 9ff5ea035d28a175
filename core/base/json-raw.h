/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as its own text: for what is passed on byte for byte, numbers and escapes as they were. */
#ifndef BASE_JSON_RAW_H
#define BASE_JSON_RAW_H

#include "base/err.h"
#include "base/str.h"

/*
 * The members of an object, in their order: each value is its text without the blanks, and with <, > and & escaped, as Go
 * passes on what it does not look into. ERR_INVALID: no JSON (see json_read()), no object, or more than max members.
 */
int json_raw_members(const char *text, size_t size, size_t max, struct strmap *ret, struct err *err);

#endif
