/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images: tag, delete, what registries are needed for, and what the other image handlers share. */
#include "images.h"

#include "container/container.h"
#include "events.h"

static void find_users(void *ctx, const char *image_id, struct strv *running, struct strv *stopped)
{
	struct api *api = ctx;

	if (api->containers)
		container_users_of_image(api->containers, image_id, running, stopped);
}

struct image_users image_users_of(struct api *api)
{
	return (struct image_users){ find_users, api };
}

void image_event(struct api *api, const struct image *img, const char *action, const char *name, bool with_labels)
{
	OWN_STRMAP struct strmap attrs = { 0 };

	if (!api->events)
		return;
	if (with_labels)
		strmap_copy(&attrs, &img->config.labels);
	strmap_set(&attrs, "name", name ? name : img->id);
	events_publish(api->events, "image", action, img->id, &attrs);
}

void image_removal_events(struct api *api, const struct removals *r)
{
	for (size_t i = 0; i < r->len; i++)
		if (r->v[i].kind == REMOVAL_UNTAGGED)
			image_event(api, r->v[i].img, "untag", NULL, true);
		else if (r->v[i].kind == REMOVAL_DELETED)
			image_event(api, r->v[i].img, "delete", NULL, false);
}

void removals_encode(const struct removals *r, struct jw *w)
{
	jw_arr(w);
	for (size_t i = 0; i < r->len; i++) {
		jw_obj(w);
		jw_kstr(w, r->v[i].kind == REMOVAL_UNTAGGED ? "Untagged" : "Deleted", r->v[i].text);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

static int image_tag_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_REFERENCE struct reference ref = { 0 };
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_FREE char *name = NULL;

	if (reference_parse_tag(request_query(rq, "repo"), request_query(rq, "tag"), &ref, err) < 0)
		return -1;
	img = image_get(api->images, request_var(rq, "name"), err);
	if (!img || image_tag(api->images, img->id, &ref, NULL, err) < 0)
		return -1;
	name = reference_familiar(&ref);
	image_event(api, img, "tag", name, true);
	return reply_empty(rq, 201);
}

static int image_delete_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *name = request_var(rq, "name");
	struct image_users users = image_users_of(api);
	OWN_REMOVALS struct removals gone = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;
	int rc;

	if (!*name)
		return err_set(err, ERR_INVALID, "image name cannot be blank");
	if (request_query(rq, "platforms"))
		return err_set(err, ERR_INVALID, "removing single platforms of an image is not supported by this image store");
	rc = image_remove(api->images, name, request_query_bool(rq, "force", false), !request_query_bool(rq, "noprune", false),
		&users, &gone, err);
	image_removal_events(api, &gone);
	if (rc < 0)
		return -1;
	jw_init(&w, &b);
	removals_encode(&gone, &w);
	return reply_json(rq, 200, &b);
}

static int image_attestations_job(struct job *job, struct err *err)
{
	return err_set(err, ERR_NOT_IMPLEMENTED, "attestations are not supported by this image store");
}

int api_images_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "image_list", image_list_job }, { "image_inspect", image_inspect_job }, { "image_history", image_history_job },
		{ "image_tag", image_tag_job }, { "image_delete", image_delete_job }, { "image_prune", image_prune_job },
		{ "image_load", image_load_job }, { "image_get", image_save_job }, { "image_create", image_create_job },
		{ "image_squash", image_squash_job }, { "image_push", image_push_job }, { "image_search", image_search_job }, { "image_attestations", image_attestations_job },
		{ "system_auth", registry_login_job }, { "distribution_inspect", registry_inspect_job },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
