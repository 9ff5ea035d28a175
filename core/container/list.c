/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /containers/json: filters, order, and the summary, all from memory. */
#include "base/clock.h"
#include "base/filters.h"
#include "container/internal.h"
#include "image/layer.h"

static const char *const filter_keys[] = { "ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task",
	"label", "name", "network", "publish", "since", "status", "volume", NULL };

struct query {
	const struct list_query *q;
	struct filters f;
	bool all;              /* also those that do not run */
	int64_t before, since; /* creation times, exclusive */
	struct strv ancestors; /* image ids */
	struct { int64_t *v; size_t len; } exited;
};

static void query_done(struct query *qu)
{
	filters_done(&qu->f);
	strv_done(&qu->ancestors);
	free(qu->exited.v);
}

static int created_of(struct container_store *s, const struct strv *names, int64_t *ret, struct err *err)
{
	for (size_t i = 0; i < names->len; i++) {
		CLEANUP(container_unrefp) struct container *c = container_find(s, names->v[i], NULL);

		if (!c)
			return err_set(err, ERR_NOT_FOUND, "no such container %s", names->v[i]);
		*ret = c->rec.created;
	}
	return 0;
}

static int check_words(struct query *qu, struct err *err)
{
	const struct strv *v = filters_get(&qu->f, "status");
	bool task;

	for (size_t i = 0; v && i < v->len; i++) {
		if (!state_word_valid(v->v[i]))
			return err_set(err, ERR_INVALID, "Invalid filter 'status=%s'", v->v[i]);
		qu->all = true;
	}
	v = filters_get(&qu->f, "health");
	for (size_t i = 0; v && i < v->len; i++)
		if (!streq(v->v[i], "none") && !streq(v->v[i], "starting") && !streq(v->v[i], "healthy") &&
			!streq(v->v[i], "unhealthy"))
			return err_set(err, ERR_INVALID, "Unrecognised filter value for health: %s", v->v[i]);
	v = filters_get(&qu->f, "exited");
	for (size_t i = 0; v && i < v->len; i++) {
		qu->exited.v = xrealloc(qu->exited.v, (qu->exited.len + 1) * sizeof(*qu->exited.v));
		if (!str_to_i64(v->v[i], &qu->exited.v[qu->exited.len++]))
			return err_set(err, ERR_INVALID, "strconv.Atoi: parsing \"%s\": invalid syntax", v->v[i]);
	}
	if (filters_bool(&qu->f, "is-task", false, &task, err) < 0)
		return -1;
	if (ports_check(&qu->f, "publish", err) < 0 || ports_check(&qu->f, "expose", err) < 0)
		return -1;
	return 0;
}

static int query_init(struct container_store *s, const struct list_query *q, struct query *qu, struct err *err)
{
	const struct strv *v;

	*qu = (struct query){ .q = q, .all = q->all, .before = INT64_MAX, .since = INT64_MIN };
	if (filters_parse(q->filters, &qu->f, err) < 0 || filters_validate(&qu->f, filter_keys, err) < 0 ||
		check_words(qu, err) < 0)
		return -1;
	if ((v = filters_get(&qu->f, "before")) && created_of(s, v, &qu->before, err) < 0)
		return -1;
	if ((v = filters_get(&qu->f, "since")) && created_of(s, v, &qu->since, err) < 0)
		return -1;
	v = filters_get(&qu->f, "ancestor");
	for (size_t i = 0; v && i < v->len; i++) {
		struct image *img = image_get(s->deps.images, v->v[i], NULL);

		if (img)
			strv_add(&qu->ancestors, img->id);
		image_unref(img);
	}
	qu->all |= q->limit > 0;
	return 0;
}

static bool has_code(const struct query *qu, int64_t code)
{
	for (size_t i = 0; i < qu->exited.len; i++)
		if (qu->exited.v[i] == code)
			return true;
	return !qu->exited.len;
}

/* The image or one of its parents. */
static bool descends(struct container_store *s, const struct query *qu, const char *image)
{
	OWN_FREE char *id = xstrdup(image);

	for (int depth = 0; id && depth < 256; depth++) {
		struct image *img;

		if (strv_contains(&qu->ancestors, id))
			return true;
		img = image_by_id(s->deps.images, id);
		str_set(&id, img && img->parent && !streq(img->parent, id) ? img->parent : NULL);
		image_unref(img);
	}
	return false;
}

static bool has_volume(const struct container *c, const struct filters *f)
{
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		const struct mount_point *m = jmap_at(&c->rec.mounts, i, &mount_point_desc);
		const char *source = str_empty(m->name) ? m->source : m->name;

		if (filters_exact(f, "volume", m->destination) || (source && filters_exact(f, "volume", source)))
			return true;
	}
	return !filters_has(f, "volume");
}

static bool has_network(const struct container *c, const struct filters *f)
{
	for (size_t i = 0; i < c->rec.net.networks.len; i++) {
		const struct endpoint *ep = jmap_at(&c->rec.net.networks, i, &endpoint_desc);

		if (filters_exact(f, "network", c->rec.net.networks.keys[i]) ||
			(!str_empty(ep->network_id) && filters_prefix(f, "network", ep->network_id)))
			return true;
	}
	return !filters_has(f, "network");
}

/* Under the container's lock, no other. */
static bool passes(const struct container *c, const struct query *qu)
{
	const struct container_state *st = &c->rec.state;
	const struct filters *f = &qu->f;

	if (!st->running && !qu->all)
		return false;
	if (c->rec.created >= qu->before || c->rec.created <= qu->since)
		return false;
	if (filters_has(f, "name") && !filters_match(f, "name", c->rec.name) && !filters_match(f, "name", c->rec.name + 1))
		return false;
	if (!filters_prefix(f, "id", c->id) || !filters_labels_pass(f, &c->rec.config.labels))
		return false;
	if (filters_has(f, "status") && !filters_exact(f, "status", state_word(st)))
		return false;
	if (filters_has(f, "exited") && (st->running || !st->started_at || !has_code(qu, st->exit_code)))
		return false;
	if (filters_has(f, "health") && !filters_exact(f, "health", health_word(st->health)))
		return false;
	if (filters_has(f, "is-task") && (filters_exact(f, "is-task", "true") || filters_exact(f, "is-task", "1")))
		return false;
	return has_volume(c, f) && has_network(c, f) && ports_pass(c, f);
}

static char *command_text(const struct container *c)
{
	struct buf b = { 0 };

	buf_adds(&b, c->rec.path ? c->rec.path : "");
	for (size_t i = 0; i < c->rec.args.len; i++)
		buf_addf(&b, strchr(c->rec.args.v[i], ' ') ? " '%s'" : " %s", c->rec.args.v[i]);
	return buf_steal(&b);
}

/* What a summary needs of other rooms, asked for without the container's lock. */
struct summary_extra {
	bool image_moved;      /* the name now means another image */
	int64_t rw, root;      /* -1: not asked for */
};

static void encode_summary(const struct container *c, const struct summary_extra *x, int api_minor, struct jw *w)
{
	OWN_FREE char *command = command_text(c);
	char status[96];

	jw_obj(w);
	jw_kstr(w, "Id", c->id);
	jw_karr(w, "Names");
	jw_str(w, c->rec.name);
	jw_arr_end(w);
	jw_kstr(w, "Image", x->image_moved || str_empty(c->rec.config.image) ? c->rec.image : c->rec.config.image);
	jw_kstr(w, "ImageID", c->rec.image);
	jw_kstr(w, "Command", command);
	jw_kint(w, "Created", c->rec.created / NSEC_PER_SEC);
	jw_key(w, "Ports");
	ports_encode_list(c, w);
	if (x->rw > 0)
		jw_kint(w, "SizeRw", x->rw);
	if (x->root > 0)
		jw_kint(w, "SizeRootFs", x->root);
	jw_key(w, "Labels");
	container_encode_labels(&c->rec.config.labels, w);
	jw_kstr(w, "State", state_word(&c->rec.state));
	jw_kstr(w, "Status", state_text(&c->rec.state, clock_now(), status, sizeof(status)));
	jw_kobj(w, "HostConfig");
	if (!str_empty(c->host.network_mode))
		jw_kstr(w, "NetworkMode", c->host.network_mode);
	if (api_minor >= 43 && c->host.annotations.len)
		jw_kstrmap(w, "Annotations", &c->host.annotations);
	jw_obj_end(w);
	jw_kobj(w, "NetworkSettings");
	jw_key(w, "Networks");
	container_encode_networks(c, false, api_minor, w);
	jw_obj_end(w);
	jw_key(w, "Mounts");
	container_encode_mounts(c, w);
	jw_obj_end(w);
}

static int newest_first(const void *a, const void *b)
{
	const struct container *x = *(struct container *const *)a, *y = *(struct container *const *)b;

	return x->rec.created != y->rec.created ? (x->rec.created < y->rec.created ? 1 : -1) : strcmp(x->id, y->id);
}

static bool image_moved(struct container *c)
{
	OWN_FREE char *name = NULL, *id = NULL;
	struct image *img;
	bool moved;

	lock_take(&c->lock);
	name = xstrdup(c->rec.config.image);
	id = xstrdup(c->rec.image);
	lock_drop(&c->lock);
	if (str_empty(name) || str_empty(id) || streq(name, id))
		return false;
	img = image_get(c->store->deps.images, name, NULL);
	moved = !img || !streq(img->id, id);
	image_unref(img);
	return moved;
}

void container_sizes(struct container *c, const struct cancel *cancel, int64_t *ret_rw, int64_t *ret_root)
{
	struct image *img = c->rec.image ? image_by_id(c->store->deps.images, c->rec.image) : NULL;
	int64_t rw = rwlayer_size(image_store_layers(c->store->deps.images), c->id, cancel, NULL);

	*ret_rw = rw < 0 ? 0 : rw;
	*ret_root = *ret_rw + (img ? img->size : 0);
	image_unref(img);
}

int container_list(struct container_store *s, const struct list_query *q, int api_minor, struct jw *w, struct err *err)
{
	CLEANUP(query_done) struct query qu = { 0 };
	struct container **v;
	int64_t shown = 0;
	size_t n;

	if (query_init(s, q, &qu, err) < 0)
		return -1;
	n = store_all(s, &v);
	qsort(v, n, sizeof(*v), newest_first);
	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		struct container *c = v[i];
		struct summary_extra x = { .rw = -1, .root = -1 };
		bool active, pass = q->limit <= 0 || shown < q->limit;

		if (pass) {
			lock_take(&c->lock);
			pass = !c->removed && passes(c, &qu);
			lock_drop(&c->lock);
		}
		if (pass && filters_has(&qu.f, "ancestor"))
			pass = descends(s, &qu, c->rec.image);
		if (pass) {
			x.image_moved = image_moved(c);
			if (q->size)
				container_sizes(c, q->cancel, &x.rw, &x.root);
			lock_take(&c->lock);
			encode_summary(c, &x, api_minor, w);
			active = c->rec.state.running || c->rec.state.restarting;
			lock_drop(&c->lock);
			if (q->ret_rw)
				*q->ret_rw += x.rw > 0 ? x.rw : 0;
			if (q->ret_idle)
				*q->ret_idle += active || x.rw < 0 ? 0 : x.rw;
			shown++;
		}
		container_unref(c);
	}
	free(v);
	jw_arr_end(w);
	return 0;
}

bool container_has_labels(struct container *c, const struct filters *labels)
{
	WITH_LOCK(&c->lock);

	return filters_labels_pass(labels, &c->rec.config.labels);
}

void container_labels(struct container *c, struct strmap *ret)
{
	WITH_LOCK(&c->lock);

	strmap_copy(ret, &c->rec.config.labels);
}
