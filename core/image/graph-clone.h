/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the graph facade: a layer's directory shown once more, with other owners, by an idmapped mount. For drivers that cannot
 * mount layers so themselves.
 */
#ifndef IMAGE_GRAPH_CLONE_H
#define IMAGE_GRAPH_CLONE_H

#include "base/err.h"

/*
 * Mounts the directory dir at the path at, which is made, with the map of the user namespace. What is mounted there already is left as it is.
 * ERR_NOT_IMPLEMENTED: this kernel or the file system below cannot.
 */
int graph_clone(const char *dir, const char *at, int userns, struct err *err);
/* Unmounts and removes; nothing there is fine. */
void graph_clone_drop(const char *at);

#endif
