/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Limits on hosts with other cgroups than this one: v1, v2, both at once, and kernels that lack some of it. */
#include <sys/stat.h>

#include "base/fs.h"
#include "container/bundle/parts.h"
#include "container/bundle/bundle.h"
#include "container/bundle/cgroup.h"
#include "container/bundle/security.h"
#include "container/validate.h"

#include "tap.h"

static char host[] = "/tmp/dkd-limits-XXXXXX";

static void put(const char *path, const char *text)
{
	OWN_FREE char *full = xasprintf("%s%s", host, path), *dir = xstrndup(full, (size_t)(strrchr(full, '/') - full));
	OWN_ERR struct err err = ERR_INIT;

	if (fs_mkdirs(dir, 0755, &err) < 0 || fs_write_atomic(AT_FDCWD, full, text, strlen(text), 0644, FS_RENAME_ONLY, &err) < 0)
		printf("# %s\n", err_text(&err));
}

static void drop(const char *path)
{
	OWN_FREE char *full = xasprintf("%s%s", host, path);

	fs_remove_tree(AT_FDCWD, full, NULL);
	cgroup_set_root(host);
}

static bool there(const char *path)
{
	OWN_FREE char *full = xasprintf("%s%s", host, path);

	return fs_exists(full);
}

static void clean(void)
{
	drop("/sys");
	drop("/proc");
}

static void make_v1(void)
{
	static const char *const files[] = { "memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes",
		"memory/memory.soft_limit_in_bytes", "memory/memory.swappiness", "memory/memory.oom_control", "pids/cgroup.procs",
		"cpu/cpu.shares", "cpu/cpu.cfs_quota_us", "cpu/cpu.rt_period_us", "cpuset/cpuset.cpus", "blkio/blkio.weight",
		"blkio/blkio.weight_device", "blkio/blkio.throttle.read_bps_device", "blkio/blkio.throttle.write_bps_device",
		"blkio/blkio.throttle.read_iops_device", "blkio/blkio.throttle.write_iops_device" };

	clean();
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_FREE char *path = xasprintf("/sys/fs/cgroup/%s", files[i]);

		put(path, "");
	}
	put("/proc/self/mounts", "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
		"cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n"
		"cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0\n"
		"cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
		"cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
	cgroup_set_root(host);
}

static void make_v2(const char *list)
{
	clean();
	put("/proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n");
	put("/sys/fs/cgroup/cgroup.controllers", list);
	put("/sys/fs/cgroup/empty/cgroup.controllers", "\n");
	put("/sys/fs/cgroup/x.slice/cgroup.controllers", list);
	put("/sys/fs/cgroup/x.slice/memory.max", "max");
	put("/sys/fs/cgroup/x.slice/memory.low", "0");
	put("/sys/fs/cgroup/x.slice/memory.swap.max", "max");
	put("/sys/fs/cgroup/x.slice/cpu.weight", "100");
	put("/sys/fs/cgroup/x.slice/cpu.max", "max 100000");
	put("/sys/fs/cgroup/x.slice/io.max", "");
	put("/sys/fs/cgroup/x.slice/io.bfq.weight", "");
	cgroup_set_root(host);
}

/* Checks the members of a HostConfig: the warning that comes, or "", and what the runtime would be told. */
static char *limits(const char *members, struct strv *warnings, struct err *err)
{
	OWN_FREE char *text = xasprintf("{%s}", members);
	OWN_JSON json_t *js = json_read(text, strlen(text), err);
	OWN_BUF struct buf b = { 0 };
	struct host_config hc = { 0 };
	struct jw w;
	bool fine;

	jw_init(&w, &b);
	fine = js && jdesc_decode(&host_config_desc, js, &hc, err) == 0 && validate_limits(&hc, false, warnings, err) == 0 &&
	       bundle_limits(&hc, &w, err) == 0;
	jdesc_clear(&host_config_desc, &hc);
	return fine ? buf_steal(&b) : NULL;
}

static void told(const char *members, const char *want, const char *what)
{
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = limits(members, &warnings, &err);

	ok(got && strstr(got, want) && !warnings.len, "%s: %s %s", what, got ? got : err_text(&err), warnings.len ? warnings.v[0] : "");
}

static void gone(const char *members, const char *member, const char *warning)
{
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = limits(members, &warnings, &err);

	ok(got && !strstr(got, member), "%s is not asked for: %s%s", member, got ? got : "", err_text(&err));
	is_str(warnings.len ? warnings.v[0] : "", warning, "with Docker's warning");
}

static void refused(const char *members, const char *text)
{
	OWN_STRV struct strv warnings = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = limits(members, &warnings, &err);

	is_str(got ? "taken" : err_text(&err), text, "%s", members);
}

static void test_v1(void)
{
	make_v1();
	ok(!cgroup_is_v2(), "v1 beside an empty unified hierarchy is v1");
	is_str(cgroup_controller("cpuacct"), "/sys/fs/cgroup/cpu", "controllers mounted together");
	for (int i = 0; i < CGROUP_FEATURE_COUNT; i++)
		ok(cgroup_can((enum cgroup_feature)i), "feature %d", i);
	told("\"Memory\":67108864,\"MemorySwap\":-1", "\"memory\":{\"limit\":67108864,\"swap\":-1}", "memory");
	told("\"MemoryReservation\":-1", "\"reservation\":-1", "a reservation that is taken away");
	told("\"CpuRealtimePeriod\":1000000,\"CpuRealtimeRuntime\":10000", "\"realtimePeriod\":1000000,\"realtimeRuntime\":10000", "real time");
	told("\"BlkioWeight\":300", "\"blockIO\":{\"weight\":300}", "I/O weight");
	gone("\"Memory\":67108864", "blockIO", "");
	drop("/sys/fs/cgroup/blkio/blkio.weight");
	put("/sys/fs/cgroup/blkio/blkio.bfq.io_serviced", "");
	drop("/nothing");
	told("\"BlkioWeight\":300", "\"blockIO\":{\"weight\":300}", "I/O weight of bfq");
}

static void test_v1_lacks(void)
{
	static const struct { const char *file, *members, *member, *warning; } rows[] = {
		{ "memory/memory.limit_in_bytes", "\"Memory\":67108864,\"MemorySwap\":-1", "\"limit\"",
		  "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded." },
		{ "memory/memory.memsw.limit_in_bytes", "\"Memory\":67108864", "\"swap\"",
		  "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap." },
		{ "memory/memory.swappiness", "\"MemorySwappiness\":10", "\"swappiness\"",
		  "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded." },
		{ "memory/memory.soft_limit_in_bytes", "\"MemoryReservation\":67108864", "\"reservation\"",
		  "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded." },
		{ "memory/memory.oom_control", "\"OomKillDisable\":true", "\"disableOOMKiller\"",
		  "Your kernel does not support OomKillDisable. OomKillDisable discarded." },
		{ "cpu/cpu.shares", "\"CpuShares\":512", "\"shares\"",
		  "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded." },
		{ "cpu/cpu.cfs_quota_us", "\"CpuQuota\":50000", "\"quota\"",
		  "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded." },
		{ "blkio/blkio.weight", "\"BlkioWeight\":300", "\"weight\"",
		  "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded." },
		{ "blkio/blkio.weight_device", "\"BlkioWeightDevice\":[{\"Path\":\"/dev/nosuch\",\"Weight\":300}]", "\"weightDevice\"",
		  "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded." },
		{ "blkio/blkio.throttle.read_bps_device", "\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/nosuch\",\"Rate\":300}]", "throttle",
		  "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded." },
		{ "blkio/blkio.throttle.write_bps_device", "\"BlkioDeviceWriteBps\":[{\"Path\":\"/dev/nosuch\",\"Rate\":300}]", "throttle",
		  "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded." },
		{ "blkio/blkio.throttle.read_iops_device", "\"BlkioDeviceReadIOps\":[{\"Path\":\"/dev/nosuch\",\"Rate\":300}]", "throttle",
		  "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded." },
		{ "blkio/blkio.throttle.write_iops_device", "\"BlkioDeviceWriteIOps\":[{\"Path\":\"/dev/nosuch\",\"Rate\":300}]", "throttle",
		  "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded." },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN_FREE char *path = xasprintf("/sys/fs/cgroup/%s", rows[i].file);

		make_v1();
		drop(path);
		gone(rows[i].members, rows[i].member, rows[i].warning);
	}
	make_v1();
	drop("/sys/fs/cgroup/cpu/cpu.rt_period_us");
	refused("\"CpuRealtimePeriod\":1000000", "kernel does not support CPU real-time scheduler");
	make_v1();
	drop("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
	refused("\"NanoCpus\":1000000000", "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted");
	put("/sys/fs/cgroup/memory/p/left/x", "");
	put("/sys/fs/cgroup/pids/p/left/x", "");
	put("/sys/fs/cgroup/pids/p/other/x", "");
	drop("/sys/fs/cgroup/memory/p/left/x");
	drop("/sys/fs/cgroup/pids/p/other/x");
	cgroup_sweep("/p/left", false);
	ok(!there("/sys/fs/cgroup/memory/p/left") && there("/sys/fs/cgroup/pids/p/left") && there("/sys/fs/cgroup/pids/p/other"),
		"an empty group goes, one in use and another's stay");
	clean();
	put("/proc/self/mounts", "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n");
	cgroup_set_root(host);
	gone("\"PidsLimit\":10", "\"pids\"", "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
	gone("\"CpusetCpus\":\"0\"", "\"cpus\"", "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
}

static void test_v2(void)
{
	make_v2("cpuset cpu io memory pids\n");
	ok(cgroup_is_v2(), "the unified hierarchy alone is v2");
	told("\"Memory\":67108864,\"MemorySwap\":134217728,\"MemoryReservation\":33554432",
		"\"memory\":{\"limit\":67108864,\"reservation\":33554432,\"swap\":134217728}", "memory");
	told("\"CpuShares\":512,\"CpuPeriod\":50000,\"CpuQuota\":20000", "\"cpu\":{\"shares\":512,\"quota\":20000,\"period\":50000}", "cpu");
	told("\"NanoCpus\":500000000", "\"quota\":50000,\"period\":100000", "nanocpus");
	told("\"PidsLimit\":10", "\"pids\":{\"limit\":10}", "pids");
	gone("\"OomKillDisable\":true", "\"disableOOMKiller\"", "Your kernel does not support OomKillDisable. OomKillDisable discarded.");
	gone("\"MemorySwappiness\":10", "\"swappiness\"",
		"Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.");
	refused("\"CpuRealtimeRuntime\":1000", "kernel does not support CPU real-time scheduler");
	drop("/sys/fs/cgroup/x.slice/memory.swap.max");
	gone("\"Memory\":67108864", "\"swap\"",
		"Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
	drop("/sys/fs/cgroup/x.slice/io.bfq.weight");
	gone("\"BlkioWeight\":300", "\"weight\"", "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
	make_v2("cpu memory\n");
	gone("\"PidsLimit\":10", "\"pids\"", "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
	make_v2("cpu memory\n");
	drop("/sys/fs/cgroup/x.slice");
	told("\"Memory\":67108864,\"MemorySwap\":-1", "\"swap\":-1", "with no group to look into the controller tells");
}

static void test_ranges(void)
{
	make_v1();
	refused("\"BlkioWeight\":9", "Range of blkio weight is from 10 to 1000");
	refused("\"BlkioWeightDevice\":[{\"Path\":\"/dev/x\",\"Weight\":1001}]", "Range of blkio weight is from 10 to 1000: /dev/x has 1001");
	refused("\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/nosuch\",\"Rate\":1}]", "stat /dev/nosuch: no such file or directory");
	refused("\"BlkioDeviceReadBps\":[{\"Path\":\"/dev/null\",\"Rate\":1}]", "/dev/null is not a block device");
	refused("\"CpuRealtimePeriod\":1000,\"CpuRealtimeRuntime\":2000", "cpu real-time runtime cannot be higher than cpu real-time period");
	refused("\"MemoryReservation\":-2", "Minimum memory reservation allowed is 6MB");
}

static void test_security(void)
{
	struct host_config hc = { 0 };
	struct security s;
	OWN_ERR struct err err = ERR_INIT;

	strv_add(&hc.security_opt, "no-new-privileges:true");
	strv_add(&hc.security_opt, "seccomp={\"a\":\"b=c\"}");
	strv_add(&hc.security_opt, "writable-cgroups=1");
	strv_add(&hc.security_opt, "label:disable");
	ok(security_parse(&hc, &s, &err) == 0 && s.no_new_privileges.v && s.writable_cgroups.v && s.labels, "options: %s", err_text(&err));
	is_str(s.seccomp, "{\"a\":\"b=c\"}", "the first = ends the key");
	strv_add(&hc.security_opt, "no-new-privileges=f");
	ok(security_parse(&hc, &s, &err) == 0 && s.no_new_privileges.set && !s.no_new_privileges.v, "the last word counts");
	strv_add(&hc.security_opt, "no-new-privileges=maybe");
	ok(security_parse(&hc, &s, &err) < 0, "no boolean");
	is_str(err_text(&err), "invalid --security-opt 2: \"no-new-privileges=maybe\"", "with Docker's text");
	strv_done(&hc.security_opt);
	strv_add(&hc.security_opt, "nosuch");
	ok(security_parse(&hc, &s, &err) < 0, "no option");
	is_str(err_text(&err), "invalid --security-opt 1: \"nosuch\"", "with Docker's text");
	strv_done(&hc.security_opt);
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;

	ok(mkdtemp(host) != NULL, "scratch");
	test_v1();
	test_v1_lacks();
	test_v2();
	test_ranges();
	test_security();
	cgroup_set_root("");
	ok(fs_remove_tree(AT_FDCWD, host, &err) == 0, "cleans up");
	return tap_done();
}
