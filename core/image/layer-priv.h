/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layer store's inside: layer.c (read-only layers), rwlayer.c (containers' layers), layer-db.c (their files). */
#ifndef IMAGE_LAYER_PRIV_H
#define IMAGE_LAYER_PRIV_H

#include "base/digest.h"
#include "base/id.h"
#include "base/lock.h"
#include "image/layer.h"

#define LAYER_BUCKETS 1024
#define INIT_SUFFIX "-init"

struct layer {
	struct layer *next;        /* of its bucket */
	char chain[DIGEST_TEXT], diffid[DIGEST_TEXT];
	char cache_id[ID_HEX + 1]; /* the driver's name of it */
	struct layer *parent;      /* holds a reference on it; or NULL */
	char parent_chain[DIGEST_TEXT]; /* "" without; as read from disk, before it is linked */
	int64_t size;
	int refs;                  /* images, containers, layers on top; at start nobody has claimed any yet */
	int pins;                  /* work under way */
	bool doomed;               /* the last reference went while it was pinned */
	enum { LAYER_READ, LAYER_LINKED, LAYER_BROKEN } state; /* while the store opens */
};

struct rwlayer {
	struct rwlayer *next;
	char *container;
	char mount_id[ID_HEX + 1];
	char init_id[ID_HEX + sizeof(INIT_SUFFIX)]; /* "" without */
	struct layer *parent;      /* holds a reference; NULL: scratch, or lost */
};

struct layer_store {
	struct graph *graph;
	char *dir;                 /* image/<driver>/layerdb */
	int sha256_fd, mounts_fd, tmp_fd;
	struct lock lock;          /* LOCK_MAP: the tables below and every refs */
	struct layer *layers[LAYER_BUCKETS];
	struct rwlayer *mounts[LAYER_BUCKETS];
};

/* Under the lock. */
struct layer *layer_find(struct layer_store *s, const char *chain);
struct rwlayer *rwlayer_find(struct layer_store *s, const char *container);
void layer_insert(struct layer_store *s, struct layer *l);
void rwlayer_insert(struct layer_store *s, struct rwlayer *m);
void rwlayer_detach(struct layer_store *s, struct rwlayer *m);

void rwlayer_free(struct rwlayer *m);

/*
 * A change under way is a folder in layerdb/tmp that names the driver's layers it makes or removes (cache-id, mount-id,
 * init-id) before they are touched; it ends by a rename or by its removal. Start-up takes back what is left.
 */
struct layer_stage {
	char name[64];
	int fd;
};
#define LAYER_STAGE_INIT { "", -1 }
int layer_stage_begin(struct layer_store *s, struct layer_stage *st, struct err *err);
int layer_stage_put(struct layer_stage *st, const char *file, const char *text, struct err *err);
/* Ends it however far it came: what it names and nobody owns is removed. Nothing to do when it was renamed away. */
void layer_stage_drop(struct layer_store *s, struct layer_stage *st);

/* Reads layers and mounts, then sweeps tmp. Damaged entries are left out with a warning. */
int layer_db_load(struct layer_store *s, struct err *err);
/* The driver's name of the layer that sha256/HEX describes, whatever else is wrong with it. */
bool layer_db_cache_id(struct layer_store *s, const char *hex, char ret[ID_HEX + 1]);
/* Removes the driver's layers that the folder names and nobody owns, then the folder. */
void layer_db_take_back(struct layer_store *s, int dirfd, const char *name);

#endif
