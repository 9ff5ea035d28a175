/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of dockerd-kv: a key-value store that several hosts share (etcd). What the store has under the prefix is
 * told as it changes; changes are asked for and answered. A process that died is started anew, and a store that went away is waited
 * for; both begin with the whole mirror told anew. Thread-safe; no lock of the caller is held over a call.
 */
#ifndef NETWORK_KV_H
#define NETWORK_KV_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spawner.h"
#include "base/str.h"

struct kv;

enum kv_event {
	KV_BEGIN,  /* the whole mirror follows, as puts: what is not among them is not there */
	KV_PUT,
	KV_DELETE,
	KV_SYNCED, /* that was all of it */
	KV_DOWN,   /* out of reach, value says why; it is tried again */
};
/* Called by the thread that reads the answers, with no lock held; so it asks nothing of the store itself. key without the prefix. */
typedef void kv_fn(void *ctx, enum kv_event event, const char *key, const char *value);

/* Borrowed. */
struct kv_config {
	const char *program;            /* path of dockerd-kv */
	const struct strv *endpoints;   /* "http://host:port" */
	const char *prefix;             /* of all keys; ends with a slash */
	int ttl;                        /* s: of leased keys */
	const char *ca, *cert, *key;    /* PEM files; NULL or "" for none */
};
/* "etcd://a:2379,b:2379/path": endpoints (https with tls) and the prefix "path/". ERR_INVALID for another store. */
int kv_parse_url(const char *url, bool tls, struct strv *endpoints, char **prefix, struct err *err);

struct kv *kv_open(const struct kv_config *cfg, struct spawner *sp, kv_fn *fn, void *ctx, struct err *err);
/* No call of fn comes afterwards. Leased keys go when their time is over. */
void kv_close(struct kv *kv);
DEFINE_CLEANUP(struct kv, kv_close)
/* ERR_UNAVAILABLE when the store cannot be reached, after a few seconds at most. leased: it goes with this daemon, and comes again with the store. */
int kv_put(struct kv *kv, const char *key, const char *value, bool leased, struct err *err);
/* All of them (keys and values in turn), or none with ERR_CONFLICT when one is there. */
int kv_create(struct kv *kv, const struct strmap *pairs, struct err *err);
/* Missing ones are fine. */
int kv_delete(struct kv *kv, const struct strv *keys, struct err *err);
/* Whether the mirror is being kept right now. */
bool kv_is_up(struct kv *kv);

#endif
