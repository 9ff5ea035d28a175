/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* First names of files that have several: (device, inode) -> name. Not thread-safe. */
#ifndef BASE_INODE_MAP_H
#define BASE_INODE_MAP_H

#include <stddef.h>
#include <sys/stat.h>

struct inode_map {
	struct inode_map_slot { dev_t dev; ino_t ino; char *name; } *v;
	size_t len, room;
};

/* The name noted for st's file before; NULL, and name is noted, the first time. */
const char *inode_map_note(struct inode_map *m, const struct stat *st, const char *name);
void inode_map_done(struct inode_map *m);
#define OWN_INODE_MAP __attribute__((cleanup(inode_map_done)))

#endif
