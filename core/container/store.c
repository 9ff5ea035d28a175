/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"
#include "container/join.h"

#define WORK_THREADS 32
#define CLOSING_THREADS 2
/* What killed threads take to be gone, and how often one looks. */
#define ENDS_NS      (NSEC_PER_SEC / 2)
#define ENDS_STEP_US 10000

/* For the networks' lists of containers: without "/". */
static char *name_of(void *ctx, const char *container_id)
{
	CLEANUP(container_unrefp) struct container *c = store_by_id(ctx, container_id);

	if (!c)
		return NULL;
	WITH_LOCK(&c->lock);
	return c->rec.name ? xstrdup(c->rec.name + (*c->rec.name == '/')) : NULL;
}

/* Also of containers that run: those have them already. */
static void asked_of(void *ctx, const struct network *n, struct strv *ret)
{
	struct container **all;
	size_t len = store_all(ctx, &all);

	for (size_t i = 0; i < len; i++) {
		endpoint_asked(all[i], n, ret);
		container_unref(all[i]);
	}
	free(all);
}

struct container_store *container_store_open(const struct container_deps *deps, struct err *err)
{
	struct container_store *s = xcalloc(1, sizeof(*s));

	s->deps = *deps;
	s->dir = xasprintf("%s/containers", deps->data_root);
	s->run_dir = xasprintf("%s/containers", deps->exec_root);
	s->runtime_root = xasprintf("%s/runtime", deps->exec_root);
	lock_init(&s->lock, LOCK_MAP);
	lock_init(&s->settle_lock, LOCK_LEAF);
	lock_init(&s->ranges_lock, LOCK_LEAF);
	lock_cond_init(&s->settled);
	s->work = work_new(WORK_THREADS);
	s->closing = work_new(CLOSING_THREADS);
	s->health = health_pool_new(err);
	if (!s->health)
		goto fail;
	if (fs_mkdirs_owned(s->dir, 0710, container_dir_owner(), err) < 0 || fs_mkdirs(s->run_dir, 0700, err) < 0)
		goto fail;
	s->monitor = shim_monitor_new(deps->spawner, deps->shim_path, container_on_exit, s, err);
	if (!s->monitor)
		goto fail;
	shim_monitor_on_oom(s->monitor, container_on_oom);
	if (deps->nets) {
		net_set_namer(deps->nets, name_of, s);
		net_set_asked(deps->nets, asked_of, s);
	}
	return s;
fail:
	container_store_close(s);
	return NULL;
}

void container_store_close(struct container_store *s)
{
	if (!s)
		return;
	atomic_store(&s->stopping, true);
	if (s->deps.nets) {
		net_set_namer(s->deps.nets, NULL, NULL);
		net_set_asked(s->deps.nets, NULL, NULL);
	}
	container_store_settle(s, -1);
	health_pool_stop(s->health);
	shim_monitor_stop(s->monitor);
	work_free(s->work);
	work_free(s->closing); /* behind the former: removals wait for it */
	/* the last exits and restarts have spoken to them */
	health_pool_free(s->health);
	shim_monitor_free(s->monitor);
	for (size_t i = 0; i < s->len; i++)
		ship_tell_stop(s->byid[i]);
	for (size_t i = 0; i < s->len; i++) {
		ship_stop(s->byid[i]);
		execs_forget(s->byid[i]);
		container_unref(s->byid[i]);
	}
	for (size_t i = 0; i < s->names_len; i++)
		free(s->names[i].name);
	free(s->names);
	free(s->byid);
	free(s->execs);
	free(s->dir);
	free(s->run_dir);
	free(s->runtime_root);
	pthread_cond_destroy(&s->settled);
	lock_done(&s->settle_lock);
	lock_done(&s->ranges_lock);
	ids_done(s);
	lock_done(&s->lock);
	free(s);
}

void container_store_set_defaults(struct container_store *s, const struct daemon_defaults *defaults)
{
	atomic_store(&s->deps.defaults, defaults);
}

struct container *container_new(struct container_store *s, const char *id)
{
	struct container *c = xcalloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	c->store = s;
	snprintf(c->id, sizeof(c->id), "%s", id);
	lock_init(&c->lock, LOCK_OBJECT);
	lock_cond_init(&c->changed);
	return c;
}

struct container *container_ref(struct container *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void container_unref(struct container *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return;
	BUG_ON(c->waiters || c->attachments || c->execs_len);
	run_put(c->run);
	labels_release(c);
	jdesc_clear(&container_record_desc, &c->rec);
	jdesc_clear(&host_config_desc, &c->host);
	sandbox_done(&c->sandbox);
	net_ports_free(c->published, c->n_published);
	free(c->rootfs);
	idmaps_done(&c->own);
	free(c->restore_from);
	free(c->damaged);
	free(c->execs);
	pthread_cond_destroy(&c->changed);
	lock_done(&c->lock);
	free(c);
}

void run_put(struct run *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	shim_unref(r->shim);
	join_base_free(r->join);
	free(r);
}

struct run *container_run(struct container *c)
{
	WITH_LOCK(&c->lock);

	if (c->run)
		atomic_fetch_add(&c->run->refs, 1);
	return c->run;
}

bool container_ended(struct container *c)
{
	WITH_LOCK(&c->lock);

	return !c->rec.state.running || !c->run || shim_has_ended(c->run->shim);
}

bool container_ends(struct container *c)
{
	int64_t end = clock_mono() + ENDS_NS;

	lock_none_held();
	while (!container_ended(c)) {
		if (clock_mono() >= end)
			return false;
		usleep(ENDS_STEP_US);
	}
	return true;
}

void container_set_text(struct container *c, char **field, const char *text)
{
	WITH_LOCK(&c->lock);

	str_set(field, text);
}

const char *container_id(const struct container *c)
{
	return c->id;
}

/* The first index whose id is not less than the prefix; under s->lock. */
static size_t lower_bound(const struct container_store *s, const char *prefix)
{
	size_t lo = 0, hi = s->len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->byid[mid]->id, prefix) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int store_add(struct container_store *s, struct container *c)
{
	WITH_LOCK(&s->lock);
	size_t at = lower_bound(s, c->id);

	if (at < s->len && streq(s->byid[at]->id, c->id))
		return -1;
	if (s->len == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->byid = xrealloc(s->byid, s->room * sizeof(*s->byid));
	}
	memmove(s->byid + at + 1, s->byid + at, (s->len - at) * sizeof(*s->byid));
	s->byid[at] = container_ref(c);
	s->len++;
	if (c->host.links.len)
		atomic_store(&s->any_links, true);
	return 0;
}

void store_drop(struct container_store *s, struct container *c)
{
	bool found = false;
	size_t at;

	lock_take(&s->lock);
	at = lower_bound(s, c->id);
	if (at < s->len && s->byid[at] == c) {
		found = true;
		s->len--;
		memmove(s->byid + at, s->byid + at + 1, (s->len - at) * sizeof(*s->byid));
	}
	lock_drop(&s->lock);
	ids_give(c);
	if (found)
		container_unref(c);
}

static size_t name_bound(const struct container_store *s, const char *name)
{
	size_t lo = 0, hi = s->names_len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->names[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool store_name_take(struct container_store *s, const char *name, const char *id, char ret_holder[65])
{
	WITH_LOCK(&s->lock);
	size_t at = name_bound(s, name);

	if (at < s->names_len && streq(s->names[at].name, name)) {
		snprintf(ret_holder, 65, "%s", s->names[at].id);
		return false;
	}
	if (s->names_len == s->names_room) {
		s->names_room = s->names_room ? s->names_room * 2 : 64;
		s->names = xrealloc(s->names, s->names_room * sizeof(*s->names));
	}
	memmove(s->names + at + 1, s->names + at, (s->names_len - at) * sizeof(*s->names));
	s->names[at].name = xstrdup(name);
	snprintf(s->names[at].id, sizeof(s->names[at].id), "%s", id);
	s->names_len++;
	return true;
}

void store_name_free(struct container_store *s, const char *name, const char *id)
{
	WITH_LOCK(&s->lock);
	size_t at = name_bound(s, name);

	if (at >= s->names_len || !streq(s->names[at].name, name) || !streq(s->names[at].id, id))
		return;
	free(s->names[at].name);
	s->names_len--;
	memmove(s->names + at, s->names + at + 1, (s->names_len - at) * sizeof(*s->names));
}

/* Under s->lock. */
static struct container *by_id(struct container_store *s, const char *id)
{
	size_t at = lower_bound(s, id);

	return at < s->len && streq(s->byid[at]->id, id) ? s->byid[at] : NULL;
}

static struct container *by_name(struct container_store *s, const char *name)
{
	char full[258];
	size_t at;

	snprintf(full, sizeof(full), "%s%s", *name == '/' ? "" : "/", name);
	at = name_bound(s, full);
	return at < s->names_len && streq(s->names[at].name, full) ? by_id(s, s->names[at].id) : NULL;
}

struct container *store_by_id(struct container_store *s, const char *id)
{
	WITH_LOCK(&s->lock);
	struct container *c = by_id(s, id);

	return c ? container_ref(c) : NULL;
}

static struct container *find_plain(struct container_store *s, const char *name, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct container *c;
	size_t at;

	if (strlen(name) > 256 || !*name)
		goto none;
	c = by_id(s, name);
	if (!c)
		c = by_name(s, name);
	if (c)
		return container_ref(c);
	if (!id_is_hex_prefix(name))
		goto none;
	at = lower_bound(s, name);
	if (at >= s->len || !str_has_prefix(s->byid[at]->id, name))
		goto none;
	if (at + 1 < s->len && str_has_prefix(s->byid[at + 1]->id, name)) {
		err_set(err, ERR_INVALID, "Multiple IDs found with provided prefix: %s", name);
		return NULL;
	}
	return container_ref(s->byid[at]);
none:
	err_set(err, ERR_NOT_FOUND, "No such container: %s", name);
	return NULL;
}

struct container *container_find(struct container_store *s, const char *name, struct err *err)
{
	struct container *c = *name && strchr(name + 1, '/') && atomic_load(&s->any_links) ? links_find(s, name) : NULL;

	return c ? c : find_plain(s, name, err);
}

size_t store_all(struct container_store *s, struct container ***ret)
{
	WITH_LOCK(&s->lock);
	struct container **v = xmalloc((s->len + 1) * sizeof(*v));

	for (size_t i = 0; i < s->len; i++)
		v[i] = container_ref(s->byid[i]);
	v[s->len] = NULL;
	*ret = v;
	return s->len;
}

int container_store_stop_time(struct container_store *s)
{
	struct container **v;
	size_t n = store_all(s, &v);
	int longest = 0;

	for (size_t i = 0; i < n; i++) {
		lock_take(&v[i]->lock);
		if (v[i]->rec.state.running && container_stop_timeout(v[i]) > longest)
			longest = container_stop_timeout(v[i]);
		lock_drop(&v[i]->lock);
		container_unref(v[i]);
	}
	free(v);
	return longest;
}

size_t container_count(struct container_store *s, size_t *running, size_t *paused, size_t *stopped)
{
	struct container **v;
	size_t n = store_all(s, &v), run = 0, pause = 0;

	for (size_t i = 0; i < n; i++) {
		lock_take(&v[i]->lock);
		if (v[i]->rec.state.running && v[i]->rec.state.paused)
			pause++;
		else if (v[i]->rec.state.running && !v[i]->rec.state.restarting)
			run++;
		lock_drop(&v[i]->lock);
		container_unref(v[i]);
	}
	free(v);
	if (running)
		*running = run;
	if (paused)
		*paused = pause;
	if (stopped)
		*stopped = n - run - pause;
	return n;
}

/* It runs it or mounts it. Under the lock. */
static bool uses_image(const struct container *c, const char *image_id)
{
	if (c->rec.image && streq(c->rec.image, image_id))
		return true;
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);

		if (mount_is_image(m) && m->spec.source && streq(m->spec.source, image_id))
			return true;
	}
	return false;
}

void container_users_of_image(struct container_store *s, const char *image_id, struct strv *running, struct strv *stopped)
{
	struct container **v;
	size_t n = store_all(s, &v);

	for (size_t i = 0; i < n; i++) {
		lock_take(&v[i]->lock);
		if (uses_image(v[i], image_id))
			strv_add(v[i]->rec.state.running ? running : stopped, v[i]->id);
		lock_drop(&v[i]->lock);
		container_unref(v[i]);
	}
	free(v);
}

void container_log_drivers(struct container_store *s, struct strv *ret)
{
	struct container **v;
	size_t n = store_all(s, &v);

	for (size_t i = 0; i < n; i++) {
		lock_take(&v[i]->lock);
		if (v[i]->rec.state.running && !str_empty(v[i]->host.log.type) && !strv_contains(ret, v[i]->host.log.type))
			strv_add(ret, v[i]->host.log.type);
		lock_drop(&v[i]->lock);
		container_unref(v[i]);
	}
	free(v);
}

void container_event(struct container *c, const char *action, ...)
{
	OWN_STRMAP struct strmap attrs = { 0 }, labels = { 0 };
	const char *key;
	va_list ap;

	lock_take(&c->lock);
	strmap_copy(&attrs, &c->rec.config.labels);
	strmap_copy(&labels, &c->rec.config.labels);
	strmap_set(&attrs, "image", c->rec.config.image ? c->rec.config.image : "");
	strmap_set(&attrs, "name", c->rec.name ? c->rec.name + 1 : "");
	lock_drop(&c->lock);
	va_start(ap, action);
	while ((key = va_arg(ap, const char *)))
		strmap_set(&attrs, key, va_arg(ap, const char *));
	va_end(ap);
	if (c->store->deps.events)
		events_publish_of(c->store->deps.events, &labels, "container", action, c->id, &attrs);
}
