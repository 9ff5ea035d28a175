/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volume store and facade: names, drivers, references; the only caller of volume drivers. Thread-safe. */
#ifndef VOLUME_VOLUME_H
#define VOLUME_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/json.h"
#include "base/str.h"

/* What marks a volume whose name nobody chose. */
#define VOLUME_ANONYMOUS_LABEL "com.docker.volume.anonymous"

struct volume_store;

/* A snapshot: never changes while somebody holds it. */
struct volume {
	char *name, *driver, *mountpoint, *scope;
	int64_t created;
	struct strmap labels, options;
	bool anonymous;
	int refs;          /* of this struct, not of the volume; atomic */
};

/* exec_root is for drivers: it stays until they are closed. */
struct volume_store *volume_store_open(const char *data_root, const char *exec_root, struct err *err);
void volume_store_close(struct volume_store *s);
/* While on, no call of a driver is waited for: see driver_give_up(). */
void volume_store_give_up(struct volume_store *s, bool on);
/* Tells Docker's own database what there is, for the engine that has the data-root next. What fails is in the log. */
void volume_store_share(struct volume_store *s);
/* name NULL or "": anonymous (64 hex). Idempotent for the same driver; ERR_CONFLICT for another. driver NULL: "local". */
struct volume *volume_create(struct volume_store *s, const char *name, const char *driver,
	const struct strmap *opts, const struct strmap *labels, struct err *err);
/*
 * The same, and container_id (NULL: nobody) uses it from this moment on, so that no prune comes between. *ret_created
 * (may be NULL): it was not there before, which is when the event "create" is due.
 */
struct volume *volume_create_for(struct volume_store *s, const char *name, const char *driver, const struct strmap *opts,
	const struct strmap *labels, const char *container_id, bool *ret_created, struct err *err);
struct volume *volume_get(struct volume_store *s, const char *name, struct err *err); /* ERR_NOT_FOUND "get X: no such volume" */
/*
 * Asks plugins what volumes they have, before a list or when one is not known. Waits for a moment, and not for one that let somebody wait
 * before.
 */
void volume_refresh(struct volume_store *s);
size_t volume_list(struct volume_store *s, struct volume ***ret);
void volume_unref(struct volume *v);
DEFINE_CLEANUP(struct volume, volume_unref)
#define OWN_VOLUME CLEANUP(volume_unrefp)
/* Releases what volume_list() returned. */
void volume_list_free(struct volume **v, size_t len);
/* In use: ERR_CONFLICT "remove X: volume is in use - [ids]". force: fine when missing. */
int volume_remove(struct volume_store *s, const char *name, bool force, struct err *err);
/*
 * Another name, or a copy under another name, which has the labels and options, too. ERR_CONFLICT: the new name is taken, or somebody uses the
 * volume (for a copy: has it mounted). ERR_NOT_IMPLEMENTED: its driver cannot.
 */
struct volume *volume_rename(struct volume_store *s, const char *name, const char *new_name, struct err *err);
struct volume *volume_snapshot(struct volume_store *s, const char *name, const char *new_name, struct err *err);
/* Containers that use it (created or running); a set. The volume need not exist. */
void volume_use(struct volume_store *s, const char *name, const char *container_id);
void volume_unuse(struct volume_store *s, const char *name, const char *container_id);
size_t volume_users(struct volume_store *s, const char *name, struct strv *ret);
/* Counted mounts, also of one container that mounts it twice. Returns the path, owned by the caller. */
char *volume_mount(struct volume_store *s, const char *name, const char *container_id, struct err *err);
/* The same where nobody else has it mounted; ERR_CONFLICT. */
char *volume_mount_alone(struct volume_store *s, const char *name, const char *id, struct err *err);
/*
 * The mount that an earlier daemon made for a container that still runs counts from here on. A plugin is not asked: it knows of it, and
 * may hang.
 */
int volume_adopt(struct volume_store *s, const char *name, const char *container_id, struct err *err);
int volume_unmount(struct volume_store *s, const char *name, const char *container_id, struct err *err);
/* Bytes that its files take, as its driver says or by looking; -1 when that is unknown or the token fired. */
int64_t volume_size(struct volume_store *s, const struct volume *v, const struct cancel *cancel);
/* The API's Volume object. */
void volume_encode(const struct volume *v, struct jw *w);
/* The same with "Status" as its driver tells it now (inspect). */
void volume_encode_status(struct volume_store *s, const struct volume *v, struct jw *w);
/* The same with UsageData (df). size -1: unknown. */
void volume_encode_usage(const struct volume *v, int64_t size, int64_t users, struct jw *w);

#endif
