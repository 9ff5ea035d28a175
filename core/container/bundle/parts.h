/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of an OCI configuration, one file each; only bundle.c calls them. */
#ifndef CONTAINER_BUNDLE_PARTS_H
#define CONTAINER_BUNDLE_PARTS_H

#include <sys/types.h>

#include "base/jw.h"
#include "container/bundle/bundle.h"

/* In a user namespace, its own or the daemon's: no device can be made, and what is the machine's not be mounted. */
bool bundle_nested(const struct bundle_in *in);
/* "devices" items and "resources.devices" items. edits may be NULL. */
int bundle_device_nodes(const struct host_config *hc, const struct device_edits *edits, uint32_t uid, uint32_t gid, struct jw *w, struct err *err);
int bundle_device_rules(const struct host_config *hc, const struct device_edits *edits, struct jw *w, struct err *err);
/* In a user namespace, where no node can be made: items of "mounts" that show the host's own. What is wrong, the rules tell. */
void bundle_device_binds(const struct host_config *hc, const struct device_edits *edits, struct jw *w);
/* The "resources" object. */
int bundle_resources(const struct host_config *hc, const struct device_edits *edits, struct jw *w, struct err *err);
/* Whether the scheduler of a disk keeps weights. */
bool bundle_has_weights(dev_t disk);
/* The "mounts" array: defaults, then the container's. */
void bundle_mounts(const struct bundle_in *in, struct jw *w);
/* The "process" object's members. rootfd is pinned to the mounted root. ret: whom it runs as, to be freed whatever the outcome. */
int bundle_process_members(const struct process_in *in, int rootfd, const struct strv *args, struct jw *w, struct user_ids *ret, struct err *err);

#endif
