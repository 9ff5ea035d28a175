/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graph facade: the only caller of graph drivers. Fills in what a driver leaves out (naive diff by comparing trees,
 * reference counts of mounts), keeps deadlines, names the driver in errors. Thread-safe; holds no lock over a driver call.
 */
#ifndef IMAGE_GRAPH_H
#define IMAGE_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/idmap.h"
#include "base/jw.h"
#include "base/str.h"

struct graph;

/* How deletions are written in a directory tree. */
enum graph_whiteout {
	GRAPH_WHITEOUT_DELETE,  /* the path is deleted for real (naive drivers: vfs) */
	GRAPH_WHITEOUT_OVERLAY, /* char 0:0 and trusted.overlay.opaque */
	GRAPH_WHITEOUT_AUFS,    /* .wh. files kept as they are */
};

/* opts: "driver.key=value" of --storage-opt, and the driver's INI section. want NULL or "": choose (data present, then priority list). */
struct graph *graph_open(const char *want, const char *data_root, const struct strv *storage_opts, uint32_t root_uid, uint32_t root_gid, struct err *err);
void graph_close(struct graph *g);
const char *graph_name(const struct graph *g);   /* "overlay2", "vfs": also the folder's name below image/ */
void graph_status(struct graph *g, struct jw *w); /* DriverStatus: [["k","v"],...] */

/* parent NULL: an empty layer. rw: a container's layer. storage_opts: --storage-opt of the container (may be NULL). */
int graph_create(struct graph *g, const char *id, const char *parent, bool rw, const char *mount_label, const struct strmap *storage_opts, struct err *err);
int graph_remove(struct graph *g, const char *id, struct err *err); /* missing is fine */
bool graph_exists(struct graph *g, const char *id);
/* Mounts (counted) and returns the directory, owned by the caller. */
char *graph_get(struct graph *g, const char *id, const char *mount_label, struct err *err);
/* The same; what is written may be lost with the layer in a power cut, so that no unmount waits for the disk. */
char *graph_get_brief(struct graph *g, const char *id, const char *mount_label, struct err *err);
/* Of a mount: ids on disk (inside) show as the host's (outside), as the open user namespace says. */
struct graph_ids { const struct idmaps *maps; int userns; };
/*
 * Either of these, with ids (NULL: as on disk). One that is mounted with ids already stays as it is. ERR_NOT_IMPLEMENTED: the driver cannot, and this
 * kernel or the file system below has no idmapped mounts.
 */
char *graph_get_mapped(struct graph *g, const char *id, const char *mount_label, bool brief, const struct graph_ids *ids, struct err *err);
/* It was done before, so that it can be done. */
bool graph_maps_ids(struct graph *g);
int graph_put(struct graph *g, const char *id, struct err *err);
/* GraphDriver.Data of inspect, as a JSON object. */
void graph_metadata(struct graph *g, const char *id, struct jw *w);

/*
 * Is the layer whole, as far as the driver can tell without reading it? Where it is not and parent is known (NULL: none) the
 * driver is asked to put it right. 0, 1 repaired (ret_why says what was wrong, owned by the caller), -1 with err. ret_below
 * (may be NULL) gets the id of the layer right below, when the driver tells.
 */
int graph_check(struct graph *g, const char *id, const char *parent, char **ret_why, char **ret_below, struct err *err);

/*
 * Where a layer's tar goes (write) or comes from (read). Native drivers give their diff directory and its whiteout style;
 * for the others the facade mounts. End with graph_tree_done().
 */
struct graph_tree {
	int fd;                      /* O_DIRECTORY fd of the tree */
	enum graph_whiteout whiteout;
	int parent_fd;               /* naive read: the parent's tree to compare with, else -1 */
	struct idmaps shown;         /* owners on disk (inside) show in this tree as these (outside); none: as on disk */
	char *id, *parent;           /* for graph_tree_done */
	bool mounted, parent_mounted;
	uint32_t native;             /* for graph_tree_done */
};
int graph_tree_write(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err);
int graph_tree_read(struct graph *g, const char *id, const char *parent, struct graph_tree *ret, struct err *err);
void graph_tree_done(struct graph *g, struct graph_tree *t);
/* Syncs what was written to the driver's file system (one syncfs per load, before the configuration). */
int graph_sync(struct graph *g, struct err *err);
/* The same for what one container's layer needs of its own; the content of a new one is the driver's matter, too. */
int graph_sync_layer(struct graph *g, const char *id, struct err *err);
/* Every layer id that the driver's folder holds, for the sweep at start-up. */
int graph_list(struct graph *g, struct strv *ret, struct err *err);
/* Takes the storage option "size" of a container. */
bool graph_takes_quota(const struct graph *g);
/* A layer's tree may be written before its parent's is. */
bool graph_writes_parallel(const struct graph *g);

#endif
