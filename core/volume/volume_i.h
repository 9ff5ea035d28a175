/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the volume room: the facade over volume drivers (volume.c) and the index file (index.c), as the store uses them.
 * No function here takes a lock of the store; none may be called with one held.
 */
#ifndef VOLUME_VOLUME_I_H
#define VOLUME_VOLUME_I_H

#include "volume/volume.h"

#define VOLUME_DRIVER_DEFAULT "local"
/* The option that driver local shows the reason in. */
#define VOLUME_DAMAGED_OPTION "dockerd.damaged"

/* What "Status" has when the driver of a volume cannot be asked. */
#define VOLUME_ERROR_STATUS "dockerd.error"

/* An opened driver; lives until volume_drivers_close(). */
struct volume_driver;
struct volume_drivers;

/* What a driver tells of one volume. */
struct volume_info {
	char *name, *mountpoint;
	int64_t created; /* 0: unknown */
	struct strmap options, status;
};
void volume_info_done(struct volume_info *i);
#define OWN_VOLUME_INFO CLEANUP(volume_info_done)

struct volume_drivers *volume_drivers_new(const char *data_root, const char *exec_root);
void volume_drivers_close(struct volume_drivers *ds);
/* Opens it once. ERR_NOT_FOUND "error looking up volume plugin X: ..." */
struct volume_driver *volume_driver_get(struct volume_drivers *ds, const char *name, struct err *err);
/* One that is open already, or NULL; waits for nobody. */
struct volume_driver *volume_driver_find(struct volume_drivers *ds, const char *name);
/* From now on no call of a driver waits any more. */
void volume_drivers_cancel(struct volume_drivers *ds);
/* But for those from here on. */
void volume_drivers_resume(struct volume_drivers *ds);
/* Is it not one of ours: a process of its own, or not here? Such a one is never waited for but by who wants something of it. */
bool volume_driver_is_far(const char *name);
/* The names of all plugins that might have volumes. */
void volume_drivers_far(struct strv *ret);
const char *volume_driver_name(const struct volume_driver *d);
const char *volume_driver_scope(const struct volume_driver *d);

int volume_driver_create(struct volume_driver *d, const char *name, const struct strmap *opts, struct err *err);
int volume_driver_remove(struct volume_driver *d, const char *name, struct err *err);
/* ret is empty or of an earlier call. quick: two seconds at most. ERR_NOT_FOUND. */
int volume_driver_info(struct volume_driver *d, const char *name, bool quick, struct volume_info *ret, struct err *err);
/* Calls emit with each volume; names are checked. */
int volume_driver_list(struct volume_driver *d, void (*emit)(void *ctx, struct volume_info *info), void *ctx, struct err *err);
char *volume_driver_mount(struct volume_driver *d, const char *name, const char *id, struct err *err);
int volume_driver_unmount(struct volume_driver *d, const char *name, const char *id, struct err *err);

/* Bytes that a volume takes; -1 when the driver does not know, or fails. */
int64_t volume_driver_usage(struct volume_driver *d, const char *name);
int volume_driver_rename(struct volume_driver *d, const char *name, const char *new_name, struct err *err);
int volume_driver_snapshot(struct volume_driver *d, const char *name, const char *new_name, struct err *err);

/* What the daemon remembers of one volume: one item of the index file. */
struct volume_meta {
	char *name, *driver;
	int64_t created;
	struct strmap labels, options;
};
extern const struct jdesc volume_meta_desc;

/* Reads DATA-ROOT/volumes/dockerd.json into items of volume_meta_desc. A damaged file is put aside with a warning. */
/* True when the file was damaged and is to be written anew. */
bool volume_index_read(const char *data_root, struct jlist *ret);
/* Adds what only Docker's database knows. True when there was something. */
bool volume_docker_read(const char *data_root, struct jlist *metas);
/* Makes it hold these, and nothing else. */
void volume_docker_write(const char *data_root, struct volume *const *v, size_t len);
/* Writes it anew, synced. */
int volume_index_write(const char *data_root, struct volume *const *v, size_t len, struct err *err);

/* far.c: the drivers that are processes of their own, and what they tell. */
struct far;
/* Everything that a driver had at a moment not before asked (clock_mono()). Called by threads of far.c. */
typedef void far_take_fn(void *ctx, struct volume_driver *d, struct volume_info *infos, size_t len, int64_t asked);
struct far *far_new(struct volume_drivers *ds, far_take_fn *take, void *ctx);
/* Ends all of its threads; volume_drivers_cancel() was called. */
void far_free(struct far *f);
/*
 * Asks each driver, known (those that have volumes here) and found, for its volumes, all at the same time, and waits for those that
 * answered in time before; for 300 ms at most. Patient: for all but one that hangs already, 5 s at most.
 */
void far_refresh(struct far *f, const struct strv *known, bool patient);
/* Did it answer in time the last time? */
bool far_answers(struct far *f, const char *name);

/* A snapshot with one reference; copies everything. */
struct volume *volume_new(const struct volume_meta *m, const char *mountpoint, const char *scope);
/* status may be NULL. */
void volume_encode_with(const struct volume *v, const char *mountpoint, const struct strmap *status, struct jw *w);

#endif
