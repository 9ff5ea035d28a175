/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Directory trees into tar streams, the same bytes for the same tree: names in byte order, times to the second, hard links
 * kept, holes as zeros (of an archive with holes Docker could not make the same one again), sockets left out, the attributes security.capability and user.*. Links of the tree are never followed.
 */
#ifndef IMAGE_PACKTAR_H
#define IMAGE_PACKTAR_H

#include "base/cancel.h"
#include "base/idmap.h"
#include "base/tar.h"
#include "image/changes.h"

struct packtar_opts {
	const struct cancel *cancel;
	bool live; /* a tree in use: what the kernel shows below folders of it (proc, sysfs, cgroups...) is left out */
	const struct idmaps *ids; /* the tree's owners are the outside of these maps, the archive's the inside; NULL: the same */
	int64_t room; /* bytes of files that may be written; 0: any number */
};

/*
 * The file or folder behind fd (O_PATH will do), with all that is below, under name. A folder's name gets its slash here;
 * with name "" the folder itself is left out and its members are named from the top. Ends no archive.
 */
int packtar(int fd, const char *name, const struct packtar_opts *opts, struct tar_writer *tar, struct err *err);
/* What changed in the tree at fd; deletions become .wh. members. */
int packtar_changes(int fd, const struct changes *c, const struct packtar_opts *opts, struct tar_writer *tar, struct err *err);

#endif
