/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What drivers of overlays have in common, whatever their layout: their state, opening, mounting and unmounting (overlay-base.c). Each is
 * linked with one flavour, which also has its descriptor.
 */
#ifndef GRAPH_OVERLAY_FLAVOUR_H
#define GRAPH_OVERLAY_FLAVOUR_H

#include <dockerd/graph.h>

#include "overlay.h"
#include "quota.h"

struct dkd_graph {
	const struct dkd_host *host;
	char *root;
	int fd;  /* of root */
	uint32_t uid, gid;
	struct overlay_facts facts;
	const char *fs_name;
	struct quota quota;
	uint64_t size;   /* of containers that ask for none; 0: no limit */
};

/* All that return int32_t do so after a fail(), when it is -1. folders, opened and status may be NULL. */
struct overlay_flavour {
	const char *name;
	bool idmaps;      /* mounts with other ids than on disk */
	/* Can it be used on this machine in general? */
	int32_t (*here)(const struct dkd_call *call, const struct dkd_host *host);
	/* What an overlay can do in a folder. -1 with errno and what failed. */
	int (*check)(const char *dir, struct overlay_facts *ret, const char **ret_what);
	/* One option of open(). */
	int32_t (*option)(const struct dkd_call *call, struct dkd_graph *g, const char *key, const char *value);
	/* What root has beside layers. */
	int32_t (*folders)(const struct dkd_call *call, struct dkd_graph *g);
	/* The last step of open(). */
	int32_t (*opened)(const struct dkd_call *call, struct dkd_graph *g);
	/* Its target exists. */
	int32_t (*mount)(const struct dkd_call *call, struct dkd_graph *g, const char *id, struct overlay_mount *m);
	/* Lines of status() beside those that all have. */
	void (*status)(const struct dkd_graph *g, dkd_emit_pair *emit, void *to);
};
extern const struct overlay_flavour overlay_flavour;

/* Members of the table of operations, which need nothing but the flavour. A layer is ROOT/ID, mounted at ROOT/ID/merged. */
int32_t overlay_probe(const struct dkd_call *call, const struct dkd_host *host, const char *root);
int32_t overlay_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *o, struct dkd_graph **ret);
void overlay_close(struct dkd_graph *g);
int32_t overlay_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id);
int32_t overlay_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to);
int32_t overlay_put(const struct dkd_call *call, struct dkd_graph *g, const char *id);
int32_t overlay_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to);

bool overlay_is_mounted(struct dkd_graph *g, const char *id);
/* Mounts a layer: m says of what (lower, upper, work), all else comes from asked. */
int32_t overlay_mount_layer(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *asked, struct overlay_mount *m);
/* By hand or by a daemon that crashed it may be mounted still. */
void overlay_unmount_left(struct dkd_graph *g, const char *id);
/* Files of a layer that are there, onto the disk. */
int32_t overlay_sync_files(const struct dkd_call *call, struct dkd_graph *g, const char *id, const char *const *files, size_t len);
/* The kernel refuses the layer of a volatile mount that ended badly until its mark is gone. */
void overlay_drop_volatile_mark(struct dkd_graph *g, const char *id);

/* Of flavours whose overlays are the kernel's (overlay-kernel.c). */
int32_t overlay_kernel_here(const struct dkd_call *call, const struct dkd_host *host);
int overlay_kernel_check(const char *dir, struct overlay_facts *ret, const char **ret_what);
int32_t overlay_kernel_mount(const struct dkd_call *call, struct dkd_graph *g, const char *id, struct overlay_mount *m);

#endif
