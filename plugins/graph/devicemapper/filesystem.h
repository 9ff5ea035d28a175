/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file systems on devices: found by their superblocks, made by mkfs, grown and mounted by the kernel. */
#ifndef GRAPH_DM_FILESYSTEM_H
#define GRAPH_DM_FILESYSTEM_H

#include "options.h"

struct filesystem {
	char type[8];  /* "ext4", "xfs" */
	char uuid[40];
	uint64_t bytes;
};
/* What a device holds; -1 with errno, EMEDIUMTYPE when it is none of these. */
int filesystem_probe(const char *device, struct filesystem *ret);
/* The host's best: "xfs" where it can be made and mounted, else "ext4". */
const char *filesystem_default(void);
/* Makes one. */
int filesystem_make(const struct dkd_host *host, const struct dkd_call *call, const char *device, const char *type, const struct dm_options *o, struct dm_error *e);
/* Mounts device on path. label: SELinux's, or NULL. */
int filesystem_mount(const char *device, const char *path, const char *options, const char *label, struct dm_error *e);
/* Makes the file system that is mounted there as large as its device. */
int filesystem_grow(const char *path, const char *type, uint64_t bytes);
/* How often XFS tries again to write its metadata when there is no room. */
int filesystem_retries(const char *device, const char *retries);

#endif
