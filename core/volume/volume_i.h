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

struct volume_drivers *volume_drivers_new(const char *data_root);
void volume_drivers_close(struct volume_drivers *ds);
/* Opens it once. ERR_NOT_FOUND "error looking up volume plugin X: ..." */
struct volume_driver *volume_driver_get(struct volume_drivers *ds, const char *name, struct err *err);
const char *volume_driver_name(const struct volume_driver *d);
const char *volume_driver_scope(const struct volume_driver *d);

int volume_driver_create(struct volume_driver *d, const char *name, const struct strmap *opts, struct err *err);
int volume_driver_remove(struct volume_driver *d, const char *name, struct err *err);
/* ret is empty or of an earlier call. ERR_NOT_FOUND. */
int volume_driver_info(struct volume_driver *d, const char *name, struct volume_info *ret, struct err *err);
/* Calls emit with each volume; names are checked. */
int volume_driver_list(struct volume_driver *d, void (*emit)(void *ctx, struct volume_info *info), void *ctx, struct err *err);
char *volume_driver_mount(struct volume_driver *d, const char *name, const char *id, struct err *err);
int volume_driver_unmount(struct volume_driver *d, const char *name, const char *id, struct err *err);

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
/* Adds what only Docker's database knows, which is read and left as it is. True when there was something. */
bool volume_docker_read(const char *data_root, struct jlist *metas);
/* Writes it anew, synced. */
int volume_index_write(const char *data_root, struct volume *const *v, size_t len, struct err *err);

/* A snapshot with one reference; copies everything. */
struct volume *volume_new(const struct volume_meta *m, const char *mountpoint, const char *scope);
/* status may be NULL. */
void volume_encode_with(const struct volume *v, const struct strmap *status, struct jw *w);

#endif
