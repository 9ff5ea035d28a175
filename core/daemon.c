/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start-up: one readable list. Steps run in order; when one fails, those before it are undone in reverse, and the same
 * undoing is the way down. A step without an undo leaves nothing behind that the process's end does not take along.
 */
#include "daemon.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "sdnotify.h"

#define INSECURE_DELAY_MS 15000

typedef int step_fn(struct daemon *d, struct err *err);
struct step {
	const char *name;
	step_fn *run;
	void (*undo)(struct daemon *d);
	bool always;                /* undone also when a handler of a request is stuck */
};

static int do_signals(struct daemon *d, struct err *err) { return daemon_signals_block(d, err); }
static int do_warnings(struct daemon *d, struct err *err);
static int do_user(struct daemon *d, struct err *err);
static int do_cgroups(struct daemon *d, struct err *err);
static int do_data_root(struct daemon *d, struct err *err);
static void undo_data_root(struct daemon *d);
static int do_pidfile(struct daemon *d, struct err *err);
static void undo_pidfile(struct daemon *d) { pidfile_drop(&d->pidfile); }
static int do_tmpdir(struct daemon *d, struct err *err) { return root_tmpdir(d->data_root, err); }
static int do_exec_root(struct daemon *d, struct err *err);
static int do_limits(struct daemon *d, struct err *err);
static int do_umask(struct daemon *d, struct err *err) { umask(0); return 0; }
static int do_keys(struct daemon *d, struct err *err) { root_raise_keys(); return 0; }
static int do_apparmor(struct daemon *d, struct err *err);
static int do_listeners(struct daemon *d, struct err *err);
static void undo_listeners(struct daemon *d) { listeners_close(&d->listeners); }
static int do_spawner(struct daemon *d, struct err *err);
static void undo_spawner(struct daemon *d) { spawner_stop(d->spawner); }
static int do_engine(struct daemon *d, struct err *err);
static void undo_engine(struct daemon *d) { engine_free(d->engine); }
static int do_drivers(struct daemon *d, struct err *err);
static int do_stores(struct daemon *d, struct err *err) { return root_check_stores(d->data_root, err); }
static int do_graph(struct daemon *d, struct err *err);
static void undo_graph(struct daemon *d) { graph_close(d->graph); }
static int do_layers(struct daemon *d, struct err *err);
static void undo_layers(struct daemon *d) { layer_store_close(d->layers); }
static int do_images(struct daemon *d, struct err *err);
static void undo_images(struct daemon *d) { image_store_close(d->images); }
static int do_selinux(struct daemon *d, struct err *err);
static int do_volumes(struct daemon *d, struct err *err);
static void undo_volumes(struct daemon *d) { volume_store_close(d->volumes); }
static int do_engine_id(struct daemon *d, struct err *err);
static int do_distribution(struct daemon *d, struct err *err);
static int do_events(struct daemon *d, struct err *err);
static void undo_events(struct daemon *d) { events_free(d->events); }
static int do_networks(struct daemon *d, struct err *err);
static void undo_networks(struct daemon *d) { net_close(d->nets); }
static int do_defaults(struct daemon *d, struct err *err);
static void undo_defaults(struct daemon *d) { daemon_defaults_free(d->defaults); }
static int do_containers(struct daemon *d, struct err *err);
static void undo_containers(struct daemon *d) { container_store_close(d->containers); }
static int do_restore(struct daemon *d, struct err *err);
static int do_authz(struct daemon *d, struct err *err);
static void undo_authz(struct daemon *d) { authz_close(d->authz); }
static int do_api(struct daemon *d, struct err *err);
static int do_router(struct daemon *d, struct err *err);
static void undo_router(struct daemon *d) { router_free(d->router); }
static int do_http(struct daemon *d, struct err *err);
static void undo_http(struct daemon *d);

static const struct step steps[] = {
	{ "signals", do_signals, NULL, false },
	{ "warnings", do_warnings, NULL, false },
	{ "root privileges", do_user, NULL, false },
	{ "control groups", do_cgroups, NULL, false },
	{ "data-root and its lock", do_data_root, undo_data_root, true },
	{ "pid file", do_pidfile, undo_pidfile, true },
	{ "temporary files", do_tmpdir, NULL, false },
	{ "exec-root", do_exec_root, NULL, false },
	{ "umask", do_umask, NULL, false },
	{ "descriptor limit", do_limits, NULL, false },
	{ "kernel keys", do_keys, NULL, false },
	{ "AppArmor", do_apparmor, NULL, false },
	{ "listeners", do_listeners, undo_listeners, true },
	{ "spawner", do_spawner, undo_spawner, false },
	{ "engine", do_engine, undo_engine, false },
	{ "drivers", do_drivers, NULL, false },
	{ "older layouts", do_stores, NULL, false },
	{ "graph driver", do_graph, undo_graph, false },
	{ "layer store", do_layers, undo_layers, false },
	{ "image store", do_images, undo_images, false },
	{ "SELinux", do_selinux, NULL, false },
	{ "volumes", do_volumes, undo_volumes, false },
	{ "engine id", do_engine_id, NULL, false },
	{ "distribution metadata", do_distribution, NULL, false },
	{ "events", do_events, undo_events, false },
	{ "network controller", do_networks, undo_networks, false },
	{ "container defaults", do_defaults, undo_defaults, false },
	{ "container store", do_containers, undo_containers, false },
	{ "containers restored", do_restore, NULL, false },
	{ "authorization", do_authz, undo_authz, false },
	{ "API jobs", do_api, NULL, false },
	{ "router", do_router, undo_router, false },
	{ "HTTP", do_http, undo_http, false },
};

static int start(struct daemon *d, size_t *ret_done, struct err *err);
static void stop(struct daemon *d);
static void say_started(struct daemon *d);

int daemon_run(struct config *cfg)
{
	struct daemon d = { .config = cfg, .lock_fd = -1, .signal_fd = -1, .pidfile = { .fd = -1 } };
	OWN_ERR struct err err = ERR_INIT;
	int signal_number, rc = 0;

	/* Many short-lived request threads: one heap each would keep what the largest request needed. */
	mallopt(M_ARENA_MAX, 2);
	log_info("Starting up");
	if (start(&d, &d.steps_done, &err) < 0) {
		daemon_signals_during(&d, stop);
		fprintf(stderr, "%s\n", err_text(&err));
		rc = 1;
	} else {
		say_started(&d);
		sdnotify("READY=1");
		signal_number = daemon_signals_loop(&d);
		log_info("Processing signal '%s'", strsignal(signal_number));
		sdnotify("STOPPING=1");
		daemon_signals_during(&d, stop);
	}
	if (d.stuck)
		_exit(rc);
	fd_close(&d.signal_fd);
	daemon_retired_free(&d, INT64_MAX);
	config_free(d.config);
	return rc;
}

static int start(struct daemon *d, size_t *ret_done, struct err *err)
{
	for (*ret_done = 0; *ret_done < ARRAY_LEN(steps); ++*ret_done) {
		const struct step *s = &steps[*ret_done];

		log_debug("start: %s", s->name);
		if (s->run(d, err) < 0)
			return -1;
		if (daemon_signals_wait(d, 0)) {
			++*ret_done;
			return err_set(err, ERR_CANCELLED, "stopped by a signal while starting");
		}
	}
	return 0;
}

static int timeout_ms(const struct daemon *d)
{
	return d->config->shutdown_timeout < 0 ? -1 : (int)d->config->shutdown_timeout * 1000;
}

static void stop(struct daemon *d)
{
	d->stop_began = clock_mono();
	if (d->engine)
		engine_shutdown(d->engine, timeout_ms(d));
	while (d->steps_done > 0) {
		const struct step *s = &steps[--d->steps_done];

		if (!s->undo || (d->stuck && !s->always))
			continue;
		log_debug("stop: %s", s->name);
		s->undo(d);
	}
	free(d->data_root);
	free(d->exec_root);
	free(d->engine_id);
	free(d->shim_path);
}

static void say_started(struct daemon *d)
{
	const char *const fields[] = { "commit", DKD_GITCOMMIT, "storage-driver", graph_name(d->graph), "version",
		PACKAGE_VERSION, NULL };

	log_fields(LOG_INFO, fields, "Docker daemon");
	log_info("docker daemon: %s %s; execdriver: native; graphdriver: %s", PACKAGE_VERSION, DKD_GITCOMMIT,
		graph_name(d->graph));
	log_info("Daemon has completed initialization");
	for (size_t i = 0; i < d->listeners.len; i++)
		log_info("API listen on %s", str_has_prefix(d->listeners.v[i].host, "unix://") ?
			d->listeners.v[i].host + 7 : d->listeners.v[i].host);
}

/* ---- steps ---- */

static int do_warnings(struct daemon *d, struct err *err)
{
	OWN_STRV struct strv inert = { 0 };

	for (size_t i = 0; i < d->config->warnings.len; i++)
		log_warn("%s", d->config->warnings.v[i]);
	config_inert(d->config, &inert);
	for (size_t i = 0; i < inert.len; i++)
		log_warn("%s", inert.v[i]);
	return 0;
}

static int do_user(struct daemon *d, struct err *err)
{
	return root_check_user(err);
}

static int do_cgroups(struct daemon *d, struct err *err)
{
	return root_check_cgroups("/proc/self/mountinfo", "/sys/fs/cgroup", err);
}

static int do_data_root(struct daemon *d, struct err *err)
{
	d->data_root = root_make_data(d->config->data_root, 0, 0, err);
	if (!d->data_root)
		return -1;
	d->lock_fd = root_lock(d->data_root, err);
	return d->lock_fd < 0 ? -1 : 0;
}

static void undo_data_root(struct daemon *d)
{
	fd_close(&d->lock_fd);
}

static int do_pidfile(struct daemon *d, struct err *err)
{
	if (pidfile_take(&d->pidfile, d->config->pidfile, err) < 0)
		return err_wrap(err, "failed to start daemon, ensure docker is not running or delete %s", d->config->pidfile);
	return 0;
}

static int do_exec_root(struct daemon *d, struct err *err)
{
	d->exec_root = root_make_exec(d->config->exec_root, err);
	return d->exec_root ? 0 : -1;
}

/* Each connection, shim and stream takes descriptors: up to what the service manager allows. */
static int do_limits(struct daemon *d, struct err *err)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
			log_warn("cannot raise the limit of open descriptors: %s", strerror(errno));
	}
	return 0;
}

static int do_apparmor(struct daemon *d, struct err *err)
{
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16, &b, NULL) == 0 && b.size && b.data[0] == 'Y')
		log_warn("AppArmor is enabled in the kernel; this version installs no profile: containers run without one");
	return 0;
}

/* Whoever may reach such a port is root here: say so, and give time to think again. */
static int warn_insecure(struct daemon *d, struct err *err)
{
	bool wait = false;

	for (size_t i = 0; i < d->config->hosts.len; i++) {
		const char *host = d->config->hosts.v[i];
		const char *const fields[] = { "host", host, NULL };
		OWN_FREE char *text = NULL;

		if (!str_has_prefix(host, "tcp://"))
			continue;
		log_fields(LOG_WARN, fields, "Binding to IP address without --tlsverify is insecure: whoever reaches "
			"this port is root on this machine");
		text = xasprintf("WARNING: the API is served on %s without encryption: whoever reaches it is root on this machine", host);
		api_add_warning(text);
		if (!listen_is_public(host)) {
			log_fields(LOG_WARN, fields, "On the loopback, too, every local user and every page in a "
				"browser may reach this port");
			continue;
		}
		log_fields(LOG_WARN, fields, "The API is open to the network without encryption or authentication; "
			"starting in %d seconds", INSECURE_DELAY_MS / 1000);
		wait = true;
	}
	if (wait && daemon_signals_wait(d, INSECURE_DELAY_MS))
		return err_set(err, ERR_CANCELLED, "stopped by a signal while starting");
	return 0;
}

static int do_listeners(struct daemon *d, struct err *err)
{
	if (warn_insecure(d, err) < 0)
		return -1;
	return listeners_open(&d->listeners, &d->config->hosts, d->config->group, opts[OPT_ID_group].def, err);
}

static int do_spawner(struct daemon *d, struct err *err)
{
	d->spawner = spawner_start(err);
	return d->spawner ? 0 : -1;
}

static int do_engine(struct daemon *d, struct err *err)
{
	d->engine = engine_new();
	return 0;
}

static int do_drivers(struct daemon *d, struct err *err)
{
	return driver_init(&d->config->plugin_dir, &d->config->driver_options, err);
}

static int do_graph(struct daemon *d, struct err *err)
{
	d->graph = graph_open(d->config->storage_driver, d->data_root, &d->config->storage_opts, 0, 0, err);
	if (!d->graph)
		return err_wrap(err, "error initializing graphdriver");
	return 0;
}

static int do_layers(struct daemon *d, struct err *err)
{
	d->layers = layer_store_open(d->graph, d->data_root, err);
	return d->layers ? 0 : err_wrap(err, "cannot open the layer store");
}

static int do_images(struct daemon *d, struct err *err)
{
	d->images = image_store_open(d->layers, d->data_root, err);
	return d->images ? 0 : err_wrap(err, "cannot open the image store");
}

static int do_selinux(struct daemon *d, struct err *err)
{
	if (!d->config->selinux_enabled)
		return 0;
	if (!fs_exists("/sys/fs/selinux/enforce"))
		log_warn("Docker could not enable SELinux on the host system");
	else
		return err_set(err, ERR_NOT_IMPLEMENTED, "--selinux-enabled is not in this version: containers are "
			"not labelled");
	return 0;
}

static int do_engine_id(struct daemon *d, struct err *err)
{
	d->engine_id = root_engine_id(d->data_root, err);
	return d->engine_id ? 0 : err_wrap(err, "cannot keep the engine's id");
}

static int do_volumes(struct daemon *d, struct err *err)
{
	d->volumes = volume_store_open(d->data_root, err);
	return d->volumes ? 0 : err_wrap(err, "cannot open the volumes");
}

/* Where digests of pulled layers are kept beside their diff ids, in the layout of the data-root. */
static int do_distribution(struct daemon *d, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/image/%s/distribution", d->data_root, graph_name(d->graph));

	return fs_mkdirs(path, 0700, err);
}

static int do_events(struct daemon *d, struct err *err)
{
	d->events = events_new();
	return 0;
}

static int do_networks(struct daemon *d, struct err *err)
{
	d->nets = net_open(d->data_root, d->exec_root, d->spawner, err);
	return d->nets ? 0 : err_wrap(err, "error creating the network controller");
}

static int do_defaults(struct daemon *d, struct err *err)
{
	d->defaults = daemon_defaults_new(d->config, net_default(d->nets));
	return 0;
}

/* The shim stands beside the build's dockerd, or where it was installed. */
static char *find_shim(void)
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
			return xasprintf("%s/dockerd-shim", self);
	}
	return xstrdup(DKD_LIBEXECDIR "/dockerd-shim");
}

static int do_containers(struct daemon *d, struct err *err)
{
	struct container_deps deps;

	d->shim_path = find_shim();
	if (access(d->shim_path, X_OK) < 0)
		return err_errno(err, errno, "the program %s is needed", d->shim_path);
	deps = (struct container_deps){
		.data_root = d->data_root, .exec_root = d->exec_root, .shim_path = d->shim_path, .defaults = d->defaults,
		.images = d->images, .volumes = d->volumes, .nets = d->nets, .events = d->events, .spawner = d->spawner,
	};
	d->containers = container_store_open(&deps, err);
	return d->containers ? 0 : err_wrap(err, "cannot open the container store");
}

/* The engine's shutdown handler: what is left of --shutdown-timeout is theirs. */
static void stop_containers(void *arg)
{
	struct daemon *d = arg;
	int ms = timeout_ms(d), spent = (int)((clock_mono() - d->stop_began) / 1000000);

	if (d->config->live_restore)
		log_info("live-restore: containers are left running");
	else
		container_store_shutdown(d->containers, ms < 0 ? -1 : ms > spent ? ms - spent : 0);
}

static int do_restore(struct daemon *d, struct err *err)
{
	log_info("Loading containers: start.");
	if (container_store_restore(d->containers, err) < 0)
		return err_wrap(err, "cannot restore the containers");
	engine_on_shutdown(d->engine, stop_containers, d);
	log_info("Loading containers: done.");
	return 0;
}

static int do_authz(struct daemon *d, struct err *err)
{
	d->authz = authz_open(&d->config->authorization_plugins, err);
	return d->authz ? 0 : err_wrap(err, "error loading the authorization drivers");
}

static int do_api(struct daemon *d, struct err *err)
{
	d->api = (struct api){
		.engine = d->engine, .config = d->config, .images = d->images, .containers = d->containers,
		.volumes = d->volumes, .nets = d->nets, .events = d->events, .spawner = d->spawner, .defaults = d->defaults,
		.engine_id = d->engine_id, .data_root = d->data_root, .runtime_default = d->config->default_runtime,
		.experimental = d->config->experimental,
	};
	return api_register(&d->api, err);
}

static int do_router(struct daemon *d, struct err *err)
{
	d->router = router_new(d->engine, api_routes, api_routes_len, d->config->min_minor, err);
	if (!d->router)
		return -1;
	router_set_experimental(d->router, d->config->experimental);
	router_add_middleware(d->router, authz_request, authz_response, d->authz);
	return 0;
}

/* Connections end after their jobs have: the engine is stopping already. */
#define HTTP_STOP_MS 5000

static int do_http(struct daemon *d, struct err *err)
{
	d->http = http_server_new(d->router, NULL, err);
	if (!d->http)
		return -1;
	for (size_t i = 0; i < d->listeners.len; i++) {
		if (http_server_add_listener(d->http, d->listeners.v[i].fd, 0, err) < 0)
			goto fail;
		d->listeners.v[i].fd = -1;
	}
	if (http_server_start(d->http, err) == 0)
		return 0;
fail:
	http_server_free(d->http);
	return -1;
}

static void undo_http(struct daemon *d)
{
	if (http_server_stop(d->http, HTTP_STOP_MS) < 0) {
		log_warn("a request does not end; the daemon stops without it");
		d->stuck = true;
		return;
	}
	http_server_free(d->http);
}
