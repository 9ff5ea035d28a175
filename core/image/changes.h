/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What differs between two directory trees, by the rules of `docker diff`. */
#ifndef IMAGE_CHANGES_H
#define IMAGE_CHANGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "image/graph.h"

enum change_kind { CHANGE_MODIFY, CHANGE_ADD, CHANGE_DELETE }; /* the API's numbers */

struct change { char *path; enum change_kind kind; }; /* path: absolute in the tree */
struct changes { struct change *v; size_t len, room; }; /* sorted by path */

void changes_done(struct changes *c);
#define OWN_CHANGES __attribute__((cleanup(changes_done)))

/*
 * Both trees whole. old_fd -1: everything was added. shown: owners of the old tree (inside) show in the new one as these (outside); NULL or none: the
 * same, and whom the map does not know is not compared.
 */
int changes_compare(int new_fd, int old_fd, const struct idmaps *shown, struct changes *ret, struct err *err);
/*
 * The same, but what looks alike by size and time is read, too: images are built with times of no meaning. Names of one file
 * that has got another count as changed, so that an archive shows them as one; "/." is the root itself.
 */
int changes_compare_exact(int new_fd, int old_fd, const struct cancel *c, struct changes *ret, struct err *err);
/* upper holds only what changed against the whole tree at lower_fd; deletions are in the given style. shown: as above, of upper. */
int changes_upper(int upper_fd, enum graph_whiteout style, int lower_fd, const struct idmaps *shown, struct changes *ret, struct err *err);
/* Bytes of the files added or modified, in the tree at fd; hard links count once. */
int64_t changes_size(const struct changes *c, int fd);

#endif
