/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "linux.resources": what this kernel has of it (container_validate has warned about the rest). */
#include "container/bundle/parts.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "container/bundle/cgroup.h"

static void put_memory(const struct host_config *hc, struct jw *w)
{
	if (!cgroup_can(CGROUP_MEMORY))
		return;
	jw_kobj(w, "memory");
	if (hc->memory)
		jw_kint(w, "limit", hc->memory);
	if (hc->memory_reservation && cgroup_can(CGROUP_RESERVATION))
		jw_kint(w, "reservation", hc->memory_reservation);
	if (hc->memory_swap && cgroup_can(CGROUP_SWAP))
		jw_kint(w, "swap", hc->memory_swap);
	if (hc->memory_swappiness.set && cgroup_can(CGROUP_SWAPPINESS))
		jw_kint(w, "swappiness", hc->memory_swappiness.v);
	if (hc->oom_kill_disable.set && hc->oom_kill_disable.v && cgroup_can(CGROUP_OOM_KILL_DISABLE))
		jw_kbool(w, "disableOOMKiller", true);
	jw_obj_end(w);
}

static void put_cpu(const struct host_config *hc, struct jw *w)
{
	int64_t quota = hc->cpu_quota, period = hc->cpu_period;

	if (hc->nano_cpus > 0) {
		period = 100000;
		quota = hc->nano_cpus / (1000000000 / period);
	}
	jw_kobj(w, "cpu");
	if (hc->cpu_shares > 0 && cgroup_can(CGROUP_CPU_SHARES))
		jw_kint(w, "shares", hc->cpu_shares);
	if (quota && cgroup_can(CGROUP_CPU_CFS))
		jw_kint(w, "quota", quota);
	if (period && cgroup_can(CGROUP_CPU_CFS))
		jw_kint(w, "period", period);
	if (hc->cpu_rt_period && cgroup_can(CGROUP_CPU_RT))
		jw_kint(w, "realtimePeriod", hc->cpu_rt_period);
	if (hc->cpu_rt_runtime && cgroup_can(CGROUP_CPU_RT))
		jw_kint(w, "realtimeRuntime", hc->cpu_rt_runtime);
	if (!str_empty(hc->cpuset_cpus) && cgroup_can(CGROUP_CPUSET))
		jw_kstr(w, "cpus", hc->cpuset_cpus);
	if (!str_empty(hc->cpuset_mems) && cgroup_can(CGROUP_CPUSET))
		jw_kstr(w, "mems", hc->cpuset_mems);
	jw_obj_end(w);
}

/* The number of a disk by its name on the host, as it is at this start. */
static int disk_number(const char *path, dev_t *ret, struct err *err)
{
	struct stat st;

	if (str_empty(path) || stat(path, &st) < 0)
		return err_set(err, ERR_INVALID, "stat %.256s: %s", path ? path : "", str_empty(path) || errno == ENOENT ?
			"no such file or directory" : strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return err_set(err, ERR_INVALID, "%.256s is not a block device", path);
	*ret = st.st_rdev;
	return 0;
}

static void put_number(dev_t disk, struct jw *w)
{
	jw_obj(w);
	jw_kint(w, "major", major(disk));
	jw_kint(w, "minor", minor(disk));
}

static int put_throttle(const char *key, const struct jlist *list, enum cgroup_feature feature, struct jw *w, struct err *err)
{
	if (list->len == 0 || !cgroup_can(feature))
		return 0;
	jw_karr(w, key);
	for (size_t i = 0; i < list->len; i++) {
		const struct throttle_device *t = jlist_at(list, i, &throttle_device_desc);
		dev_t disk;

		if (disk_number(t->path, &disk, err) < 0)
			return -1;
		put_number(disk, w);
		jw_key(w, "rate");
		jw_uint(w, t->rate);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	return 0;
}

/* A partition's scheduler is its disk's. */
bool bundle_has_weights(dev_t disk)
{
	static const char *const places[] = { "queue/scheduler", "../queue/scheduler" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		OWN_FREE char *path = xasprintf("/sys/dev/block/%u:%u/%s", major(disk), minor(disk), places[i]);
		OWN_BUF struct buf b = { 0 };

		if (fs_read(AT_FDCWD, path, 1024, &b, NULL) == 0)
			return strstr(b.data, "[bfq]") != NULL;
	}
	return false;
}

/* Disks without weights are left out: create has said so, and the kernel would refuse the whole. */
static int put_weights(const struct jlist *list, struct jw *w, struct err *err)
{
	if (list->len == 0 || !cgroup_can(CGROUP_BLKIO_WEIGHT_DEVICE))
		return 0;
	jw_karr(w, "weightDevice");
	for (size_t i = 0; i < list->len; i++) {
		const struct weight_device *d = jlist_at(list, i, &weight_device_desc);
		dev_t disk;

		if (disk_number(d->path, &disk, err) < 0)
			return -1;
		if (!bundle_has_weights(disk))
			continue;
		put_number(disk, w);
		jw_kint(w, "weight", d->weight);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	return 0;
}

/* Not at all where nothing is asked for: crun then wants the controller, which systemd does not give to users by default. */
static int put_blkio(const struct host_config *hc, struct jw *w, struct err *err)
{
	if (!hc->blkio_weight && !hc->blkio_weight_device.len && !hc->blkio_read_bps.len && !hc->blkio_write_bps.len && !hc->blkio_read_iops.len &&
	    !hc->blkio_write_iops.len)
		return 0;
	jw_kobj(w, "blockIO");
	if (hc->blkio_weight && cgroup_can(CGROUP_BLKIO_WEIGHT))
		jw_kint(w, "weight", hc->blkio_weight);
	if (put_weights(&hc->blkio_weight_device, w, err) < 0 ||
	    put_throttle("throttleReadBpsDevice", &hc->blkio_read_bps, CGROUP_READ_BPS, w, err) < 0 ||
	    put_throttle("throttleWriteBpsDevice", &hc->blkio_write_bps, CGROUP_WRITE_BPS, w, err) < 0 ||
	    put_throttle("throttleReadIOPSDevice", &hc->blkio_read_iops, CGROUP_READ_IOPS, w, err) < 0 ||
	    put_throttle("throttleWriteIOPSDevice", &hc->blkio_write_iops, CGROUP_WRITE_IOPS, w, err) < 0)
		return -1;
	jw_obj_end(w);
	return 0;
}

static int put_limits(const struct host_config *hc, struct jw *w, struct err *err)
{
	put_memory(hc, w);
	put_cpu(hc, w);
	if (put_blkio(hc, w, err) < 0)
		return -1;
	if (hc->pids_limit.set && cgroup_can(CGROUP_PIDS)) {
		jw_kobj(w, "pids");
		jw_kint(w, "limit", hc->pids_limit.v);
		jw_obj_end(w);
	}
	return 0;
}

int bundle_resources(const struct host_config *hc, const struct device_edits *edits, struct jw *w, struct err *err)
{
	jw_kobj(w, "resources");
	jw_karr(w, "devices");
	if (bundle_device_rules(hc, edits, w, err) < 0)
		return -1;
	jw_arr_end(w);
	if (put_limits(hc, w, err) < 0)
		return -1;
	jw_obj_end(w);
	return 0;
}

int bundle_limits(const struct host_config *hc, struct jw *w, struct err *err)
{
	jw_obj(w);
	if (put_limits(hc, w, err) < 0)
		return -1;
	jw_obj_end(w);
	return 0;
}
