/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host's cgroups can do. Asked once, then cached; thread-safe. */
#ifndef CONTAINER_CGROUP_H
#define CONTAINER_CGROUP_H

#include <stdbool.h>

bool cgroup_is_v2(void); /* the unified hierarchy alone is mounted */
/* A controller's directory on v1 ("memory" -> "/sys/fs/cgroup/memory"), or the v2 mount when it has the controller; NULL when absent. */
const char *cgroup_controller(const char *name);
/* A control file exists in the controller's root or, on v2, in any child that the kernel would make (asked by feature). */
bool cgroup_has(const char *controller, const char *file);

#endif
