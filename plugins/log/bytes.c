/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bytes.h"

#include <stdlib.h>
#include <string.h>

char *bytes_reserve(struct bytes *b, size_t more)
{
	size_t room = b->room ? b->room : 512;
	char *data;

	while (room - b->size < more)
		room *= 2;
	if (room == b->room)
		return b->data + b->size;
	data = realloc(b->data, room);
	if (!data) {
		b->broken = true;
		return NULL;
	}
	b->data = data;
	b->room = room;
	return data + b->size;
}

void bytes_put(struct bytes *b, const void *data, size_t size)
{
	char *at = size ? bytes_reserve(b, size) : NULL;

	if (!at)
		return;
	memcpy(at, data, size);
	b->size += size;
}

void bytes_word(struct bytes *b, const char *s)
{
	bytes_put(b, s, strlen(s));
}

bool bytes_ok(const struct bytes *b)
{
	return !b->broken;
}

void bytes_done(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){ 0 };
}
