/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registries: pull, login, inspection (docs/registry.md). What speaks to them is dockerd-fetch, a process for each request of a client; here is decided
 * whom to ask, checked what comes, and made an image of it. Thread-safe.
 */
#ifndef REGISTRY_REGISTRY_H
#define REGISTRY_REGISTRY_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/err.h"
#include "base/spawner.h"
#include "base/str.h"
#include "image/image.h"

struct registry;

/* Who we are there. Never printed. */
struct registry_auth { char *username, *password, *email, *server, *identity_token, *registry_token; };
extern const struct jdesc registry_auth_desc;
void registry_auth_done(struct registry_auth *a);
#define OWN_REGISTRY_AUTH CLEANUP(registry_auth_done)
/* X-Registry-Auth: JSON in either base64. NULL, "" and what makes no sense are nobody, as in Docker. */
void registry_auth_read(const char *header, struct registry_auth *ret);

/* What the configuration in force says; borrowed for a call. */
struct registry_config {
	const struct strv *mirrors;        /* of docker.io: URLs */
	const struct strv *mirrors_of;     /* of other registries: "HOST=URL"; a path in the URL stands before names */
	const struct strv *insecure;       /* "host[:port]" or "network/bits" */
	const char *http_proxy, *https_proxy, *no_proxy; /* "": the environment's */
	int downloads, uploads;            /* at once, of all pulls, of all pushes */
	int attempts;                      /* for a layer */
	int stall, rate;                   /* so many seconds below so many bytes a second, and it is given up */
	const char *certs;                 /* folder of certificates by "host[:port]"; NULL: /etc/docker/certs.d */
};

/* program: path of dockerd-fetch, opened once. */
struct registry *registry_open(struct image_store *images, struct spawner *sp, const char *program, const char *data_root, struct err *err);
void registry_close(struct registry *r);

/* One JSON message each; called from the pulling thread. */
typedef void registry_emit_fn(void *ctx, const char *json);

struct registry_pull {
	const struct registry_config *config;
	const struct reference *ref;       /* neither tag nor digest: every tag */
	const char *platform;              /* NULL: this machine's */
	const struct registry_auth *auth;
	registry_emit_fn *emit;
	void *ctx;
	const struct cancel *cancel;
};
/*
 * The layers that are missing are fetched side by side, checked, and unpacked in order; image and tags appear at the end. What a broken or cancelled pull
 * has fetched of a layer is kept for the next one. Pulls of the same layers share them.
 */
int registry_pull(struct registry *r, const struct registry_pull *p, struct err *err);

struct registry_push {
	const struct registry_config *config;
	const struct reference *ref;       /* no tag: every one that is here */
	const struct registry_auth *auth;
	registry_emit_fn *emit;
	void *ctx;
	const struct cancel *cancel;
};
/*
 * What the registry has is not sent: the same layers in this repository, and those of another one there, as far as it is known from pulls and pushes before.
 * The others are rebuilt to the byte, packed, and sent side by side.
 */
int registry_push(struct registry *r, const struct registry_push *p, struct err *err);

struct registry_download {
	const struct registry_config *config;
	const char *url;                   /* http or https; without a scheme it is the first */
	registry_emit_fn *emit;
	void *ctx;
	const struct cancel *cancel;
};
/* A file without a name with what is there. -1, or its descriptor, the caller's; ret_url: the address as it was asked for, owned by the caller. */
int registry_download(struct registry *r, const struct registry_download *d, char **ret_url, struct err *err);

/*
 * What lies in registries and is no image: a manifest, the configuration that says by its type of what class it is, and blobs, with which the caller does
 * what it likes.
 */
struct registry_ask {
	const struct registry_config *config;
	const struct reference *ref;       /* with a tag or a digest */
	const char *class;                 /* "plugin" */
	const struct registry_auth *auth;
	registry_emit_fn *emit;            /* may be NULL */
	void *ctx;
	const struct cancel *cancel;
};
struct registry_artifact;
/* Its manifest and configuration, checked. ask is borrowed until the end. NULL with err. */
struct registry_artifact *registry_artifact_find(struct registry *r, const struct registry_ask *ask, struct err *err);
void registry_artifact_free(struct registry_artifact *a);
/* config and config_digest are NULL and layers is 0 when it is of another class. All belongs to a. */
struct registry_artifact_view { const struct buf *manifest, *config; const char *digest, *config_digest; size_t layers; };
void registry_artifact_look(const struct registry_artifact *a, struct registry_artifact_view *ret);
/* Lines of progress: the first ones, and what the caller does with a layer (size 0: nothing to count). */
void registry_artifact_head(const struct registry_artifact *a);
void registry_artifact_say(const struct registry_artifact *a, const char *digest, const char *action, int64_t at, int64_t size);
/* The digest of a layer. */
const char *registry_artifact_layer(const struct registry_artifact *a, size_t i, int64_t *ret_size);
/* A layer's blob, as it is there and as its digest says: a descriptor, the caller's. What a broken fetch has brought is gone on with. After -1 it can only be freed. */
int registry_artifact_fetch(struct registry_artifact *a, size_t i, struct err *err);
struct registry_part { const char *digest; int64_t size; int fd; };
/* v[0] is the manifest, of media type type; the others are sent before it, but for what is there. ask->ref has a tag. */
int registry_artifact_send(struct registry *r, const struct registry_ask *ask, const struct registry_part *v, size_t len, const char *type, struct err *err);

/* server: as clients give it. ret_token: an identity token for the password, or NULL; owned by the caller. */
int registry_login(struct registry *r, const struct registry_config *cfg, const char *server, const struct registry_auth *auth, const struct cancel *c,
	char **ret_token, struct err *err);
struct filters;
/* The body of GET /images/search: what a registry of version 1 says, else names of its catalog with the term in them. */
int registry_search(struct registry *r, const struct registry_config *cfg, const char *term, int limit, const struct filters *filters,
	const struct registry_auth *auth, const struct cancel *c, struct buf *ret, struct err *err);
/* The body of GET /distribution/{name}/json. */
int registry_inspect(struct registry *r, const struct registry_config *cfg, const struct reference *ref, const struct registry_auth *auth,
	const struct cancel *c, struct buf *ret, struct err *err);

#endif
