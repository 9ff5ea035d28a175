/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to the archive loader: an image's json as Docker before 1.10 wrote it, and the configuration that is made of it. */
#ifndef IMAGE_ARCHIVE_V1_H
#define IMAGE_ARCHIVE_V1_H

#include "image/image.h"

struct v1_config {
	char *id, *parent, *comment, *container, *docker_version, *author, *architecture, *variant, *os;
	int64_t created;
	struct image_config_full container_config;
	struct image_config_full *config;
	struct strmap members; /* all there are, as text */
};
int v1_config_parse(const char *text, size_t size, struct v1_config *ret, struct err *err);
void v1_config_done(struct v1_config *c);
#define OWN_V1_CONFIG CLEANUP(v1_config_done)

/* The image's line in a history, as JSON text. */
void v1_config_history(const struct v1_config *c, struct buf *ret);
/*
 * The configuration over these layers, byte for byte Docker's, so that the image gets the id that it has there. history: JSON
 * text of the list's items.
 */
void v1_config_encode(const struct v1_config *c, const struct strv *diff_ids, const char *history, struct buf *ret);

#endif
