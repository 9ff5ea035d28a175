/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices of layers: numbers in the pool, their metadata, and the transactions that keep both in step. A transaction is written
 * down before the pool changes, and the pool's own number is set when all is done; what a crash left between goes at the next start.
 * Thread-safe; one lock for all, not held while waiting for a busy device.
 */
#ifndef GRAPH_DM_DEVICES_H
#define GRAPH_DM_DEVICES_H

#include <pthread.h>

#include "options.h"
#include "store.h"
#include "thin.h"

struct devices {
	const struct dkd_host *host;
	const struct dm_options *options;
	const char *pool;
	char prefix[64];
	int dir;                 /* ROOT/metadata */
	pthread_mutex_t lock;    /* what is below, and the pool's changes */
	uint64_t transaction;    /* the pool's */
	struct store_set set;
	unsigned char *used;     /* a bit for each number */
	unsigned deleted;        /* devices that wait for their deletion */
	pthread_cond_t more;     /* there is one more of these, or the end */
	pthread_t worker;
	bool working, ending;
};

/* Reads the metadata of a pool that is there, and rolls back what a crash left open. dir is the caller's. */
int devices_open(struct devices *d, const struct dkd_host *host, const struct dm_options *o, const char *pool, const char *prefix, int dir, struct dm_error *e);
void devices_close(struct devices *d);
/* Devices that are active and not in use, or were left suspended. is_mounted tells of a layer. */
void devices_tidy(struct devices *d, bool (*is_mounted)(void *to, const char *layer), void *to);

/* -1 with DKD_ERR_NOT_FOUND. */
int devices_find(struct devices *d, const char *layer, struct store_device *ret, struct dm_error *e);
/* The device's name, and its node. */
void devices_name(const struct devices *d, const char *layer, char ret[THIN_NAME_MAX]);
void devices_node(const struct devices *d, const char *layer, char ret[PATH_MAX]);

/* A snapshot of another layer's device; bytes 0: as large as that. */
int devices_snapshot(struct devices *d, const char *layer, const char *parent, uint64_t bytes, const struct dkd_call *call, struct dm_error *e);
/* An empty one, for the base. */
int devices_new(struct devices *d, const char *layer, uint64_t bytes, struct dm_error *e);
/* Changes what is known of a device. */
int devices_save(struct devices *d, const struct store_device *v, struct dm_error *e);
int devices_save_set(struct devices *d, struct dm_error *e);
/* Missing is fine. One that is in use is deleted later where that is allowed; now: never later. */
int devices_delete(struct devices *d, const char *layer, bool now, const struct dkd_call *call, struct dm_error *e);
/* Deletes what waits for it and is not in use any more. */
void devices_retry(struct devices *d);
unsigned devices_deleted(struct devices *d);
/* A thread that does so, and its end. */
int devices_work(struct devices *d);
void devices_rest(struct devices *d);

/* Its node is there afterwards. */
int devices_activate(struct devices *d, const struct store_device *v, const struct dkd_call *call, struct dm_error *e);
/* Where removals are deferred, one that is in use goes later. now: waits for it instead. */
int devices_deactivate(struct devices *d, const char *layer, bool now, const struct dkd_call *call, struct dm_error *e);

#endif
