/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Layer store: Docker's layerdb (image/<driver>/layerdb). Read-only layers by chain id, counted by the images that use
 * them and the containers on top; read-write layers by container id (mounts/). Thread-safe.
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/str.h"
#include "base/stream.h"
#include "image/graph.h"

struct layer_store;

struct layer_store *layer_store_open(struct graph *g, const char *data_root, struct err *err);
void layer_store_close(struct layer_store *s);
struct graph *layer_store_graph(struct layer_store *s);

/*
 * Registers the tar stream (plain, gzip or zstd: detected) as a layer on top of parent (chain id "sha256:..." or NULL).
 * want_diffid, when given, must be the digest of the plain tar. The layer comes back referenced once; if the same chain
 * is there already that one is referenced. On failure nothing stays behind.
 */
int layer_register(struct layer_store *s, const char *parent, struct reader *tar, const char *want_diffid, const struct cancel *c,
	char **ret_chain, char **ret_diffid, struct err *err);
/*
 * The same in steps, for several layers at once: first their trees are filled, in any order where the driver can do that
 * (layer_drafts_stack), then each takes its place, parents first. A draft belongs to one thread at a time.
 */
struct layer_draft;
/* Can a draft stand on another one, and be filled before that is? Else on what is in the store alone. */
bool layer_drafts_stack(struct layer_store *s);
/* On parent, a layer in the store, or on below, another draft; on neither: at the bottom. */
struct layer_draft *layer_draft_new(struct layer_store *s, const char *parent, const struct layer_draft *below, struct err *err);
int layer_draft_fill(struct layer_draft *d, struct reader *tar, const char *want_diffid, const struct cancel *c, struct err *err);
/*
 * 0: the layer is in the store, referenced once, by this draft or by another that was first. 1: parent is not what the draft was
 * made on, as somebody else was first with that: another draft has to be made and filled. -1.
 */
int layer_draft_commit(struct layer_draft *d, const char *parent, char **ret_chain, struct err *err);
/* What was not committed goes. NULL is fine. */
void layer_draft_free(struct layer_draft *d);
/*
 * Makes every layer registered so far outlive a power cut: one sync of the driver's file system, then they move from layerdb/tmp
 * to their places. Cheap when there is nothing new. Before anything on disk refers to one.
 */
int layer_sync(struct layer_store *s, struct err *err);
int layer_ref(struct layer_store *s, const char *chain, struct err *err);    /* ERR_NOT_FOUND */
/* Drops one reference; at the last one the layer (and parents left without) is removed. removed (may be NULL) collects chain ids. */
int layer_unref(struct layer_store *s, const char *chain, struct strv *removed, struct err *err);
/*
 * Removes every layer that has no reference: what a load that never ended left behind. After the image store took its
 * references, and only when no image is damaged; before requests run.
 */
void layer_sweep(struct layer_store *s);
/* For what is known of layers elsewhere: the layer with this id has this digest and this parent. Repairs one that lost them. */
void layer_teach(struct layer_store *s, const char *chain, const char *parent, const char *diffid);
/*
 * Once, behind the last layer_teach(), before requests run: looks at what every layer has on disk, puts right what can be,
 * and notes the rest as damage.
 */
void layer_settle(struct layer_store *s);
/*
 * A reference also on a damaged layer, for images that stay listed: the chain that is held now (owned by the caller), or NULL
 * when there is no such layer. *ret_why, when it is NULL, gets what is wrong.
 */
char *layer_claim(struct layer_store *s, const char *chain, char **ret_why);
/* The containers that have a layer. */
void rwlayer_list(struct layer_store *s, struct strv *ret);
/* Why a container's layer cannot be mounted, or NULL; owned by the caller. */
char *rwlayer_damage(struct layer_store *s, const char *container_id);
/*
 * Notes the damage of a container's layer that layer_settle() found. What a create left that did not come to its end is no
 * damage, and only the owner of the record knows.
 */
void rwlayer_tell(struct layer_store *s, const char *container_id);
/* For dockerd --check, nothing else runs: reads every layer and notes those that are not what they were; how many there are. */
size_t layer_check_all(struct layer_store *s);
/* The driver's layers that nobody has are noted, or removed. Not when a layer is damaged: it may be its data. */
void layer_orphans(struct layer_store *s, bool remove);
bool layer_exists(struct layer_store *s, const char *chain);
/* Bytes that may still be written where layers lie; -1 unknown. */
int64_t layer_room(struct layer_store *s);
int64_t layer_size(struct layer_store *s, const char *chain);                /* of its diff, bytes; -1 unknown */
char *layer_diffid(struct layer_store *s, const char *chain);                /* owned by caller; NULL unknown */
/* The layer's tar, byte for byte as it was registered (tar-split). */
int layer_tar(struct layer_store *s, const char *chain, struct writer *out, const struct cancel *c, struct err *err);
/*
 * What a chain shows, as one layer on top of base (a chain below it; NULL: of nothing): deletions are whiteouts. room as for
 * rwlayer_tar().
 */
int layer_merged_tar(struct layer_store *s, const char *chain, const char *base, struct writer *out, int64_t room,
	const struct cancel *c, struct err *err);
/* How many bytes layer_tar() gives; cheap. -1 with err. */
int64_t layer_tar_size(struct layer_store *s, const char *chain, struct err *err);
/* GraphDriver.Data of inspect for a layer, as a JSON object or null. */
void layer_metadata(struct layer_store *s, const char *chain, struct jw *w);
/* chain id of diffs[0..n): sha256 of "parent diff". */
char *layer_chain_id(const char *parent, const char *diffid);

/* A container's read-write layer on top of chain (NULL: scratch). Creates the init layer with Docker's placeholders. */
int rwlayer_create(struct layer_store *s, const char *container_id, const char *chain, const char *mount_label, const struct strmap *storage_opts, struct err *err);
/* The same without the init layer: the image's root as it is, for a mount of it. */
int rwlayer_create_view(struct layer_store *s, const char *id, const char *chain, const char *mount_label, struct err *err);
/* The same for a container that a power cut ends for good: nothing written into it waits for the disk when it is unmounted. */
int rwlayer_create_brief(struct layer_store *s, const char *container_id, const char *chain, const char *mount_label, const struct strmap *storage_opts, struct err *err);
int rwlayer_sync(struct layer_store *s, const char *container_id, struct err *err);   /* so that it outlives a power cut */
int rwlayer_remove(struct layer_store *s, const char *container_id, struct err *err); /* missing is fine */
bool rwlayer_exists(struct layer_store *s, const char *container_id);
/* Without mounting it: from here to rwlayer_release() its layers stay on the disk, also when it is removed, as with a mount. */
int rwlayer_hold(struct layer_store *s, const char *container_id, struct err *err);
void rwlayer_release(struct layer_store *s, const char *container_id);
char *rwlayer_mount(struct layer_store *s, const char *container_id, const char *mount_label, struct err *err); /* path, owned by caller */
char *rwlayer_mount_mapped(struct layer_store *s, const char *container_id, const char *mount_label, const struct graph_ids *ids, struct err *err);
/*
 * For a layer just made that cannot be mounted with ids: its files get the owners of maps (those on disk are the inside), for good. A crash in between
 * leaves a damaged layer.
 */
int rwlayer_shift(struct layer_store *s, const char *container_id, const struct idmaps *maps, struct err *err);
/* Was that done with these maps? 1 yes, 0 no; -1: with others, and it cannot be used with these. */
int rwlayer_shifted(struct layer_store *s, const char *container_id, const struct idmaps *maps, struct err *err);
int rwlayer_unmount(struct layer_store *s, const char *container_id, struct err *err);
void rwlayer_metadata(struct layer_store *s, const char *container_id, struct jw *w);
/* SizeRw; -1 also when the token fired. */
int64_t rwlayer_size(struct layer_store *s, const char *container_id, const struct cancel *cancel, struct err *err);

/* Changes of a container's layer against its image. kind: 0 modified, 1 added, 2 deleted (Docker's numbers). Sorted by path. */
int rwlayer_changes(struct layer_store *s, const char *container_id, void (*emit)(void *ctx, const char *path, int kind), void *ctx, struct err *err);
/* The container's layer as a tar of its diff (commit). */
int rwlayer_tar(struct layer_store *s, const char *container_id, struct writer *out, int64_t room, const struct cancel *c, struct err *err);

#endif
