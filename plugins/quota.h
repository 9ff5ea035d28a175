/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The size of a folder: a project quota of XFS or ext4 on it, which what is made in it inherits. A project is a number that no other
 * folder has; limits are set through a node of the file system's block device, as Docker names it.
 */
#ifndef PLUGINS_QUOTA_H
#define PLUGINS_QUOTA_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#define QUOTA_DEVICE "backingFsBlockDev" /* in a driver's root */
/* Drivers may share a file system, and none looks into another's folders: each has numbers of its own. */
#define QUOTA_LAYERS UINT32_C(1)
#define QUOTA_VOLUMES (UINT32_C(1) << 30)

struct quota {
	char device[PATH_MAX];     /* of the file system; empty: there are no such quotas */
	atomic_uint next;          /* the next project */
};

/*
 * device: where the node is made. least: the first project. -1 with errno where the file system enforces none.
 */
int quota_open(int rootfd, const char *device, uint32_t least, struct quota *q);
/* A folder of root, before anything is in it. */
int quota_set(struct quota *q, int rootfd, const char *folder, uint64_t bytes);

#endif
