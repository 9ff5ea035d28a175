/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* docker load, save, import: archives in docker-archive and OCI layout form. */
#ifndef IMAGE_ARCHIVE_H
#define IMAGE_ARCHIVE_H

#include "base/digest.h"
#include "base/jw.h"
#include "image/image.h"

/* Progress and results: one JSON message each ({"stream":...}, {"status":...}); called from the loading thread. */
typedef void archive_progress_fn(void *ctx, const char *json);

/* "linux/arm64/v8"; parts that are not there are NULL. */
struct platform { char *os, *architecture, *variant; };
/* ERR_INVALID on anything but os, arch, or os/arch[/variant] in Docker's characters. text NULL or "": this machine. Names are normalised. */
int platform_parse(const char *text, struct platform *ret, struct err *err);
void platform_done(struct platform *p);
#define OWN_PLATFORM CLEANUP(platform_done)
/*
 * How well a descriptor's platform fits: the same os and architecture, and a variant that runs where the wanted one does. 0: not; the best is the highest
 * that is not above it. Without a variant each architecture has its usual one (arm: v7), which an image that does not say may have or not.
 */
int platform_rank(const struct platform *want, const char *os, const char *architecture, const char *variant);
bool platform_fits(const struct platform *want, const char *os, const char *architecture, const char *variant);

struct archive_load_opts {
	const char *tmp_dir;         /* the spool goes there; made 0700 when missing */
	const char *platform;        /* os/arch[/variant] to take out of an image index; NULL: this machine's */
	bool quiet;                  /* results only, no progress */
	archive_progress_fn *emit;   /* may be NULL */
	void *ctx;
	const struct cancel *cancel;
};

/*
 * in: tar, plain or gzip or zstd. Either every image of the archive is loaded and tagged, or nothing of it stays.
 * ret_ids: the ids of the images, in order.
 */
int archive_load(struct image_store *s, struct reader *in, const struct archive_load_opts *o, struct strv *ret_ids,
	struct err *err);
/*
 * names: references or ids; one archive with manifest.json, repositories, oci-layout and index.json; each layer once.
 * Finds every name before the first byte is written. want (NULL: any): ERR_NOT_FOUND when one is for another platform.
 * ret_ids (may be NULL): the images that were written.
 */
int archive_save(struct image_store *s, const struct strv *names, const struct platform *want, struct writer *out,
	const struct cancel *c, struct strv *ret_ids, struct err *err);
/*
 * The manifest that archive_save() writes for an image: its text and digest, the configuration's bytes, the size of each layer's
 * tar, and the sum of all of them.
 */
struct archive_manifest {
	struct buf text, config;
	char digest[DIGEST_TEXT];
	int64_t *sizes, content;
};
void archive_manifest_done(struct archive_manifest *m);
#define OWN_ARCHIVE_MANIFEST CLEANUP(archive_manifest_done)
int archive_manifest(struct image_store *s, const struct image *img, struct archive_manifest *ret, struct err *err);
/* The three members of a descriptor, into an object that is open. */
void archive_descriptor(struct jw *w, const char *type, const char *digest, int64_t size);
/* A root file system tar as a one-layer image. changes: Dockerfile instructions (CMD, ENV, ...). Durable when it returns. */
int archive_import(struct image_store *s, struct reader *in, const char *message, const struct strv *changes,
	const char *platform,
	const struct cancel *c, char ret_id[72], struct err *err);
/* Applies Dockerfile instructions (CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR HEALTHCHECK STOPSIGNAL) to a configuration. */
int image_config_change(struct image_config *cfg, const struct strv *changes, struct err *err);


#endif
