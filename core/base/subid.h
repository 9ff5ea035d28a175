/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Users of the host, and the ids that subuid(5) and subgid(5) give them. Read from the files: no name service is asked. */
#ifndef BASE_SUBID_H
#define BASE_SUBID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/idmap.h"

#define SUBID_FILE_MAX (4u << 20)

struct subid_user { char *name; uint32_t id; };
/* By number where the word is one. */
bool subid_user_find(const char *word, struct subid_user *ret);
void subid_user_done(struct subid_user *u);

/*
 * The ranges of a user in a file in the form of subuid(5): those by number, then those by name, each in the file's order, with ids inside that
 * go on from one to the next. what: "uid" or "gid", for messages, which are Docker's.
 */
int subid_ranges(const char *path, const char *what, const char *name, uint32_t uid, struct idmap_list *ret, struct err *err);
/* The same of the file's text; there may be none. */
int subid_parse(const char *text, size_t size, const char *path, const char *name, uint32_t uid, struct idmap_list *ret, struct err *err);

#endif
