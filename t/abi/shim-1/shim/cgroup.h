/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory cgroup of a container: whether the kernel killed something in it for want of memory. */
#ifndef SHIM_CGROUP_H
#define SHIM_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * The file with the oom_kill counter, owned by the caller; NULL when unknown. From /proc/<pid>/cgroup, or, for a process that has
 * ended already, from the runtime's own state file.
 */
char *cgroup_oom_file(pid_t pid, const char *state_file);
bool cgroup_oom_killed(const char *file);

#endif
