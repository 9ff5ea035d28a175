/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Docker checks of the limits in a create or update body, with its texts and in its order. A limit that this kernel
 * does not have is taken out again, with Docker's warning.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "container/bundle/parts.h"
#include "container/bundle/cgroup.h"
#include "container/validate.h"

#define MIB (INT64_C(1) << 20)
#define MIN_MEMORY (6 * MIB)
#define CPUSET_LAST 8192

#define invalid(err, ...) err_set(err, ERR_INVALID, __VA_ARGS__)

/* True when the limit was asked for and is not to be had: the text becomes a warning. */
static bool missing(bool wanted, enum cgroup_feature feature, struct strv *warnings, const char *text)
{
	bool gone = wanted && !cgroup_can(feature);

	if (gone)
		strv_add(warnings, text);
	return gone;
}

static int check_swap(struct host_config *hc, bool update, struct strv *warnings, struct err *err)
{
	if (missing(hc->memory > 0 && hc->memory_swap != -1, CGROUP_SWAP, warnings,
		    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."))
		hc->memory_swap = -1;
	if (hc->memory > 0 && hc->memory_swap > 0 && hc->memory_swap < hc->memory)
		return invalid(err, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (hc->memory == 0 && hc->memory_swap > 0 && !update)
		return invalid(err, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (hc->memory_swap < -1)
		return invalid(err, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (missing(hc->memory_swappiness.set && hc->memory_swappiness.v != -1, CGROUP_SWAPPINESS, warnings,
		    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded."))
		hc->memory_swappiness.set = false;
	if (hc->memory_swappiness.set && (hc->memory_swappiness.v < -1 || hc->memory_swappiness.v > 100))
		return invalid(err, "Invalid value: %" PRId64 ", valid memory swappiness range is 0-100", hc->memory_swappiness.v);
	return 0;
}

static int check_memory(struct host_config *hc, bool update, struct strv *warnings, struct err *err)
{
	if (hc->memory != 0 && hc->memory < MIN_MEMORY)
		return invalid(err, "Minimum memory limit allowed is 6MB");
	if (missing(hc->memory > 0, CGROUP_MEMORY, warnings,
		    "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.")) {
		hc->memory = 0;
		hc->memory_swap = -1;
	}
	if (check_swap(hc, update, warnings, err) < 0)
		return -1;
	if (missing(hc->memory_reservation > 0, CGROUP_RESERVATION, warnings,
		    "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded."))
		hc->memory_reservation = 0;
	if (hc->memory_reservation < -1 || (hc->memory_reservation > 0 && hc->memory_reservation < MIN_MEMORY))
		return invalid(err, "Minimum memory reservation allowed is 6MB");
	if (hc->memory > 0 && hc->memory_reservation > 0 && hc->memory < hc->memory_reservation)
		return invalid(err, "Minimum memory limit can not be less than memory reservation limit, see usage");
	/* Kernels since 5.16 take the value of v1 and do nothing with it, v2 never had one. */
	if (hc->kernel_memory || hc->kernel_memory_tcp)
		strv_add(warnings, "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
				   "Limitation discarded.");
	hc->kernel_memory = hc->kernel_memory_tcp = 0;
	return 0;
}

static void check_oom(struct host_config *hc, struct strv *warnings)
{
	if (!hc->oom_kill_disable.set)
		return;
	missing(hc->oom_kill_disable.v, CGROUP_OOM_KILL_DISABLE, warnings,
		"Your kernel does not support OomKillDisable. OomKillDisable discarded.");
	if (!cgroup_can(CGROUP_OOM_KILL_DISABLE))
		hc->oom_kill_disable = (struct opt_bool){ false, false };
	if (hc->oom_kill_disable.v && hc->memory == 0)
		strv_add(warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system "
				   "running out of resources.");
}

/* "0-3,7": 0, or -1 for what is no such list, -2 for a number past the last that is looked at. */
static int parse_cpuset(const char *s, uint8_t set[CPUSET_LAST + 1])
{
	memset(set, 0, CPUSET_LAST + 1);
	do {
		char *end;
		unsigned long from, to;

		if (*s < '0' || *s > '9')
			return -1;
		from = to = strtoul(s, &end, 10);
		if (*end == '-') {
			s = end + 1;
			if (*s < '0' || *s > '9')
				return -1;
			to = strtoul(s, &end, 10);
		}
		if (to < from || (*end && *end != ','))
			return -1;
		if (to > CPUSET_LAST)
			return -2;
		for (unsigned long i = from; i <= to; i++)
			set[i] = 1;
		s = end + 1;
	} while (s[-1]);
	return 0;
}

static int check_set(const char *value, const char *file, const char *what, const char *unit, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE uint8_t *want = NULL, *have = NULL;
	int r;

	if (str_empty(value))
		return 0;
	want = xmalloc(CPUSET_LAST + 1);
	have = xmalloc(CPUSET_LAST + 1);
	r = parse_cpuset(value, want);
	if (r == -2)
		return invalid(err, "Invalid value %.64s for cpuset %s: value of out range, maximum is %d", value, what, CPUSET_LAST);
	if (r < 0)
		return invalid(err, "Invalid value %.64s for cpuset %s: invalid format: %.64s", value, what, value);
	if (fs_read(AT_FDCWD, file, 4096, &b, NULL) < 0)
		return 0; /* the runtime will tell */
	b.data[strcspn(b.data, "\n")] = '\0';
	parse_cpuset(b.data, have);
	for (size_t i = 0; i <= CPUSET_LAST; i++)
		if (want[i] && !have[i])
			return invalid(err, "Requested %s are not available - requested %.64s, available: %s", unit, value, b.data);
	return 0;
}

static int check_cpuset(struct host_config *hc, struct strv *warnings, struct err *err)
{
	if (missing(!str_empty(hc->cpuset_cpus) || !str_empty(hc->cpuset_mems), CGROUP_CPUSET, warnings,
		    "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.")) {
		str_set(&hc->cpuset_cpus, "");
		str_set(&hc->cpuset_mems, "");
	}
	if (check_set(hc->cpuset_cpus, "/sys/devices/system/cpu/online", "cpus", "CPUs", err) < 0)
		return -1;
	return check_set(hc->cpuset_mems, "/sys/devices/system/node/online", "mems", "memory nodes", err);
}

static int check_realtime(const struct host_config *hc, struct err *err)
{
	if ((hc->cpu_rt_period || hc->cpu_rt_runtime) && !cgroup_can(CGROUP_CPU_RT))
		return invalid(err, "kernel does not support CPU real-time scheduler");
	if (hc->cpu_rt_period && hc->cpu_rt_runtime > hc->cpu_rt_period)
		return invalid(err, "cpu real-time runtime cannot be higher than cpu real-time period");
	if (hc->cpu_rt_period < 0 || hc->cpu_rt_runtime < 0)
		return invalid(err, "cpu real-time period and runtime cannot be negative");
	return 0;
}

static int check_cpu(struct host_config *hc, struct strv *warnings, struct err *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (hc->nano_cpus > 0 && hc->cpu_period > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
	if (hc->nano_cpus > 0 && hc->cpu_quota > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	/* compose files are full of them: where nothing is limited they are no more of an error than the rest */
	if (cgroup_none() && missing(hc->nano_cpus > 0, CGROUP_CPU_CFS, warnings,
		    "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. NanoCPUs discarded."))
		hc->nano_cpus = 0;
	if (hc->nano_cpus > 0 && !cgroup_can(CGROUP_CPU_CFS))
		return invalid(err, "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
	if (hc->nano_cpus != 0 && (hc->nano_cpus < 10000000 || hc->nano_cpus > cpus * NSEC_PER_SEC))
		return invalid(err, "Range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs available", cpus, cpus);
	if (missing(hc->cpu_shares > 0, CGROUP_CPU_SHARES, warnings,
		    "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded."))
		hc->cpu_shares = 0;
	if (missing(hc->cpu_period != 0 || hc->cpu_quota != 0, CGROUP_CPU_CFS, warnings,
		    "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded."))
		hc->cpu_period = hc->cpu_quota = 0;
	if (hc->cpu_period != 0 && (hc->cpu_period < 1000 || hc->cpu_period > 1000000))
		return invalid(err, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (hc->cpu_quota > 0 && hc->cpu_quota < 1000)
		return invalid(err, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (hc->cpu_shares < 0)
		return invalid(err, "invalid CPU shares (%" PRId64 "): value must be a positive integer", hc->cpu_shares);
	return check_realtime(hc, err);
}

static void drop_list(struct jlist *l, const struct jdesc *d)
{
	for (size_t i = 0; i < l->len; i++)
		jdesc_clear(d, jlist_at(l, i, d));
	l->len = 0;
}

/* The scheduler that keeps weights is chosen per disk. */
static void warn_weights(const struct host_config *hc, struct strv *warnings)
{
	for (size_t i = 0; i < hc->blkio_weight_device.len; i++) {
		const struct weight_device *d = jlist_at(&hc->blkio_weight_device, i, &weight_device_desc);
		struct stat st;

		if (d->path && stat(d->path, &st) == 0 && S_ISBLK(st.st_mode) && !bundle_has_weights(st.st_rdev))
			strv_addf(warnings, "The scheduler of %s is not bfq: its Block I/O weight has no effect.", d->path);
	}
}

static void drop_missing_io(struct host_config *hc, struct strv *warnings)
{
	static const char rest[] = "limit or the cgroup is not mounted. Block I/O";
	const struct { struct jlist *list; enum cgroup_feature feature; const char *kind, *way; } limits[] = {
		{ &hc->blkio_read_bps, CGROUP_READ_BPS, "BPS Block I/O read", "BPS read" },
		{ &hc->blkio_write_bps, CGROUP_WRITE_BPS, "BPS Block I/O write", "BPS write" },
		{ &hc->blkio_read_iops, CGROUP_READ_IOPS, "IOPS Block read", "IOPS read" },
		{ &hc->blkio_write_iops, CGROUP_WRITE_IOPS, "IOPS Block write", "IOPS write" },
	};

	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		OWN_FREE char *text = xasprintf("Your kernel does not support %s %s %s limit discarded.", limits[i].kind, rest, limits[i].way);

		if (missing(limits[i].list->len > 0, limits[i].feature, warnings, text))
			drop_list(limits[i].list, &throttle_device_desc);
	}
}

static int check_blkio(struct host_config *hc, struct strv *warnings, struct err *err)
{
	if (missing(hc->blkio_weight > 0, CGROUP_BLKIO_WEIGHT, warnings,
		    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."))
		hc->blkio_weight = 0;
	if (hc->blkio_weight != 0 && (hc->blkio_weight < 10 || hc->blkio_weight > 1000))
		return invalid(err, "Range of blkio weight is from 10 to 1000");
	if (missing(hc->blkio_weight_device.len > 0, CGROUP_BLKIO_WEIGHT_DEVICE, warnings,
		    "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."))
		drop_list(&hc->blkio_weight_device, &weight_device_desc);
	for (size_t i = 0; i < hc->blkio_weight_device.len; i++) {
		const struct weight_device *d = jlist_at(&hc->blkio_weight_device, i, &weight_device_desc);

		if (d->weight < 10 || d->weight > 1000)
			return invalid(err, "Range of blkio weight is from 10 to 1000: %.256s has %" PRId64, d->path ? d->path : "", d->weight);
	}
	warn_weights(hc, warnings);
	drop_missing_io(hc, warnings);
	return 0;
}

/* What only Windows has. */
static int check_windows(struct host_config *hc, struct strv *warnings, struct err *err)
{
	if (hc->io_max_bps)
		return invalid(err, "Invalid QoS settings: linux does not support configuration of maximum bandwidth");
	if (hc->io_max_iops)
		return invalid(err, "Invalid QoS settings: linux does not support configuration of maximum IOPs");
	if (hc->cpu_percent > 0)
		strv_add(warnings, "linux does not support CPU percent. Percent discarded.");
	if (hc->cpu_count > 0)
		strv_add(warnings, "linux does not support CPU count. Count discarded.");
	hc->cpu_percent = hc->cpu_count = 0;
	return 0;
}

int validate_limits(struct host_config *hc, bool update, struct strv *warnings, struct err *err)
{
	if (check_windows(hc, warnings, err) < 0 || check_memory(hc, update, warnings, err) < 0)
		return -1;
	check_oom(hc, warnings);
	if (missing(hc->pids_limit.set && hc->pids_limit.v > 0, CGROUP_PIDS, warnings,
		    "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded."))
		hc->pids_limit.set = false;
	if (check_cpu(hc, warnings, err) < 0 || check_cpuset(hc, warnings, err) < 0)
		return -1;
	return check_blkio(hc, warnings, err);
}
