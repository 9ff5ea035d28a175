/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a store has, sorted by key. No lock: the owner has one. */
#ifndef NETWORK_MIRROR_H
#define NETWORK_MIRROR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct mirror_entry {
	char *key, *value;
	unsigned round;      /* when it was last told */
};
struct mirror {
	struct mirror_entry *v;
	size_t len, room;
	unsigned round;
};
void mirror_done(struct mirror *m);
/* Everything is told anew from here on. */
void mirror_begin(struct mirror *m);
/* True when it is new, or has another value than before. */
bool mirror_put(struct mirror *m, const char *key, const char *value);
/* Its last value, the caller's; NULL when it was not there. */
char *mirror_delete(struct mirror *m, const char *key);
/* What was not told since mirror_begin() goes: keys and values. */
void mirror_end(struct mirror *m, struct strmap *gone);
const char *mirror_get(const struct mirror *m, const char *key);
/* Copies of all whose keys begin so. */
void mirror_list(const struct mirror *m, const char *prefix, struct strmap *ret);

#endif
