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
	const struct strv *insecure;       /* "host[:port]" or "network/bits" */
	const char *http_proxy, *https_proxy, *no_proxy; /* "": the environment's */
	int downloads;                     /* of one pull at once */
	int uploads;                       /* of one push at once */
	int attempts;                      /* for a layer */
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
