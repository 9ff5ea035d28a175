/* SPDX-License-Identifier: MIT */
/*
 * Volume drivers: directories that outlive containers.
 *
 * Changes
 *   1.0  first version.
 *
 * Names of volumes are checked by the daemon: [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 255 bytes. The daemon keeps labels and
 * who uses what; a driver keeps its volumes and their options.
 */
#ifndef DOCKERD_VOLUME_H
#define DOCKERD_VOLUME_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_VOLUME_MAJOR UINT32_C(1)
#define DKD_VOLUME_MINOR UINT32_C(0)

/* The driver's own. */
struct dkd_volume;

struct dkd_volume_open {
	uint32_t size;
	uint32_t flags;        /* none yet */
	const char *root;      /* DATA-ROOT/volumes for "local"; DATA-ROOT/volume-drivers/NAME, to create when needed, for others */
	const char *exec_root; /* for what a reboot may forget */
	uint32_t root_uid;     /* who is root inside containers */
	uint32_t root_gid;
	const char *instance;  /* of a provider */
};

struct dkd_volume_create {
	uint32_t size;
	uint32_t flags;                 /* none yet */
	const char *name;
	const struct dkd_pair *options; /* an unknown one is an error */
	uint32_t options_len;
	uint32_t pad;
};

struct dkd_volume_mount {
	uint32_t size;
	uint32_t flags;                  /* none yet */
	const char *name;
	const char *id;                  /* of this mount: the same comes with unmount() */
	const char *label;               /* SELinux mount label */
	const struct dkd_idmaps *idmaps; /* mount with this map; NULL: ids as they are */
};

struct dkd_volume_info {
	uint32_t size;
	uint32_t flags;                 /* none yet */
	const char *name;
	const char *mountpoint;         /* NULL while it has none */
	int64_t created;                /* ns since 1970; 0: unknown */
	const struct dkd_pair *options; /* as given to create(), where the driver keeps them */
	uint32_t options_len;
	uint32_t status_len;
	const struct dkd_pair *status;  /* "Status" of inspect */
};
typedef int32_t dkd_emit_volume(void *to, const struct dkd_volume_info *info);

#define DKD_SCOPE_LOCAL  UINT32_C(0)
#define DKD_SCOPE_GLOBAL UINT32_C(1) /* the same volumes on every host */

struct dkd_volume_caps {
	uint32_t size;
	uint32_t scope; /* DKD_SCOPE_* */
};

struct dkd_volume_ops {
	/* Optional. root NULL: on this machine in general. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_volume_open *open, struct dkd_volume **ret);
	/* Optional. */
	void (*close)(struct dkd_volume *v);

	/* A volume of that name and these options is fine. */
	int32_t (*create)(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create);
	/* A volume that is not there is fine. */
	int32_t (*remove)(const struct dkd_call *call, struct dkd_volume *v, const char *name);
	/* Emits one volume; DKD_ERR_NOT_FOUND. */
	int32_t (*get)(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to);
	int32_t (*list)(const struct dkd_call *call, struct dkd_volume *v, dkd_emit_volume *emit, void *to);
	/* Emits the absolute path at which it is mounted now. One mount an id; a mount more of a volume is counted by the driver. */
	int32_t (*mount)(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_mount *mount, dkd_emit *emit, void *to);
	int32_t (*unmount)(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *id);

	/* All below are optional. */
	/* Emits where the volume is or would be mounted. Without it: mountpoint of get(). */
	int32_t (*path)(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit *emit, void *to);
	/* Without it: local. */
	int32_t (*capabilities)(const struct dkd_call *call, struct dkd_volume *v, struct dkd_volume_caps *ret);
	int32_t (*rename)(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name);
	/* A new volume with the content of name at one moment. */
	int32_t (*snapshot)(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *new_name);
	/* Bytes in use, or -1. */
	int64_t (*usage)(const struct dkd_call *call, struct dkd_volume *v, const char *name);
};

#ifdef __cplusplus
}
#endif

#endif
