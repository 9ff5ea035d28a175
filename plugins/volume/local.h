/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the driver "local": what its files share. */
#ifndef PLUGIN_LOCAL_H
#define PLUGIN_LOCAL_H

#include <dockerd/volume.h>

/* Options of a volume as opts.json keeps them. Owned strings; all NULL: a plain directory. */
struct local_options {
	char *type, *o, *device;
};

/* local-mount.c: mounts by the options on path, or fails with Docker's words. */
int32_t local_mount_options(const struct dkd_host *host, const struct dkd_call *call,
	const struct local_options *o, const char *path);

/* local-tree.c: removes the directory name in root with all in it. -1 with errno; missing is fine. */
int local_remove_tree(int root, const char *name);

#endif
