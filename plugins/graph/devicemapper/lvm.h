/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* direct-lvm: a bare device becomes a volume group with a thin pool, by the programs of LVM. */
#ifndef GRAPH_DM_LVM_H
#define GRAPH_DM_LVM_H

#include "options.h"

#define LVM_POOL "docker-thinpool" /* what it is called then, below /dev/mapper */

/* Once for a root: what was made stands in ROOT/setup-config.json, and cannot be changed. */
int lvm_setup(const struct dkd_host *host, const struct dkd_call *call, const struct dm_lvm_options *o, int rootfd, struct dm_error *e);

#endif
