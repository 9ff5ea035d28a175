/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gc.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "gc-policy.h"
#include "image/remove.h"

struct gc {
	struct gc_deps deps;
	struct lock lock;        /* LOCK_LEAF: all below */
	pthread_cond_t changed;
	char *json;              /* the policy in force */
	bool again, stop, runs;  /* runs: there is a thread */
	pthread_t thread;
	struct cancel cancel;    /* fires at the end */
};

/* One look. */
struct round {
	struct gc *g;
	const struct gc_policy *policy;
	int64_t now;
	size_t images, containers;
	int64_t reclaimed;
};

struct candidate { struct image *img; int64_t used; };

static void *gc_main(void *ctx);
static void collect(struct gc *g, const struct gc_policy *p);

struct gc *gc_new(const struct gc_deps *deps)
{
	struct gc *g = xcalloc(1, sizeof(*g));

	g->deps = *deps;
	lock_init(&g->lock, LOCK_LEAF);
	lock_cond_init(&g->changed);
	g->cancel = (struct cancel){ -1, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	return g;
}

void gc_set(struct gc *g, const char *json)
{
	OWN_GC_POLICY struct gc_policy p = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (gc_policy_parse(json, &p, &err) < 0) {
		log_warn("%s", err_text(&err));
		return;
	}
	WITH_LOCK(&g->lock);
	str_set(&g->json, json);
	g->again = true;
	pthread_cond_signal(&g->changed);
	if (p.on && !g->runs)
		g->runs = pthread_create(&g->thread, NULL, gc_main, g) == 0;
}

void gc_free(struct gc *g)
{
	const uint64_t one = 1;
	bool runs;

	if (!g)
		return;
	lock_take(&g->lock);
	g->stop = true;
	runs = g->runs;
	pthread_cond_signal(&g->changed);
	lock_drop(&g->lock);
	if (g->cancel.stop_fd >= 0 && write(g->cancel.stop_fd, &one, sizeof(one)) < 0)
		log_debug("the collector is not woken");
	if (runs)
		pthread_join(g->thread, NULL);
	fd_close(&g->cancel.stop_fd);
	pthread_cond_destroy(&g->changed);
	lock_done(&g->lock);
	free(g->json);
	free(g);
}

/* Waits for the next look: its policy, owned by the caller; false at the end. */
static bool next_round(struct gc *g, int64_t *interval, struct gc_policy *ret)
{
	WITH_LOCK(&g->lock);

	while (!g->again && !g->stop)
		if (lock_wait(&g->lock, &g->changed, *interval) != 0)
			break;
	g->again = false;
	gc_policy_parse(g->json, ret, NULL);
	*interval = ret->on ? ret->interval : -1;
	return !g->stop;
}

static void *gc_main(void *ctx)
{
	struct gc *g = ctx;
	int64_t interval = 0;

	for (;;) {
		OWN_GC_POLICY struct gc_policy p = { 0 };

		if (!next_round(g, &interval, &p))
			return NULL;
		if (p.on)
			collect(g, &p);
	}
}

/* Of the data-root's disk, as df counts; -1 unknown. */
static int64_t percent_used(const char *data_root)
{
	struct statvfs fs;
	uint64_t used, all;

	if (statvfs(data_root, &fs) < 0 || fs.f_blocks == 0)
		return -1;
	used = fs.f_blocks - fs.f_bfree;
	all = used + fs.f_bavail;
	return all ? (int64_t)((used * 100 + all - 1) / all) : -1;
}

static void collect_containers(struct round *r)
{
	OWN_STRV struct strv gone = { 0 };
	uint64_t space = 0;

	if (!r->policy->containers)
		return;
	containers_collect(r->g->deps.containers, &r->policy->filters, r->now - r->policy->containers, &r->g->cancel, &gone, &space);
	for (size_t i = 0; i < gone.len; i++)
		log_info("container %.12s ended long ago and is collected", gone.v[i]);
	r->containers += gone.len;
	r->reclaimed += (int64_t)space;
}

static void find_users(void *ctx, const char *image_id, struct strv *running, struct strv *stopped)
{
	container_users_of_image(ctx, image_id, running, stopped);
}

static int newest_first(const void *a, const void *b)
{
	const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;

	return x->created == y->created ? strcmp(x->id, y->id) : x->created < y->created ? 1 : -1;
}

/* The repositories of an image, each once. */
static void repositories(struct round *r, const struct image *img, struct strv *ret)
{
	OWN_STRV struct strv tags = { 0 };

	image_refs(r->g->deps.images, img->id, &tags, NULL);
	for (size_t i = 0; i < tags.len; i++) {
		OWN_REFERENCE struct reference ref = { 0 };
		OWN_FREE char *name = NULL;

		if (reference_parse(tags.v[i], &ref, NULL) < 0)
			continue;
		name = reference_name(&ref);
		if (!strv_contains(ret, name))
			strv_add(ret, name);
	}
}

/* v is sorted, the newest first: the ids of those that keep-last keeps. */
static void keep_newest(struct round *r, struct image *const *v, size_t n, struct strv *kept)
{
	OWN_STRMAP struct strmap counts = { 0 };

	for (size_t i = 0; r->policy->keep_last && i < n; i++) {
		OWN_STRV struct strv repos = { 0 };

		repositories(r, v[i], &repos);
		for (size_t k = 0; k < repos.len; k++) {
			const char *count = strmap_get(&counts, repos.v[k]);
			long long before = count ? atoll(count) : 0;
			OWN_FREE char *text = xasprintf("%lld", before + 1);

			if (before < r->policy->keep_last && !strv_contains(kept, v[i]->id))
				strv_add(kept, v[i]->id);
			strmap_set(&counts, repos.v[k], text);
		}
	}
}

static bool may_go(struct round *r, const struct image *img)
{
	OWN_STRV struct strv running = { 0 }, stopped = { 0 };

	if (img->damaged || !filters_labels_pass(&r->policy->filters, &img->config.labels) ||
	    image_children(r->g->deps.images, img->id, NULL))
		return false;
	container_users_of_image(r->g->deps.containers, img->id, &running, &stopped);
	return running.len + stopped.len == 0;
}

static int longest_unused_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->used == y->used ? strcmp(x->img->id, y->img->id) : x->used < y->used ? -1 : 1;
}

/* Which images may go at all, owned by the caller; they belong to v. */
static struct candidate *candidates(struct round *r, struct image **v, size_t n, size_t *ret_len)
{
	struct candidate *c = xcalloc(n + 1, sizeof(*c));
	OWN_STRV struct strv kept = { 0 };

	*ret_len = 0;
	qsort(v, n, sizeof(*v), newest_first);
	keep_newest(r, v, n, &kept);
	for (size_t i = 0; i < n; i++)
		if (!strv_contains(&kept, v[i]->id) && may_go(r, v[i]))
			c[(*ret_len)++] = (struct candidate){ v[i], image_last_use(r->g->deps.images, v[i]) };
	qsort(c, *ret_len, sizeof(*c), longest_unused_first);
	return c;
}

static void tell(struct round *r, const struct removals *gone)
{
	for (size_t i = 0; i < gone->len; i++) {
		OWN_STRMAP struct strmap attrs = { 0 };
		const struct removal *m = &gone->v[i];

		if (m->kind == REMOVAL_LAYER)
			continue;
		if (m->kind == REMOVAL_UNTAGGED)
			strmap_copy(&attrs, &m->img->config.labels);
		strmap_set(&attrs, "name", m->img->id);
		events_publish(r->g->deps.events, "image", m->kind == REMOVAL_UNTAGGED ? "untag" : "delete", m->img->id, &attrs);
		if (m->kind == REMOVAL_DELETED)
			r->images++;
	}
}

static void remove_one(struct round *r, struct image *img, const char *why)
{
	struct image_users users = { find_users, r->g->deps.containers };
	OWN_REMOVALS struct removals gone = { 0 };
	OWN_STRV struct strv tags = { 0 };
	OWN_FREE char *names = NULL;

	image_refs(r->g->deps.images, img->id, &tags, NULL);
	names = strv_join(&tags, ", ");
	image_collect(r->g->deps.images, img, &users, &gone);
	tell(r, &gone);
	r->reclaimed += gone.reclaimed;
	if (gone.len)
		log_info("image %.19s (%s) is collected: %s", img->id, tags.len ? names : "no name", why);
}

static void collect_images(struct round *r)
{
	const struct gc_policy *p = r->policy;
	const char *data_root = r->g->deps.data_root;
	bool full = p->high && percent_used(data_root) > p->high;
	struct candidate *c;
	struct image **v;
	size_t n, len;

	if (!full && !p->unused)
		return;
	n = image_list(r->g->deps.images, &v);
	c = candidates(r, v, n, &len);
	for (size_t i = 0; i < len && !cancel_fired(&r->g->cancel); i++) {
		if (p->unused && c[i].used <= r->now - p->unused)
			remove_one(r, c[i].img, "it was not used for long");
		else if (full && c[i].used <= r->now - p->min_age)
			remove_one(r, c[i].img, "the disk is full");
		full = full && percent_used(data_root) > p->low;
	}
	if (full)
		log_warn("%s is %lld percent full, and nothing more may be collected", data_root, (long long)percent_used(data_root));
	free(c);
	image_list_free(v, n);
}

static void collect(struct gc *g, const struct gc_policy *p)
{
	struct round r = { .g = g, .policy = p, .now = clock_now() };
	char images[24], containers[24], reclaimed[24];

	collect_containers(&r);
	collect_images(&r);
	if (!r.images && !r.containers)
		return;
	snprintf(images, sizeof(images), "%zu", r.images);
	snprintf(containers, sizeof(containers), "%zu", r.containers);
	snprintf(reclaimed, sizeof(reclaimed), "%lld", (long long)r.reclaimed);
	log_info("collected %s images and %s containers, %s bytes", images, containers, reclaimed);
	events_log(g->deps.events, "daemon", "gc", g->deps.engine_id, "images", images, "containers", containers, "reclaimed", reclaimed, NULL);
}
