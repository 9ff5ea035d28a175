/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/spec.h"

#include <strings.h>

#include "base/fs.h"
#include "container/bundle/bundle.h"
#include "container/bundle/cgroup.h"
#include "container/bundle/masks.h"
#include "container/validate.h"

JDESC(container_config_desc, container_config,
	JFIELD(container_config, hostname, "Hostname", J_STR, 0),
	JFIELD(container_config, domainname, "Domainname", J_STR, 0),
	JFIELD(container_config, user, "User", J_STR, 0),
	JFIELD(container_config, attach_stdin, "AttachStdin", J_BOOL, 0),
	JFIELD(container_config, attach_stdout, "AttachStdout", J_BOOL, 0),
	JFIELD(container_config, attach_stderr, "AttachStderr", J_BOOL, 0),
	JFIELD(container_config, exposed_ports, "ExposedPorts", J_SET, J_OMITEMPTY),
	JFIELD(container_config, tty, "Tty", J_BOOL, 0),
	JFIELD(container_config, open_stdin, "OpenStdin", J_BOOL, 0),
	JFIELD(container_config, stdin_once, "StdinOnce", J_BOOL, 0),
	JFIELD(container_config, env, "Env", J_STRV, 0),
	JFIELD(container_config, cmd, "Cmd", J_WORDS, 0),
	JFIELD_SUB(container_config, healthcheck, "Healthcheck", J_PTR, J_OMITEMPTY, image_health_desc),
	JFIELD(container_config, args_escaped, "ArgsEscaped", J_BOOL, J_OMITEMPTY),
	JFIELD(container_config, image, "Image", J_STR, 0),
	JFIELD(container_config, volumes, "Volumes", J_SET, 0),
	JFIELD(container_config, working_dir, "WorkingDir", J_STR, 0),
	JFIELD(container_config, entrypoint, "Entrypoint", J_WORDS, 0),
	JFIELD(container_config, network_disabled, "NetworkDisabled", J_BOOL, J_OMITEMPTY),
	JFIELD(container_config, mac_address, "MacAddress", J_STR, J_OMITEMPTY),
	JFIELD(container_config, onbuild, "OnBuild", J_STRV, 0),
	JFIELD(container_config, labels, "Labels", J_STRMAP, J_NONNULL),
	JFIELD(container_config, stop_signal, "StopSignal", J_STR, J_OMITEMPTY),
	JFIELD(container_config, stop_timeout, "StopTimeout", J_OPT_I64, J_OMITEMPTY),
	JFIELD(container_config, shell, "Shell", J_WORDS, J_OMITEMPTY),
	JFIELD(container_config, rest, NULL, J_REST, 0));

JDESC(log_config_desc, log_config,
	JFIELD(log_config, type, "Type", J_STR, 0),
	JFIELD(log_config, config, "Config", J_STRMAP, J_NONNULL));
JDESC_STATIC(restart_desc, restart_policy,
	JFIELD(restart_policy, name, "Name", J_STR, 0),
	JFIELD(restart_policy, maximum_retry_count, "MaximumRetryCount", J_I64, 0));
JDESC(device_mapping_desc, device_mapping,
	JFIELD(device_mapping, path_on_host, "PathOnHost", J_STR, 0),
	JFIELD(device_mapping, path_in_container, "PathInContainer", J_STR, 0),
	JFIELD(device_mapping, cgroup_permissions, "CgroupPermissions", J_STR, 0));
JDESC(device_request_desc, device_request,
	JFIELD(device_request, driver, "Driver", J_STR, 0),
	JFIELD(device_request, count, "Count", J_I64, 0),
	JFIELD(device_request, device_ids, "DeviceIDs", J_STRV, 0),
	JFIELD(device_request, capabilities, "Capabilities", J_RAW, 0),
	JFIELD(device_request, options, "Options", J_STRMAP, 0));
JDESC(ulimit_desc, ulimit,
	JFIELD(ulimit, name, "Name", J_STR, 0),
	JFIELD(ulimit, hard, "Hard", J_I64, 0),
	JFIELD(ulimit, soft, "Soft", J_I64, 0));
JDESC(throttle_device_desc, throttle_device,
	JFIELD(throttle_device, path, "Path", J_STR, 0),
	JFIELD(throttle_device, rate, "Rate", J_U64, 0));
JDESC(weight_device_desc, weight_device,
	JFIELD(weight_device, path, "Path", J_STR, 0),
	JFIELD(weight_device, weight, "Weight", J_I64, 0));

JDESC_STATIC(bind_options_desc, bind_options,
	JFIELD(bind_options, propagation, "Propagation", J_STR, J_OMITEMPTY),
	JFIELD(bind_options, non_recursive, "NonRecursive", J_BOOL, J_OMITEMPTY),
	JFIELD(bind_options, create_mountpoint, "CreateMountpoint", J_BOOL, J_OMITEMPTY),
	JFIELD(bind_options, read_only_non_recursive, "ReadOnlyNonRecursive", J_BOOL, J_OMITEMPTY),
	JFIELD(bind_options, read_only_force_recursive, "ReadOnlyForceRecursive", J_BOOL, J_OMITEMPTY));
JDESC_STATIC(volume_driver_desc, volume_driver_config,
	JFIELD(volume_driver_config, name, "Name", J_STR, J_OMITEMPTY),
	JFIELD(volume_driver_config, options, "Options", J_STRMAP, J_OMITEMPTY));
JDESC_STATIC(volume_options_desc, volume_options,
	JFIELD(volume_options, no_copy, "NoCopy", J_BOOL, J_OMITEMPTY),
	JFIELD(volume_options, labels, "Labels", J_STRMAP, J_OMITEMPTY),
	JFIELD(volume_options, subpath, "Subpath", J_STR, J_OMITEMPTY),
	JFIELD_SUB(volume_options, driver_config, "DriverConfig", J_PTR, J_OMITEMPTY, volume_driver_desc));
JDESC_STATIC(tmpfs_options_desc, tmpfs_options,
	JFIELD(tmpfs_options, size_bytes, "SizeBytes", J_I64, J_OMITEMPTY),
	JFIELD(tmpfs_options, mode, "Mode", J_I64, J_OMITEMPTY),
	JFIELD(tmpfs_options, options, "Options", J_RAW, J_OMITEMPTY));
JDESC_STATIC(image_options_desc, image_options,
	JFIELD(image_options, subpath, "Subpath", J_STR, J_OMITEMPTY));
JDESC(mount_spec_desc, mount_spec,
	JFIELD(mount_spec, type, "Type", J_STR, J_OMITEMPTY),
	JFIELD(mount_spec, source, "Source", J_STR, J_OMITEMPTY),
	JFIELD(mount_spec, target, "Target", J_STR, J_OMITEMPTY),
	JFIELD(mount_spec, read_only, "ReadOnly", J_BOOL, J_OMITEMPTY),
	JFIELD(mount_spec, consistency, "Consistency", J_STR, J_OMITEMPTY),
	JFIELD_SUB(mount_spec, bind, "BindOptions", J_PTR, J_OMITEMPTY, bind_options_desc),
	JFIELD_SUB(mount_spec, volume, "VolumeOptions", J_PTR, J_OMITEMPTY, volume_options_desc),
	JFIELD_SUB(mount_spec, image, "ImageOptions", J_PTR, J_OMITEMPTY, image_options_desc),
	JFIELD_SUB(mount_spec, tmpfs, "TmpfsOptions", J_PTR, J_OMITEMPTY, tmpfs_options_desc));

void mount_spec_drop_others(struct mount_spec *m)
{
	if (m->volume && !streq(m->type ? m->type : "", "volume")) {
		jdesc_clear(&volume_options_desc, m->volume);
		free(STEAL(m->volume));
	}
	if (m->tmpfs && !streq(m->type ? m->type : "", "tmpfs")) {
		jdesc_clear(&tmpfs_options_desc, m->tmpfs);
		free(STEAL(m->tmpfs));
	}
}

JDESC(host_config_desc, host_config,
	JFIELD(host_config, binds, "Binds", J_STRV, 0),
	JFIELD(host_config, container_id_file, "ContainerIDFile", J_STR, 0),
	JFIELD_SUB(host_config, log, "LogConfig", J_OBJ, 0, log_config_desc),
	JFIELD(host_config, network_mode, "NetworkMode", J_STR, 0),
	JFIELD(host_config, port_bindings, "PortBindings", J_RAW, 0),
	JFIELD_SUB(host_config, restart, "RestartPolicy", J_OBJ, 0, restart_desc),
	JFIELD(host_config, auto_remove, "AutoRemove", J_BOOL, 0),
	JFIELD(host_config, volume_driver, "VolumeDriver", J_STR, 0),
	JFIELD(host_config, volumes_from, "VolumesFrom", J_STRV, 0),
	JFIELD(host_config, console_size, "ConsoleSize", J_PAIR, 0),
	JFIELD(host_config, annotations, "Annotations", J_STRMAP, J_OMITEMPTY),
	JFIELD(host_config, cap_add, "CapAdd", J_WORDS, 0),
	JFIELD(host_config, cap_drop, "CapDrop", J_WORDS, 0),
	JFIELD(host_config, cgroupns_mode, "CgroupnsMode", J_STR, 0),
	JFIELD(host_config, dns, "Dns", J_STRV, 0),
	JFIELD(host_config, dns_options, "DnsOptions", J_STRV, 0),
	JFIELD(host_config, dns_search, "DnsSearch", J_STRV, 0),
	JFIELD(host_config, extra_hosts, "ExtraHosts", J_STRV, 0),
	JFIELD(host_config, group_add, "GroupAdd", J_STRV, 0),
	JFIELD(host_config, ipc_mode, "IpcMode", J_STR, 0),
	JFIELD(host_config, cgroup, "Cgroup", J_STR, 0),
	JFIELD(host_config, links, "Links", J_STRV, 0),
	JFIELD(host_config, oom_score_adj, "OomScoreAdj", J_I64, 0),
	JFIELD(host_config, pid_mode, "PidMode", J_STR, 0),
	JFIELD(host_config, privileged, "Privileged", J_BOOL, 0),
	JFIELD(host_config, publish_all_ports, "PublishAllPorts", J_BOOL, 0),
	JFIELD(host_config, readonly_rootfs, "ReadonlyRootfs", J_BOOL, 0),
	JFIELD(host_config, security_opt, "SecurityOpt", J_STRV, 0),
	JFIELD(host_config, storage_opt, "StorageOpt", J_STRMAP, J_OMITEMPTY),
	JFIELD(host_config, tmpfs, "Tmpfs", J_STRMAP, J_OMITEMPTY),
	JFIELD(host_config, uts_mode, "UTSMode", J_STR, 0),
	JFIELD(host_config, userns_mode, "UsernsMode", J_STR, 0),
	JFIELD(host_config, shm_size, "ShmSize", J_I64, 0),
	JFIELD(host_config, sysctls, "Sysctls", J_STRMAP, J_OMITEMPTY),
	JFIELD(host_config, runtime, "Runtime", J_STR, J_OMITEMPTY),
	JFIELD(host_config, isolation, "Isolation", J_STR, 0),
	JFIELD(host_config, cpu_shares, "CpuShares", J_I64, 0),
	JFIELD(host_config, memory, "Memory", J_I64, 0),
	JFIELD(host_config, nano_cpus, "NanoCpus", J_I64, 0),
	JFIELD(host_config, cgroup_parent, "CgroupParent", J_STR, 0),
	JFIELD(host_config, blkio_weight, "BlkioWeight", J_I64, 0),
	JFIELD_SUB(host_config, blkio_weight_device, "BlkioWeightDevice", J_LIST, J_NONNULL, weight_device_desc),
	JFIELD_SUB(host_config, blkio_read_bps, "BlkioDeviceReadBps", J_LIST, J_NONNULL, throttle_device_desc),
	JFIELD_SUB(host_config, blkio_write_bps, "BlkioDeviceWriteBps", J_LIST, J_NONNULL, throttle_device_desc),
	JFIELD_SUB(host_config, blkio_read_iops, "BlkioDeviceReadIOps", J_LIST, J_NONNULL, throttle_device_desc),
	JFIELD_SUB(host_config, blkio_write_iops, "BlkioDeviceWriteIOps", J_LIST, J_NONNULL, throttle_device_desc),
	JFIELD(host_config, cpu_period, "CpuPeriod", J_I64, 0),
	JFIELD(host_config, cpu_quota, "CpuQuota", J_I64, 0),
	JFIELD(host_config, cpu_rt_period, "CpuRealtimePeriod", J_I64, 0),
	JFIELD(host_config, cpu_rt_runtime, "CpuRealtimeRuntime", J_I64, 0),
	JFIELD(host_config, cpuset_cpus, "CpusetCpus", J_STR, 0),
	JFIELD(host_config, cpuset_mems, "CpusetMems", J_STR, 0),
	JFIELD_SUB(host_config, devices, "Devices", J_LIST, J_NONNULL, device_mapping_desc),
	JFIELD(host_config, device_cgroup_rules, "DeviceCgroupRules", J_STRV, 0),
	JFIELD_SUB(host_config, device_requests, "DeviceRequests", J_LIST, 0, device_request_desc),
	JFIELD(host_config, kernel_memory, "KernelMemory", J_I64, J_OMITEMPTY),
	JFIELD(host_config, kernel_memory_tcp, "KernelMemoryTCP", J_I64, J_OMITEMPTY),
	JFIELD(host_config, memory_reservation, "MemoryReservation", J_I64, 0),
	JFIELD(host_config, memory_swap, "MemorySwap", J_I64, 0),
	JFIELD(host_config, memory_swappiness, "MemorySwappiness", J_OPT_I64, 0),
	JFIELD(host_config, oom_kill_disable, "OomKillDisable", J_OPT_BOOL, 0),
	JFIELD(host_config, pids_limit, "PidsLimit", J_OPT_I64, 0),
	JFIELD_SUB(host_config, ulimits, "Ulimits", J_LIST, 0, ulimit_desc),
	JFIELD(host_config, cpu_count, "CpuCount", J_I64, 0),
	JFIELD(host_config, cpu_percent, "CpuPercent", J_I64, 0),
	JFIELD(host_config, io_max_iops, "IOMaximumIOps", J_I64, 0),
	JFIELD(host_config, io_max_bps, "IOMaximumBandwidth", J_I64, 0),
	JFIELD_SUB(host_config, mounts, "Mounts", J_LIST, J_OMITEMPTY, mount_spec_desc),
	JFIELD(host_config, masked_paths, "MaskedPaths", J_STRV, 0),
	JFIELD(host_config, readonly_paths, "ReadonlyPaths", J_STRV, 0),
	JFIELD(host_config, init, "Init", J_OPT_BOOL, J_OMITEMPTY),
	JFIELD(host_config, rest, NULL, J_REST, 0));

/* What a client may ask of an endpoint; kept as text by whoever knows the network. */
JDESC(ipam_wish_desc, ipam_wish,
	JFIELD(ipam_wish, ipv4, "IPv4Address", J_STR, 0),
	JFIELD(ipam_wish, ipv6, "IPv6Address", J_STR, 0),
	JFIELD(ipam_wish, link_local, "LinkLocalIPs", J_STRV, 0));

struct endpoint_wish { struct ipam_wish *ipam; struct strv links, aliases; char *mac, *network_id; struct strmap driver_opts; int64_t priority; };
JDESC(endpoint_wish_desc, endpoint_wish,
	JFIELD_SUB(endpoint_wish, ipam, "IPAMConfig", J_PTR, 0, ipam_wish_desc),
	JFIELD(endpoint_wish, links, "Links", J_STRV, 0),
	JFIELD(endpoint_wish, aliases, "Aliases", J_STRV, 0),
	JFIELD(endpoint_wish, network_id, "NetworkID", J_STR, 0),
	JFIELD(endpoint_wish, mac, "MacAddress", J_STR, 0),
	JFIELD(endpoint_wish, driver_opts, "DriverOpts", J_STRMAP, 0),
	JFIELD(endpoint_wish, priority, "GwPriority", J_I64, 0));

struct networking_wish { struct jmap endpoints; };
JDESC_STATIC(networking_wish_desc, networking_wish,
	JFIELD_SUB(networking_wish, endpoints, "EndpointsConfig", J_MAP, 0, endpoint_wish_desc));

/* The two members of the create body that are not Config's. */
struct create_rest { struct host_config host; char *networking; };
JDESC_STATIC(create_rest_desc, create_rest,
	JFIELD_SUB(create_rest, host, "HostConfig", J_OBJ, 0, host_config_desc),
	JFIELD_SUB(create_rest, networking, "NetworkingConfig", J_RAW, 0, networking_wish_desc));

static bool names_config(json_t *js)
{
	const char *key;
	json_t *item;

	json_object_foreach(js, key, item)
		for (size_t i = 0; i < container_config_desc.len; i++)
			if (container_config_desc.fields[i].key && strcmp(container_config_desc.fields[i].key, key) == 0 &&
			    !json_is_null(item))
				return true;
	return false;
}

void create_body_any_case(json_t *js)
{
	jdesc_any_case(&container_config_desc, js);
	jdesc_any_case(&create_rest_desc, js);
	publish_any_case(json_object_get(json_object_get(js, "HostConfig"), "PortBindings"));
}

int create_body_decode(json_t *js, struct create_body *ret, struct err *err)
{
	struct create_rest rest = { 0 };
	int r;

	*ret = (struct create_body){ 0 };
	r = jdesc_decode(&container_config_desc, js, &ret->config, err);
	if (r == 0)
		r = jdesc_decode(&create_rest_desc, js, &rest, err);
	ret->host = rest.host;
	ret->networking = rest.networking;
	str_set(&ret->config.rest, NULL); /* a client's unknown members are ignored, not stored */
	str_set(&ret->host.rest, NULL);
	if (r == 0 && !names_config(js))
		r = err_set(err, ERR_INVALID, "Config cannot be empty in order to create a container");
	if (r < 0)
		create_body_done(ret);
	return r;
}

void create_body_done(struct create_body *b)
{
	jdesc_clear(&container_config_desc, &b->config);
	jdesc_clear(&host_config_desc, &b->host);
	free(b->networking);
	b->networking = NULL;
}

static void merge_set(struct strv *dst, const struct strv *src)
{
	for (size_t i = 0; i < src->len; i++)
		if (!strv_contains(dst, src->v[i]))
			strv_add(dst, src->v[i]);
}

/* The container's replace the image's by name. Of one that the image has twice the last counts, as ever. */
static void merge_env(struct strv *env, const struct strv *from_image)
{
	size_t own = env->len;

	for (size_t i = 0; i < from_image->len; i++) {
		OWN_FREE char *key = xstrndup(from_image->v[i], strcspn(from_image->v[i], "="));
		bool known = !*key;

		for (size_t k = 0; k < own && !known; k++)
			known = strncmp(env->v[k], key, strlen(key)) == 0 && (env->v[k][strlen(key)] == '=' || !env->v[k][strlen(key)]);
		if (!known)
			strv_add(env, from_image->v[i]);
	}
}

static void merge_health(struct container_config *cfg, const struct image_health *img)
{
	struct image_health *h = cfg->healthcheck;

	if (!img)
		return;
	if (!h) {
		cfg->healthcheck = xcalloc(1, sizeof(*h));
		jdesc_copy(&image_health_desc, cfg->healthcheck, img);
		return;
	}
	if (h->test.len == 0)
		strv_copy(&h->test, &img->test);
	if (!h->interval)
		h->interval = img->interval;
	if (!h->timeout)
		h->timeout = img->timeout;
	if (!h->start_period)
		h->start_period = img->start_period;
	if (!h->start_interval)
		h->start_interval = img->start_interval;
	if (!h->retries)
		h->retries = img->retries;
}

void container_config_merge(struct container_config *cfg, const struct image_config *img)
{
	if (str_empty(cfg->user))
		str_set(&cfg->user, img->user);
	merge_set(&cfg->exposed_ports, &img->exposed_ports);
	if (cfg->volumes.len)
		merge_set(&cfg->volumes, &img->volumes);
	else
		strv_copy(&cfg->volumes, &img->volumes); /* {} of a client becomes null where the image says nothing */
	merge_env(&cfg->env, &img->env);
	for (size_t i = 0; i < img->labels.len; i++)
		if (!strmap_get(&cfg->labels, img->labels.v[i].key))
			strmap_set(&cfg->labels, img->labels.v[i].key, img->labels.v[i].value);
	if (cfg->entrypoint.len == 0) {
		if (cfg->cmd.len == 0) {
			strv_copy(&cfg->cmd, &img->cmd);
			cfg->args_escaped = cfg->args_escaped || img->args_escaped;
		}
		if (!cfg->entrypoint.set)
			strv_copy(&cfg->entrypoint, &img->entrypoint);
	}
	/* --entrypoint "" arrives as [""]: it clears the image's entrypoint and its command stays the user's */
	if (cfg->entrypoint.len == 1 && !*cfg->entrypoint.v[0])
		strv_done(&cfg->entrypoint);
	merge_health(cfg, img->health);
	if (str_empty(cfg->working_dir))
		str_set(&cfg->working_dir, img->working_dir);
	if (str_empty(cfg->stop_signal))
		str_set(&cfg->stop_signal, img->stop_signal);
	if (!cfg->stop_timeout.set)
		cfg->stop_timeout = img->stop_timeout;
	if (cfg->shell.len == 0 && img->shell.len)
		strv_copy(&cfg->shell, &img->shell);
}

static void default_masks(struct host_config *hc)
{
	if (!hc->masked_paths.set)
		masks_hidden(&hc->masked_paths);
	if (!hc->readonly_paths.set)
		masks_readonly(&hc->readonly_paths);
}

static void default_str(char **s, const char *value)
{
	if (str_empty(*s))
		str_set(s, value);
}

void log_config_defaults(struct log_config *lc, const struct daemon_defaults *d)
{
	default_str(&lc->type, d->log_driver);
	for (size_t i = 0; i < d->log_opts.len && streq(lc->type, d->log_driver); i++)
		if (!strmap_get(&lc->config, d->log_opts.v[i].key))
			strmap_set(&lc->config, d->log_opts.v[i].key, d->log_opts.v[i].value);
}

void host_config_defaults(struct host_config *hc, const struct daemon_defaults *d)
{
	default_str(&hc->network_mode, "default");
	default_str(&hc->ipc_mode, d->ipc_mode);
	default_str(&hc->cgroupns_mode, hc->privileged && !cgroup_is_v2() ? "host" : d->cgroupns_mode);
	default_str(&hc->runtime, d->default_runtime);
	if (str_empty(hc->restart.name))
		hc->restart.maximum_retry_count = 0; /* clients of old send one without a policy */
	default_str(&hc->restart.name, "no");
	log_config_defaults(&hc->log, d);
	if (hc->shm_size == 0)
		hc->shm_size = d->shm_size;
	hc->dns.set = hc->dns_options.set = hc->dns_search.set = true;
	if (hc->memory > 0 && hc->memory_swap == 0)
		hc->memory_swap = hc->memory > INT64_MAX / 2 ? -1 : 2 * hc->memory;
	if (hc->memory_swappiness.set && hc->memory_swappiness.v == -1)
		hc->memory_swappiness.set = false;
	if (!hc->oom_kill_disable.set && !cgroup_is_v2())
		hc->oom_kill_disable = (struct opt_bool){ true, false };
	if (hc->pids_limit.set && hc->pids_limit.v <= 0)
		hc->pids_limit.set = false;
	if (!hc->privileged)
		default_masks(hc);
}
