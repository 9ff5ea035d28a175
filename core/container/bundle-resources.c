/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "linux.resources": what this kernel has of it (container_validate has warned about the rest). */
#include "container/bundle-parts.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "container/cgroup.h"

static void put_memory(const struct host_config *hc, struct jw *w)
{
	if (!cgroup_controller("memory"))
		return;
	jw_kobj(w, "memory");
	if (hc->memory)
		jw_kint(w, "limit", hc->memory);
	if (hc->memory_reservation)
		jw_kint(w, "reservation", hc->memory_reservation);
	if (hc->memory_swap && cgroup_has("memory", "memory.memsw.limit_in_bytes"))
		jw_kint(w, "swap", hc->memory_swap);
	if (hc->memory_swappiness.set && !cgroup_is_v2())
		jw_kint(w, "swappiness", hc->memory_swappiness.v);
	if (hc->oom_kill_disable.set && hc->oom_kill_disable.v && !cgroup_is_v2())
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
	if (hc->cpu_shares > 0 && cgroup_has("cpu", "cpu.shares"))
		jw_kint(w, "shares", hc->cpu_shares);
	if (quota && cgroup_has("cpu", "cpu.cfs_quota_us"))
		jw_kint(w, "quota", quota);
	if (period && cgroup_has("cpu", "cpu.cfs_quota_us"))
		jw_kint(w, "period", period);
	if (!str_empty(hc->cpuset_cpus))
		jw_kstr(w, "cpus", hc->cpuset_cpus);
	if (!str_empty(hc->cpuset_mems))
		jw_kstr(w, "mems", hc->cpuset_mems);
	jw_obj_end(w);
}

static int put_throttle(const char *key, const struct jlist *list, struct jw *w, struct err *err)
{
	if (list->len == 0)
		return 0;
	jw_karr(w, key);
	for (size_t i = 0; i < list->len; i++) {
		const struct throttle_device *t = jlist_at(list, i, &throttle_device_desc);
		struct stat st;

		if (str_empty(t->path) || stat(t->path, &st) < 0 || !S_ISBLK(st.st_mode))
			return err_set(err, ERR_INVALID, "%.256s is not a block device", t->path ? t->path : "");
		jw_obj(w);
		jw_kint(w, "major", major(st.st_rdev));
		jw_kint(w, "minor", minor(st.st_rdev));
		jw_key(w, "rate");
		jw_uint(w, t->rate);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	return 0;
}

static int put_blkio(const struct host_config *hc, struct jw *w, struct err *err)
{
	jw_kobj(w, "blockIO");
	if (hc->blkio_weight && cgroup_has(cgroup_is_v2() ? "io" : "blkio", "blkio.weight"))
		jw_kint(w, "weight", hc->blkio_weight);
	if (hc->blkio_weight_device.len) {
		jw_karr(w, "weightDevice");
		for (size_t i = 0; i < hc->blkio_weight_device.len; i++) {
			const struct weight_device *d = jlist_at(&hc->blkio_weight_device, i, &weight_device_desc);
			struct stat st;

			if (str_empty(d->path) || stat(d->path, &st) < 0 || !S_ISBLK(st.st_mode))
				return err_set(err, ERR_INVALID, "%.256s is not a block device", d->path ? d->path : "");
			jw_obj(w);
			jw_kint(w, "major", major(st.st_rdev));
			jw_kint(w, "minor", minor(st.st_rdev));
			jw_kint(w, "weight", d->weight);
			jw_obj_end(w);
		}
		jw_arr_end(w);
	}
	if (put_throttle("throttleReadBpsDevice", &hc->blkio_read_bps, w, err) < 0 ||
	    put_throttle("throttleWriteBpsDevice", &hc->blkio_write_bps, w, err) < 0 ||
	    put_throttle("throttleReadIOPSDevice", &hc->blkio_read_iops, w, err) < 0 ||
	    put_throttle("throttleWriteIOPSDevice", &hc->blkio_write_iops, w, err) < 0)
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
	if (hc->pids_limit.set && cgroup_controller("pids")) {
		jw_kobj(w, "pids");
		jw_kint(w, "limit", hc->pids_limit.v);
		jw_obj_end(w);
	}
	return 0;
}

int bundle_resources(const struct host_config *hc, struct jw *w, struct err *err)
{
	jw_kobj(w, "resources");
	jw_karr(w, "devices");
	if (bundle_device_rules(hc, w, err) < 0)
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
