/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /images/json and POST /images/prune. */
#include "base/clock.h"
#include "base/filters.h"
#include "container/container.h"
#include "events.h"
#include "images.h"

struct query {
	struct filters filters;
	bool all, shared_size, manifests, dangling_set, dangling;
	int64_t before, since, until;  /* ns; INT64_MAX, INT64_MIN, INT64_MAX when absent */
};

struct row {
	struct image *img;
	struct strv tags, digests;
	int64_t shared;
};

static int read_query(struct request *rq, struct image_store *s, struct query *q, struct err *err);
static int pick(struct api *api, const struct query *q, struct row *row, bool *ret_keep, struct err *err);
static void encode(struct api *api, const struct query *q, const struct row *row, int minor, struct jw *w);

static void query_done(struct query *q) { filters_done(&q->filters); }
static void row_done(struct row *r) { strv_done(&r->tags); strv_done(&r->digests); }

/* Newest first; the id decides between equals, so that the order is always the same. */
static int row_cmp(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->img->created != y->img->created)
		return x->img->created < y->img->created ? 1 : -1;
	return strcmp(x->img->id, y->img->id);
}

int image_list_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(query_done) struct query q = { 0 };
	OWN_BUF struct buf b = { 0 };
	OWN_FREE int64_t *shared = NULL;
	OWN_FREE struct strv *tags = NULL, *digests = NULL;
	struct row *rows;
	struct image **v;
	struct jw w;
	size_t n, len = 0;
	int rc = 0;

	if (read_query(rq, api->images, &q, err) < 0)
		return -1;
	n = image_list(api->images, &v);
	if (q.shared_size && !q.all) /* what they share is asked of those that are shown */
		n = image_drop_inner(api->images, v, n);
	rows = xcalloc(n + 1, sizeof(*rows));
	shared = xcalloc(n + 1, sizeof(*shared));
	tags = xcalloc(n + 1, sizeof(*tags));
	digests = xcalloc(n + 1, sizeof(*digests));
	image_refs_of(api->images, v, n, tags, digests);
	if (q.shared_size)
		image_usage(api->images, v, n, shared);
	for (size_t i = 0; i < n; i++) {
		bool keep = false;

		rows[len] = (struct row){ v[i], tags[i], digests[i], q.shared_size ? shared[i] : -1 };
		rc = rc < 0 ? rc : pick(api, &q, &rows[len], &keep, err);
		if (keep)
			len++;
		else
			row_done(&rows[len]);
	}
	qsort(rows, len, sizeof(*rows), row_cmp);
	jw_init(&w, &b);
	jw_arr(&w);
	for (size_t i = 0; i < len; i++)
		encode(api, &q, &rows[i], rq->api_minor, &w);
	jw_arr_end(&w);
	for (size_t i = 0; i < len; i++)
		row_done(&rows[i]);
	free(rows);
	image_list_free(v, n);
	return rc < 0 ? -1 : reply_json(rq, 200, &b);
}

/* before and since name images: the oldest, the newest of those given. */
static int image_times(struct image_store *s, struct query *q, const char *key, bool before, struct err *err)
{
	const struct strv *names = filters_get(&q->filters, key);

	for (size_t i = 0; names && i < names->len; i++) {
		CLEANUP(image_unrefp) struct image *img = image_get(s, names->v[i], err);

		if (!img)
			return -1;
		if (before && img->created < q->before)
			q->before = img->created;
		if (!before && img->created > q->since)
			q->since = img->created;
	}
	return 0;
}

static int read_query(struct request *rq, struct image_store *s, struct query *q, struct err *err)
{
	static const char *const keys[] = { "before", "dangling", "label", "label!", "reference", "since", "until", NULL };
	const char *name = request_query(rq, "filter"); /* before 1.41: a reference */

	*q = (struct query){ .before = INT64_MAX, .since = INT64_MIN };
	q->all = request_query_bool(rq, "all", false);
	q->shared_size = rq->api_minor >= 42 && request_query_bool(rq, "shared-size", false);
	q->manifests = rq->api_minor >= 47 && request_query_bool(rq, "manifests", false);
	if (filters_parse(request_query(rq, "filters"), &q->filters, err) < 0 || filters_validate(&q->filters, keys, err) < 0)
		return -1;
	if (rq->api_minor < 41 && !str_empty(name))
		filters_add(&q->filters, "reference", name);
	q->dangling_set = filters_has(&q->filters, "dangling");
	if (filters_bool(&q->filters, "dangling", false, &q->dangling, err) < 0 ||
	    filters_until(&q->filters, clock_now(), &q->until, err) < 0)
		return -1;
	if (image_times(s, q, "before", true, err) < 0)
		return -1;
	return image_times(s, q, "since", false, err);
}

static int match_references(const struct query *q, struct strv *refs, struct err *err)
{
	const struct strv *patterns = filters_get(&q->filters, "reference");
	OWN_STRV struct strv kept = { 0 };

	if (!patterns)
		return 0;
	for (size_t i = 0; i < refs->len; i++) {
		OWN_REFERENCE struct reference ref = { 0 };
		bool hit = false;

		if (reference_parse(refs->v[i], &ref, err) < 0)
			return -1;
		for (size_t k = 0; k < patterns->len && !hit; k++)
			if (reference_match(patterns->v[k], &ref, &hit, err) < 0)
				return -1;
		if (hit)
			strv_add(&kept, refs->v[i]);
	}
	strv_done(refs);
	*refs = kept;
	kept = (struct strv){ 0 };
	return 0;
}

static int pick(struct api *api, const struct query *q, struct row *ret, bool *ret_keep, struct err *err)
{
	const struct image *img = ret->img;

	if ((q->before != INT64_MAX && img->created >= q->before) || (q->since != INT64_MIN && img->created <= q->since) ||
	    (q->until != INT64_MAX && img->created > q->until))
		return 0;
	if (!filters_labels_pass(&q->filters, &img->config.labels))
		return 0;
	if (match_references(q, &ret->tags, err) < 0 || match_references(q, &ret->digests, err) < 0)
		return -1;
	if (ret->tags.len + ret->digests.len == 0) {
		bool child = image_children(api->images, img->id, NULL) > 0;

		*ret_keep = !filters_has(&q->filters, "reference") && !(q->dangling_set && !q->dangling) &&
			    (!child || (q->all && !q->dangling));
	} else {
		*ret_keep = !(q->dangling && ret->tags.len);
	}
	return 0;
}

static void encode_refs(struct jw *w, const char *key, const struct strv *v, const char *none, int minor)
{
	if (v->len) {
		jw_kstrv(w, key, v);
	} else if (minor >= 43) {
		jw_kraw(w, key, "[]");
	} else if (none) {
		jw_karr(w, key);
		jw_str(w, none);
		jw_arr_end(w);
	} else {
		jw_knull(w, key);
	}
}

static int64_t count_containers(struct api *api, const struct image *img)
{
	OWN_STRV struct strv running = { 0 }, stopped = { 0 };
	struct image_users users = image_users_of(api);

	users.find(users.ctx, img->id, &running, &stopped);
	return (int64_t)(running.len + stopped.len);
}

static void encode(struct api *api, const struct query *q, const struct row *row, int minor, struct jw *w)
{
	const struct image *img = row->img;
	bool none = row->tags.len + row->digests.len == 0;

	jw_obj(w);
	jw_kint(w, "Containers", minor >= 51 ? count_containers(api, img) : -1);
	jw_kint(w, "Created", img->created == CLOCK_ZERO ? (minor >= 44 ? 0 : INT64_C(-62135596800)) :
		img->created / NSEC_PER_SEC - (img->created % NSEC_PER_SEC < 0));
	jw_kstr(w, "Id", img->id);
	jw_kstrmap(w, "Labels", &img->config.labels);
	jw_kstr(w, "ParentId", img->parent);
	encode_refs(w, "RepoDigests", &row->digests, none ? "<none>@<none>" : NULL, minor);
	encode_refs(w, "RepoTags", &row->tags, none ? "<none>:<none>" : NULL, minor);
	jw_kint(w, "SharedSize", row->shared);
	jw_kint(w, "Size", img->size);
	if (minor < 44)
		jw_kint(w, "VirtualSize", img->size);
	if (q->manifests)
		image_put_manifests(w, api, img);
	jw_obj_end(w);
}

/* What a prune asks of an image. */
struct prune_query { struct filters filters; int64_t until; };
static void prune_query_done(struct prune_query *q) { filters_done(&q->filters); }

static bool prune_wants(void *ctx, const struct image *img)
{
	const struct prune_query *q = ctx;

	if (q->until != INT64_MAX && (img->created == CLOCK_ZERO || img->created > q->until))
		return false;
	return filters_labels_pass(&q->filters, &img->config.labels);
}

static int prune(struct job *job, struct err *err)
{
	static const char *const keys[] = { "dangling", "label", "label!", "until", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	struct image_users users = image_users_of(api);
	CLEANUP(prune_query_done) struct prune_query q = { 0 };
	OWN_REMOVALS struct removals gone = { 0 };
	OWN_BUF struct buf b = { 0 };
	char text[24];
	struct jw w;
	bool dangling;
	int rc;

	if (filters_parse(request_query(rq, "filters"), &q.filters, err) < 0 || filters_validate(&q.filters, keys, err) < 0 ||
	    filters_bool(&q.filters, "dangling", true, &dangling, err) < 0 || filters_until(&q.filters, clock_now(), &q.until, err) < 0)
		return -1;
	rc = image_prune(api->images, dangling, prune_wants, &q, &users, &job->cancel, &gone, err);
	image_removal_events(api, &gone);
	if (rc < 0)
		return -1;
	snprintf(text, sizeof(text), "%lld", (long long)gone.reclaimed);
	if (api->events)
		events_log(api->events, "image", "prune", "", "reclaimed", text, NULL);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "ImagesDeleted");
	if (gone.len)
		removals_encode(&gone, &w);
	else
		jw_null(&w);
	jw_kint(&w, "SpaceReclaimed", gone.reclaimed);
	jw_obj_end(&w);
	return reply_json(rq, 200, &b);
}

int image_prune_job(struct job *job, struct err *err)
{
	static int running;
	int none = 0, rc;

	if (!__atomic_compare_exchange_n(&running, &none, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return err_set(err, ERR_CONFLICT, "a prune operation is already running");
	rc = prune(job, err);
	__atomic_store_n(&running, 0, __ATOMIC_RELEASE);
	return rc;
}
