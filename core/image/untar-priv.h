/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by untar.c (members), untar-parent.c (folders on the way) and whiteout.c. */
#ifndef IMAGE_UNTAR_PRIV_H
#define IMAGE_UNTAR_PRIV_H

#include <sys/stat.h>

#include "image/pathset.h"
#include "image/untar.h"

struct untar {
	int root;
	const struct untar_opts *opts;
	const char *what;              /* the member's name, for messages */
	/*
	 * The folder that the last member went to. Its time of change is put back when the next member goes elsewhere, so that
	 * folders end with the times that the archive gives them, in whatever order it lists things.
	 */
	char parent[TAR_NAME_MAX + 1];
	int parent_fd;                 /* -1: none */
	bool parent_dirty;
	struct timespec parent_mtime;
	uint64_t entries;
	int64_t size;
	struct pathset seen;           /* UNTAR_LAYER: members; in trees that delete for real also the folders above, as "path/" */
	bool warned_xattr, warned_kind, warned_device;
};

/* Sets the error of a failed system call on the current member: what its archive asked for is the archive's fault. -1. */
int untar_fail(struct untar *u, int sys, const char *what, struct err *err);
int untar_count(struct untar *u, struct err *err);
/* An attribute that the process that unpacks may lack the right for: by the host. -1 with errno. */
int untar_set_xattr(struct untar *u, int fd, const char *name, const void *value, size_t size);

/* Makes path (clean) the current parent, with the folders that are missing. With make false: 0 when it is not there, else 1. */
int untar_parent(struct untar *u, const char *path, bool make, struct err *err);
void untar_parent_drop(struct untar *u);

enum untar_name { UNTAR_PLAIN, UNTAR_IGNORE, UNTAR_OPAQUE, UNTAR_WHITEOUT };
/* What a member's clean path means in a layer; *ret_name is the name that a whiteout hides. -1: refused. */
int whiteout_name(struct untar *u, const char *path, const char **ret_name, struct err *err);
int whiteout_apply(struct untar *u, enum untar_name kind, const char *name, struct err *err);
/* Is it a whiteout of an overlay tree? */
bool whiteout_is(const struct stat *st);
/* Marks the folder so that nothing below shows through. */
int whiteout_set_opaque(struct untar *u, int fd, struct err *err);

#endif
