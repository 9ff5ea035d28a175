/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices by name: DeviceRequests of a container become edits of its OCI configuration. Names of the Container Device Interface
 * ("vendor.com/class=name") are looked up in its JSON and YAML files; GPUs of NVIDIA are left to that vendor's own hook.
 */
#ifndef CONTAINER_CDI_H
#define CONTAINER_CDI_H

#include "container/bundle/bundle.h"
#include "container/spec.h"

struct edit_node { char *path, *host_path, *type, *permissions; struct opt_i64 major, minor, mode, uid, gid; };
struct edit_mount { char *host_path, *container_path, *type; struct strv options; };
struct edit_hook { char *name, *path; struct strv args, env; struct opt_i64 timeout; };
struct device_edits {
	struct strv env;
	struct jlist nodes, mounts, hooks; /* edit_node, edit_mount, edit_hook */
	char *gids;                        /* JSON array of numbers, or NULL */
};
extern const struct jdesc device_edits_desc, edit_node_desc, edit_mount_desc, edit_hook_desc;

void device_edits_done(struct device_edits *e);

/* At create: their shape. */
int device_requests_check(const struct jlist *requests, struct err *err);
/* At start. ret is zeroed before, and freed whatever the outcome. */
int device_requests_resolve(const struct jlist *requests, const struct daemon_defaults *d, struct device_edits *ret, struct err *err);
/* The names that the files in dirs define, sorted. */
void cdi_names(const struct strv *dirs, struct strv *ret);
/* Adds what the names stand for; a later folder's file outranks an earlier one's. */
int cdi_inject(const struct strv *dirs, const struct strv *names, struct device_edits *ret, struct err *err);

#endif
