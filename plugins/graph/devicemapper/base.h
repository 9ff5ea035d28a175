/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The base device: an empty file system that every layer without a parent is a snapshot of. */
#ifndef GRAPH_DM_BASE_H
#define GRAPH_DM_BASE_H

#include "devices.h"
#include "pool.h"

/* Makes it the first time; afterwards it must be the one that was made, and grows when dm.basesize says so. mnt: ROOT/mnt. */
int base_setup(struct devices *d, const struct pool *p, const char *mnt, const struct dkd_call *call, struct dm_error *e);
/* Makes a device's file system as large as the device, by mounting it for a moment. */
int base_grow(struct devices *d, const struct store_device *v, const char *mnt, const struct dkd_call *call, struct dm_error *e);

#endif
