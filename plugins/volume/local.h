/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the driver "local": what its files share. */
#ifndef PLUGIN_LOCAL_H
#define PLUGIN_LOCAL_H

#include <pthread.h>
#include <stdbool.h>

#include <dockerd/volume.h>

#include "quota.h"

#define PATH_ROOM 4608

/* One use of a volume that is mounted. */
struct use {
	char *name, *id;
	struct use *next;
};

struct dkd_volume {
	const struct dkd_host *host;
	char *root;
	int fd;               /* of root */
	uint32_t uid, gid;
	struct quota quota;
	pthread_mutex_t lock; /* uses, count */
	struct use *uses;
	unsigned count;       /* for names of our own */
};

/* Options of a volume as opts.json keeps them. Owned strings; all NULL and 0: a plain directory. */
struct local_options {
	char *type, *o, *device;
	uint64_t size;
};

/* local.c */
bool local_name_ok(const char *name);
int32_t local_bad_name(const struct dkd_call *call, struct dkd_volume *v, const char *name);
/* A name of ours in root that no volume has. */
void local_own_name(struct dkd_volume *v, const char *prefix, char ret[64]);
void local_data_path(const struct dkd_volume *v, const char *name, char ret[PATH_ROOM]);
bool local_is_mounted(const char *path);
/* How many uses of name there are, without those of id when it is not NULL. */
unsigned local_uses(struct dkd_volume *v, const char *name, const char *but_id, bool *ret_has);
/* Everything of a new volume, below a name of ours. -1 with errno. */
int local_fill(struct dkd_volume *v, const char *tmp, const struct local_options *o);

/* local-options.c: those of a volume: 0 also when it has none, -1 when the file is damaged. */
int local_options_read(struct dkd_volume *v, const char *name, struct local_options *ret);
/* Writes dir/opts.json, synced. */
int local_options_write(int dir, const struct local_options *o);
/* Docker's rules for options. Sets only pointers into the caller's pairs. */
int32_t local_options_check(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create, struct local_options *ret);
void local_options_done(struct local_options *o);

/* local-mount.c: mounts by the options on path, or fails with Docker's words. */
int32_t local_mount_options(const struct dkd_host *host, const struct dkd_call *call,
	const struct local_options *o, const char *path);

/* local-verbs.c: what Docker's volumes cannot do. */
int32_t local_rename(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name);
int32_t local_snapshot(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name);

#endif
