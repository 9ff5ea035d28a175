/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image store and tags: Docker's imagedb and repositories.json. An image id is the digest of its configuration, whose bytes
 * are kept as they came. Thread-safe.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "image/layer.h"
#include "image/reference.h"

/* The part of an image configuration that containers start from; the same names as Config of the API. */
struct image_health { struct strv test; int64_t interval, timeout, start_period, start_interval, retries; };
struct image_config {
	char *user, *working_dir, *stop_signal;
	struct strv env, cmd, entrypoint, shell, onbuild;
	struct strv exposed_ports, volumes; /* sets */
	struct strmap labels;
	struct image_health *health;        /* or NULL */
	bool args_escaped;
	struct opt_i64 stop_timeout;
};
extern const struct jdesc image_config_desc, image_health_desc;

/* The same with what Docker's containers leave in it: the "config" and "container_config" members of configurations it writes. */
struct image_config_full {
	struct image_config c;
	char *hostname, *domainname, *image, *mac_address;
	bool attach_stdin, attach_stdout, attach_stderr, tty, open_stdin, stdin_once, network_disabled;
};
extern const struct jdesc image_config_full_desc;

struct image_history { int64_t created; char *created_by, *author, *comment; bool empty_layer; };
extern const struct jdesc image_history_desc;

#define IMAGE_CONFIG_MAX (8u << 20) /* bytes of a configuration */
#define IMAGE_LAYERS_MAX 125        /* layers of one image, Docker's limit */

/* Never changes once it is in the store, but for refs, last_tag and last_used (atomics). */
struct image {
	char id[72];             /* "sha256:<hex>" */
	int refs;
	char *architecture, *variant, *os, *os_version, *author, *comment, *container, *docker_version;
	int64_t created;         /* ns; CLOCK_ZERO when the configuration has none */
	struct image_config config;
	char *config_raw;        /* "config" member as JSON text, or NULL */
	struct strv diff_ids;
	struct jlist history;    /* struct image_history */
	char *parent;            /* image id or NULL (local metadata) */
	char *chain;             /* top layer's chain id, NULL without layers */
	int64_t size;            /* sum of the layers' diffs */
	int64_t last_tag;        /* ns, 0 never; read with image_last_tag() */
	int64_t last_used;       /* ns, 0 never: when a container of it was started; atomic */
	char *damaged;           /* why it cannot be used: it is listed and can be removed; NULL: whole */
	char *held;              /* of a damaged image: the topmost of its layers that is there */
};
/* The label that a damaged image shows its reason in. */
#define IMAGE_DAMAGED_LABEL "dockerd.damaged"
static inline int64_t image_last_tag(const struct image *img) { return __atomic_load_n(&img->last_tag, __ATOMIC_RELAXED); }

struct image_store;
struct image_store *image_store_open(struct layer_store *layers, const char *data_root, struct err *err);
void image_store_close(struct image_store *s);
struct layer_store *image_store_layers(struct image_store *s);

/*
 * Stores a configuration whose layers exist: the image takes a reference of its own on the top one. An image that is there
 * already is left as it is. It outlives a power cut, with its layers. Returns the id.
 */
int image_create(struct image_store *s, const char *config, size_t size, const char *parent, char ret_id[72], struct err *err);
/* The view of a configuration; ERR_INVALID says what is wrong. id, parent, chain, size are the caller's. */
struct image *image_parse(const char *config, size_t size, struct err *err);
/* By id, unique id prefix (with or without "sha256:"), or reference. ERR_NOT_FOUND "No such image: NAME:latest". */
struct image *image_get(struct image_store *s, const char *name, struct err *err);
struct image *image_by_id(struct image_store *s, const char *id);
void image_unref(struct image *img);
DEFINE_CLEANUP(struct image, image_unref)
/* The configuration's bytes. */
int image_raw(struct image_store *s, const char *id, struct buf *ret, struct err *err);
/* Every image, referenced, sorted by id; image_list_free() it. */
size_t image_list(struct image_store *s, struct image ***ret);
void image_list_free(struct image **v, size_t n);
/*
 * What images share: ret_shared[i] (may be NULL) is the size of v[i]'s layers that another of v[] has, too; the sum of the
 * sizes of all layers, each counted once, is returned.
 */
int64_t image_usage(struct image_store *s, struct image *const *v, size_t n, int64_t *ret_shared);
/* Lets go of those that have children and no name: they are steps on the way to others. How many are left, in their order. */
size_t image_drop_inner(struct image_store *s, struct image **v, size_t n);
/* Every tag of a repository ("busybox:1", "busybox:latest"); what else ref holds does not matter. */
void image_repo_tags(struct image_store *s, const struct reference *ref, struct strv *ret);
/* "busybox:latest" and "busybox@sha256:..." of an image, familiar form. */
void image_refs(struct image_store *s, const char *id, struct strv *tags, struct strv *digests);
/* The same of many, as image_list() gave them: tags[i] and digests[i] are those of v[i]. */
void image_refs_of(struct image_store *s, struct image *const *v, size_t n, struct strv *tags, struct strv *digests);
/* Moves the tag if another image has it; *ret_old (may be NULL) gets that id or NULL. */
int image_tag(struct image_store *s, const char *id, const struct reference *ref, char **ret_old, struct err *err);
/* Several at once: all of them or none. ref gets "latest" when it has no tag; old as above, owned by the caller. */
struct image_tagging { const char *id; struct reference ref; char *old; };
int image_tag_all(struct image_store *s, struct image_tagging *v, size_t n, struct err *err);
int image_untag(struct image_store *s, const struct reference *ref, struct err *err);
/*
 * Deletes the image: what tags it has, its configuration, then its layers. The caller checked that nothing uses it.
 * removed_layers (may be NULL) collects the chain ids of layers that went.
 */
int image_delete(struct image_store *s, const char *id, struct strv *removed_layers, struct err *err);
/* As image_delete(), unless somebody tagged the image or built on it meanwhile. 1 when it went, 0 when it stayed or is not there. */
int image_take_back(struct image_store *s, const char *id, struct strv *removed_layers, struct err *err);
/* A container of it starts now. Written down once a minute at most, and not synced: nothing depends on it. */
void image_used(struct image_store *s, const char *id);
/* When it last was used, tagged, or came here, ns. */
int64_t image_last_use(struct image_store *s, const struct image *img);
size_t image_children(struct image_store *s, const char *id, struct strv *ret);

#endif
