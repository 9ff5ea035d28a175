/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of the start and their undoing; daemon.c has them in order. */
#ifndef CORE_DAEMON_STEPS_H
#define CORE_DAEMON_STEPS_H

#include "daemon.h"

typedef int step_fn(struct daemon *d, struct err *err);
typedef void unstep_fn(struct daemon *d);

step_fn step_signals, step_warnings, step_user, step_cgroups, step_remap, step_data_root, step_pidfile, step_tmpdir,
	step_exec_root, step_limits, step_umask, step_keys, step_tls, step_apparmor, step_listeners, step_spawner,
	step_engine, step_drivers, step_stores, step_plugins, step_graph, step_layers, step_images, step_selinux,
	step_volumes, step_engine_id, step_distribution, step_registry, step_events, step_networks, step_defaults,
	step_containers, step_restore, step_gc, step_authz, step_api, step_router, step_metrics, step_http;
unstep_fn unstep_selinux, unstep_remap, unstep_data_root, unstep_pidfile, unstep_tls, unstep_listeners, unstep_spawner, unstep_engine, unstep_plugins, unstep_graph,
	unstep_layers, unstep_images, unstep_volumes, unstep_registry, unstep_events, unstep_networks, unstep_defaults,
	unstep_containers, unstep_gc, unstep_authz, unstep_router, unstep_metrics, unstep_http;

/* --shutdown-timeout in ms, more when a container's own time asks for it; -1 for no limit. */
int daemon_shutdown_ms(const struct daemon *d);

#endif
