/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging an image's layers. */
#ifndef IMAGE_SQUASH_H
#define IMAGE_SQUASH_H

#include "image/image.h"

struct squash_options {
	const char *tmp_dir;  /* the merged layer is spooled there; made 0700 when missing */
	const char *comment;  /* of the new step in the history; NULL: Docker's own words */
};

/*
 * A new image with img's configuration, whose layers above base's (base NULL: all) are one. img itself stays. ERR_INVALID when base
 * is none of its, or has all of its layers. Durable when it returns.
 */
int image_squash(struct image_store *s, const struct image *img, const struct image *base, const struct squash_options *o,
	const struct cancel *c, char ret_id[72], struct err *err);

#endif
