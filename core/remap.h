/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * --userns-remap: whose subordinate ids containers get, from the host's passwd and group databases, /etc/subuid and
 * /etc/subgid. Once, at the start, before threads and the spawner.
 */
#ifndef CORE_REMAP_H
#define CORE_REMAP_H

#include <stdbool.h>

#include "base/err.h"
#include "base/idmap.h"

#define REMAP_USER "dockremap" /* what "default" means; made where it is missing */

struct remap {
	bool on;             /* the daemon was told so, be it for root, which maps nothing */
	struct idmaps maps;
};
void remap_done(struct remap *r);
/* spec: "default", or a user[:group], by name or number. "" or NULL: off. make: the user of "default", too. Errors are Docker's. */
int remap_setup(const char *spec, bool make, struct remap *ret, struct err *err);
/*
 * The data-root that such containers have to themselves: base/UID.GID. base becomes passable for the remapped group. Owned by the
 * caller; NULL with Docker's text when a folder above bars the way.
 */
char *remap_data_root(const struct remap *r, const char *base, struct err *err);

/* Its path alone, owned by the caller. */
char *remap_path(const struct remap *r, const char *base);

#endif
