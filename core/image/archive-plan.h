/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the archive loader: what an archive asks for, whichever of its three forms it has. A plan points into its spool
 * and changes nothing.
 */
#ifndef IMAGE_ARCHIVE_PLAN_H
#define IMAGE_ARCHIVE_PLAN_H

#include "image/archive-spool.h"
#include "image/archive.h"

#define PLAN_IMAGES_MAX 1024
#define PLAN_TAGS_MAX 4096
#define PLAN_JSON_MAX (4u << 20) /* bytes of a manifest or index */
#define PLAN_BYTES_MAX (64u << 20) /* of all configurations, which stay in memory */

struct plan_image {
	struct buf config;       /* the configuration's bytes */
	struct image *img;       /* the same, parsed and checked; id set */
	const struct spool_member *layers[IMAGE_LAYERS_MAX];
	struct strv tags;        /* full references, all with a tag */
	char *parent;            /* image id, or NULL */
	bool inner;              /* only there for images on top of it */
	char *chain;             /* while loading: the layer this image holds */
	bool created;            /* while loading: by us */
};

struct plan {
	struct plan_image *v;
	size_t len, bytes;
};
#define OWN_PLAN CLEANUP(plan_done)
void plan_done(struct plan *p);

/*
 * Adds an image: reads and checks its configuration. layers are the members' names, one a diff id. The image is left out
 * (0, *ret NULL) when strict and made for another platform.
 */
int plan_add(struct plan *p, const struct spool *sp, const struct spool_member *config, const struct strv *layers,
	const struct platform *want, bool strict, struct plan_image **ret, struct err *err);
/* The same with the configuration's bytes, which it takes; name is for messages. */
int plan_add_config(struct plan *p, const struct spool *sp, const char *name, struct buf *config, const struct strv *layers,
	const struct platform *want, bool strict, struct plan_image **ret, struct err *err);
/* Adds a tag; ERR_INVALID for a reference without one. */
int plan_tag(struct plan *p, struct plan_image *pi, const char *name, struct err *err);

/* manifest.json */
int plan_docker(struct plan *p, const struct spool *sp, const struct platform *want, bool strict, struct err *err);
/* index.json */
int plan_oci(struct plan *p, const struct spool *sp, const struct platform *want, bool strict, struct err *err);
/* repositories, and a folder for each image: how Docker before 1.10 wrote them. room: bytes a layer may have, -1 any. */
int plan_v1(struct plan *p, const struct spool *sp, const struct platform *want, bool strict, int64_t room, const struct cancel *c,
	struct err *err);

#endif
