/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A set of paths, kept as 64-bit hashes under a random key: eight bytes a path whatever its length. Two paths meet by chance
 * with probability n^2/2^65 (3e-8 for a million); nobody who does not know the key can make them meet. Not thread-safe.
 */
#ifndef IMAGE_PATHSET_H
#define IMAGE_PATHSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pathset {
	uint64_t *slots; /* 0: free */
	size_t len, room;
	uint64_t key[2];
};

void pathset_init(struct pathset *s);
void pathset_done(struct pathset *s);
/* False when it was there already. */
bool pathset_add(struct pathset *s, const char *path, size_t size);
bool pathset_has(const struct pathset *s, const char *path, size_t size);

#endif
