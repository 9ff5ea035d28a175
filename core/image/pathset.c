/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/pathset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/str.h"

void pathset_init(struct pathset *s)
{
	*s = (struct pathset){ 0 };
	BUG_ON(getrandom(s->key, sizeof(s->key), 0) != sizeof(s->key));
}

void pathset_done(struct pathset *s)
{
	free(s->slots);
	s->slots = NULL;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(const struct pathset *s, const char *path, size_t size)
{
	uint64_t h = s->key[0] ^ size;

	for (; size >= 8; path += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, path, 8);
		h = mix(h ^ word, s->key[1] | 1) + s->key[0];
	}
	if (size) {
		uint64_t word = 0;

		memcpy(&word, path, size);
		h = mix(h ^ word, s->key[1] | 1) + s->key[0];
	}
	h = mix(h ^ s->key[1], UINT64_C(0x9e3779b97f4a7c15));
	return h ? h : 1;
}

static uint64_t *slot(const struct pathset *s, uint64_t h)
{
	size_t i = h & (s->room - 1);

	while (s->slots[i] && s->slots[i] != h)
		i = (i + 1) & (s->room - 1);
	return &s->slots[i];
}

static void grow(struct pathset *s)
{
	struct pathset old = *s;

	s->room = old.room ? old.room * 2 : 256;
	s->slots = xcalloc(s->room, sizeof(*s->slots));
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i])
			*slot(s, old.slots[i]) = old.slots[i];
	free(old.slots);
}

bool pathset_add(struct pathset *s, const char *path, size_t size)
{
	uint64_t h = hash(s, path, size), *at;

	if ((s->len + 1) * 4 > s->room * 3)
		grow(s);
	at = slot(s, h);
	if (*at)
		return false;
	*at = h;
	s->len++;
	return true;
}

bool pathset_has(const struct pathset *s, const char *path, size_t size)
{
	return s->room && *slot(s, hash(s, path, size));
}
