/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volume store and facade: names, drivers, references; the only caller of volume drivers. Thread-safe. */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

struct volume_store;

struct volume {
	char *name, *driver, *mountpoint, *scope;
	int64_t created;
	struct strmap labels, options;
	bool anonymous;
	int refs;          /* of this struct, not of the volume */
};

struct volume_store *volume_store_open(const char *data_root, struct err *err);
void volume_store_close(struct volume_store *s);
/* name NULL or "": anonymous (64 hex). Idempotent for the same driver; ERR_CONFLICT for another. driver NULL: "local". */
struct volume *volume_create(struct volume_store *s, const char *name, const char *driver, const struct strmap *opts, const struct strmap *labels, struct err *err);
struct volume *volume_get(struct volume_store *s, const char *name, struct err *err); /* ERR_NOT_FOUND "get X: no such volume" */
size_t volume_list(struct volume_store *s, struct volume ***ret);
void volume_unref(struct volume *v);
/* In use: ERR_CONFLICT "remove X: volume is in use - [ids]". force: fine when missing. */
int volume_remove(struct volume_store *s, const char *name, bool force, struct err *err);
/* Containers that use it (created or running). */
void volume_use(struct volume_store *s, const char *name, const char *container_id);
void volume_unuse(struct volume_store *s, const char *name, const char *container_id);
size_t volume_users(struct volume_store *s, const char *name, struct strv *ret);
/* Counted mounts. Returns the path, owned by the caller. */
char *volume_mount(struct volume_store *s, const char *name, const char *container_id, struct err *err);
int volume_unmount(struct volume_store *s, const char *name, const char *container_id, struct err *err);
/* The API's Volume object. */
void volume_encode(const struct volume *v, struct jw *w);

#endif
