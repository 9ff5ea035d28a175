/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* docker load, save, import, export: archives in docker-archive and OCI layout form. */
#ifndef IMAGE_ARCHIVE_H
#define IMAGE_ARCHIVE_H

#include "image/image.h"

/* Progress and results: one JSON message each ({"stream":...}, {"status":...}); called from the loading thread. */
typedef void archive_progress_fn(void *ctx, const char *json);

/* in: tar, plain or gzip or zstd. Nothing of a hostile or broken archive stays. loaded: familiar names or ids, in order. */
int archive_load(struct image_store *s, struct reader *in, const char *tmp_dir, const struct cancel *c, struct strv *loaded_names, struct strv *loaded_ids, struct err *err);
/* names: references or ids; one archive with manifest.json, repositories, oci-layout and index.json. */
int archive_save(struct image_store *s, const struct strv *names, struct writer *out, const struct cancel *c, struct err *err);
/* A root file system tar as a one-layer image. changes: Dockerfile instructions (CMD, ENV, ...). */
int archive_import(struct image_store *s, struct reader *in, const char *message, const struct strv *changes, const char *platform,
	const struct cancel *c, char ret_id[72], struct err *err);
/* Applies Dockerfile instructions (CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR HEALTHCHECK STOPSIGNAL) to a configuration. */
int image_config_change(struct image_config *cfg, const struct strv *changes, struct err *err);

#endif
