/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CONTAINER_DETACH_H
#define CONTAINER_DETACH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define DETACH_KEYS_MAX 16
/* The bytes of "ctrl-p,ctrl-q", "a,b", ...; text NULL or "": the default. */
struct detach_keys { unsigned char v[DETACH_KEYS_MAX]; size_t len; };
int detach_keys_parse(const char *text, struct detach_keys *ret, struct err *err);
/*
 * Takes the keys out of a stream of input: what may be passed on is put into out (room for size + DETACH_KEYS_MAX bytes),
 * *ret_size tells how much. True once the sequence was typed. *matched is the state, 0 at first.
 */
bool detach_keys_filter(
	const struct detach_keys *k, size_t *matched, const unsigned char *in, size_t size, unsigned char *out, size_t *ret_size);
/* As an exec's inspect shows them. The caller frees it. */
char *detach_keys_base64(const struct detach_keys *k);

#endif
