/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to the room: registry.c, pull.c, fetching.c. */
#ifndef REGISTRY_REGISTRY_PRIV_H
#define REGISTRY_REGISTRY_PRIV_H

#include "base/digest.h"
#include "registry/known.h"
#include "registry/manifest.h"
#include "registry/partial.h"
#include "registry/progress.h"
#include "registry/session.h"
#include "registry/slots.h"

struct registry {
	struct image_store *images;
	struct spawner *spawner;
	int program;
	struct partials *partials;
	struct known *known;
	struct slots *downloads, *uploads;
};

/* The document that ref.tag or ref.digest leads to, checked against the digest where there is one. */
struct fetched { struct buf text; char digest[DIGEST_TEXT]; struct manifest m; bool unauthorized; /* the registry said so */ };
void fetched_done(struct fetched *f);
#define OWN_FETCHED CLEANUP(fetched_done)
/* what: a tag or a digest. ret is zeroed, and the caller's whatever comes. want (or NULL): the digest it must have; size: its size, or -1. */
int registry_manifest(struct session *s, const struct reference *ref, const char *what, const char *want, int64_t size, struct fetched *ret, struct err *err);
/* A small blob into memory, checked. */
int registry_blob(struct session *s, const struct reference *ref, const struct manifest_entry *e, struct buf *ret, struct err *err);
/* A failure of the session as Docker words it. -1. */
int registry_failed(const struct session_reply *r, const struct reference *ref, struct err *err);

/* fetching.c: the layers of one image. */
struct layers {
	struct registry *r;
	struct session *s;
	const struct registry_pull *pull;
	const struct progress *progress;
	const struct reference *ref;
	const struct manifest *m;
	const struct image *img;
};
/*
 * All of them are in the store: *ret_chain is the top one, referenced; NULL when there are none. *ret_blobs is what was fetched of them, which whoever is
 * ended before the image is there finds again; for layers_done(), whatever comes.
 */
struct fetching;
int layers_fetch(const struct layers *l, char **ret_chain, struct fetching **ret_blobs, struct err *err);
/* used: the image is there. no_room: it cannot be. */
void layers_done(struct fetching *f, bool used, bool no_room);

/* sending.c: the layers of one image. */
struct sending {
	struct registry *r;
	struct session *s;
	const struct registry_push *push;
	const struct progress *progress;
	const struct reference *ref;
	const struct image *img;
};
/* Afterwards the repository has them: ret[i] is what the manifest says of layer i. */
struct sent { char digest[DIGEST_TEXT]; int64_t size; };
int layers_send(const struct sending *s, struct sent *ret, struct err *err);

#endif
