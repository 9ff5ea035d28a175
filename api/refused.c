/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Routes of the API that no room serves: refused with Docker's status and a clear sentence. A room that registers the job
 * first wins.
 */
#include "system.h"

#define NO_PLUGINS "managed plugins are not part of this daemon: drivers are shared objects in its plugin folders"

static const struct refusal {
	const char *job;
	enum err_class class;
	const char *text;
} refusals[] = {
	{ "build", ERR_NOT_IMPLEMENTED, "docker build is not part of this daemon yet" },
	{ "build_cancel", ERR_NOT_IMPLEMENTED, "docker build is not part of this daemon yet" },
	{ "image_attestations", ERR_NOT_IMPLEMENTED, "attestations need an image store that keeps manifests" },
	{ "plugin_create", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_delete", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_disable", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_enable", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_inspect", ERR_NOT_FOUND, NO_PLUGINS },
	{ "plugin_privileges", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_pull", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_push", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_set", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "plugin_upgrade", ERR_NOT_IMPLEMENTED, NO_PLUGINS },
	{ "volume_update", ERR_UNAVAILABLE,
		"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this "
		"node to swarm and try again." },
};

static int refuse(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		if (streq(refusals[i].job, job->name))
			return err_set(err, refusals[i].class, "%s", refusals[i].text);
	return err_set(err, ERR_NOT_IMPLEMENTED, "%s %s is not part of this daemon yet", rq->method, rq->path);
}

/* /session and /grpc speak HTTP/2 to a BuildKit client. */
static int refuse_upgrade(struct job *job, struct err *err)
{
	if (!request_header(job_request(job), "Upgrade"))
		return err_set(err, ERR_INVALID, "no upgrade proto in request");
	return err_set(err, ERR_NOT_IMPLEMENTED, "BuildKit is not part of this daemon");
}

/* There is no build cache: pruning it is done already. docker system prune calls this, too. */
static int prune_nothing(struct job *job, struct err *err)
{
	OWN_BUF struct buf b = { 0 };

	buf_adds(&b, "{\"CachesDeleted\":null,\"SpaceReclaimed\":0}");
	return reply_json(job_request(job), 200, &b);
}

int refused_register(struct api *api, struct err *err)
{
	static const struct job_row jobs[] = { { "session", refuse_upgrade }, { "grpc", refuse_upgrade },
		{ "build_prune", prune_nothing } };

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (!engine_has(api->engine, jobs[i].name) &&
			engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	for (size_t i = 0; i < api_routes_len; i++)
		if (!engine_has(api->engine, api_routes[i].job) &&
			engine_register(api->engine, api_routes[i].job, refuse, api, err) < 0)
			return -1;
	return 0;
}
