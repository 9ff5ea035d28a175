/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's wiring: every room it opened, in one struct. Only main.c and daemon*.c include this. The main thread owns it;
 * other threads get what they need at their own making.
 */
#ifndef CORE_DAEMON_H
#define CORE_DAEMON_H

#include "api.h"
#include "authz.h"
#include "base/err.h"
#include "base/spawner.h"
#include "config/config.h"
#include "container/bundle/bundle.h"
#include "container/container.h"
#include "engine.h"
#include "events.h"
#include "gc.h"
#include "http/http.h"
#include "image/graph.h"
#include "image/image.h"
#include "image/layer.h"
#include "listen.h"
#include "metrics.h"
#include "network/net.h"
#include "plugin/managed.h"
#include "registry/registry.h"
#include "remap.h"
#include "root.h"
#include "router.h"
#include "volume/volume.h"

struct daemon {
	struct config *config;        /* the one in force */
	struct daemon_defaults *defaults; /* made from it */
	struct retired *retired;      /* those before, as long as somebody may read them */
	struct remap remap;
	char *data_root, *exec_root, *engine_id, *shim_path;
	int lock_fd, docker_lock_fd, signal_fd;
	struct pidfile pidfile;
	struct listeners listeners;
	struct spawner *spawner;
	struct engine *engine;
	struct graph *graph;
	struct layer_store *layers;
	struct image_store *images;
	struct registry *registry;    /* NULL on a read-only disk */
	struct selinux *selinux;      /* NULL: no labels */
	struct managed_store *plugins;
	char *plugin_names;           /* the folder that drivers find them by */
	struct volume_store *volumes;
	struct net_controller *nets;
	struct netd *netd;
	struct kit *kit;            /* rootlesskit, where it is one's parent; or NULL */
	struct events *events;
	struct container_store *containers;
	struct gc *gc;
	struct authz *authz;
	struct router *router;
	struct tls_creds *tls;        /* of the listeners at start; NULL: they are plain */
	struct http_server *http;
	struct listeners metrics_listeners; /* of --metrics-addr */
	struct router *metrics_router;
	struct http_server *metrics_http;
	struct http_server *plugin_metrics_http; /* the same figures for plugins that collect them; NULL before there is one */
	struct api api;
	size_t steps_done;            /* of daemon.c: what is to be undone */
	int64_t stop_began;           /* clock_mono() */
	int shutdown_ms;              /* what stopping may take, fixed as it begins; -1 no limit */
	bool stuck;                   /* a handler would not end: what it may use is left alone */
	int ends;                     /* signals so far that asked for the end */
};

/* Starts, serves until a signal asks for the end, stops. The exit code. */
int daemon_run(struct config *cfg);

/* daemon-signals.c */
int daemon_signals_block(struct daemon *d, struct err *err);
/* Waits at most ms for a signal that ends the daemon: its number, or 0. */
int daemon_signals_wait(struct daemon *d, int ms);
/* Serves signals until one asks for the end: its number. */
int daemon_signals_loop(struct daemon *d);
/* Runs fn on a thread of its own while signals are watched: the third that asks for the end makes the process exit at once. */
void daemon_signals_during(struct daemon *d, void (*fn)(struct daemon *d));

/* daemon-reload.c */
void daemon_reload(struct daemon *d);
/* Logs its warnings, and which of its options have no effect. */
void daemon_say_warnings(const struct config *cfg);
void daemon_apply_log(const struct config *cfg);
/* Frees the configurations that were replaced. */
void daemon_retired_free(struct daemon *d, int64_t before);
/* A description of what the daemon is doing, into a file in the exec-root. */
void daemon_dump(struct daemon *d);

/* daemon-defaults.c: what containers inherit from the configuration. Borrows its strings. */
/* One of our other programs, owned by the caller: beside the build's dockerd, or where it was installed. */
char *daemon_program(const char *name);
/* The store that the configuration names, if any. late: as the daemon runs. */
int daemon_join_cluster(struct daemon *d, const struct config *cfg, bool late, struct err *err);
/* The files that the configuration names. */
struct tls_creds *daemon_load_tls(const struct config *cfg, struct err *err);
struct daemon_defaults *daemon_defaults_new(const struct config *cfg, const char *default_network);
void daemon_defaults_free(struct daemon_defaults *def);

#endif
