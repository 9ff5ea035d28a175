/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layer store's inside: layer.c (read-only layers), layer-draft.c (new ones), rwlayer.c (containers' layers), layer-db.c (their files). */
#ifndef IMAGE_LAYER_PRIV_H
#define IMAGE_LAYER_PRIV_H

#include "base/damage.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/lock.h"
#include "image/layer.h"

#define LAYER_BUCKETS 1024
#define INIT_SUFFIX "-init"
#define OWNERS_FILE "owners"  /* of a container's entry: rwlayer.shift; OWNERS_CHANGE while they are being changed */
#define OWNERS_CHANGE "-"

struct layer {
	struct layer *next;        /* of its bucket */
	char chain[DIGEST_TEXT], diffid[DIGEST_TEXT];
	char cache_id[ID_HEX + 1]; /* the driver's name of it */
	struct layer *parent;      /* holds a reference on it; or NULL */
	char parent_chain[DIGEST_TEXT]; /* "" without; as read from disk, before it is linked */
	int64_t size;
	int refs;                  /* images, containers, layers on top; at start nobody has claimed any yet */
	int pins;                  /* work under way */
	char *staged;              /* its folder's name in layerdb/tmp until layer_sync(); then NULL */
	bool doomed;               /* the last reference went while it was pinned */
	char *damaged;             /* what is wrong with its own files; NULL: nothing. Its parents are asked beside that */
	bool parent_missing;       /* that is all that is wrong */
	bool settled;              /* while the store opens */
};

struct rwlayer {
	struct rwlayer *next;
	char *container;
	char mount_id[ID_HEX + 1];
	char init_id[ID_HEX + sizeof(INIT_SUFFIX)]; /* "" without */
	struct layer *parent;      /* holds a reference; NULL: scratch, or lost */
	unsigned users;            /* mounts and views of it: one that is removed meanwhile waits for the last of them */
	struct idmaps shift;       /* its files have other owners than the data-root's (inside): these (outside). None: they do not */
	char *shift_bad;           /* why that is not known, or NULL */
	bool brief;                /* nothing of it has to outlive a power cut: of this daemon's making */
	char *damaged;             /* why it cannot be mounted, or NULL */
	char *found;               /* what is to be told of its damage once it has a container: rwlayer_tell() */
	enum damage_state found_state;
};

struct layer_store {
	struct graph *graph;
	char *dir;                 /* image/<driver>/layerdb */
	int sha256_fd, mounts_fd, tmp_fd;
	struct lock lock;          /* LOCK_MAP: the tables below and every refs */
	struct layer *layers[LAYER_BUCKETS];
	struct rwlayer *mounts[LAYER_BUCKETS];
	struct rwlayer *leaving;   /* removed while they had users */
	struct strv staged;        /* chain ids of the layers that wait for layer_sync(), parents first */
	int syncing;               /* threads within it */
};

/* Under the lock. */
struct layer *layer_find(struct layer_store *s, const char *chain);
struct rwlayer *rwlayer_find(struct layer_store *s, const char *container);
void layer_insert(struct layer_store *s, struct layer *l);
void rwlayer_insert(struct layer_store *s, struct rwlayer *m);
void rwlayer_detach(struct layer_store *s, struct rwlayer *m);

/* Keeps the layer in place for a piece of work, without a claim on it. */
struct layer *layer_pin(struct layer_store *s, const char *chain, struct err *err);
void layer_unpin(struct layer_store *s, struct layer *l);

void rwlayer_free(struct rwlayer *m);
void layer_free(struct layer *l);
static inline void layer_freep(struct layer **l) { if (*l) layer_free(*l); }
/* layer-damage.c, under the lock: what is wrong with the layer or with one it stands on, or NULL. */
const char *layer_trouble(const struct layer *l);
/* Under the lock: l is new in the store, and those that missed it stand on it again. */
void layer_found(struct layer_store *s, struct layer *l);

/*
 * A change under way is a folder in layerdb/tmp that names the driver's layer it makes or removes before that is touched; it
 * ends by a rename or by its removal. Start-up takes back what is left. The folder's own name has the driver's id ("write-set-ID",
 * "remove-ID"): a power cut may leave new files empty, but not without their names.
 */
#define STAGE_NAME (ID_HEX + 16)
struct layer_stage {
	char name[STAGE_NAME];
	int fd;
};
#define LAYER_STAGE_INIT { "", -1 }
int layer_stage_begin(struct layer_store *s, struct layer_stage *st, const char *id, struct err *err);
int layer_stage_put(struct layer_stage *st, const char *file, const char *text, struct err *err);
/* Ends it however far it came: what it names and nobody owns is removed. Nothing to do when it was renamed away. */
void layer_stage_drop(struct layer_store *s, struct layer_stage *st);

/* Reads layers and mounts, then sweeps tmp. Damaged entries stay, with what of them could be read. */
int layer_db_load(struct layer_store *s, struct err *err);
/* Does a layer of the store or of a container have the driver's layer? */
bool layer_db_owned(struct layer_store *s, const char *id);
/* Writes a file of an entry anew; what was there is set aside. */
int layer_db_put_back(struct layer_store *s, int dirfd, const char *entry, const char *file, const char *text, struct err *err);
/* Does the driver's layer hold what the tar-split of l describes, to the last byte? dir: the folder of the tar-split. */
bool layer_verify(struct layer_store *s, const struct layer *l, int dir, const char *cache_id, struct err *err);
/* The driver's name of the layer that sha256/HEX describes, whatever else is wrong with it. */
bool layer_db_cache_id(struct layer_store *s, const char *hex, char ret[ID_HEX + 1]);
/* Removes the driver's layers that the folder names and nobody owns, then the folder. */
void layer_db_take_back(struct layer_store *s, int dirfd, const char *name);

#endif
