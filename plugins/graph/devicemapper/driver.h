/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver devicemapper itself: its handle, and the mounts of layers. */
#ifndef GRAPH_DM_DRIVER_H
#define GRAPH_DM_DRIVER_H

#include "devices.h"
#include "pool.h"

struct held;

struct dkd_graph {
	const struct dkd_host *host;
	char *root, *mnt;
	int fd, mntfd, metafd;     /* ROOT, ROOT/mnt, ROOT/metadata */
	uint32_t uid, gid;
	struct dm_options options;
	struct pool pool;
	struct devices devices;
	bool udev, bound;          /* bound: root is a mount of itself */
	pthread_mutex_t held_lock; /* held */
	struct held *held;         /* layers that are mounted because the daemon asked for them */
};

/* Is there something mounted at ROOT/mnt/LAYER? */
bool mounts_has(struct dkd_graph *g, const char *layer);
/* Mounts a layer that is not, with what belongs into a new device. */
int mounts_make(struct dkd_graph *g, const struct store_device *v, const char *label, const struct dkd_call *call, struct dm_error *e);
/* Unmounts it, where it is, and lets go of its device. */
int mounts_undo(struct dkd_graph *g, const char *layer, const struct dkd_call *call, struct dm_error *e);
/* Notes that the daemon wants it mounted, or not any more. */
void mounts_hold(struct dkd_graph *g, const char *layer);
void mounts_let_go(struct dkd_graph *g, const char *layer);
void mounts_let_all_go(struct dkd_graph *g);
/* How many layers are mounted. */
unsigned mounts_count(struct dkd_graph *g);
/* Unmounts what neither the daemon nor a container wants: a crash left it. */
void mounts_sweep(struct dkd_graph *g, const struct dkd_call *call);
/* Makes ROOT a mount of itself that no other mount namespace gets copies from: they would keep devices in use. */
int mounts_private(struct dkd_graph *g, struct dm_error *e);

/* facts.c: operations of the driver. */
int32_t facts_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to);
int32_t facts_metadata(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to);

#endif
