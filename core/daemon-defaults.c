/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What containers inherit from the configuration: struct daemon_defaults. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/program.h"
#include "base/rootless.h"
#include "container/selinux.h"
#include "container/spec.h"
#include "daemon.h"

static char *find_init(const char *given)
{
	static const char *const places[] = { "/usr/local/libexec/docker/docker-init", "/usr/libexec/docker/docker-init",
		"/usr/local/lib/docker/docker-init", "/usr/lib/docker/docker-init" };
	char *place;

	if (!str_empty(given))
		return program_find(given);
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (access(places[i], X_OK) == 0)
			return xstrdup(places[i]);
	place = program_find("docker-init");
	/* It runs on the container's file system, where no library of ours is. */
	if (!place)
		place = program_find("tini-static");
	if (!place)
		place = daemon_program("dockerd-init");
	if (access(place, X_OK) < 0) {
		free(place);
		return NULL;
	}
	return place;
}

/* It fails where it may not write groups; runc goes on without. */
static void tell_crun(struct daemon_defaults *def, const char *name)
{
	const char *args = strmap_get(&def->runtime_args, name);
	OWN_FREE char *all = NULL;

	if (args && strstr(args, "--cgroup-manager"))
		return;
	all = xasprintf("%s%s--cgroup-manager=disabled", args ? args : "", str_empty(args) ? "" : "\n");
	strmap_set(&def->runtime_args, name, all);
}

static void add_runtime(struct daemon_defaults *def, const char *name, const char *program)
{
	OWN_FREE char *path = program_find(program);

	if (!path) {
		log_warn("the runtime %s is not here: no executable %s", name, program);
		return;
	}
	strmap_set(&def->runtimes, name, path);
	if (def->no_cgroup && streq(strrchr(path, '/') + 1, "crun"))
		tell_crun(def, name);
}

static void add_ulimits(struct daemon_defaults *def, const struct config *cfg)
{
	for (size_t i = 0; i < cfg->default_ulimits.len; i++) {
		const char *limits = cfg->default_ulimits.v[i].value;
		struct ulimit *u = jlist_add(&def->ulimits, &ulimit_desc);

		u->name = xstrdup(cfg->default_ulimits.v[i].key);
		u->soft = strtoll(limits, NULL, 10);
		u->hard = strtoll(strchr(limits, ':') + 1, NULL, 10);
	}
}

/* A feature that is there unless it is switched off. */
static bool is_on(const struct config *cfg, const char *feature)
{
	const char *word = strmap_get(&cfg->features, feature);

	return !word || !streq(word, "false");
}

/* Folders of device files, unless the feature is off, and what serves GPUs. */
static void set_devices(struct daemon_defaults *def, const struct config *cfg)
{
	def->nvidia_hook = program_find("nvidia-container-runtime-hook");
	if (!is_on(cfg, "cdi"))
		return;
	for (size_t i = 0; i < cfg->cdi_spec_dirs.len; i++)
		if (*cfg->cdi_spec_dirs.v[i])
			strv_add(&def->cdi_dirs, cfg->cdi_spec_dirs.v[i]);
	if (cfg->cdi_spec_dirs.len)
		return;
	for (size_t i = 0; i < 2; i++) {
		OWN_FREE char *own = cfg->rootless ? rootless_path(i ? ROOTLESS_RUNTIME : ROOTLESS_CONFIG, "cdi") : NULL;

		strv_add(&def->cdi_dirs, own ? own : i ? "/var/run/cdi" : "/etc/cdi");
	}
}

struct daemon_defaults *daemon_defaults_new(const struct config *cfg, const char *default_network)
{
	struct daemon_defaults *def = xcalloc(1, sizeof(*def));

	*def = (struct daemon_defaults){
		.shm_size = cfg->default_shm_size,
		.cgroup_parent = cfg->cgroup_parent,
		.cpu_rt_period = cfg->cpu_rt_period, .cpu_rt_runtime = cfg->cpu_rt_runtime,
		.default_runtime = cfg->default_runtime,
		.ipc_mode = cfg->default_ipc_mode,
		.cgroupns_mode = cfg->default_cgroupns_mode,
		.log_driver = cfg->log_driver,
		.no_new_privileges = cfg->no_new_privileges,
		.init = cfg->init,
		.systemd_cgroup = cfg->systemd_cgroup, .no_cgroup = cfg->no_cgroup, .rootless = cfg->rootless,
		.selinux = cfg->selinux_enabled && selinux_kernel(),
		.seccomp_profile = cfg->seccomp_profile,
		.stop_timeout = (int)cfg->default_stop_timeout,
		.native_exec = is_on(cfg, "native-exec"), .userns_remap = !idmaps_none(idmaps_root()),
		.userns_pool = cfg->userns_pool,
		.dns = &cfg->dns, .dns_search = &cfg->dns_search, .dns_opts = &cfg->dns_opts,
		.host_gateway_ips = &cfg->host_gateway_ips,
		.default_network = default_network,
		.init_path = find_init(cfg->init_path),
	};
	set_devices(def, cfg);
	strmap_copy(&def->log_opts, &cfg->log_opts);
	strmap_copy(&def->runtime_args, &cfg->runtime_args);
	add_ulimits(def, cfg);
	add_runtime(def, "runc", "runc");
	for (size_t i = 0; i < cfg->runtimes.len; i++)
		add_runtime(def, cfg->runtimes.v[i].key, cfg->runtimes.v[i].value);
	if (cfg->init && !def->init_path)
		log_warn("--init: no docker-init was found; containers without --init=false will not start");
	return def;
}

void daemon_defaults_free(struct daemon_defaults *def)
{
	if (!def)
		return;
	for (size_t i = 0; i < def->ulimits.len; i++)
		jdesc_clear(&ulimit_desc, jlist_at(&def->ulimits, i, &ulimit_desc));
	free(def->ulimits.v);
	strmap_done(&def->log_opts);
	strmap_done(&def->runtimes);
	strmap_done(&def->runtime_args);
	strv_done(&def->cdi_dirs);
	free((char *)def->nvidia_hook);
	free((char *)def->init_path);
	free(def);
}
