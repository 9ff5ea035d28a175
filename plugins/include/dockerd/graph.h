/* SPDX-License-Identifier: MIT */
/*
 * Graph drivers: where the layers of images and containers live, and how a stack of them becomes one directory.
 *
 * Changes
 *   1.0  first version.
 *
 * A layer has an id (64 hex digits, with "-init" or the like behind them for some) and at most one parent. Read-only
 * layers are written once, through tree(), and never again; a read-write layer is a container's. Ids that a driver gets
 * are checked by the daemon: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 255 bytes. The daemon makes no two calls for one layer
 * at the same time, and counts mounts: get() comes once until put().
 */
#ifndef DOCKERD_GRAPH_H
#define DOCKERD_GRAPH_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_GRAPH_MAJOR UINT32_C(1)
#define DKD_GRAPH_MINOR UINT32_C(0)

/* The driver's own. */
struct dkd_graph;

struct dkd_graph_open {
	uint32_t size;
	uint32_t flags;                 /* none yet */
	const char *root;               /* DATA-ROOT/NAME, the driver's to create and to fill */
	uint32_t root_uid;              /* who is root inside containers: owns root and the directories of layers */
	uint32_t root_gid;
	const struct dkd_pair *options; /* "NAME.key": the configuration's section, then each --storage-opt. An unknown one is an error */
	uint32_t options_len;
	uint32_t pad;
	const char *instance;           /* of a provider */
};

#define DKD_GRAPH_RW UINT32_C(1) /* a container's layer */

struct dkd_graph_create {
	uint32_t size;
	uint32_t flags;                 /* DKD_GRAPH_RW */
	const char *id;
	const char *parent;             /* NULL: an empty layer */
	const char *label;              /* SELinux mount label */
	const struct dkd_pair *options; /* --storage-opt of the container. An unknown one is an error */
	uint32_t options_len;
	uint32_t pad;
	const struct dkd_idmaps *idmaps; /* of this container; NULL: the daemon's */
};

#define DKD_GRAPH_READONLY UINT32_C(1) /* the caller only reads */
/*
 * A hint: what is written through this mount may be lost in a power cut. put() need not wait for the disk then. The layer may
 * be mounted again without this flag, also after a power cut.
 */
#define DKD_GRAPH_VOLATILE UINT32_C(2)

struct dkd_graph_mount {
	uint32_t size;
	uint32_t flags;                  /* DKD_GRAPH_READONLY, DKD_GRAPH_VOLATILE */
	const char *id;
	const char *label;
	/* Mount so that ids on disk (inside) show as the host's (outside): an idmapped mount. NULL: as they are on disk. */
	const struct dkd_idmaps *idmaps;
	int32_t userns;                  /* with idmaps: an open user namespace that has them, for mount_setattr(2) */
	uint32_t pad;
};

/* How a deletion is written in a tree. */
#define DKD_GRAPH_WHITEOUT_DELETE  UINT32_C(0) /* the path is deleted; the tree is the whole file system */
#define DKD_GRAPH_WHITEOUT_OVERLAY UINT32_C(1) /* a character device 0:0; trusted.overlay.opaque on a directory */
#define DKD_GRAPH_WHITEOUT_AUFS    UINT32_C(2) /* files .wh.NAME, .wh..wh..opq */

#define DKD_GRAPH_TREE_READ  UINT32_C(0)
#define DKD_GRAPH_TREE_WRITE UINT32_C(1)

struct dkd_graph_tree {
	uint32_t size;
	uint32_t access;    /* DKD_GRAPH_TREE_READ or _WRITE */
	const char *id;
	const char *parent; /* the difference to which layer; NULL: to nothing */
	uint32_t whiteout;  /* set by the driver */
	uint32_t pad;
};

/* What capabilities() may set. */
#define DKD_GRAPH_CAP_QUOTA    UINT64_C(1) /* takes the option "size" of a container's layer */
#define DKD_GRAPH_CAP_IDMAP    UINT64_C(2) /* takes idmaps of a mount */
#define DKD_GRAPH_CAP_PARALLEL UINT64_C(4) /* layers may be written before their parents are (tree() with access WRITE) */

struct dkd_graph_ops {
	/* Optional. root NULL: on this machine in general; else DATA-ROOT/NAME, which need not exist. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *open, struct dkd_graph **ret);
	/* Optional. Nothing is mounted any more, or stays so on purpose (live restore). */
	void (*close)(struct dkd_graph *g);

	int32_t (*create)(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *create);
	/* A layer that is not there is fine. One that is mounted (left by a crash) is unmounted first. */
	int32_t (*remove)(const struct dkd_call *call, struct dkd_graph *g, const char *id);
	/* 1 or 0. */
	int32_t (*exists)(const struct dkd_call *call, struct dkd_graph *g, const char *id);
	/* Mounts, where that is needed, and emits the absolute path of the directory. A layer still mounted is taken as it is. */
	int32_t (*get)(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *mount, dkd_emit *emit, void *to);
	/* Undoes get(). A layer that is not mounted is fine. */
	int32_t (*put)(const struct dkd_call *call, struct dkd_graph *g, const char *id);

	/* All below are optional. */
	/* Lines of "docker info". */
	int32_t (*status)(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to);
	/* GraphDriver.Data of "docker inspect". */
	int32_t (*metadata)(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to);
	/*
	 * The directory that holds just the difference between a layer and its parent, to read it or to write it. Sets
	 * whiteout and emits the absolute path; returns 1 when it has none, and the daemon compares or writes mounted layers.
	 */
	int32_t (*tree)(const struct dkd_call *call, struct dkd_graph *g, struct dkd_graph_tree *tree, dkd_emit *emit, void *to);
	/* Ends what tree() began, where that takes something. */
	int32_t (*tree_done)(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_tree *tree);
	/* The ids of all layers. */
	int32_t (*list)(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to);
	/* Makes everything written so far outlive a power cut. Without it the daemon syncs the file system that root is on. */
	int32_t (*sync)(const struct dkd_call *call, struct dkd_graph *g);
	/* At the end of the daemon: unmounts what of its own is left mounted. */
	int32_t (*cleanup)(const struct dkd_call *call, struct dkd_graph *g);
	/* DKD_GRAPH_CAP_*, as they are on this root. */
	int32_t (*capabilities)(const struct dkd_call *call, struct dkd_graph *g, uint64_t *ret);
	/* Makes a layer that create() has just made outlive a power cut, not what is written into it later. Without it: sync(). */
	int32_t (*sync_layer)(const struct dkd_call *call, struct dkd_graph *g, const char *id);
};

#ifdef __cplusplus
}
#endif

#endif
