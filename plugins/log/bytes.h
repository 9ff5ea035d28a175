/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A message in the making. Where memory ends it says so once, at the end: bytes_ok(). */
#ifndef LOG_BYTES_H
#define LOG_BYTES_H

#include <stdbool.h>
#include <stddef.h>

struct bytes {
	char *data;
	size_t size;
	size_t room;
	bool broken;
};

void bytes_put(struct bytes *b, const void *data, size_t size);
void bytes_word(struct bytes *b, const char *s);
/* Room for more at the end of what is there; NULL: there is no memory. */
char *bytes_reserve(struct bytes *b, size_t more);
bool bytes_ok(const struct bytes *b);
void bytes_done(struct bytes *b);

#endif
