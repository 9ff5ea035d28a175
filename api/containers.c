/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /containers/...: everything but the streams (container-streams.c) and execs (exec.c). */
#include <inttypes.h>
#include <strings.h>

#include "api.h"
#include "base/filters.h"
#include "container-streams.h"
#include "container/container.h"
#include "container/update.h"
#include "events.h"

static struct container *find(struct job *job, struct err *err)
{
	return container_find(job_api(job)->containers, request_var(job_request(job), "id"), err);
}

static int list(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct list_query q = { .all = request_query_bool(rq, "all", false), .size = request_query_bool(rq, "size", false),
		.filters = request_query(rq, "filters"), .cancel = &job->cancel };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (request_query_int(rq, "limit", &q.limit, err) < 0)
		return -1;
	if (container_list(job_api(job)->containers, &q, rq->api_minor, &w, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}

static json_t *read_json(struct request *rq, struct err *err)
{
	const char *type = request_header(rq, "Content-Type");
	OWN_BUF struct buf body = { 0 };
	size_t n = type ? strcspn(type, "; \t") : 0;

	if (!type || n != 16 || strncasecmp(type, "application/json", n) != 0) {
		err_set(err, ERR_INVALID, "Content-Type specified (%.128s) must be 'application/json'", type ? type : "");
		return NULL;
	}
	if (request_body(rq, &body, err) < 0)
		return NULL;
	if (!body.size) {
		err_set(err, ERR_INVALID, "invalid JSON: got EOF while reading request body");
		return NULL;
	}
	return json_read(body.data, body.size, err);
}

static int create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(create_body_done) struct create_body body = { 0 };
	OWN_JSON json_t *js = read_json(rq, err);
	OWN_STRV struct strv warnings = { .set = true };
	OWN_BUF struct buf b = { 0 };
	char id[65];
	struct jw w;

	if (js && !rq->judged)
		create_body_any_case(js);
	if (!js || create_body_decode(js, &body, err) < 0 || create_body_since(&body, rq->api_minor, &warnings, err) < 0)
		return -1;
	if (container_create(job_api(job)->containers, request_query(rq, "name"), request_query(rq, "platform"), &body, id,
		    &warnings, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_kstrv(&w, "Warnings", &warnings);
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}

static int update(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(update_body_done) struct update_body body = { 0 };
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_JSON json_t *js = read_json(rq, err);
	OWN_STRV struct strv warnings = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (js && !rq->judged)
		update_body_any_case(js);
	if (!js || update_body_decode(js, &body, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || container_update(c, &body, &warnings, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstrv(&w, "Warnings", &warnings);
	jw_obj_end(&w);
	return reply_json(rq, 200, &b);
}

static int inspect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = find(job, err);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	buf_reserve(&b, 6000);
	jw_init(&w, &b);
	if (!c || container_inspect(c, request_query_bool(rq, "size", false), rq->api_minor, &w, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}

static int start(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *checkpoint = request_query(rq, "checkpoint");
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_BUF struct buf body = { 0 };

	if (!str_empty(checkpoint) && !job_api(job)->experimental)
		return err_set(err, ERR_INVALID, "checkpoint is only supported in experimental mode");
	c = find(job, err);
	if (!c || request_body(rq, &body, err) < 0)
		return -1;
	/* Old clients send an empty object. */
	if (body.size && !(body.size <= 4 && str_has_prefix(body.data, "{}")))
		return err_set(err, ERR_INVALID,
			"starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24");
	if (!str_empty(checkpoint) && !str_empty(request_query(rq, "checkpoint-dir")))
		return err_set(err, ERR_FORBIDDEN, "custom checkpointdir is not supported");
	if (container_start_from(c, str_empty(checkpoint) ? NULL : checkpoint, err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

/* t and signal of stop and restart; *ret_timeout points to *room or is NULL. */
static int stop_options(struct request *rq, const char **ret_signal, int *room, const int **ret_timeout, struct err *err)
{
	int64_t t = -2;

	*ret_signal = rq->api_minor >= 42 ? request_query(rq, "signal") : NULL;
	*ret_timeout = NULL;
	if (str_empty(request_query(rq, "t")))
		return 0;
	if (request_query_int(rq, "t", &t, err) < 0)
		return -1;
	if (t > INT32_MAX)
		return err_set(err, ERR_INVALID, "the time-out is out of range");
	*room = t < 0 ? -1 : (int)t;
	*ret_timeout = room;
	return 0;
}

static int stop(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = find(job, err);
	const char *signal;
	const int *timeout;
	int room;

	if (!c || stop_options(rq, &signal, &room, &timeout, err) < 0 || container_stop(c, signal, timeout, err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

static int restart(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = find(job, err);
	const char *signal;
	const int *timeout;
	int room;

	if (!c || stop_options(rq, &signal, &room, &timeout, err) < 0 || container_restart(c, signal, timeout, err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

static int kill_(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *signal = request_query(rq, "signal");
	CLEANUP(container_unrefp) struct container *c = NULL;

	if (container_check_signal(signal, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || container_kill(c, signal, err) < 0)
		return err_wrap(err, "Cannot kill container: %s", request_var(rq, "id"));
	return reply_empty(rq, 204);
}

static int pause_(struct job *job, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = find(job, err);

	if (!c || container_pause(c, true, err) < 0)
		return -1;
	return reply_empty(job_request(job), 204);
}

static int unpause(struct job *job, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = find(job, err);

	if (!c || container_pause(c, false, err) < 0)
		return -1;
	return reply_empty(job_request(job), 204);
}

static int rename_(struct job *job, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = find(job, err);

	if (!c || container_rename(c, request_query(job_request(job), "name"), err) < 0)
		return -1;
	return reply_empty(job_request(job), 204);
}

static int resize(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = NULL;
	int64_t h, w;

	if (api_terminal_size(rq, &h, &w, err) < 0)
		return -1;
	c = find(job, err);
	if (!c || container_resize(c, h, w, err) < 0)
		return -1;
	return reply_empty(rq, 200);
}

static int delete_(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = NULL;

	if (request_query_bool(rq, "link", false)) {
		if (container_unlink(job_api(job)->containers, request_var(rq, "id"), err) < 0)
			return -1;
		return reply_empty(rq, 204);
	}
	c = find(job, err);
	if (!c || container_remove(c, request_query_bool(rq, "force", false), request_query_bool(rq, "v", false), err) < 0)
		return -1;
	return reply_empty(rq, 204);
}

static int prune(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	OWN_STRV struct strv removed = { 0 };
	OWN_FREE char *text = NULL;
	OWN_BUF struct buf b = { 0 };
	uint64_t space = 0;
	struct jw w;

	if (containers_prune(job_api(job)->containers, request_query(rq, "filters"), &job->cancel, &removed, &space, err) < 0)
		return -1;
	removed.set = removed.len > 0;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstrv(&w, "ContainersDeleted", &removed);
	jw_key(&w, "SpaceReclaimed");
	jw_uint(&w, space);
	jw_obj_end(&w);
	text = xasprintf("%" PRIu64, space);
	events_log(job_api(job)->events, "container", "prune", "", "reclaimed", text, NULL);
	return reply_json(rq, 200, &b);
}

static int top(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = find(job, err);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (!c || container_top(c, request_query(rq, "ps_args"), &job->cancel, &w, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}

static int changes(struct job *job, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = find(job, err);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (!c || container_changes(c, &w, err) < 0)
		return -1;
	return reply_json(job_request(job), 200, &b);
}

int api_terminal_size(struct request *rq, int64_t *ret_rows, int64_t *ret_cols, struct err *err)
{
	const char *h = request_query(rq, "h"), *w = request_query(rq, "w");

	if (!str_to_i64(h ? h : "", ret_rows))
		return err_set(err, ERR_INVALID, "invalid resize height \"%.32s\": invalid syntax", h ? h : "");
	if (!str_to_i64(w ? w : "", ret_cols))
		return err_set(err, ERR_INVALID, "invalid resize width \"%.32s\": invalid syntax", w ? w : "");
	return 0;
}

int api_containers_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "container_list", list },
		{ "container_create", create },
		{ "container_inspect", inspect },
		{ "container_start", start },
		{ "container_stop", stop },
		{ "container_restart", restart },
		{ "container_kill", kill_ },
		{ "container_pause", pause_ },
		{ "container_unpause", unpause },
		{ "container_rename", rename_ },
		{ "container_update", update },
		{ "container_resize", resize },
		{ "container_delete", delete_ },
		{ "container_prune", prune },
		{ "container_top", top },
		{ "container_changes", changes },
		{ "container_attach", api_container_attach },
		{ "container_attach_ws", api_container_attach_ws },
		{ "container_logs", api_container_logs },
		{ "container_wait", api_container_wait },
		{ "container_stats", api_container_stats },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	if (api_commit_register(api, err) < 0 || api_checkpoints_register(api, err) < 0)
		return -1;
	return api_container_files_register(api, err);
}
