/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/filters.h"
#include "bodies.h"
#include "events.h"
#include "volume-tar.h"
#include "volume/volume.h"

struct volume_body {
	char *name, *driver, *cluster;
	struct strmap options, labels;
};
JDESC(volume_body_desc, volume_body,
	JFIELD(volume_body, name, "Name", J_STR, 0),
	JFIELD(volume_body, driver, "Driver", J_STR, 0),
	JFIELD(volume_body, options, "DriverOpts", J_STRMAP, 0),
	JFIELD(volume_body, labels, "Labels", J_STRMAP, 0),
	JFIELD(volume_body, cluster, "ClusterVolumeSpec", J_RAW, 0));

/* "dangling", when it is there: does the volume's being used fit? */
static int dangling_fits(struct api *api, const struct filters *f, const struct volume *v, bool *ret, struct err *err)
{
	bool want;

	*ret = true;
	if (!filters_has(f, "dangling"))
		return 0;
	if (filters_bool(f, "dangling", false, &want, err) < 0)
		return -1;
	*ret = want == (volume_users(api->volumes, v->name, NULL) == 0);
	return 0;
}

static bool listed(const struct filters *f, const struct volume *v)
{
	return (!filters_has(f, "name") || filters_match(f, "name", v->name)) &&
		(!filters_has(f, "driver") || filters_exact(f, "driver", v->driver)) &&
		filters_labels(f, "label", &v->labels);
}

static int encode_list(struct api *api, const struct filters *f, struct volume **v, size_t len, struct jw *w, struct err *err)
{
	bool fits;

	jw_obj(w);
	jw_karr(w, "Volumes");
	for (size_t i = 0; i < len; i++) {
		if (dangling_fits(api, f, v[i], &fits, err) < 0)
			return -1;
		if (fits && listed(f, v[i]))
			volume_encode(v[i], w);
	}
	jw_arr_end(w);
	jw_knull(w, "Warnings");
	jw_obj_end(w);
	return 0;
}

static int read_filters(struct request *rq, const char *const *allowed, struct filters *ret, struct err *err)
{
	if (filters_parse(request_query(rq, "filters"), ret, err) < 0)
		return err_wrap(err, "error reading volume filters");
	return filters_validate(ret, allowed, err);
}

static int on_list(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "dangling", "name", "driver", "label", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	struct volume **v;
	struct jw w;
	size_t len;
	bool any;
	int ret;

	/* Also when there is no volume to hold it against. */
	if (read_filters(rq, allowed, &f, err) < 0 || filters_bool(&f, "dangling", false, &any, err) < 0)
		return -1;
	jw_init(&w, &b);
	volume_refresh(api->volumes);
	len = volume_list(api->volumes, &v);
	ret = encode_list(api, &f, v, len, &w, err);
	volume_list_free(v, len);
	return ret < 0 ? -1 : reply_json(rq, 200, &b);
}

static int reply_volume(struct request *rq, int status, const struct volume *v)
{
	OWN_BUF struct buf b = {0};
	struct jw w;

	jw_init(&w, &b);
	volume_encode(v, &w);
	return reply_json(rq, status, &b);
}

static int no_swarm(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" "
		"to connect this node to swarm and try again.");
}

static int on_create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_VOLUME struct volume *v = NULL;
	struct volume_body body = {0};
	bool created = false;
	int ret = request_body_json(rq, &volume_body_desc, &body, false, err);

	if (ret == 0 && body.cluster)
		ret = no_swarm(err);
	if (ret == 0) {
		v = volume_create_for(api->volumes, body.name, body.driver, &body.options, &body.labels, NULL, &created, err);
		ret = v ? 0 : -1;
	}
	jdesc_clear(&volume_body_desc, &body);
	if (ret < 0)
		return -1;
	if (created)
		events_log_of(api->events, &v->labels, "volume", "create", v->name, "driver", v->driver, NULL);
	return reply_volume(rq, 201, v);
}

static int on_inspect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_VOLUME struct volume *v = volume_get(api->volumes, request_var(rq, "name"), err);
	OWN_BUF struct buf b = {0};
	struct jw w;

	if (!v)
		return -1;
	jw_init(&w, &b);
	volume_encode_status(api->volumes, v, &w);
	return reply_json(rq, 200, &b);
}

static int on_delete(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *name = request_var(rq, "name");
	OWN_VOLUME struct volume *v = volume_get(api->volumes, name, NULL);

	if (volume_remove(api->volumes, name, request_query_bool(rq, "force", false), err) < 0)
		return -1;
	if (v)
		events_log_of(api->events, &v->labels, "volume", "destroy", name, "driver", v->driver, NULL);
	return reply_empty(rq, 204);
}

/*
 * Whether prune may take it: since API 1.42 only those without a name of their own, unless "all" says otherwise. Those with options, as by Docker, never:
 * what they name (a share, a device, a folder) frees no room when it is forgotten.
 */
static bool prunable(struct api *api, const struct filters *f, bool all, const struct volume *v)
{
	return (all || v->anonymous) && !v->options.len && streq(v->driver, "local") && filters_labels_pass(f, &v->labels) &&
		volume_users(api->volumes, v->name, NULL) == 0;
}

static int64_t prune(struct job *job, const struct filters *f, bool all, struct jw *w)
{
	struct api *api = job_api(job);
	int64_t reclaimed = 0, size;
	struct volume **v;
	size_t len = volume_list(api->volumes, &v);

	for (size_t i = 0; i < len && !cancel_fired(&job->cancel); i++) {
		if (!prunable(api, f, all, v[i]))
			continue;
		size = volume_size(api->volumes, v[i], &job->cancel);
		/* Somebody may have taken it meanwhile: then it stays. */
		if (volume_remove(api->volumes, v[i]->name, false, NULL) < 0)
			continue;
		events_log_of(api->events, &v[i]->labels, "volume", "destroy", v[i]->name, "driver", v[i]->driver, NULL);
		reclaimed += size > 0 ? size : 0;
		jw_str(w, v[i]->name);
	}
	volume_list_free(v, len);
	return reclaimed;
}

static int on_prune(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "label", "label!", "all", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	OWN_FREE char *text = NULL;
	bool all = rq->api_minor < 42;
	int64_t reclaimed;
	struct jw w;

	if (read_filters(rq, allowed, &f, err) < 0)
		return -1;
	if (rq->api_minor < 42 && filters_has(&f, "all"))
		return err_set(err, ERR_INVALID, "invalid filter 'all'");
	if (filters_bool(&f, "all", all, &all, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_karr(&w, "VolumesDeleted");
	reclaimed = prune(job, &f, all, &w);
	jw_arr_end(&w);
	jw_kint(&w, "SpaceReclaimed", reclaimed);
	jw_obj_end(&w);
	text = xasprintf("%" PRId64, reclaimed);
	events_log(api->events, "volume", "prune", "", "reclaimed", text, NULL);
	return reply_json(rq, 200, &b);
}

/* Only cluster volumes can be changed. */
static int on_update(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_VOLUME struct volume *v = volume_get(api->volumes, request_var(rq, "name"), NULL);

	if (v)
		return err_set(err, ERR_INVALID, "volume %s cannot be updated: it is no cluster volume", v->name);
	return no_swarm(err);
}

/* What follows is beyond Docker's API. */

static const char *new_name(const struct request *rq, struct err *err)
{
	const char *name = request_query(rq, "name");

	if (str_empty(name))
		err_set(err, ERR_INVALID, "the new name is missing (?name=)");
	return str_empty(name) ? NULL : name;
}

static int on_rename(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *old = request_var(rq, "name"), *name = new_name(rq, err);
	OWN_VOLUME struct volume *v = name ? volume_rename(api->volumes, old, name, err) : NULL;

	if (!v)
		return -1;
	events_log_of(api->events, &v->labels, "volume", "rename", v->name, "driver", v->driver, "oldName", old, NULL);
	return reply_volume(rq, 200, v);
}

static int on_snapshot(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *name = new_name(rq, err);
	OWN_VOLUME struct volume *v = name ? volume_snapshot(api->volumes, request_var(rq, "name"), name, err) : NULL;

	if (!v)
		return -1;
	events_log_of(api->events, &v->labels, "volume", "create", v->name, "driver", v->driver, NULL);
	return reply_volume(rq, 201, v);
}

static int on_export(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct reply_writer out;

	reply_writer_init(&out, rq, "application/x-tar");
	return volume_tar_export(job_api(job)->volumes, request_var(rq, "name"), &out.writer, &job->cancel, err);
}

static int on_import(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct body_reader in;

	body_reader_init(&in, rq);
	return volume_tar_import(job_api(job)->volumes, request_var(rq, "name"), &in.reader, err) < 0 ? -1 : reply_empty(rq, 204);
}

int api_volumes_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "volume_list", on_list }, { "volume_create", on_create }, { "volume_inspect", on_inspect },
		{ "volume_update", on_update }, { "volume_delete", on_delete }, { "volume_prune", on_prune },
		{ "volume_rename", on_rename }, { "volume_snapshot", on_snapshot }, { "volume_export", on_export }, { "volume_import", on_import },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
