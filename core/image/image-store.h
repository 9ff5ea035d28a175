/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the image store (image.c, image-restore.c, tags.c): what they share. Two kinds of exclusion: `lock` guards the tables and is
 * never held over disk or layer work; the *operation* (store_begin/store_end) lets one writer at a time change the disk.
 */
#ifndef IMAGE_IMAGE_STORE_H
#define IMAGE_IMAGE_STORE_H

#include <pthread.h>

#include "base/lock.h"
#include "image/image.h"

#define STORE_CONTENT  "imagedb/content/sha256"
#define STORE_METADATA "imagedb/metadata/sha256"

/* A reference as repositories.json has it: both names in familiar form. */
struct tag {
	char *repo, *text;
	char id[72];
	bool digest;
};

struct entry {
	struct image *img;  /* one reference held */
};

struct image_store {
	struct layer_store *layers;
	char *dir;             /* DATA_ROOT/image/DRIVER */
	int fd;                /* of dir */
	struct lock lock;      /* LOCK_MAP: everything below */
	pthread_cond_t idle;
	bool busy;
	struct entry *v;       /* sorted by id */
	size_t len, room;
	struct tag **tags;     /* sorted by repo, then text; changed by the operation's holder only, under lock */
	size_t tags_len;
};

/* Opens the folders, and takes in what lies there: images, tags, layers. Before anybody else has the store. */
int store_restore(struct image_store *s, struct err *err);

/* The operation. No lock may be held. */
void store_begin(struct image_store *s);
void store_end(struct image_store *s);

/* The operation is held: notes that the image was tagged now. */
void store_touch(struct image_store *s, const char *id);

/* The lock is held. Index of the id, or where it would go. */
size_t store_find(const struct image_store *s, const char *id, bool *ret_found);
/* The lock is held, or nobody else is there. Takes the reference over. */
void store_insert(struct image_store *s, struct image *img);
/* The chain of its layers, from their digests; their size. */
void image_set_chain(struct image *img);
void image_fill_layers(struct image_store *s, struct image *img);

/* Never fails for want of a readable file: then there are no tags. */
void tags_open(struct image_store *s);
/* The ids that references lead to, once each reference. */
void tags_ids(const struct image_store *s, struct strv *ret);
void tags_close(struct image_store *s);
/* The lock is held: what a reference points at, or NULL. Digest before tag, as Docker looks it up. */
const char *tags_lookup(const struct image_store *s, const struct reference *ref);
/* The operation is held: whether any reference leads to the image. */
bool tags_any(const struct image_store *s, const char *id);
/* The operation is held: drops every reference to the image. */
int tags_drop_image(struct image_store *s, const char *id, struct err *err);

#endif
