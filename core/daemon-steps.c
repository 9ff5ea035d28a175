/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon-steps.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/program.h"
#include "base/reserve.h"
#include "base/rootless.h"
#include "container/bundle/apparmor.h"
#include "container/bundle/cgroup.h"
#include "container/log/opts.h"
#include "container/selinux.h"
#include "driver-crash.h"
#include "driver.h"
#include "image/unpack.h"
#include "network/kit.h"
#include "network/netd.h"

int step_signals(struct daemon *d, struct err *err)
{
	return daemon_signals_block(d, err);
}

void unstep_pidfile(struct daemon *d)
{
	pidfile_drop(&d->pidfile);
}

int step_tmpdir(struct daemon *d, struct err *err)
{
	return root_tmpdir(d->data_root, err);
}

int step_umask(struct daemon *d, struct err *err)
{
	umask(0);
	return 0;
}

int step_keys(struct daemon *d, struct err *err)
{
	root_raise_keys();
	return 0;
}

void unstep_spawner(struct daemon *d)
{
	driver_set_spawner(NULL);
	spawner_stop(d->spawner);
}

void unstep_engine(struct daemon *d)
{
	engine_free(d->engine);
}

int step_stores(struct daemon *d, struct err *err)
{
	return root_check_stores(d->data_root, err);
}

void unstep_graph(struct daemon *d)
{
	graph_close(d->graph);
}

void unstep_layers(struct daemon *d)
{
	layer_store_close(d->layers);
	unpack_done();
}

void unstep_images(struct daemon *d)
{
	image_store_close(d->images);
}

void unstep_registry(struct daemon *d)
{
	registry_close(d->registry);
}

void unstep_volumes(struct daemon *d)
{
	if (d->volumes)
		volume_store_share(d->volumes);
	volume_store_close(d->volumes);
}

void unstep_events(struct daemon *d)
{
	damage_listen(NULL, NULL);
	events_free(d->events);
}

void unstep_networks(struct daemon *d)
{
	if (d->nets)
		net_share(d->nets);
	net_close(d->nets);
	if (d->netd)
		netd_free(d->netd);
	kit_close(d->kit);
}

void unstep_defaults(struct daemon *d)
{
	daemon_defaults_free(d->defaults);
}

void unstep_containers(struct daemon *d)
{
	container_store_close(d->containers);
}

int step_warnings(struct daemon *d, struct err *err)
{
	daemon_say_warnings(d->config);
	return 0;
}

int step_user(struct daemon *d, struct err *err)
{
	return root_check_user(err);
}

int step_cgroups(struct daemon *d, struct err *err)
{
	if (d->config->no_cgroup) {
		log_warn("Running in rootless mode without control groups: containers have no limits");
		cgroup_have_none();
		return 0;
	}
	if (root_check_cgroups("/proc/self/mountinfo", "/sys/fs/cgroup", err) < 0)
		return -1;
	if (d->config->systemd_cgroup && !fs_exists("/run/systemd/system"))
		return err_set(err, ERR_INVALID, "exec-opt native.cgroupdriver=systemd: systemd does not run on this host (no /run/systemd/system)");
	if ((d->config->cpu_rt_period || d->config->cpu_rt_runtime) && !cgroup_can(CGROUP_CPU_RT))
		return err_set(err, ERR_INVALID, "daemon-scoped cpu-rt-period and cpu-rt-runtime are not supported by the kernel");
	return 0;
}

int step_remap(struct daemon *d, struct err *err)
{
	if (remap_setup(d->config->userns_remap, true, &d->remap, err) < 0)
		return -1;
	idmaps_set_root(idmaps_none(&d->remap.maps) ? NULL : &d->remap.maps);
	return 0;
}

void unstep_remap(struct daemon *d)
{
	idmaps_set_root(NULL);
	remap_done(&d->remap);
}

int step_data_root(struct daemon *d, struct err *err)
{
	d->data_root = d->remap.on ? remap_data_root(&d->remap, d->config->data_root, err) : root_make_data(d->config->data_root, 0, 0, err);
	if (!d->data_root)
		return -1;
	d->lock_fd = root_lock(d->data_root, err);
	if (d->lock_fd < 0 || root_lock_docker(d->data_root, &d->docker_lock_fd, err) < 0)
		return -1;
	root_look(d->data_root);
	reserve_open(d->data_root);
	return 0;
}

void unstep_data_root(struct daemon *d)
{
	reserve_close();
	fd_close(&d->docker_lock_fd);
	fd_close(&d->lock_fd);
}

int step_pidfile(struct daemon *d, struct err *err)
{
	if (pidfile_take(&d->pidfile, d->config->pidfile, err) < 0)
		return err_wrap(err, "failed to start daemon, ensure docker is not running or delete %s", d->config->pidfile);
	return 0;
}

int step_exec_root(struct daemon *d, struct err *err)
{
	d->exec_root = root_make_exec(d->config->exec_root, err);
	return d->exec_root ? 0 : -1;
}

/* Each connection, shim and stream takes descriptors: up to what the service manager allows. */
int step_limits(struct daemon *d, struct err *err)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			log_warn("cannot raise the limit of open descriptors: %s", strerror(errno));
	}
	return 0;
}

int step_apparmor(struct daemon *d, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	int r = apparmor_on() ? apparmor_load(d->spawner, true, &why) : 1;

	/* whoever starts a container is told, too; other profiles work without this one */
	if (r < 0)
		log_error("%s", err_text(&why));
	else if (r == 0)
		log_warn("AppArmor enabled on system but \"apparmor_parser\" binary is missing, so profile can't be loaded");
	return 0;
}

int step_spawner(struct daemon *d, struct err *err)
{
	d->spawner = spawner_start(err);
	driver_set_spawner(d->spawner);
	return d->spawner ? 0 : -1;
}

int step_engine(struct daemon *d, struct err *err)
{
	d->engine = engine_new();
	return 0;
}

static bool names_driver(const char *section)
{
	size_t n = strcspn(section, ".");

	for (uint32_t kind = 0; kind < 16; kind++) {
		const char *word = driver_kind_name(kind);

		if (word && strlen(word) == n && strncmp(word, section, n) == 0)
			return driver_present(kind, section + n + 1);
	}
	return false;
}

/* Options for a driver that is not here: nobody would ever ask for them. */
static void warn_sections(const struct strmap *options)
{
	OWN_STRV struct strv seen = { 0 };

	for (size_t i = 0; i < options->len; i++) {
		const char *key = options->v[i].key, *name = key + strcspn(key, ".");
		OWN_FREE char *section = xstrndup(key, (size_t)(name - key) + 1 + strcspn(name + 1, "."));

		if (strv_contains(&seen, section))
			continue;
		strv_add(&seen, section);
		if (!names_driver(section))
			log_warn("the section [%s] has no effect: there is no such driver", section);
	}
}

/* What the configuration could not know before drivers can be loaded. */
static int check_log_driver(const struct config *cfg, struct err *err)
{
	if (log_driver_builtin(cfg->log_driver))
		return 0;
	if (!log_driver_known(cfg->log_driver))
		return err_set(err, ERR_INVALID, "failed to set log opts: logger: no log driver named '%s' is registered", cfg->log_driver);
	return log_opts_check(cfg->log_driver, &cfg->log_opts, err) < 0 ? err_wrap(err, "failed to set log opts") : 0;
}

int step_drivers(struct daemon *d, struct err *err)
{
	driver_crash_init(d->exec_root);
	driver_set_root_idmaps();
	if (driver_init(&d->config->plugin_dir, &d->config->driver_options, err) < 0)
		return -1;
	warn_sections(&d->config->driver_options);
	return check_log_driver(d->config, err);
}

int step_graph(struct daemon *d, struct err *err)
{
	d->graph = graph_open(d->config->storage_driver, d->data_root, &d->config->storage_opts, idmaps_root_uid(idmaps_root()),
		idmaps_root_gid(idmaps_root()), err);
	return d->graph ? 0 : -1;
}

char *daemon_program(const char *name)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		OWN_FREE char *status = NULL;

		self[n] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		status = xasprintf("%s/config.status", self);
		if (fs_exists(status))
			return xasprintf("%s/%s", self, name);
	}
	return xasprintf(DKD_LIBEXECDIR "/%s", name);
}

int step_layers(struct daemon *d, struct err *err)
{
	OWN_FREE char *program = daemon_program("dockerd-untar");

	if (unpack_setup(d->spawner, program, err) < 0)
		return -1;
	d->layers = layer_store_open(d->graph, d->data_root, err);
	if (d->layers)
		return 0;
	unpack_done();
	return err_wrap(err, "cannot open the layer store");
}

int step_images(struct daemon *d, struct err *err)
{
	d->images = image_store_open(d->layers, d->data_root, err);
	return d->images ? 0 : err_wrap(err, "cannot open the image store");
}

int step_selinux(struct daemon *d, struct err *err)
{
	const char *unknown;

	if (!d->config->selinux_enabled)
		return 0;
	if (!selinux_kernel()) {
		log_warn("Docker could not enable SELinux on the host system");
		return 0;
	}
	d->selinux = selinux_new("/etc/selinux", "/usr/share/containers/selinux/contexts");
	if (!selinux_contexts(d->selinux))
		log_warn("SELinux: the host's policy has no contexts for containers (contexts/lxc_contexts): they get no labels");
	unknown = selinux_unknown(d->selinux, SELINUX_CONTEXT);
	if (unknown)
		log_warn("SELinux: the host's policy does not know %s, which %s names: containers with that label do not start", unknown, selinux_contexts(d->selinux));
	return 0;
}

void unstep_selinux(struct daemon *d)
{
	selinux_free(STEAL(d->selinux));
}

int step_engine_id(struct daemon *d, struct err *err)
{
	d->engine_id = root_engine_id(d->data_root, err);
	return d->engine_id ? 0 : err_wrap(err, "cannot keep the engine's id");
}

int step_plugins(struct daemon *d, struct err *err)
{
	OWN_FREE char *runtime = program_find("runc");

	d->plugin_names = xasprintf("%s/plugin-names", d->exec_root);
	driver_set_managed(d->plugin_names);
	d->plugins = managed_open(d->data_root, d->exec_root, d->spawner, runtime, err);
	if (!d->plugins)
		return err_wrap(err, "cannot open the plugins");
	managed_start_all(d->plugins);
	return 0;
}

void unstep_plugins(struct daemon *d)
{
	managed_close(d->plugins);
	driver_set_managed(NULL);
	free(d->plugin_names);
}

int step_volumes(struct daemon *d, struct err *err)
{
	d->volumes = volume_store_open(d->data_root, d->exec_root, err);
	if (!d->volumes)
		return err_wrap(err, "cannot open the volumes");
	volume_store_share(d->volumes);
	/* a new data-root has only now what Docker locks */
	return d->docker_lock_fd < 0 ? root_lock_docker(d->data_root, &d->docker_lock_fd, err) : 0;
}

/* Where digests of pulled layers are kept beside their diff ids, in the layout of the data-root. */
int step_distribution(struct daemon *d, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/image/%s/distribution", d->data_root, graph_name(d->graph));

	if (fs_mkdir_anew(path, 0700, err) < 0) {
		if (err->class != ERR_NO_SPACE && err->sys != EROFS)
			return -1;
		log_warn("%s", err_text(err)); /* nothing needs it before the next pull */
		err_done(err);
	}
	return 0;
}

int step_registry(struct daemon *d, struct err *err)
{
	OWN_FREE char *program = daemon_program("dockerd-fetch");

	d->registry = registry_open(d->images, d->spawner, program, d->data_root, err);
	if (d->registry)
		return 0;
	if (err->class != ERR_NO_SPACE && err->sys != EROFS)
		return err_wrap(err, "registries");
	log_warn("nothing can be pulled: %s", err_text(err));
	err_done(err);
	return 0;
}

/* "damaged", "repaired", "orphan" or "swept", of the object: layers speak as images do. */
static void tell_damage(void *ctx, const struct damage *dmg)
{
	events_log(ctx, streq(dmg->kind, "layer") ? "image" : dmg->kind, damage_word(dmg->state), dmg->id, "reason", dmg->text, NULL);
}

int step_events(struct daemon *d, struct err *err)
{
	d->events = events_new();
	damage_listen(tell_damage, d->events);
	return 0;
}

int daemon_join_cluster(struct daemon *d, const struct config *cfg, bool late, struct err *err)
{
	const struct strmap *more = &cfg->cluster_store_opts;
	const char *ttl = strmap_get(more, "discovery.ttl");
	OWN_FREE char *program = daemon_program("dockerd-kv");
	struct net_cluster_config c = {
		.store = cfg->cluster_store, .advertise = cfg->cluster_advertise, .program = program, .ca = strmap_get(more, "kv.cacertfile"),
		.cert = strmap_get(more, "kv.certfile"), .key = strmap_get(more, "kv.keyfile"), .ttl = 60, .late = late,
	};
	int64_t n;

	if (!*cfg->cluster_store)
		return 0;
	if (ttl && (!str_to_i64(ttl, &n) || n < 2 || n > 86400))
		return err_set(err, ERR_INVALID, "invalid discovery.ttl %s: it is a number of seconds from 2 to 86400", ttl);
	if (ttl)
		c.ttl = (int)n;
	return net_set_cluster(d->nets, &c, err);
}

int step_networks(struct daemon *d, struct err *err)
{
	const struct config *cfg = d->config;
	const struct net_bridge_config bridge = {
		.bridge = cfg->bridge, .bip = cfg->bip, .fixed_cidr = cfg->fixed_cidr, .default_gateway = cfg->default_gateway,
		.host_ip = cfg->ip, .pools = &cfg->default_address_pools, .mtu = (int)cfg->mtu, .icc = cfg->icc,
		.ip_masq = cfg->ip_masq, .ip_forward = cfg->ip_forward, .iptables = cfg->iptables,
		.forward_drop = !cfg->ip_forward_no_drop, .userland_proxy = cfg->userland_proxy, .ip6tables = cfg->ip6tables,
		.ipv6 = cfg->ipv6, .bip6 = cfg->bip6, .fixed_cidr_v6 = cfg->fixed_cidr_v6, .default_gateway_v6 = cfg->default_gateway_v6,
		.default_options = &cfg->default_network_opts, .firewall_backend = cfg->firewall_backend, .accept_fwmark = cfg->bridge_accept_fwmark,
		.publish_policy = cfg->publish_policy, .direct_routing = cfg->allow_direct_routing,
	};
	OWN_FREE char *program = daemon_program("dockerd-netd");

	if (rootless_state() && !(d->kit = kit_open(rootless_state(), d->exec_root, err)))
		return err_wrap(err, "error creating the network controller");
	d->nets = net_open(d->data_root, d->exec_root, d->spawner, err);
	if (d->nets) {
		net_set_kit(d->nets, d->kit);
		d->netd = netd_new(d->exec_root, program, d->spawner);
		if (d->kit && kit_is_new(d->kit))
			netd_leave(d->netd);
		net_set_netd(d->nets, d->netd);
	}
	if (d->nets && net_setup_bridge(d->nets, &bridge, err) == 0 && daemon_join_cluster(d, d->config, false, err) == 0) {
		net_share(d->nets);
		return 0;
	}
	unstep_networks(d);
	d->nets = NULL;
	d->netd = NULL;
	d->kit = NULL;
	return err_wrap(err, "error creating the network controller");
}

int step_defaults(struct daemon *d, struct err *err)
{
	d->defaults = daemon_defaults_new(d->config, net_default(d->nets));
	return 0;
}

int step_containers(struct daemon *d, struct err *err)
{
	struct container_deps deps;

	d->shim_path = daemon_program("dockerd-shim");
	if (access(d->shim_path, X_OK) < 0)
		return err_errno(err, errno, "the program %s is needed", d->shim_path);
	deps = (struct container_deps){
		.data_root = d->data_root, .exec_root = d->exec_root, .shim_path = d->shim_path, .defaults = d->defaults,
		.images = d->images, .volumes = d->volumes, .nets = d->nets, .events = d->events, .spawner = d->spawner,
		.selinux = d->selinux, .orphans = d->kit && kit_is_new(d->kit),
	};
	d->containers = container_store_open(&deps, err);
	return d->containers ? 0 : err_wrap(err, "cannot open the container store");
}

/* The engine's shutdown handler: what is left of --shutdown-timeout is theirs. */
static void stop_containers(void *arg)
{
	struct daemon *d = arg;
	int ms = d->shutdown_ms, spent = (int)((clock_mono() - d->stop_began) / 1000000);

	if (d->config->live_restore)
		log_info("live-restore: containers are left running");
	else
		container_store_shutdown(d->containers, ms < 0 ? -1 : ms > spent ? ms - spent : 0);
}

#define STOP_MARGIN 5 /* seconds for a container to end after its SIGKILL, as Docker adds them */

int daemon_shutdown_ms(const struct daemon *d)
{
	int s = (int)d->config->shutdown_timeout, longest;

	if (s < 0)
		return -1;
	longest = d->containers && !d->config->live_restore ? container_store_stop_time(d->containers) : 0;
	if (longest && longest + STOP_MARGIN > s)
		s = longest + STOP_MARGIN;
	return s < INT_MAX / 1000 ? s * 1000 : -1;
}

int step_restore(struct daemon *d, struct err *err)
{
	log_info("Loading containers: start.");
	if (container_store_restore(d->containers, err) < 0)
		return err_wrap(err, "cannot restore the containers");
	engine_on_shutdown(d->engine, stop_containers, d);
	log_info("Loading containers: done.");
	return 0;
}

int step_gc(struct daemon *d, struct err *err)
{
	const struct gc_deps deps = { d->data_root, d->engine_id, d->images, d->containers, d->events };

	d->gc = gc_new(&deps);
	gc_set(d->gc, d->config->gc);
	return 0;
}

void unstep_gc(struct daemon *d)
{
	gc_free(d->gc);
}
