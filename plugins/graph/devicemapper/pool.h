/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thin pool: found, given, or made of two devices or loop files. */
#ifndef GRAPH_DM_POOL_H
#define GRAPH_DM_POOL_H

#include <limits.h>

#include "options.h"
#include "thin.h"

struct pool {
	char name[THIN_NAME_MAX];
	bool given;                                      /* it is somebody's else: never taken down */
	char data_device[PATH_MAX], meta_device[PATH_MAX]; /* "/dev/loop0"; "" of a given pool */
	char data_file[PATH_MAX], meta_file[PATH_MAX];     /* behind them, or "" */
};

/*
 * root: the driver's, rootfd of the same. prefix: what names of its devices begin with. has_devices: the metadata tells of devices, so
 * that loop files must be there. Fills p.
 */
int pool_open(struct pool *p, const struct dm_options *o, const char *root, int rootfd, const char *prefix, bool has_devices, struct dm_error *e);
/* Takes down what is not given. -1 with EBUSY while devices are active. */
int pool_close(const struct pool *p);
/* Is there room for another device? */
int pool_has_room(const char *pool, unsigned min_free, struct dm_error *e);
/* Bytes. */
struct pool_space { uint64_t block, data_used, data_total, data_free, meta_used, meta_total, meta_free, min_free; };
int pool_space(const struct pool *p, unsigned min_free, struct pool_space *ret);

#endif
