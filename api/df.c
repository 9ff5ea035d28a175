/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /system/df: who takes how much space. There is no build cache, so its part is empty. */
#include "container/container.h"
#include "image/image.h"
#include "system.h"
#include "volume/volume.h"

enum { WANT_CONTAINERS = 1, WANT_IMAGES = 2, WANT_VOLUMES = 4, WANT_CACHE = 8 };

/* One kind's numbers, for the "Usage" objects of 1.52. */
struct usage {
	int64_t active, total, reclaimable, size;
	struct buf items; /* JSON array */
};

static int wanted(struct request *rq, unsigned *ret, struct err *err)
{
	static const struct { const char *name; unsigned bit; } types[] = {
		{ "container", WANT_CONTAINERS },
		{ "image", WANT_IMAGES },
		{ "volume", WANT_VOLUMES },
		{ "build-cache", WANT_CACHE },
	};
	OWN_STRV struct strv asked = { 0 };

	*ret = 0;
	if (rq->api_minor >= 42)
		request_query_list(rq, "type", &asked);
	for (size_t i = 0; i < asked.len; i++) {
		size_t k = 0;

		while (k < ARRAY_LEN(types) && !streq(types[k].name, asked.v[i]))
			k++;
		if (k == ARRAY_LEN(types))
			return err_set(err, ERR_INVALID, "unknown object type: %s", asked.v[i]);
		*ret |= types[k].bit;
	}
	if (!asked.len)
		*ret = WANT_CONTAINERS | WANT_IMAGES | WANT_VOLUMES | WANT_CACHE;
	return 0;
}

static void put_image(struct api *api, const struct image *img, int64_t shared, size_t users, int api_minor, struct jw *w)
{
	OWN_STRV struct strv tags = { 0 }, digests = { 0 };

	image_refs(api->images, img->id, &tags, &digests);
	tags.set = digests.set = true;
	jw_obj(w);
	jw_kint(w, "Containers", (int64_t)users);
	jw_kint(w, "Created", img->created / 1000000000);
	jw_kstr(w, "Id", img->id);
	jw_kstrmap(w, "Labels", &img->config.labels);
	jw_kstr(w, "ParentId", img->parent ? img->parent : "");
	jw_kstrv(w, "RepoDigests", &digests);
	jw_kstrv(w, "RepoTags", &tags);
	jw_kint(w, "SharedSize", shared);
	jw_kint(w, "Size", img->size);
	if (api_minor < 44)
		jw_kint(w, "VirtualSize", img->size);
	jw_obj_end(w);
}

static void images_usage(struct api *api, int api_minor, struct usage *u)
{
	struct image **v = NULL;
	size_t n = image_list(api->images, &v);
	OWN_FREE int64_t *shared = xcalloc(n ? n : 1, sizeof(*shared));
	struct jw w;

	u->size = image_usage(api->images, v, n, shared);
	u->total = (int64_t)n;
	jw_init(&w, &u->items);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		OWN_STRV struct strv running = { 0 }, stopped = { 0 };
		size_t users;

		container_users_of_image(api->containers, v[i]->id, &running, &stopped);
		users = running.len + stopped.len;
		u->active += users > 0;
		u->reclaimable += users ? 0 : v[i]->size - shared[i];
		put_image(api, v[i], shared[i], users, api_minor, &w);
	}
	jw_arr_end(&w);
	image_list_free(v, n);
}

static int containers_usage(struct api *api, int api_minor, struct usage *u, struct err *err)
{
	struct list_query q = { .all = true, .size = true };
	size_t running = 0, paused = 0, stopped = 0;
	struct jw w;

	jw_init(&w, &u->items);
	u->total = (int64_t)container_count(api->containers, &running, &paused, &stopped);
	u->active = (int64_t)(running + paused);
	return container_list(api->containers, &q, api_minor, &w, err);
}

static void volumes_usage(struct api *api, const struct cancel *cancel, struct usage *u)
{
	struct volume **v = NULL;
	size_t n = volume_list(api->volumes, &v);
	struct jw w;

	jw_init(&w, &u->items);
	jw_arr(&w);
	for (size_t i = 0; i < n; i++) {
		OWN_STRV struct strv users = { 0 };
		int64_t size = volume_size(v[i], cancel);

		volume_users(api->volumes, v[i]->name, &users);
		volume_encode_usage(v[i], size, (int64_t)users.len, &w);
		u->active += users.len > 0;
		u->size += size > 0 ? size : 0;
		u->reclaimable += users.len || size < 0 ? 0 : size;
	}
	jw_arr_end(&w);
	u->total = (int64_t)n;
	volume_list_free(v, n);
}

static void put_usage(struct jw *w, const char *key, const struct usage *u)
{
	jw_kobj(w, key);
	jw_kint(w, "ActiveCount", u->active);
	jw_kint(w, "TotalCount", u->total);
	jw_kint(w, "Reclaimable", u->reclaimable);
	jw_kint(w, "TotalSize", u->size);
	jw_kraw(w, "Items", u->items.size ? u->items.data : "[]");
	jw_obj_end(w);
}

/* Each kind's list, null when it was not asked for. */
static void put_legacy(struct jw *w, unsigned want, const struct usage *images, const struct usage *containers,
	const struct usage *volumes, int api_minor)
{
	jw_kint(w, "LayersSize", images->size);
	jw_kraw(w, "Images", want & WANT_IMAGES ? images->items.data : "null");
	jw_kraw(w, "Containers", want & WANT_CONTAINERS ? containers->items.data : "null");
	jw_kraw(w, "Volumes", want & WANT_VOLUMES ? volumes->items.data : "null");
	jw_kraw(w, "BuildCache", want & WANT_CACHE ? "[]" : "null");
	if (api_minor < 44)
		jw_kint(w, "BuilderSize", 0);
}

static void done(struct usage *u) { buf_done(&u->items); }

int system_df(struct job *job, struct err *err)
{
	CLEANUP(done) struct usage images = { 0 }, containers = { 0 }, volumes = { 0 };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_BUF struct buf b = { 0 };
	struct usage cache = { 0 };
	unsigned want;
	struct jw w;

	if (wanted(rq, &want, err) < 0)
		return -1;
	if (want & WANT_IMAGES)
		images_usage(api, rq->api_minor, &images);
	if ((want & WANT_CONTAINERS) && containers_usage(api, rq->api_minor, &containers, err) < 0)
		return -1;
	if (want & WANT_VOLUMES)
		volumes_usage(api, &job->cancel, &volumes);
	jw_init(&w, &b);
	jw_obj(&w);
	if (rq->api_minor < 53)
		put_legacy(&w, want, &images, &containers, &volumes, rq->api_minor);
	if (rq->api_minor >= 52) {
		if (want & WANT_IMAGES)
			put_usage(&w, "ImageUsage", &images);
		if (want & WANT_CONTAINERS)
			put_usage(&w, "ContainerUsage", &containers);
		if (want & WANT_VOLUMES)
			put_usage(&w, "VolumeUsage", &volumes);
		if (want & WANT_CACHE)
			put_usage(&w, "BuildCacheUsage", &cache);
	}
	jw_obj_end(&w);
	return reply_json(rq, 200, &b);
}
