/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /containers/{id}/checkpoints: for daemons with --experimental, as in Docker. */
#include "api.h"

#include "base/json.h"
#include "container-streams.h"
#include "container/container.h"
#include "system.h"

struct checkpoint_body {
	char *id, *dir;
	bool exit;
};
JDESC(checkpoint_body_desc, checkpoint_body,
	JFIELD(checkpoint_body, id, "CheckpointID", J_STR, 0),
	JFIELD(checkpoint_body, dir, "CheckpointDir", J_STR, 0),
	JFIELD(checkpoint_body, exit, "Exit", J_BOOL, 0));

static void body_done(struct checkpoint_body *b)
{
	jdesc_clear(&checkpoint_body_desc, b);
}

static int check_experimental(struct job *job, struct err *err)
{
	if (job_api(job)->experimental)
		return 0;
	return err_set(err, ERR_NOT_IMPLEMENTED, "This experimental feature is disabled by default. Start the Docker daemon in experimental "
		"mode in order to enable it.");
}

static struct container *find(struct job *job, struct err *err)
{
	return container_find(job_api(job)->containers, request_var(job_request(job), "id"), err);
}

static int list(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_STRV struct strv names = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (check_experimental(job, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || checkpoint_list(c, request_query(rq, "dir"), &names, err) < 0)
		return -1;
	if (!names.len)
		buf_adds(&b, "null");
	jw_init(&w, &b);
	if (names.len)
		jw_arr(&w);
	for (size_t i = 0; i < names.len; i++) {
		jw_obj(&w);
		jw_kstr(&w, "Name", names.v[i]);
		jw_obj_end(&w);
	}
	if (names.len)
		jw_arr_end(&w);
	return reply_json(rq, 200, &b);
}

static int create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(body_done) struct checkpoint_body body = { 0 };
	CLEANUP(container_unrefp) struct container *c = NULL;

	if (check_experimental(job, err) < 0 || request_body_json(rq, &checkpoint_body_desc, &body, false, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || checkpoint_create(c, request_var(rq, "id"), body.id, body.dir, body.exit, err) < 0)
		return -1;
	return reply_empty(rq, 201);
}

static int delete_(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = NULL;

	if (check_experimental(job, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || checkpoint_delete(c, request_var(rq, "id"), request_var(rq, "checkpoint"), request_query(rq, "dir"), err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

int api_checkpoints_register(struct api *api, struct err *err)
{
	static const struct job_row jobs[] = { { "checkpoint_create", create }, { "checkpoint_delete", delete_ }, { "checkpoint_list", list } };

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
