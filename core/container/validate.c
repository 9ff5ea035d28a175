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
#include "base/id.h"
#include "container/bundle/bundle.h"
#include "container/bundle/caps.h"
#include "container/bundle/cdi.h"
#include "container/signals.h"
#include "container/spec.h"
#include "container/validate.h"

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
	static const int64_t least = NSEC_PER_MSEC;
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
	/* these become lines of files in the container */
	if (has_control(cfg->hostname) || has_control(cfg->domainname))
		return invalid(err, "invalid hostname: control characters are not allowed");
	if (!str_empty(cfg->hostname) && strlen(cfg->hostname) > 64)
		return invalid(err, "invalid hostname: %s is longer than 64 characters", cfg->hostname);
	if (!str_empty(cfg->mac_address) && !id_is_mac(cfg->mac_address))
		return invalid(err, "address %.64s: invalid MAC address", cfg->mac_address);
	if (has_control(cfg->user))
		return invalid(err, "invalid user: control characters are not allowed");
	for (size_t i = 0; i < cfg->volumes.len; i++)
		if (has_control(cfg->volumes.v[i]))
			return invalid(err, "invalid volume specification: control characters are not allowed");
	return 0;
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

	if (hc->network_mode && (streq(hc->network_mode, "container") || streq(hc->network_mode, "container:")))
		return invalid(err, "Invalid network mode: invalid container format container:<name|id>");
	if (check_mode("IPC", hc->ipc_mode, ipc, true, err) < 0 || check_mode("PID", hc->pid_mode, host, true, err) < 0 ||
	    check_mode("UTS", hc->uts_mode, host, false, err) < 0 || userns_check(hc, err) < 0)
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
	if (*name && !str_has_prefix(name, "on-") && max != 0)
		return invalid(err, "maximum retry count cannot be used with restart policy '%s'", name);
	if (max < 0)
		return invalid(err, "maximum retry count cannot be negative");
	if (hc->auto_remove && !none)
		return invalid(err, "can't create 'AutoRemove' container with restart policy");
	return 0;
}

/* Whether the kernel keeps the key per namespace. Runtimes take "a/b" for "a.b". */
static bool is_namespaced(const char *key, bool *ret_net, bool *ret_uts)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
		"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced" };
	OWN_FREE char *dotted = xstrdup(key);

	for (char *p = dotted; *p; p++)
		if (*p == '/')
			*p = '.';
	*ret_net = str_has_prefix(dotted, "net.");
	*ret_uts = streq(dotted, "kernel.domainname");
	if (*ret_net || *ret_uts || str_has_prefix(dotted, "fs.mqueue."))
		return true;
	for (size_t k = 0; k < ARRAY_LEN(ipc); k++)
		if (streq(dotted, ipc[k]))
			return true;
	return false;
}

static bool is_host(const char *mode)
{
	return mode && streq(mode, "host");
}

/* Namespaced keys only, and values that stay one value (a "+" or a line break smuggled another key past a runtime once). */
static int check_sysctls(const struct host_config *hc, struct err *err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";

	for (size_t i = 0; i < hc->sysctls.len; i++) {
		const char *key = hc->sysctls.v[i].key, *value = hc->sysctls.v[i].value;
		bool net, uts;

		if (!is_namespaced(key, &net, &uts) || strspn(key, letters) != strlen(key) || strstr(key, ".."))
			return invalid(err, "sysctl '%.128s' is not allowed", key);
		if (has_control(value) || strchr(value, '+'))
			return invalid(err, "invalid value for sysctl '%s'", key);
		if (net && is_host(hc->network_mode))
			return invalid(err, "sysctl '%s' is not allowed because host network is used", key);
		if (uts && is_host(hc->uts_mode))
			return invalid(err, "sysctl '%s' is not allowed because the host's UTS namespace is used", key);
		if (!net && !uts && is_host(hc->ipc_mode))
			return invalid(err, "sysctl '%s' is not allowed because host ipc is used", key);
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
	if (strmap_get(&hc->annotations, ""))
		return invalid(err, "invalid Annotations: the empty string is not permitted as an annotation key");
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

/* What is taken and has no effect. */
static void add_warnings(const struct host_config *hc, struct strv *warnings)
{
	if (!str_empty(hc->cgroup))
		strv_add(warnings, "The field Cgroup has no effect: no driver of this daemon reads it.");
	if (publish_any(hc) && is_host(hc->network_mode))
		strv_add(warnings, "Published ports are discarded when using host network mode");
}

/* What a container that lives in another's network has from that one. */
static int check_sharing(const struct container_config *cfg, const struct host_config *hc, struct err *err)
{
	bool shared = hc->network_mode && str_has_prefix(hc->network_mode, "container:");
	const char *what = NULL;

	if (shared && !str_empty(cfg->hostname))
		what = "hostname and the network mode";
	else if (hc->uts_mode && streq(hc->uts_mode, "host") && !str_empty(cfg->hostname))
		what = "hostname and the UTS mode";
	else if (shared && hc->links.len)
		what = "container type network can't be used with links. This would result in undefined behavior";
	else if (streq(hc->network_mode ? hc->network_mode : "", "host") && hc->links.len)
		what = "host type networking can't be used with links. This would result in undefined behavior";
	else if (shared && hc->dns.len)
		what = "dns and the network mode";
	else if (shared && hc->extra_hosts.len)
		what = "custom host-to-IP mapping and the network mode";
	else if ((shared || streq(hc->network_mode ? hc->network_mode : "", "host")) && !str_empty(cfg->mac_address))
		what = "mac-address and the network mode";
	else if (shared && publish_any(hc))
		what = "port publishing and the container type network mode";
	else if (shared && cfg->exposed_ports.len)
		what = "port exposing and the container type network mode";
	return what ? invalid(err, "conflicting options: %s", what) : 0;
}

int container_validate_asked(const struct container_config *cfg, const struct host_config *hc, struct err *err)
{
	if (!str_empty(cfg->stop_signal) && signal_parse(cfg->stop_signal) < 0)
		return invalid(err, "Invalid signal: %s", cfg->stop_signal);
	for (size_t i = 0; i < cfg->env.len; i++)
		if (!*cfg->env.v[i] || *cfg->env.v[i] == '=')
			return invalid(err, "invalid environment variable: %s", cfg->env.v[i]);
	if (cfg->healthcheck && check_health(cfg->healthcheck, err) < 0)
		return -1;
	return check_sharing(cfg, hc, err);
}

/* Docker's texts. */
static int check_userns(const struct host_config *hc, const struct daemon_defaults *d, struct err *err)
{
	uint32_t size;

	if (d->rootless && userns_auto(hc, &size))
		return invalid(err, "a user namespace of its own is not possible in rootless mode: the daemon has no ids but those of its own");
	if ((!d->userns_remap && !userns_auto(hc, &size)) || is_host(hc->userns_mode))
		return 0;
	if (hc->privileged)
		return invalid(err, "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running "
			"privileged mode");
	if (is_host(hc->network_mode))
		return invalid(err, "%s", NET_HOST_REFUSED);
	if (is_host(hc->pid_mode))
		return invalid(err, "cannot share the host PID namespace when user namespaces are enabled");
	return 0;
}

/* What the kernel keeps from a daemon that is no real root. */
static void check_nested(const struct host_config *hc, const struct daemon_defaults *d, struct strv *warnings)
{
	int least = d->rootless ? bundle_least_oom_score() : -1000;

	if (hc->oom_score_adj && hc->oom_score_adj < least)
		strv_addf(warnings, "The OOM score of a container cannot be below the daemon's in rootless mode: %" PRId64 " is discarded.",
			hc->oom_score_adj);
	if (d->no_cgroup && hc->device_cgroup_rules.len)
		strv_add(warnings, "Your kernel does not support device rules or the cgroup is not mounted. Device rules discarded.");
	if (d->no_cgroup && !str_empty(hc->cgroup_parent))
		strv_add(warnings, "Containers have no cgroups: the cgroup parent is discarded.");
}

int container_validate(const struct container_config *cfg, struct host_config *hc, const struct daemon_defaults *d, bool update,
	struct strv *warnings, struct err *err)
{
	if (check_config(cfg, err) < 0 || validate_limits(hc, update, warnings, err) < 0 || check_modes(hc, err) < 0 ||
	    check_restart(hc, err) < 0 || validate_security(hc, d->selinux, warnings, err) < 0 || check_sysctls(hc, err) < 0 ||
	    check_lists(hc, err) < 0 || check_devices(hc, err) < 0 || check_userns(hc, d, err) < 0 ||
	    publish_check(hc, err) < 0)
		return -1;
	check_nested(hc, d, warnings);
	if (hc->oom_score_adj < -1000 || hc->oom_score_adj > 1000)
		return invalid(err, "Invalid value %" PRId64 ", range for oom score adj is [-1000, 1000]", hc->oom_score_adj);
	if (hc->shm_size < 0)
		return invalid(err, "SHM size can not be less than 0");
	if (!str_empty(hc->isolation) && strcasecmp(hc->isolation, "default") != 0)
		return invalid(err, "Invalid isolation: \"%s\" - linux only supports 'default'", hc->isolation);
	if (caps_check("CapAdd", &hc->cap_add, err) < 0 || caps_check("CapDrop", &hc->cap_drop, err) < 0)
		return -1;
	if (!str_empty(hc->runtime) && !bundle_runtime(d, hc->runtime))
		return invalid(err, "Unknown runtime specified %s", hc->runtime);
	if (d->systemd_cgroup && !str_empty(hc->cgroup_parent) && !str_has_suffix(hc->cgroup_parent, ".slice"))
		return invalid(err, "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
	if (has_control(hc->cgroup_parent))
		return invalid(err, "invalid cgroup parent: control characters are not allowed");
	for (size_t i = 0; i < hc->tmpfs.len; i++)
		if (*hc->tmpfs.v[i].key != '/')
			return invalid(err, "invalid mount path: '%s' mount path must be absolute", hc->tmpfs.v[i].key);
	if (device_requests_check(&hc->device_requests, err) < 0)
		return -1;
	add_warnings(hc, warnings);
	return 0;
}
