/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Docker face: handlers registered as the engine's jobs, one file per resource. A handler reads the request into plain
 * structs, calls the domain, writes the answer.
 */
#ifndef API_API_H
#define API_API_H

#include "engine.h"
#include "router.h"

struct config;
struct container_store;
struct daemon_defaults;
struct events;
struct image_store;
struct authz;
struct managed_store;
struct net_controller;
struct registry;
struct spawner;
struct volume_store;

/* What handlers work with; filled by the daemon, outlives the engine. Pointers may be NULL while the daemon starts. */
struct api {
	struct engine *engine;
	const struct config *_Atomic config; /* a reload puts another there: take it once, read on without a lock */
	struct image_store *images;
	struct registry *registry;              /* NULL: nothing can be pulled */
	struct container_store *containers;
	struct managed_store *plugins;
	struct authz *authz;
	struct volume_store *volumes;
	struct net_controller *nets;
	struct events *events;
	struct spawner *spawner;                /* asks runtimes for their version */
	const struct daemon_defaults *_Atomic defaults; /* as config */
	const char *_Atomic runtime_default;            /* as config */
	const char *engine_id, *data_root;
	bool experimental;
};

/* Each resource registers its jobs (ctx is the struct api). */
int api_system_register(struct api *api, struct err *err);     /* ping version info events auth df swarm answers */
int api_images_register(struct api *api, struct err *err);
int api_containers_register(struct api *api, struct err *err);
int api_exec_register(struct api *api, struct err *err);
int api_volumes_register(struct api *api, struct err *err);
int api_networks_register(struct api *api, struct err *err);
int api_plugins_register(struct api *api, struct err *err);
int api_metrics_register(struct api *api, struct err *err);    /* /metrics, on a listener of its own */
int api_register(struct api *api, struct err *err);            /* all of them */

extern const struct route api_routes[];
extern const size_t api_routes_len;

/* What info reports beyond the stores: a sentence each (listeners without TLS, ...). Set before requests come. */
void api_add_warning(const char *text);

static inline struct request *job_request(struct job *job) { return job->face; }
static inline struct api *job_api(struct job *job) { return job->ctx; }

#endif
