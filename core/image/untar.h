/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Extraction of a tar stream into a directory. Nothing in the stream reaches outside: every path is resolved by the kernel
 * inside the root (openat2), "..", where it climbs out, is an error, whatever is there already is never followed as the last
 * component, and owner, mode, times and attributes go to the object just made. What is a mount in whatever namespace is never
 * replaced: the kernel would take the mount away from others. The caller removes the tree after a failure.
 * Changes the working directory where attributes of links are set: for a process of its own (unpack.h).
 */
#ifndef IMAGE_UNTAR_H
#define IMAGE_UNTAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/idmap.h"
#include "base/tar.h"
#include "image/graph.h"

#define UNTAR_ENTRIES_MAX (2 * 1024 * 1024) /* members and folders made for them, in one stream */

#define UNTAR_LAYER      1u /* an image layer: .wh. names are whiteouts, a member named twice is an error */
#define UNTAR_KEEP_TYPES 2u /* a folder never replaces something else, nor the other way round */

/* What the process that unpacks leaves to others; NULL members are done here. */
struct untar_host {
	/*
	 * An attribute trusted.* or security.*, which takes more rights than unpacking does. fd only names (O_PATH) what is
	 * neither file nor folder. -1 with errno.
	 */
	int (*set_xattr)(struct untar_host *h, int fd, const char *name, const void *value, size_t size);
	void (*warn)(struct untar_host *h, const char *text);
};

struct untar_owner { uint32_t uid, gid; };

struct untar_opts {
	unsigned flags;
	const struct untar_owner *owner; /* of every member; NULL: as the archive says */
	const struct idmaps *ids;     /* owners are the inside of these maps; NULL: the host's */
	enum graph_whiteout whiteout; /* of the tree, with UNTAR_LAYER */
	const char *base;             /* where members go below the root, clean, without UNTAR_LAYER; NULL: the root itself */
	uint64_t entries_max;         /* 0: UNTAR_ENTRIES_MAX */
	struct untar_host *host;      /* may be NULL */
};

/* Reads to the end mark. ret_size (may be NULL) gets the bytes of the files and links written. */
int untar(int rootfd, struct tar_reader *tar, const struct untar_opts *opts, int64_t *ret_size, struct err *err);
/* A member's name without ".", "..", doubled, leading and trailing slashes; "" for the root. False when it climbs out. */
bool untar_clean(const char *name, char ret[TAR_NAME_MAX + 1]);

#endif
