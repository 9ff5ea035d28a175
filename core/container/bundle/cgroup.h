/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What this host's cgroups can do. Asked once, then cached; thread-safe. */
#ifndef CONTAINER_CGROUP_H
#define CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

bool cgroup_is_v2(void); /* the unified hierarchy alone is mounted; beside v1 controllers (hybrid) it has none and is not used */
/* A controller's directory on v1 ("memory" -> "/sys/fs/cgroup/memory"), or the v2 mount when it has the controller; NULL when absent. */
const char *cgroup_controller(const char *name);

/* What a limit needs: CG(name, controller of v1, its file, controller of v2, its file); a NULL controller: not in that version. */
#define CGROUP_FEATURES(CG) \
	CG(MEMORY, "memory", "memory.limit_in_bytes", "memory", "memory.max") \
	CG(SWAP, "memory", "memory.memsw.limit_in_bytes", "memory", "memory.swap.max") \
	CG(RESERVATION, "memory", "memory.soft_limit_in_bytes", "memory", "memory.low") \
	CG(SWAPPINESS, "memory", "memory.swappiness", NULL, NULL) \
	CG(OOM_KILL_DISABLE, "memory", "memory.oom_control", NULL, NULL) \
	CG(PIDS, "pids", NULL, "pids", NULL) \
	CG(CPU_SHARES, "cpu", "cpu.shares", "cpu", "cpu.weight") \
	CG(CPU_CFS, "cpu", "cpu.cfs_quota_us", "cpu", "cpu.max") \
	CG(CPU_RT, "cpu", "cpu.rt_period_us", NULL, NULL) \
	CG(CPUSET, "cpuset", NULL, "cpuset", NULL) \
	CG(BLKIO_WEIGHT, "blkio", "blkio.weight|blkio.bfq.io_serviced", "io", "io.weight|io.bfq.weight") \
	CG(BLKIO_WEIGHT_DEVICE, "blkio", "blkio.weight_device|blkio.bfq.io_serviced", "io", "io.bfq.weight") \
	CG(READ_BPS, "blkio", "blkio.throttle.read_bps_device", "io", "io.max") \
	CG(WRITE_BPS, "blkio", "blkio.throttle.write_bps_device", "io", "io.max") \
	CG(READ_IOPS, "blkio", "blkio.throttle.read_iops_device", "io", "io.max") \
	CG(WRITE_IOPS, "blkio", "blkio.throttle.write_iops_device", "io", "io.max")

enum cgroup_feature {
#define CG(name, ...) CGROUP_##name,
	CGROUP_FEATURES(CG)
#undef CG
	CGROUP_FEATURE_COUNT
};
bool cgroup_can(enum cgroup_feature feature);

/* Gives each group from the root of "cpu" down to parent ("/a/b") real-time CPU; 0 leaves a value as it is. v1 with the feature only. */
int cgroup_allow_realtime(const char *parent, int64_t period, int64_t runtime, struct err *err);

/*
 * Removes the group at path ("/parent/id") from each hierarchy. A runtime that failed while the processes in it were on their way
 * out has left it there, and nothing else that would name it. kill as in cgroup_drop().
 */
void cgroup_sweep(const char *path, bool kill);
/*
 * The same of one group, below dirfd. kill: for the groups of a run that is over. What still runs in it or in the groups that it
 * made is killed (also what is frozen), and they go as well. until (monotonic, ns): so long the kernel may take to empty it. False: it
 * stays.
 */
bool cgroup_drop(int dirfd, const char *path, bool kill, int64_t until);
/* For all groups of a container together: of what is killed, and of what was reaped just before. */
#define CGROUP_END_NS   (2 * NSEC_PER_SEC)
#define CGROUP_EMPTY_NS (200 * NSEC_PER_MSEC)

/* Containers have none (a user's daemon): nothing can be limited from now on. Before threads. */
void cgroup_have_none(void);
bool cgroup_none(void);

/* For tests, with no other thread about: the files of another host below root (root/proc/..., root/sys/...); "" is this one. */
void cgroup_set_root(const char *root);

#endif
