/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's device-mapper, through libdevmapper: a thin pool and the devices in it. Devices have names (below /dev/mapper), and
 * numbers in their pool. Everything returns 0, or -1 with errno. Thread-safe; the library, which is not, stands behind one lock.
 */
#ifndef GRAPH_DM_THIN_H
#define GRAPH_DM_THIN_H

#include <dockerd/driver.h>
#include <stdbool.h>
#include <sys/types.h>

#define THIN_SECTOR 512
#define THIN_METADATA_BLOCK 4096
#define THIN_NAME_MAX 128 /* of a device, with its NUL: the kernel's */
#define THIN_ID_MAX 0xffffff

/* Levels of the library's messages: 2 fatal, 3 error, 4 warning, 5 notice, 6 info, 7 debug. Those up to level go to host's log; NULL: none. */
#define THIN_LOG_FATAL 2
#define THIN_LOG_DEBUG 7
void thin_log(const struct dkd_host *host, int level);

/* Is there a device-mapper with thin pools? -1 with a sentence in why when not. */
int thin_here(char *why, size_t size);
/* The kernel's can remove a device when it is not used any more. */
bool thin_defers_removal(void);
/* Is there an udev to wait for? Nodes are made here where there is none. */
bool thin_udev(void);
/* Is there one that makes nodes, and that cannot be waited for? */
bool thin_udev_unheard(void);
void thin_library_version(char *ret, size_t size);
/* Closes what the library keeps open. */
void thin_release(void);

struct thin_info { bool exists, suspended, deferred_remove; int open_count; dev_t dev; };
int thin_info(const char *name, struct thin_info *ret);
/* Every device of the host: fn returns other than 0 to end. */
int thin_each(int (*fn)(void *to, const char *name), void *to);
/* -1 with EBUSY while somebody has it open; one that is not there: ENXIO. deferred: it goes when it is closed, and that is fine. */
int thin_remove(const char *name, bool deferred);
int thin_cancel_removal(const char *name);
int thin_suspend(const char *name);
int thin_resume(const char *name);
/* The node below /dev/mapper, where udev makes none. */
int thin_node(const char *name);

struct thin_pool_status {
	uint64_t sectors, transaction, meta_used, meta_total, data_used, data_total;
	bool failed, read_only, full;
};
/* -1 with ENOTBLK when that is no thin pool. */
int thin_pool_status(const char *pool, struct thin_pool_status *ret);
/* What it lies on: numbers of the two devices, data blocks in sectors. */
int thin_pool_table(const char *pool, dev_t *ret_meta, dev_t *ret_data, uint32_t *ret_block);
int thin_pool_create(const char *pool, dev_t meta, dev_t data, uint64_t data_sectors, uint32_t block_sectors);

/* Messages to a pool. EEXIST: that number is taken. ENODATA: there is none. EBUSY: it is active. */
int thin_new(const char *pool, unsigned id);
int thin_snapshot(const char *pool, unsigned id, unsigned origin);
int thin_delete(const char *pool, unsigned id);
int thin_set_transaction(const char *pool, uint64_t from, uint64_t to);

/* Makes the device of a number in the pool, by name. */
int thin_activate(const char *pool, const char *name, unsigned id, uint64_t bytes);

#endif
