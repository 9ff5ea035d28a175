/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to the image handlers: one file per group of requests, one job each. */
#ifndef API_IMAGES_H
#define API_IMAGES_H

#include "api.h"
#include "bodies.h"
#include "image/image.h"
#include "image/remove.h"

job_fn image_list_job, image_prune_job;                 /* image-list.c */
job_fn image_inspect_job, image_history_job;            /* image-inspect.c */
job_fn image_load_job, image_save_job, image_create_job; /* image-transfer.c */
job_fn image_squash_job;                                /* image-squash.c */

/* "Manifests": the one that an image has (image-manifests.c). */
void image_put_manifests(struct jw *w, struct api *api, const struct image *img);

/* registry.c */
int image_pull(struct job *job, struct err *err);
job_fn image_push_job, image_search_job, registry_login_job, registry_inspect_job;

/* Lines of progress; the answer begins with the first one. */
struct image_lines { struct request *rq; bool gone; };
void image_put_line(void *lines, const char *json);
/* An error behind the status line goes into the stream: 0. Else -1. */
int image_put_error(struct image_lines *l, struct err *err);
/* platform={"os":"linux","architecture":"arm64"}, or linux/arm64; owned by the caller, NULL when absent. */
/* The archive behind fromSrc=URL (registry.c): a descriptor, the caller's; lines are told meanwhile. */
int image_download(struct job *job, struct image_lines *lines, char **ret_url, struct err *err);
int image_read_platform(struct request *rq, char **ret, struct err *err);

/* Where large things are spooled; owned by the caller. */
char *image_tmp_dir(struct api *api);

/* name NULL: the id. with_labels: the image's labels are attributes, too. */
void image_event(struct api *api, const struct image *img, const char *action, const char *name, bool with_labels);
/* Events of everything that went. */
void image_removal_events(struct api *api, const struct removals *r);
/* The containers of the daemon as users of images. */
struct image_users image_users_of(struct api *api);
void removals_encode(const struct removals *r, struct jw *w);


#endif
