/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Managed plugins: processes with a root of their own, which the daemon keeps, starts and stops. What they serve is found by the drivers
 * called "remote" (docs/plugins.md). Thread-safe; nothing here may be called with a lock held.
 */
#ifndef PLUGIN_MANAGED_H
#define PLUGIN_MANAGED_H

#include <jansson.h>
#include <stdbool.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/jw.h"
#include "base/spawner.h"
#include "base/str.h"
#include "base/stream.h"

#define MANAGED_MANIFEST_TYPE "application/vnd.docker.distribution.manifest.v2+json"

struct managed_store;

/* Reads what is kept below DATA-ROOT/plugins. runtime: the path of an OCI runtime. */
struct managed_store *managed_open(const char *data_root, const char *exec_root, struct spawner *sp, const char *runtime, struct err *err);
/* Starts what is enabled. One that does not start is in the log, and enabled all the same. */
void managed_start_all(struct managed_store *s);
/*
 * Who serves figures to plugins that collect them, on a socket that listens, which becomes its own; called once at most, from any thread. Before requests are
 * answered; plugins that run are told to begin.
 */
typedef int managed_metrics_fn(void *ctx, int fd, struct err *err);
int managed_serve_metrics(struct managed_store *s, managed_metrics_fn *serve, void *ctx, struct err *err);
/* From here on those that end by themselves are started again. */
int managed_watch(struct managed_store *s, struct err *err);
/* Ends every process. */
void managed_close(struct managed_store *s);

/* What is listed of one; a copy. */
struct managed_view { char *id, *name, *text; bool enabled; struct strv types; };
void managed_views_free(struct managed_view *v, size_t len);
/* text: the API's Plugin object. Sorted by name. */
size_t managed_list(struct managed_store *s, struct managed_view **ret);

/* Where the parts of one come from, by their digests; everything is the caller's. */
struct managed_from {
	const char *reference;              /* of a registry */
	const struct buf *manifest, *config;
	const char *manifest_digest, *config_digest;
	size_t layers;
	const json_t *granted;              /* the privileges that somebody gave it */
	const struct cancel *cancel;
	void *ctx;
	const char *(*layer)(void *ctx, size_t i, int64_t *ret_size); /* its digest */
	int (*fetch)(void *ctx, size_t i, struct err *err);           /* a descriptor of it, or -1 */
	void (*say)(void *ctx, const char *digest, const char *action, int64_t at, int64_t size); /* size 0: nothing to count */
};
/* It is there whole, disabled, or not at all. ERR_INVALID: the name is taken, or not what it needs was given. */
int managed_install(struct managed_store *s, const char *name, const struct managed_from *from, struct err *err);
/* Another version in its place, whole; else it is as before. ERR_CONFLICT: it is enabled. */
int managed_upgrade(struct managed_store *s, const char *name, const struct managed_from *from, struct err *err);
/* ERR_INVALID when a plugin has this name, or none can have it. ret_full: owned by the caller. */
int managed_check_name(struct managed_store *s, const char *name, char **ret_full, struct err *err);
/* What a configuration needs that somebody has to give: a JSON list. */
int managed_privileges(const struct buf *config, struct buf *ret, struct err *err);

/* Its manifest, its layers, its configuration, in this order, to be read. */
struct managed_part { char *digest; int64_t size; int fd; };
void managed_parts_free(struct managed_part *v, size_t len);
/* How many, or -1. */
ssize_t managed_parts(struct managed_store *s, const char *name, struct managed_part **ret, struct err *err);

/* in: an archive with config.json and rootfs/. name: "user/name[:tag]". */
int managed_create(struct managed_store *s, const char *name, struct reader *in, struct err *err);
/* name: as it was created, with or without ":latest", the id or a prefix of it. ERR_NOT_FOUND. Waits timeout seconds for the socket. */
int managed_enable(struct managed_store *s, const char *name, int timeout, struct err *err);
int managed_disable(struct managed_store *s, const char *name, struct err *err);
int managed_remove(struct managed_store *s, const char *name, bool force, struct err *err);
/* "NAME=VALUE" of variables, "args=...", "MOUNT.source=PATH", "DEVICE.path=PATH": what the plugin's configuration lets be set. */
int managed_set(struct managed_store *s, const char *name, const struct strv *settings, struct err *err);
/* Its full name and id, owned by the caller; ERR_NOT_FOUND. */
int managed_find(struct managed_store *s, const char *name, char **ret_id, char **ret_name, bool *ret_enabled, struct err *err);

#endif
