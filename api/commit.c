/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POST /commit */
#include "api.h"
#include "container-streams.h"
#include "container/container.h"

static void config_done(struct container_config *cfg) { jdesc_clear(&container_config_desc, cfg); }
static void options_done(struct commit_options *o) { strv_done(&o->changes); }

/* The body is a Config. None, null and one without a field are none: then the container's own is taken whole. */
static int read_config(struct request *rq, struct container_config *ret, bool *ret_given, struct err *err)
{
	OWN_BUF struct buf body = { 0 };
	OWN_JSON json_t *js = NULL;

	*ret_given = false;
	if (request_body(rq, &body, err) < 0)
		return -1;
	if (!body.size || strspn(body.data, " \t\r\nul") == body.size)
		return 0;
	js = json_read(body.data, body.size, err);
	if (!js)
		return -1;
	request_any_case(rq, &container_config_desc, js);
	*ret_given = !json_is_object(js) || json_object_size(js);
	return *ret_given ? jdesc_decode(&container_config_desc, js, ret, err) : 0;
}

static int commit(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(options_done)
	struct commit_options o = { .repo = request_query(rq, "repo"),
		.tag = request_query(rq, "tag"),
		.comment = request_query(rq, "comment"),
		.author = request_query(rq, "author"),
		.pause = request_query_bool(rq, "pause", true) };
	CLEANUP(config_done) struct container_config cfg = { 0 };
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_STRV struct strv lines = { 0 };
	OWN_BUF struct buf b = { 0 };
	bool given = false;
	char id[72];
	struct jw w;

	request_query_list(rq, "changes", &lines);
	for (size_t i = 0; i < lines.len; i++)
		strv_split(&o.changes, lines.v[i], "\n");
	if (read_config(rq, &cfg, &given, err) < 0)
		return -1;
	if (str_empty(request_query(rq, "container")))
		return err_set(err, ERR_INVALID, "invalid container name or ID: value is empty");
	c = container_find(job_api(job)->containers, request_query(rq, "container"), err);
	if (!c || container_commit(c, &o, given ? &cfg : NULL, &job->cancel, id, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}

int api_commit_register(struct api *api, struct err *err)
{
	return engine_register(api->engine, "commit", commit, api, err);
}
