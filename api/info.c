/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /info: every field says what is so, or is Docker's "not here". */
#include <sys/prctl.h>
#include <sys/statvfs.h>

#include "config/config.h"
#include "base/clock.h"
#include "base/damage.h"
#include "base/lock.h"
#include "base/metrics.h"
#include "container/bundle/apparmor.h"
#include "container/bundle/cdi.h"
#include "container/bundle/cgroup.h"
#include "container/container.h"
#include "events.h"
#include "host.h"
#include "image/image.h"
#include "network/net.h"
#include "plugins.h"
#include "system.h"

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards extra_warnings */
static struct strv extra_warnings;

static void put_counts(const struct api *api, struct jw *w);
static void put_plugins(const struct api *api, struct jw *w);
static void put_cgroups(const struct api *api, int api_minor, struct jw *w);
static void put_host(const struct api *api, struct jw *w);
static void put_registry(const struct config *cfg, int api_minor, struct jw *w);
static void put_proxy(struct jw *w, const char *key, const char *given, const char *upper, const char *lower);
static void put_cluster(const struct api *api, int api_minor, struct jw *w);
static void put_runtimes(const struct api *api, int api_minor, struct jw *w);
static void put_swarm(struct jw *w);
static void put_security(const struct api *api, int api_minor, struct jw *w);
static void put_devices(const struct api *api, int api_minor, struct jw *w);
static void put_pools(const struct config *cfg, struct jw *w);
static void put_firewall(const struct api *api, int api_minor, struct jw *w);
static void put_warnings(const struct api *api, struct jw *w);

void api_add_warning(const char *text)
{
	WITH_LOCK(&lock);

	if (!strv_contains(&extra_warnings, text))
		strv_add(&extra_warnings, text);
}

static const char *cgroup_driver(const struct daemon_defaults *d)
{
	return d && d->systemd_cgroup ? "systemd" : d && d->no_cgroup ? "none" : "cgroupfs";
}

int system_info(struct job *job, struct err *err)
{
	struct api *api = job_api(job);
	int minor = job_request(job)->api_minor;
	OWN_BUF struct buf b = { 0 };
	char now[CLOCK_TEXT];
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "ID", api->engine_id);
	put_counts(api, &w);
	put_plugins(api, &w);
	put_cgroups(api, minor, &w);
	jw_kbool(&w, "Debug", api->config && api->config->debug);
	jw_kint(&w, "NFd", host_count("/proc/self/fd"));
	jw_kint(&w, "NGoroutines", host_count("/proc/self/task"));
	jw_kstr(&w, "SystemTime", clock_rfc3339nano(clock_now(), now));
	jw_kstr(&w, "LoggingDriver", api->defaults && api->defaults->log_driver ? api->defaults->log_driver : "json-file");
	jw_kstr(&w, "CgroupDriver", cgroup_driver(api->defaults));
	jw_kstr(&w, "CgroupVersion", cgroup_is_v2() ? "2" : "1");
	jw_kint(&w, "NEventsListener", api->events ? events_subscribers(api->events) : 0);
	put_host(api, &w);
	put_registry(api->config, minor, &w);
	jw_knull(&w, "GenericResources");
	jw_kstr(&w, "DockerRootDir", api->data_root);
	put_proxy(&w, "HttpProxy", api->config ? api->config->http_proxy : NULL, "HTTP_PROXY", "http_proxy");
	put_proxy(&w, "HttpsProxy", api->config ? api->config->https_proxy : NULL, "HTTPS_PROXY", "https_proxy");
	put_proxy(&w, "NoProxy", api->config ? api->config->no_proxy : NULL, "NO_PROXY", "no_proxy");
	put_cluster(api, minor, &w);
	put_runtimes(api, minor, &w);
	put_swarm(&w);
	jw_kbool(&w, "LiveRestoreEnabled", api->config && api->config->live_restore);
	jw_kstr(&w, "Isolation", "");
	jw_kstr(&w, "InitBinary", api->defaults && api->defaults->init_path ? api->defaults->init_path : "docker-init");
	put_security(api, minor, &w);
	put_devices(api, minor, &w);
	put_pools(api->config, &w);
	put_firewall(api, minor, &w);
	put_warnings(api, &w);
	jw_obj_end(&w);
	return reply_json(job_request(job), 200, &b);
}

static void put_counts(const struct api *api, struct jw *w)
{
	size_t running = 0, paused = 0, stopped = 0, all = 0, n = 0;
	struct image **images = NULL;
	struct graph *graph = NULL;

	if (api->containers)
		all = container_count(api->containers, &running, &paused, &stopped);
	if (api->images) {
		n = image_list(api->images, &images);
		image_list_free(images, n);
		graph = layer_store_graph(image_store_layers(api->images));
	}
	jw_kint(w, "Containers", (int64_t)all);
	jw_kint(w, "ContainersRunning", (int64_t)running);
	jw_kint(w, "ContainersPaused", (int64_t)paused);
	jw_kint(w, "ContainersStopped", (int64_t)stopped);
	jw_kint(w, "Images", (int64_t)n);
	jw_kstr(w, "Driver", graph ? graph_name(graph) : "");
	jw_key(w, "DriverStatus");
	if (graph)
		graph_status(graph, w);
	else
		jw_null(w);
}

static void put_plugins(const struct api *api, struct jw *w)
{
	OWN_STRV struct strv volume = { .set = true }, net = { .set = true }, log = { 0 };
	const struct strv *authz =
		api->config && api->config->authorization_plugins.len ? &api->config->authorization_plugins : NULL;

	plugins_names("volume", &volume);
	plugins_names("net", &net);
	plugins_names("log", &log);
	jw_kobj(w, "Plugins");
	jw_kstrv(w, "Volume", &volume);
	jw_kstrv(w, "Network", &net);
	if (authz)
		jw_kstrv(w, "Authorization", authz);
	else
		jw_knull(w, "Authorization");
	jw_karr(w, "Log");
	jw_str(w, "json-file");
	jw_str(w, "local");
	for (size_t i = 0; i < log.len; i++)
		jw_str(w, log.v[i]);
	jw_arr_end(w);
	jw_obj_end(w);
}

static void put_cgroups(const struct api *api, int api_minor, struct jw *w)
{
	jw_kbool(w, "MemoryLimit", cgroup_can(CGROUP_MEMORY));
	jw_kbool(w, "SwapLimit", cgroup_can(CGROUP_SWAP));
	if (api_minor < 42)
		jw_kbool(w, "KernelMemory", false);
	if (api_minor < 52)
		jw_kbool(w, "KernelMemoryTCP", false);
	jw_kbool(w, "CpuCfsPeriod", cgroup_can(CGROUP_CPU_CFS));
	jw_kbool(w, "CpuCfsQuota", cgroup_can(CGROUP_CPU_CFS));
	jw_kbool(w, "CPUShares", cgroup_can(CGROUP_CPU_SHARES));
	jw_kbool(w, "CPUSet", cgroup_can(CGROUP_CPUSET));
	jw_kbool(w, "PidsLimit", cgroup_can(CGROUP_PIDS));
	jw_kbool(w, "IPv4Forwarding", host_sysctl_on("/proc/sys/net/ipv4/ip_forward"));
	if (api_minor < 50) {
		jw_kbool(w, "BridgeNfIptables", host_sysctl_on("/proc/sys/net/bridge/bridge-nf-call-iptables"));
		jw_kbool(w, "BridgeNfIp6tables", host_sysctl_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
	}
	jw_kbool(w, "OomKillDisable", cgroup_can(CGROUP_OOM_KILL_DISABLE));
}

static char *os_word(const char *key, const char *figure)
{
	int64_t began = clock_mono();
	char *word = host_os_release(key);

	metrics_time(METRIC_HOST_INFO, figure, clock_mono() - began);
	return word;
}

static void put_host(const struct api *api, struct jw *w)
{
	OWN_FREE char *pretty = os_word("PRETTY_NAME", "operating_system"), *version = os_word("VERSION_ID", "os_version"), *name = host_name();
	const struct strv *labels = api->config ? &api->config->labels : NULL;

	jw_kstr(w, "KernelVersion", host_kernel());
	jw_kstr(w, "OperatingSystem", pretty ? pretty : "Linux");
	jw_kstr(w, "OSVersion", version ? version : "");
	jw_kstr(w, "OSType", "linux");
	jw_kstr(w, "Architecture", host_machine());
	jw_kint(w, "NCPU", host_cpus());
	jw_kint(w, "MemTotal", host_memory());
	jw_kstr(w, "Name", name);
	jw_karr(w, "Labels");
	for (size_t i = 0; labels && i < labels->len; i++)
		jw_str(w, labels->v[i]);
	jw_arr_end(w);
	jw_kbool(w, "ExperimentalBuild", api->experimental);
	jw_kstr(w, "ServerVersion", PACKAGE_VERSION);
}

static void put_index(struct jw *w, const char *name, const struct strv *mirrors, bool secure, bool official)
{
	jw_kobj(w, name);
	jw_kstr(w, "Name", name);
	jw_karr(w, "Mirrors");
	for (size_t i = 0; mirrors && i < mirrors->len; i++)
		jw_str(w, mirrors->v[i]);
	jw_arr_end(w);
	jw_kbool(w, "Secure", secure);
	jw_kbool(w, "Official", official);
	jw_obj_end(w);
}

/* The URLs in "host=url" of one host. */
static void mirrors_of(const struct strv *all, const char *host, size_t len, struct strv *ret)
{
	for (size_t i = 0; i < all->len; i++)
		if (strncmp(all->v[i], host, len) == 0 && all->v[i][len] == '=')
			strv_add(ret, all->v[i] + len + 1);
}

static void put_indexes(struct jw *w, const struct strv *hub, const struct strv *others, const struct strv *insecure)
{
	OWN_STRV struct strv known = { 0 }, first = { 0 };

	strv_add(&known, "docker.io");
	strv_copy(&first, hub);
	mirrors_of(others, "docker.io", strlen("docker.io"), &first);
	put_index(w, "docker.io", &first, true, true);
	for (size_t i = 0; i < insecure->len + others->len; i++) {
		const char *text = i < insecure->len ? insecure->v[i] : others->v[i - insecure->len];
		OWN_FREE char *host = xstrndup(text, strcspn(text, "="));
		OWN_STRV struct strv mirrors = { 0 };

		if (strchr(host, '/') || strv_contains(&known, host))
			continue;
		strv_add(&known, host);
		mirrors_of(others, host, strlen(host), &mirrors);
		put_index(w, host, &mirrors, i >= insecure->len, false);
	}
}

static void put_registry(const struct config *cfg, int api_minor, struct jw *w)
{
	static const struct strv none;
	const struct strv *mirrors = cfg ? &cfg->registry_mirrors : &none, *insecure = cfg ? &cfg->insecure_registries : &none;
	const struct strv *others = cfg ? &cfg->registry_mirrors_of : &none;

	jw_kstr(w, "IndexServerAddress", "https://index.docker.io/v1/");
	jw_kobj(w, "RegistryConfig");
	if (api_minor < 49) {
		jw_kraw(w, "AllowNondistributableArtifactsCIDRs", "[]");
		jw_kraw(w, "AllowNondistributableArtifactsHostnames", "[]");
	}
	jw_karr(w, "InsecureRegistryCIDRs");
	jw_str(w, "::1/128");
	jw_str(w, "127.0.0.0/8");
	for (size_t i = 0; i < insecure->len; i++)
		if (strchr(insecure->v[i], '/'))
			jw_str(w, insecure->v[i]);
	jw_arr_end(w);
	jw_kobj(w, "IndexConfigs");
	put_indexes(w, mirrors, others, insecure);
	jw_obj_end(w);
	jw_karr(w, "Mirrors");
	for (size_t i = 0; i < mirrors->len; i++)
		jw_str(w, mirrors->v[i]);
	jw_arr_end(w);
	jw_obj_end(w);
}

/* Of the configuration or the environment, without passwords. */
static void put_proxy(struct jw *w, const char *key, const char *given, const char *upper, const char *lower)
{
	const char *text = str_empty(given) ? getenv(upper) : given;
	OWN_FREE char *shown = NULL;

	if (str_empty(text))
		text = getenv(lower);
	shown = config_masked(text ? text : "");
	jw_kstr(w, key, shown);
}

static void put_commit(struct jw *w, const char *key, const char *id, int api_minor)
{
	jw_kobj(w, key);
	jw_kstr(w, "ID", id ? id : "");
	if (api_minor < 49)
		jw_kstr(w, "Expected", id ? id : "");
	jw_obj_end(w);
}

/* The runtime's own words, as a string. */
static void put_features(const struct api *api, const char *path, struct jw *w)
{
	OWN_FREE char *text = host_runtime_features(api->spawner, path);

	if (!text)
		return;
	jw_kobj(w, "status");
	jw_kstr(w, "org.opencontainers.runtime-spec.features", text);
	jw_obj_end(w);
}

/* Clients of later versions know no cluster stores. */
static void put_cluster(const struct api *api, int minor, struct jw *w)
{
	if (minor > 41 || !api->config)
		return;
	if (*api->config->cluster_store)
		jw_kstr(w, "ClusterStore", api->config->cluster_store);
	if (*api->config->cluster_advertise)
		jw_kstr(w, "ClusterAdvertise", api->config->cluster_advertise);
}

static void put_runtimes(const struct api *api, int api_minor, struct jw *w)
{
	const struct strmap *runtimes = api->defaults ? &api->defaults->runtimes : NULL;
	const char *runc = runtimes ? strmap_get(runtimes, "runc") : NULL;
	OWN_FREE char *name = NULL, *version = NULL, *commit = NULL, *init_version = NULL, *init_commit = NULL;
	const char *args;

	jw_kobj(w, "Runtimes");
	for (size_t i = 0; runtimes && i < runtimes->len; i++) {
		jw_kobj(w, runtimes->v[i].key);
		jw_kstr(w, "path", runtimes->v[i].value);
		args = api->config ? strmap_get(&api->config->runtime_args, runtimes->v[i].key) : NULL;
		if (args) {
			OWN_STRV struct strv words = { 0 };

			strv_split(&words, args, "\n");
			jw_kstrv(w, "runtimeArgs", &words);
		}
		if (api_minor >= 44)
			put_features(api, runtimes->v[i].value, w);
		jw_obj_end(w);
	}
	jw_obj_end(w);
	jw_kstr(w, "DefaultRuntime", api->runtime_default ? api->runtime_default : "runc");
	host_runtime_version(api->spawner, runc, &name, &version, &commit);
	put_commit(w, "ContainerdCommit", "", api_minor);
	put_commit(w, "RuncCommit", commit, api_minor);
	if (api->defaults)
		host_init_version(api->spawner, api->defaults->init_path, &init_version, &init_commit);
	put_commit(w, "InitCommit", init_commit, api_minor);
}

static void put_swarm(struct jw *w)
{
	jw_kraw(w, "Swarm",
		"{\"NodeID\":\"\",\"NodeAddr\":\"\",\"LocalNodeState\":\"inactive\",\"ControlAvailable\":false,\"Error\":\"\","
		"\"RemoteManagers\":null}");
}

static void put_security(const struct api *api, int api_minor, struct jw *w)
{
	const char *profile = api->defaults && api->defaults->seccomp_profile ? api->defaults->seccomp_profile : "builtin";
	bool named = api_minor > 24;

	jw_karr(w, "SecurityOptions");
	if (apparmor_on())
		jw_str(w, named ? "name=apparmor" : "apparmor");
	if (prctl(PR_GET_SECCOMP) >= 0) {
		OWN_FREE char *text = xasprintf("name=seccomp,profile=%s", profile);

		jw_str(w, named ? text : "seccomp");
	}
	if (api->defaults && api->defaults->selinux)
		jw_str(w, named ? "name=selinux" : "selinux");
	if (api->defaults && api->defaults->userns_remap && named)
		jw_str(w, "name=userns");
	if (api->defaults && api->defaults->rootless && named)
		jw_str(w, "name=rootless");
	if (named && cgroup_is_v2())
		jw_str(w, "name=cgroupns");
	if (api->defaults && api->defaults->no_new_privileges && named)
		jw_str(w, "name=no-new-privileges");
	jw_arr_end(w);
}

static void put_devices(const struct api *api, int api_minor, struct jw *w)
{
	OWN_STRV struct strv names = { 0 };

	if (api_minor < 43)
		return;
	jw_karr(w, "CDISpecDirs");
	for (size_t i = 0; api->defaults && i < api->defaults->cdi_dirs.len; i++)
		jw_str(w, api->defaults->cdi_dirs.v[i]);
	jw_arr_end(w);
	if (api->defaults)
		cdi_names(&api->defaults->cdi_dirs, &names);
	if (api_minor < 50 || !names.len)
		return;
	jw_karr(w, "DiscoveredDevices");
	for (size_t i = 0; i < names.len; i++) {
		jw_obj(w);
		jw_kstr(w, "Source", "cdi");
		jw_kstr(w, "ID", names.v[i]);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static void runtime_warnings(const struct api *api, struct strv *ret)
{
	const struct strmap *runtimes = api->defaults ? &api->defaults->runtimes : NULL;

	for (size_t i = 0; runtimes && i < runtimes->len; i++) {
		OWN_FREE char *name = NULL, *version = NULL, *commit = NULL, *text = NULL;

		if (!host_runtime_version(api->spawner, runtimes->v[i].value, &name, &version, &commit))
			strv_addf(ret, "WARNING: runtime %s (%s) does not tell its version", runtimes->v[i].key,
				runtimes->v[i].value);
		else if ((text = host_runtime_warning(name, version)))
			strv_add(ret, text);
	}
}

/* Of a store that is damaged all over, the first; the log and dockerd --check have them all. */
#define DAMAGE_SHOWN 100

static void put_disk(const char *data_root, struct strv *to)
{
	struct statvfs st;

	if (!data_root || statvfs(data_root, &st) < 0)
		return;
	if (st.f_flag & ST_RDONLY)
		strv_addf(to, "WARNING: the data-root %s is read-only: nothing can be changed", data_root);
	else if (!st.f_bavail)
		strv_addf(to, "WARNING: the data-root %s is full: only what frees space works", data_root);
}

struct shown { struct strv *to; size_t n; };

static void show_damage(void *ctx, const struct damage *d)
{
	struct shown *s = ctx;

	if (s->n++ < DAMAGE_SHOWN)
		strv_addf(s->to, "WARNING: %s", d->text);
}

static void put_damage(struct strv *to)
{
	struct shown s = { to, 0 };

	damage_each(show_damage, &s);
	if (s.n > DAMAGE_SHOWN)
		strv_addf(to, "WARNING: %zu more are damaged: see the log, or dockerd --check", s.n - DAMAGE_SHOWN);
}

/* Docker's words for what create would discard. */
static void limit_warnings(struct strv *to)
{
	static const struct { enum cgroup_feature feature; const char *v1, *v2; } limits[] = {
		{ CGROUP_MEMORY, "memory limit", "memory limit" },
		{ CGROUP_SWAP, "swap limit", "swap limit" },
		{ CGROUP_OOM_KILL_DISABLE, "oom kill disable", NULL },
		{ CGROUP_PIDS, "pids limit", "pids limit" },
		{ CGROUP_CPU_CFS, "cpu cfs quota", "cpu cfs quota" },
		{ CGROUP_CPU_CFS, "cpu cfs period", "cpu cfs period" },
		{ CGROUP_CPU_SHARES, "cpu shares", "cpu shares" },
		{ CGROUP_CPUSET, "cpuset", "cpuset" },
		{ CGROUP_BLKIO_WEIGHT, "blkio.weight", "io.weight" },
		{ CGROUP_BLKIO_WEIGHT_DEVICE, "blkio.weight_device", "io.weight (per device)" },
		{ CGROUP_READ_BPS, "blkio.throttle.read_bps_device", "io.max (rbps)" },
		{ CGROUP_WRITE_BPS, "blkio.throttle.write_bps_device", "io.max (wbps)" },
		{ CGROUP_READ_IOPS, "blkio.throttle.read_iops_device", "io.max (riops)" },
		{ CGROUP_WRITE_IOPS, "blkio.throttle.write_iops_device", "io.max (wiops)" },
	};

	if (cgroup_none()) {
		strv_add(to, cgroup_is_v2() ?
			"WARNING: Running in rootless-mode without cgroups. Systemd is required to enable cgroups in rootless-mode." :
			"WARNING: Running in rootless-mode without cgroups. To enable cgroups in rootless-mode, you need to boot the system in cgroup v2 mode.");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
		const char *what = cgroup_is_v2() ? limits[i].v2 : limits[i].v1;

		if (what && !cgroup_can(limits[i].feature))
			strv_addf(to, "WARNING: No %s support", what);
	}
}

/* Those that somebody wrote, as in Docker. */
static void put_pools(const struct config *cfg, struct jw *w)
{
	char base[NET_POOL_BASE];
	int size;

	if (!cfg || !cfg->default_address_pools.len)
		return;
	jw_karr(w, "DefaultAddressPools");
	for (size_t i = 0; i < cfg->default_address_pools.len; i++) {
		if (!net_pool_read(cfg->default_address_pools.v[i], base, &size))
			continue;
		jw_obj(w);
		jw_kstr(w, "Base", base);
		jw_kint(w, "Size", size);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

/* Who writes the bridge's rules; nobody does without one. */
static void put_firewall(const struct api *api, int api_minor, struct jw *w)
{
	if (api_minor < 50 || !api->config || !api->config->iptables || !api->nets || streq(net_default(api->nets), "none"))
		return;
	jw_kobj(w, "FirewallBackend");
	jw_kstr(w, "Driver", str_empty(api->config->firewall_backend) ? "nftables" : api->config->firewall_backend);
	jw_obj_end(w);
}

static void put_warnings(const struct api *api, struct jw *w)
{
	OWN_STRV struct strv all = { .set = true };

	limit_warnings(&all);
	if (api->nets && streq(net_default(api->nets), "none"))
		strv_add(&all, "WARNING: there is no bridge network: containers without --network have none");
	else if (api->nets && !net_forwarding())
		strv_add(&all, "WARNING: IPv4 forwarding is disabled");
	runtime_warnings(api, &all);
	put_disk(api->data_root, &all);
	put_damage(&all);
	lock_take(&lock);
	for (size_t i = 0; i < extra_warnings.len; i++)
		strv_add(&all, extra_warnings.v[i]);
	lock_drop(&lock);
	jw_kstrv(w, "Warnings", &all);
}
