/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subvolumes of btrfs, by ioctl. Everything returns 0 or -1 with errno. dir: the folder that holds the subvolume. */
#ifndef GRAPH_SUBVOLUME_H
#define GRAPH_SUBVOLUME_H

#include <stdint.h>

int subvolume_create(int dir, const char *name);
/* Writable, and with everything in it but subvolumes, which are empty folders there. */
int subvolume_snapshot(int dir, const char *name, int source);
/* The id of the subvolume that a file lies in. */
int subvolume_id(int fd, uint64_t *ret);
/* 1 for the top folder of a subvolume, 0 for another folder. */
int subvolume_is(int dir, const char *name);
/* With those inside it, at any depth. ret_id (may be NULL): what its id was. */
int subvolume_destroy(int dir, const char *name, uint64_t *ret_id);

/* Limits: groups of quota, one a subvolume. fd: in it. bytes counts what the subvolume refers to, shared or not. */
int subvolume_quotas_on(int fd);
int subvolume_limit(int fd, uint64_t bytes);
/* The group of a subvolume that is gone: EBUSY while the kernel still cleans up. */
int subvolume_drop_group(int fd, uint64_t id);

#endif
