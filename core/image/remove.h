/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing images as users ask for it: untag or delete, what forbids it, and pruning. Docker's rules and texts. */
#ifndef IMAGE_REMOVE_H
#define IMAGE_REMOVE_H

#include "image/image.h"

/* Who uses an image: container ids are added to either list. */
struct image_users {
	void (*find)(void *ctx, const char *image_id, struct strv *running, struct strv *stopped);
	void *ctx;
};

/* What went, in order. */
struct removal {
	enum removal_kind { REMOVAL_UNTAGGED, REMOVAL_DELETED, REMOVAL_LAYER } kind;
	char *text;          /* reference, image id, chain id */
	struct image *img;   /* the image it was about, still readable */
};
struct removals {
	struct removal *v;
	size_t len;
	int64_t reclaimed;   /* bytes of the layers that went */
};
#define OWN_REMOVALS CLEANUP(removals_done)
void removals_done(struct removals *r);

/*
 * name: a reference loses its tag, and the image goes with its last one; an id deletes the image. Parents left without any
 * use go too when prune_parents. ERR_CONFLICT with Docker's reason. What went before an error is in ret.
 */
int image_remove(struct image_store *s, const char *name, bool force, bool prune_parents, const struct image_users *users,
	struct removals *ret, struct err *err);
/* Every unused image for which want() holds; with dangling_only those without a tag. Images in use are passed over. */
int image_prune(struct image_store *s, bool dangling_only, bool (*want)(void *ctx, const struct image *img), void *ctx,
	const struct image_users *users, const struct cancel *c, struct removals *ret, struct err *err);
/* One image that nobody asked to remove: with all its names, unless somebody uses it by now. */
void image_collect(struct image_store *s, struct image *img, const struct image_users *users, struct removals *ret);

#endif
