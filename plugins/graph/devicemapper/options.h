/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --storage-opt dm.*: what the user asked for. */
#ifndef GRAPH_DM_OPTIONS_H
#define GRAPH_DM_OPTIONS_H

#include "dm.h"

#define DM_MKFS_ARGS 32
#define DM_MOUNT_OPTIONS 1024

/* How a volume group is made on a device that was given bare. */
struct dm_lvm_options {
	char *device; /* NULL: none is made */
	unsigned percent, meta_percent;               /* of the device, for data and for metadata; 0: 95 and 1 */
	unsigned extend_percent, extend_threshold;    /* 0: 20 and 80 */
	bool force;
};

struct dm_options {
	uint64_t base_size, data_size, meta_size; /* of the base device, of the loop files */
	bool base_size_given;
	char fs[8];                               /* "ext4", "xfs"; "": the host's best */
	char *mkfs_args[DM_MKFS_ARGS + 1];
	unsigned mkfs_args_len;
	char mount_options[DM_MOUNT_OPTIONS];
	char *data_device, *meta_device;
	char *pool;                               /* below /dev/mapper */
	bool discard, discard_given;              /* blocks of a device that is deleted */
	uint32_t block_sectors;
	bool override_udev;
	bool deferred_removal, deferred_deletion;
	unsigned min_free;                        /* percent */
	char nospace_retries[24];                 /* of XFS; "": the kernel's */
	int log_level;
	struct dm_lvm_options lvm;
};

/* Defaults, then each option. defers: the kernel can defer removals, so that both ways to defer are on. -1 with the sentence. */
int dm_options_parse(struct dm_options *o, const struct dkd_pair *v, uint32_t len, bool defers, struct dm_error *e);
void dm_options_done(struct dm_options *o);

#endif
