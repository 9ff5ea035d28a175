/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start-up: one readable list. Steps run in order; when one fails, those before it are undone in reverse, and the same
 * undoing is the way down. A step without an undo leaves nothing behind that the process's end does not take along.
 */
#include "daemon-steps.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "driver.h"
#include "sdnotify.h"

struct step {
	const char *name;
	step_fn *run;
	unstep_fn *undo;
	bool always;                /* undone also when a handler of a request is stuck */
};

static const struct step steps[] = {
	{ "signals", step_signals, NULL, false },
	{ "warnings", step_warnings, NULL, false },
	{ "root privileges", step_user, NULL, false },
	{ "control groups", step_cgroups, NULL, false },
	{ "user namespaces", step_remap, unstep_remap, true },
	{ "data-root and its lock", step_data_root, unstep_data_root, true },
	{ "pid file", step_pidfile, unstep_pidfile, true },
	{ "temporary files", step_tmpdir, NULL, false },
	{ "exec-root", step_exec_root, NULL, false },
	{ "umask", step_umask, NULL, false },
	{ "descriptor limit", step_limits, NULL, false },
	{ "kernel keys", step_keys, NULL, false },
	{ "TLS", step_tls, unstep_tls, false },
	{ "listeners", step_listeners, unstep_listeners, true },
	{ "spawner", step_spawner, unstep_spawner, false },
	{ "AppArmor", step_apparmor, NULL, false },
	{ "engine", step_engine, unstep_engine, false },
	{ "drivers", step_drivers, NULL, false },
	{ "older layouts", step_stores, NULL, false },
	{ "managed plugins", step_plugins, unstep_plugins, false },
	{ "graph driver", step_graph, unstep_graph, false },
	{ "layer store", step_layers, unstep_layers, false },
	{ "image store", step_images, unstep_images, false },
	{ "SELinux", step_selinux, unstep_selinux, false },
	{ "volumes", step_volumes, unstep_volumes, false },
	{ "engine id", step_engine_id, NULL, false },
	{ "distribution metadata", step_distribution, NULL, false },
	{ "registries", step_registry, unstep_registry, false },
	{ "events", step_events, unstep_events, false },
	{ "network controller", step_networks, unstep_networks, false },
	{ "container defaults", step_defaults, unstep_defaults, false },
	{ "container store", step_containers, unstep_containers, false },
	{ "containers restored", step_restore, NULL, false },
	{ "garbage collection", step_gc, unstep_gc, false },
	{ "authorization", step_authz, unstep_authz, false },
	{ "API jobs", step_api, NULL, false },
	{ "router", step_router, unstep_router, false },
	{ "metrics", step_metrics, unstep_metrics, false },
	{ "HTTP", step_http, unstep_http, false },
};

static int start(struct daemon *d, size_t *ret_done, struct err *err);
static void stop(struct daemon *d);
static void say_started(struct daemon *d);

int daemon_run(struct config *cfg)
{
	struct daemon d = { .config = cfg, .lock_fd = -1, .docker_lock_fd = -1, .signal_fd = -1, .pidfile = { .fd = -1 } };
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

static void stop(struct daemon *d)
{
	d->stop_began = clock_mono();
	d->shutdown_ms = daemon_shutdown_ms(d);
	if (d->engine)
		engine_shutdown(d->engine, d->shutdown_ms);
	if (d->volumes && d->http && engine_running(d->engine)) { /* a driver that hangs holds up its caller, not all that is to be undone */
		driver_give_up(true);
		volume_store_give_up(d->volumes, true);
	}
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
