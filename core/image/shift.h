/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other owners for all that is in a tree: by chown, where no mount can show them. */
#ifndef IMAGE_SHIFT_H
#define IMAGE_SHIFT_H

#include "base/err.h"
#include "base/idmap.h"

/*
 * Owners that are on the inside of maps become those on the outside, also in the capabilities of files and in their ACLs; others stay.
 * fd: the tree's root. Ends on errors in the middle: what it leaves is of no use.
 */
int shift_tree(int fd, const struct idmaps *maps, struct err *err);

#endif
