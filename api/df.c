/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /system/df: who takes how much space. There is no build cache, so its part is empty. */
#include "base/lock.h"
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

/*
 * A walk over files is shared by all who ask while it runs, by kind and form. Who began it walks; when that one's client
 * leaves, the next of those who wait begins again.
 */
struct walk {
	unsigned kind;
	int api_minor;
	struct usage usage;
	bool ended, cut_short; /* guarded by lock, as are refs and the list */
	int refs;
	struct walk *next;
};
static struct lock lock = LOCK_INIT(LOCK_LEAF);
static pthread_cond_t ended;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct walk *walks; /* those that have not ended */

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

	/* the layers of one that is left out are all its children's, too */
	n = image_drop_inner(api->images, v, n);
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

static int containers_usage(struct api *api, int api_minor, const struct cancel *cancel, struct usage *u, struct err *err)
{
	struct list_query q = { .all = true, .size = true, .cancel = cancel, .ret_rw = &u->size, .ret_idle = &u->reclaimable };
	size_t running = 0, paused = 0, stopped = 0;
	struct jw w;

	jw_init(&w, &u->items);
	u->total = (int64_t)container_count(api->containers, &running, &paused, &stopped);
	u->active = (int64_t)(running + paused);
	return container_list(api->containers, &q, api_minor, &w, err);
}

/* What a volume of driver "local" is mounted from is not the daemon's room: as by Docker, it is not listed. A share whose server is gone is not waited for. */
static bool is_elsewhere(const struct volume *v)
{
	return streq(v->driver, "local") && !str_empty(strmap_get(&v->options, "device"));
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
		int64_t size;

		if (is_elsewhere(v[i]))
			continue;
		size = volume_size(api->volumes, v[i], cancel);
		u->total++;
		volume_users(api->volumes, v[i]->name, &users);
		volume_encode_usage(v[i], size, (int64_t)users.len, &w);
		u->active += users.len > 0;
		u->size += size > 0 ? size : 0;
		u->reclaimable += users.len || size < 0 ? 0 : size;
	}
	jw_arr_end(&w);
	volume_list_free(v, n);
}

static void cond_init(void) { lock_cond_init(&ended); }

static void walk_put(struct walk *k)
{
	bool last;

	lock_take(&lock);
	last = --k->refs == 0;
	lock_drop(&lock);
	if (last) {
		buf_done(&k->usage.items);
		free(k);
	}
}
DEFINE_CLEANUP(struct walk, walk_put)

/* With a reference; ret_mine: the caller has to do it. */
static struct walk *walk_join(unsigned kind, int api_minor, bool *ret_mine)
{
	struct walk *k;

	pthread_once(&once, cond_init);
	WITH_LOCK(&lock);
	for (k = walks; k; k = k->next)
		if (k->kind == kind && k->api_minor == api_minor)
			break;
	*ret_mine = !k;
	if (!k) {
		k = xcalloc(1, sizeof(*k));
		*k = (struct walk){ .kind = kind, .api_minor = api_minor, .next = walks };
		walks = k;
	}
	k->refs++;
	return k;
}

static void walk_end(struct walk *k, bool cut_short)
{
	WITH_LOCK(&lock);

	for (struct walk **at = &walks; *at; at = &(*at)->next) {
		if (*at == k) {
			*at = k->next;
			break;
		}
	}
	k->ended = true;
	k->cut_short = cut_short;
	pthread_cond_broadcast(&ended);
}

/* False: the token fired before somebody else's walk ended. */
static bool walk_wait(struct walk *k, const struct cancel *cancel)
{
	bool done;

	do {
		if (cancel_fired(cancel))
			return false;
		lock_take(&lock);
		if (!k->ended)
			lock_wait(&lock, &ended, 200LL * 1000 * 1000);
		done = k->ended;
		lock_drop(&lock);
	} while (!done);
	return true;
}

/* The walk that has what is asked for (release with walk_put), or NULL. */
static struct walk *walk(struct job *job, unsigned kind, struct err *err)
{
	int api_minor = job_request(job)->api_minor;

	for (;;) {
		bool mine;
		CLEANUP(walk_putp) struct walk *k = walk_join(kind, api_minor, &mine);
		int r = 0;

		if (mine) {
			if (kind == WANT_VOLUMES)
				volumes_usage(job_api(job), &job->cancel, &k->usage);
			else
				r = containers_usage(job_api(job), api_minor, &job->cancel, &k->usage, err);
			walk_end(k, r < 0 || cancel_fired(&job->cancel));
			return r < 0 ? NULL : STEAL(k);
		}
		if (!walk_wait(k, &job->cancel)) {
			err_set(err, ERR_CANCELLED, "the client went away");
			return NULL;
		}
		if (!k->cut_short)
			return STEAL(k);
	}
}

static void put_usage(struct jw *w, const char *key, const struct usage *u, bool verbose)
{
	jw_kobj(w, key);
	jw_kint(w, "ActiveCount", u->active);
	jw_kint(w, "TotalCount", u->total);
	jw_kint(w, "Reclaimable", u->reclaimable);
	jw_kint(w, "TotalSize", u->size);
	if (verbose && u->items.size)
		jw_kraw(w, "Items", u->items.data);
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
	CLEANUP(walk_putp) struct walk *containers = NULL, *volumes = NULL;
	CLEANUP(done) struct usage images = { 0 };
	struct request *rq = job_request(job);
	bool verbose = request_query_bool(rq, "verbose", false);
	struct usage none = { 0 };
	OWN_BUF struct buf b = { 0 };
	unsigned want;
	struct jw w;

	if (wanted(rq, &want, err) < 0)
		return -1;
	if (want & WANT_IMAGES)
		images_usage(job_api(job), rq->api_minor, &images);
	if ((want & WANT_CONTAINERS) && !(containers = walk(job, WANT_CONTAINERS, err)))
		return -1;
	if ((want & WANT_VOLUMES) && !(volumes = walk(job, WANT_VOLUMES, err)))
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	if (rq->api_minor < 53)
		put_legacy(&w, want, &images, containers ? &containers->usage : &none, volumes ? &volumes->usage : &none, rq->api_minor);
	if (rq->api_minor >= 52) {
		if (want & WANT_IMAGES)
			put_usage(&w, "ImageUsage", &images, verbose);
		if (containers)
			put_usage(&w, "ContainerUsage", &containers->usage, verbose);
		if (volumes)
			put_usage(&w, "VolumeUsage", &volumes->usage, verbose);
		if (want & WANT_CACHE)
			put_usage(&w, "BuildCacheUsage", &none, verbose);
	}
	jw_obj_end(&w);
	return reply_json(rq, 200, &b);
}
