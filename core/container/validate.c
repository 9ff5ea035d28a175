/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Docker checks of a create body before anything is made, with its texts; then what this build does not do, refused in
 * words; then what this kernel lacks, as warnings.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "container/bundle.h"
#include "container/caps.h"
#include "container/cgroup.h"
#include "container/signals.h"
#include "container/spec.h"

#define MIB (INT64_C(1) << 20)
#define MIN_MEMORY (6 * MIB)
#define CPUSET_MAX 8192

#define invalid(err, ...) err_set(err, ERR_INVALID, __VA_ARGS__)

static bool has_control(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

static int check_health(const struct image_health *h, struct err *err)
{
	static const int64_t least = NSEC_PER_SEC / 1000;
	const struct { const char *name; int64_t v; } times[] = {
		{ "Interval", h->interval }, { "Timeout", h->timeout }, { "StartPeriod", h->start_period }, { "StartInterval", h->start_interval },
	};

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (times[i].v != 0 && times[i].v < least)
			return invalid(err, "%s in Healthcheck cannot be less than 1ms", times[i].name);
	if (h->retries < 0)
		return invalid(err, "Retries in Healthcheck cannot be negative");
	return 0;
}

static int check_config(const struct container_config *cfg, struct err *err)
{
	if (!str_empty(cfg->working_dir) && *cfg->working_dir != '/')
		return invalid(err, "the working directory '%s' is invalid, it needs to be an absolute path", cfg->working_dir);
	if (!str_empty(cfg->stop_signal) && signal_parse(cfg->stop_signal) < 0)
		return invalid(err, "Invalid signal: %s", cfg->stop_signal);
	for (size_t i = 0; i < cfg->env.len; i++)
		if (!*cfg->env.v[i] || *cfg->env.v[i] == '=')
			return invalid(err, "invalid environment variable: %s", cfg->env.v[i]);
	if (cfg->healthcheck && check_health(cfg->healthcheck, err) < 0)
		return -1;
	/* these become lines of files in the container */
	if (has_control(cfg->hostname) || has_control(cfg->domainname))
		return invalid(err, "invalid hostname: control characters are not allowed");
	if (!str_empty(cfg->hostname) && strlen(cfg->hostname) > 64)
		return invalid(err, "invalid hostname: %s is longer than 64 characters", cfg->hostname);
	if (has_control(cfg->user))
		return invalid(err, "invalid user: control characters are not allowed");
	for (size_t i = 0; i < cfg->volumes.len; i++)
		if (*cfg->volumes.v[i] != '/')
			return invalid(err, "invalid volume specification: '%s': mount path must be absolute", cfg->volumes.v[i]);
	return 0;
}

static int check_memory(const struct host_config *hc, struct err *err)
{
	if (hc->memory != 0 && hc->memory < MIN_MEMORY)
		return invalid(err, "Minimum memory limit allowed is 6MB");
	if (hc->memory > 0 && hc->memory_swap > 0 && hc->memory_swap < hc->memory)
		return invalid(err, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (hc->memory == 0 && hc->memory_swap > 0)
		return invalid(err, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (hc->memory_swap < -1)
		return invalid(err, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (hc->memory_swappiness.set && (hc->memory_swappiness.v < -1 || hc->memory_swappiness.v > 100))
		return invalid(err, "Invalid value: %" PRId64 ", valid memory swappiness range is 0-100", hc->memory_swappiness.v);
	if (hc->memory_reservation != 0 && hc->memory_reservation < MIN_MEMORY)
		return invalid(err, "Minimum memory reservation allowed is 6MB");
	if (hc->memory > 0 && hc->memory_reservation > 0 && hc->memory < hc->memory_reservation)
		return invalid(err, "Minimum memory limit can not be less than memory reservation limit, see usage");
	return 0;
}

/* "0-3,7": every number below the bound that the list file (also such a list) allows. */
static int parse_cpuset(const char *s, uint8_t set[CPUSET_MAX])
{
	memset(set, 0, CPUSET_MAX);
	while (*s) {
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
		if (to < from)
			return -1;
		if (to >= CPUSET_MAX)
			return 1;
		for (unsigned long i = from; i <= to; i++)
			set[i] = 1;
		if (*end && *end != ',' && *end != '\n')
			return -1;
		s = end + (*end != '\0');
	}
	return 0;
}

static int check_cpuset(const char *value, const char *file, const char *what, const char *unit, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE uint8_t *want = NULL, *have = NULL;
	int r;

	if (str_empty(value))
		return 0;
	want = xmalloc(CPUSET_MAX);
	have = xmalloc(CPUSET_MAX);
	r = parse_cpuset(value, want);
	if (r < 0)
		return invalid(err, "Invalid value %.64s for cpuset %s: invalid format: %.64s", value, what, value);
	if (fs_read(AT_FDCWD, file, 4096, &b, NULL) < 0)
		return 0; /* the runtime will tell */
	b.data[strcspn(b.data, "\n")] = '\0';
	parse_cpuset(b.data, have);
	for (size_t i = 0; r == 0 && i < CPUSET_MAX; i++)
		if (want[i] && !have[i])
			r = 1;
	return r ? invalid(err, "Requested %s are not available - requested %.64s, available: %s", unit, value, b.data) : 0;
}

static int check_cpu(const struct host_config *hc, struct err *err)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (hc->nano_cpus != 0 && (hc->nano_cpus < 10000000 || hc->nano_cpus > cpus * NSEC_PER_SEC))
		return invalid(err, "Range of CPUs is from 0.01 to %ld.00, as there are only %ld CPUs available", cpus, cpus);
	if (hc->nano_cpus > 0 && hc->cpu_period > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Period cannot both be set");
	if (hc->nano_cpus > 0 && hc->cpu_quota > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU Quota cannot both be set");
	if (hc->cpu_period != 0 && (hc->cpu_period < 1000 || hc->cpu_period > 1000000))
		return invalid(err, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (hc->cpu_quota > 0 && hc->cpu_quota < 1000)
		return invalid(err, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	if (hc->cpu_shares < 0)
		return invalid(err, "invalid CPU shares (%" PRId64 "): value must be a positive integer", hc->cpu_shares);
	if (check_cpuset(hc->cpuset_cpus, "/sys/devices/system/cpu/online", "cpus", "CPUs", err) < 0)
		return -1;
	return check_cpuset(hc->cpuset_mems, "/sys/devices/system/node/online", "mems", "memory nodes", err);
}

static int check_mode(const char *what, const char *mode, const char *const *words, bool container, struct err *err)
{
	if (str_empty(mode))
		return 0;
	for (; *words; words++)
		if (streq(mode, *words))
			return 0;
	if (container && str_has_prefix(mode, "container:") && mode[10])
		return 0;
	return invalid(err, "invalid %s mode: %s", what, mode);
}

static int check_modes(const struct host_config *hc, struct err *err)
{
	static const char *const ipc[] = { "none", "private", "shareable", "host", NULL }, *const host[] = { "host", NULL },
		*const cgroupns[] = { "private", "host", NULL };

	if (hc->network_mode && str_has_prefix(hc->network_mode, "container:") && !hc->network_mode[10])
		return invalid(err, "Invalid network mode: invalid container format container:<name|id>");
	if (check_mode("IPC", hc->ipc_mode, ipc, true, err) < 0 || check_mode("PID", hc->pid_mode, host, true, err) < 0 ||
	    check_mode("UTS", hc->uts_mode, host, false, err) < 0 || check_mode("userns", hc->userns_mode, host, false, err) < 0)
		return -1;
	return check_mode("cgroup namespace", hc->cgroupns_mode, cgroupns, false, err);
}

static int check_restart(const struct host_config *hc, struct err *err)
{
	const char *name = hc->restart.name ? hc->restart.name : "";
	int64_t max = hc->restart.maximum_retry_count;
	bool none = !*name || streq(name, "no");

	if (!none && !streq(name, "always") && !streq(name, "unless-stopped") && !streq(name, "on-failure") &&
		!streq(name, "on-unhealthy"))
		return invalid(err, "invalid restart policy '%s'", name);
	if (!str_has_prefix(name, "on-") && max != 0)
		return invalid(err, "maximum retry count cannot be used with restart policy '%s'", name);
	if (max < 0)
		return invalid(err, "maximum retry count cannot be negative");
	if (hc->auto_remove && !none)
		return invalid(err, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

static int check_security(const struct host_config *hc, struct err *err)
{
	for (size_t i = 0; i < hc->security_opt.len; i++) {
		const char *opt = hc->security_opt.v[i], *value = opt + strcspn(opt, "=:");

		if (streq(opt, "no-new-privileges") || streq(opt, "no-new-privileges=true") || streq(opt, "no-new-privileges=false") ||
		    streq(opt, "no-new-privileges:true") || streq(opt, "no-new-privileges:false"))
			continue;
		if (streq(opt, "disable") || streq(opt, "label=disable") || streq(opt, "label:disable"))
			continue;
		if (!*value)
			return invalid(err, "invalid --security-opt 1: \"%s\"", opt);
		if (str_has_prefix(opt, "seccomp") && value == opt + 7)
			continue;
		if (str_has_prefix(opt, "apparmor") && value == opt + 8) {
			if (!streq(value + 1, "unconfined") && *(value + 1))
				return err_set(err, ERR_NOT_IMPLEMENTED, "AppArmor profiles are not in this build: --security-opt %s", opt);
			continue;
		}
		if (str_has_prefix(opt, "label") && value == opt + 5)
			return err_set(err, ERR_NOT_IMPLEMENTED, "SELinux labels are not in this build: --security-opt %s", opt);
		if (str_has_prefix(opt, "writable-cgroups") && value == opt + 16 && (streq(value + 1, "true") || streq(value + 1, "false")))
			continue;
		return invalid(err, "invalid --security-opt 2: \"%s\"", opt);
	}
	return 0;
}

/* Namespaced keys only, and values that stay one value (a "+" or a line break smuggled another key past a runtime once). */
static int check_sysctls(const struct host_config *hc, struct err *err)
{
	static const char *const exact[] = { "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
		"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced" };

	for (size_t i = 0; i < hc->sysctls.len; i++) {
		const char *key = hc->sysctls.v[i].key, *value = hc->sysctls.v[i].value;
		bool allowed = str_has_prefix(key, "net.") || str_has_prefix(key, "fs.mqueue.");

		for (size_t k = 0; !allowed && k < ARRAY_LEN(exact); k++)
			allowed = streq(key, exact[k]);
		if (!allowed || strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != strlen(key) || strstr(key, ".."))
			return invalid(err, "sysctl '%.128s' is not allowed", key);
		if (has_control(value) || strchr(value, '+'))
			return invalid(err, "invalid value for sysctl '%s'", key);
		if (str_has_prefix(key, "net.") && hc->network_mode && streq(hc->network_mode, "host"))
			return invalid(err, "sysctl '%s' is not allowed because host network is used", key);
	}
	return 0;
}

static int check_lists(const struct host_config *hc, struct err *err)
{
	for (size_t i = 0; i < hc->extra_hosts.len; i++) {
		const char *h = hc->extra_hosts.v[i], *ip = strchr(h, ':');
		unsigned char addr[16];

		if (!ip || ip == h || has_control(h) || strchr(h, ' '))
			return invalid(err, "bad format for add-host: \"%s\"", h);
		ip++;
		if (!streq(ip, "host-gateway") && inet_pton(AF_INET, ip, addr) != 1 && inet_pton(AF_INET6, ip, addr) != 1)
			return invalid(err, "invalid IP address in add-host: \"%s\"", ip);
	}
	for (size_t i = 0; i < hc->dns.len; i++) {
		unsigned char addr[16];

		if (inet_pton(AF_INET, hc->dns.v[i], addr) != 1 && inet_pton(AF_INET6, hc->dns.v[i], addr) != 1)
			return invalid(err, "bad nameserver address: %.64s", hc->dns.v[i]);
	}
	for (size_t i = 0; i < hc->dns_search.len; i++)
		if (has_control(hc->dns_search.v[i]) || strchr(hc->dns_search.v[i], ' '))
			return invalid(err, "invalid DNS search domain: %.64s", hc->dns_search.v[i]);
	for (size_t i = 0; i < hc->dns_options.len; i++)
		if (has_control(hc->dns_options.v[i]) || strchr(hc->dns_options.v[i], ' '))
			return invalid(err, "invalid DNS option: %.64s", hc->dns_options.v[i]);
	for (size_t i = 0; i < hc->ulimits.len; i++) {
		const struct ulimit *u = jlist_at(&hc->ulimits, i, &ulimit_desc);

		if (u->hard != -1 && (u->soft > u->hard || u->soft == -1))
			return invalid(err, "ulimit soft limit must be less than or equal to hard limit: %" PRId64 " > %" PRId64, u->soft, u->hard);
		if (!u->name || !bundle_rlimit(u->name))
			return invalid(err, "invalid ulimit type: %.64s", u->name ? u->name : "");
	}
	return 0;
}

static int check_devices(const struct host_config *hc, struct err *err)
{
	for (size_t i = 0; i < hc->devices.len; i++) {
		const struct device_mapping *d = jlist_at(&hc->devices, i, &device_mapping_desc);

		if (str_empty(d->path_on_host))
			return invalid(err, "invalid device mapping: no path on the host");
		if (d->cgroup_permissions && strspn(d->cgroup_permissions, "rwm") != strlen(d->cgroup_permissions))
			return invalid(err, "invalid device permissions '%.16s': r, w and m are known", d->cgroup_permissions);
	}
	for (size_t i = 0; i < hc->device_cgroup_rules.len; i++)
		if (!bundle_device_rule(hc->device_cgroup_rules.v[i], NULL))
			return invalid(err, "invalid device cgroup rule format: '%.64s'", hc->device_cgroup_rules.v[i]);
	return 0;
}

static bool publishes(const struct host_config *hc)
{
	const char *p = hc->port_bindings;

	return hc->publish_all_ports || (p && !streq(p, "{}") && !streq(p, "null"));
}

/* Accepted by Docker, without effect here yet: words instead of silence. */
static int check_missing(const struct container_config *cfg, const struct host_config *hc, struct err *err)
{
	const char *what = NULL;

	if (hc->device_requests.len)
		what = "device requests (--gpus, CDI)";
	else if (hc->links.len)
		what = "links";
	else if (!str_empty(cfg->mac_address))
		what = "a MAC address";
	else if (hc->cpu_rt_period || hc->cpu_rt_runtime)
		what = "CPU realtime limits";
	else if (!str_empty(hc->cgroup))
		what = "the Cgroup field";
	if (what)
		return err_set(err, ERR_NOT_IMPLEMENTED, "%s: not in this build", what);
	return 0;
}

static void warn_unless(bool there, struct strv *warnings, const char *text)
{
	if (!there)
		strv_add(warnings, text);
}

/* Kernel features that are missing: Docker's sentences. The runtime is then not asked for them (bundle.c asks cgroup_has too). */
static void add_warnings(const struct container_config *cfg, const struct host_config *hc, struct strv *warnings)
{
	if (hc->memory > 0)
		warn_unless(cgroup_controller("memory"), warnings, "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.");
	if (hc->memory > 0 && hc->memory_swap != -1 && cgroup_controller("memory"))
		warn_unless(cgroup_has("memory", "memory.memsw.limit_in_bytes"), warnings, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.");
	if (hc->pids_limit.set)
		warn_unless(cgroup_controller("pids"), warnings, "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.");
	if (hc->cpu_shares > 0)
		warn_unless(cgroup_has("cpu", "cpu.shares"), warnings, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
	if (hc->cpu_quota > 0 || hc->cpu_period > 0 || hc->nano_cpus > 0)
		warn_unless(cgroup_has("cpu", "cpu.cfs_quota_us"), warnings, "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
	if (hc->blkio_weight > 0)
		warn_unless(cgroup_has(cgroup_is_v2() ? "io" : "blkio", "blkio.weight"), warnings, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
	if (hc->oom_kill_disable.set && hc->oom_kill_disable.v && hc->memory == 0)
		strv_add(warnings, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.");
	if (hc->kernel_memory || hc->kernel_memory_tcp)
		strv_add(warnings, "Kernel memory limits are not supported by this daemon. Limitation discarded.");
	if (hc->cpu_count || hc->cpu_percent || hc->io_max_iops || hc->io_max_bps)
		strv_add(warnings, "CpuCount, CpuPercent, IOMaximumIOps and IOMaximumBandwidth are for Windows. Limitation discarded.");
	if (strmap_get(&hc->log.config, "max-buffer-size") || (strmap_get(&hc->log.config, "mode") &&
	    streq(strmap_get(&hc->log.config, "mode"), "non-blocking")))
		strv_add(warnings, "The log options mode=non-blocking and max-buffer-size have no effect: the log is written by a process of its own.");
	if (publishes(hc))
		strv_add(warnings, "Published ports are discarded: this build does not publish ports yet.");
}

/* "80", "80/tcp", "8000-8010/udp" */
static bool is_port(const char *s)
{
	char *end;
	unsigned long from = strtoul(s, &end, 10), to = from;

	if (end == s || *s < '0' || *s > '9')
		return false;
	if (*end == '-') {
		const char *second = end + 1;

		to = strtoul(second, &end, 10);
		if (end == second)
			return false;
	}
	return from <= 65535 && to <= 65535 && from <= to && (!*end || !strcasecmp(end, "/tcp") || !strcasecmp(end, "/udp") || !strcasecmp(end, "/sctp"));
}

static int check_ports(const struct host_config *hc, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	const char *key;
	json_t *item;

	if (!hc->port_bindings)
		return 0;
	js = json_read(hc->port_bindings, strlen(hc->port_bindings), err);
	if (!js)
		return -1;
	if (!json_is_object(js) && !json_is_null(js))
		return invalid(err, "invalid JSON: /HostConfig/PortBindings: expected an object");
	json_object_foreach(js, key, item) {
		size_t i;
		json_t *b;

		if (!is_port(key))
			return invalid(err, "invalid port specification: \"%.64s\"", key);
		if (!json_is_array(item) && !json_is_null(item))
			return invalid(err, "invalid JSON: /HostConfig/PortBindings/%.64s: expected an array", key);
		json_array_foreach(item, i, b) {
			const char *port = json_string_value(json_object_get(b, "HostPort"));

			if (!json_is_object(b))
				return invalid(err, "invalid JSON: /HostConfig/PortBindings/%.64s/%zu: expected an object", key, i);
			if (port && *port && (!is_port(port) || strchr(port, '/')))
				return invalid(err, "invalid port specification: \"%.64s\"", port);
		}
	}
	return 0;
}

int container_validate_sharing(const struct container_config *cfg, const struct host_config *hc, struct err *err)
{
	bool shared = hc->network_mode && str_has_prefix(hc->network_mode, "container:");
	const char *what = NULL;

	if (shared && !str_empty(cfg->hostname))
		what = "hostname and the network mode";
	else if (hc->uts_mode && streq(hc->uts_mode, "host") && !str_empty(cfg->hostname))
		what = "hostname and the UTS mode";
	else if (shared && hc->links.len)
		what = "container type network can't be used with links. This would result in undefined behavior";
	else if (shared && hc->dns.len)
		what = "dns and the network mode";
	else if (shared && hc->extra_hosts.len)
		what = "custom host-to-IP mapping and the network mode";
	else if ((shared || streq(hc->network_mode ? hc->network_mode : "", "host")) && !str_empty(cfg->mac_address))
		what = "mac-address and the network mode";
	else if (shared && publishes(hc))
		what = "port publishing and the container type network mode";
	else if (shared && cfg->exposed_ports.len)
		what = "port exposing and the container type network mode";
	return what ? invalid(err, "conflicting options: %s", what) : 0;
}

int container_validate(const struct container_config *cfg, const struct host_config *hc, const struct daemon_defaults *d,
	struct strv *warnings, struct err *err)
{
	if (check_config(cfg, err) < 0 || check_memory(hc, err) < 0 || check_cpu(hc, err) < 0 || check_modes(hc, err) < 0 ||
	    check_restart(hc, err) < 0 || check_security(hc, err) < 0 || check_sysctls(hc, err) < 0 || check_lists(hc, err) < 0 ||
	    check_devices(hc, err) < 0 || check_ports(hc, err) < 0)
		return -1;
	if (hc->oom_score_adj < -1000 || hc->oom_score_adj > 1000)
		return invalid(err, "Invalid value %" PRId64 ", range for oom score adj is [-1000, 1000]", hc->oom_score_adj);
	if (hc->shm_size < 0)
		return invalid(err, "SHM size can not be less than 0");
	if (hc->blkio_weight != 0 && (hc->blkio_weight < 10 || hc->blkio_weight > 1000))
		return invalid(err, "range of blkio weight is from 10 to 1000");
	if (!str_empty(hc->isolation) && strcasecmp(hc->isolation, "default") != 0)
		return invalid(err, "Invalid isolation: \"%s\" - linux only supports 'default'", hc->isolation);
	if (caps_check("CapAdd", &hc->cap_add, err) < 0 || caps_check("CapDrop", &hc->cap_drop, err) < 0)
		return -1;
	if (!str_empty(hc->runtime) && !strmap_get(&d->runtimes, hc->runtime))
		return invalid(err, "Unknown runtime specified %s", hc->runtime);
	if (d->systemd_cgroup && !str_empty(hc->cgroup_parent) && !str_has_suffix(hc->cgroup_parent, ".slice"))
		return invalid(err, "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
	if (hc->cgroup_parent && strstr(hc->cgroup_parent, ".."))
		return invalid(err, "invalid cgroup parent: %.128s", hc->cgroup_parent);
	for (size_t i = 0; i < hc->tmpfs.len; i++)
		if (*hc->tmpfs.v[i].key != '/')
			return invalid(err, "invalid mount path: '%s' mount path must be absolute", hc->tmpfs.v[i].key);
	if (check_missing(cfg, hc, err) < 0)
		return -1;
	add_warnings(cfg, hc, warnings);
	return 0;
}
