/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loading: spool the archive, plan, register the layers of all images, store all configurations (the first one syncs the
 * layers), tag. Each image holds its top layer until its configuration does; a failure takes everything back. All tags go in one write.
 */
#include "image/archive.h"

#include <errno.h>

#include "base/id.h"
#include "base/log.h"
#include "image/archive-plan.h"

#define TRIES 10

struct loader {
	struct image_store *store;
	const struct archive_load_opts *opts;
	struct plan plan;
	const struct spool *spool;
};

static int make_plan(struct loader *l, struct err *err);
static int check_room(struct loader *l, struct err *err);
static int register_layers(struct loader *l, struct plan_image *pi, struct err *err);
static int store_images(struct loader *l, struct strv *ret_ids, struct err *err);
static void take_back(struct loader *l);
static void release(struct loader *l);

int archive_load(struct image_store *s, struct reader *in, const struct archive_load_opts *o, struct strv *ret_ids,
	struct err *err)
{
	OWN_SPOOL struct spool *sp = spool_read(in, o->tmp_dir, o->cancel, err);
	struct loader l = { s, o, { 0 }, sp };
	int rc = -1;

	if (!sp)
		return -1;
	if (make_plan(&l, err) < 0)
		goto out;
	if (check_room(&l, err) < 0)
		goto out;
	for (size_t i = 0; i < l.plan.len; i++)
		if (register_layers(&l, &l.plan.v[i], err) < 0)
			goto out;
	/* gone before the sync, which would write it out */
	spool_freep(&sp);
	l.spool = sp = NULL;
	rc = store_images(&l, ret_ids, err);
	if (rc < 0)
		take_back(&l);
out:
	release(&l);
	plan_done(&l.plan);
	return rc;
}

/*
 * What is not there yet, each layer once, must fit beside the spool; packed layers need more than is counted. Before anything
 * is unpacked.
 */
static int check_room(struct loader *l, struct err *err)
{
	struct layer_store *layers = image_store_layers(l->store);
	OWN_STRV struct strv seen = { 0 };
	int64_t need = 0, room = layer_room(layers);

	for (size_t i = 0; i < l->plan.len; i++) {
		struct plan_image *pi = &l->plan.v[i];
		OWN_FREE char *chain = NULL;

		for (size_t k = 0; k < pi->img->diff_ids.len; k++) {
			OWN_FREE char *below = chain;

			chain = layer_chain_id(below, pi->img->diff_ids.v[k]);
			if (layer_exists(layers, chain) || strv_contains(&seen, chain))
				continue;
			strv_add(&seen, chain);
			need += pi->layers[k]->size;
		}
	}
	if (room < 0 || need <= room)
		return 0;
	return err_errno(err, ENOSPC, "load layers of %lld bytes", (long long)need);
}

static void say(struct loader *l, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(struct loader *l, const char *key, const char *fmt, ...)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *text = NULL;
	struct jw w;
	va_list ap;

	if (!l->opts->emit)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, key, text);
	jw_obj_end(&w);
	l->opts->emit(l->opts->ctx, b.data);
}

static int make_plan(struct loader *l, struct err *err)
{
	OWN_PLATFORM struct platform want = { 0 };
	bool strict = !str_empty(l->opts->platform);
	int rc;

	if (platform_parse(l->opts->platform, &want, err) < 0)
		return -1;
	if (spool_find(l->spool, "manifest.json"))
		rc = plan_docker(&l->plan, l->spool, &want, strict, err);
	else if (spool_find(l->spool, "index.json"))
		rc = plan_oci(&l->plan, l->spool, &want, strict, err);
	else if (spool_find(l->spool, "repositories"))
		rc = plan_v1(&l->plan, l->spool, &want, strict, layer_room(image_store_layers(l->store)), l->opts->cancel, err);
	else
		return err_set(err, ERR_INVALID, "invalid archive: it has neither manifest.json nor index.json");
	if (rc == 0 && strict && !l->plan.len)
		return err_set(err, ERR_NOT_FOUND, "requested platform (%s) not found: the archive has no image for it", l->opts->platform);
	return rc;
}

/* Counts what goes through for the progress lines, and watches the client. */
struct progress { struct reader reader; struct reader *in; struct loader *l; const char *diff; int64_t done, total, told; };

static ssize_t progress_read(struct reader *r, void *data, size_t size, struct err *err)
{
	struct progress *p = (struct progress *)r;
	ssize_t n;

	if (cancel_fired(p->l->opts->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	n = p->in->read(p->in, data, size, err);
	if (n > 0)
		p->done += n;
	if (n >= 0 && p->l->opts->emit && !p->l->opts->quiet && (p->done - p->told >= 1 << 20 || (n == 0 && p->told != p->total))) {
		OWN_FREE char *line = xasprintf("{\"status\":\"Loading layer\",\"progressDetail\":{\"current\":%lld,\"total\":%lld},\"id\":\"%.12s\"}",
			(long long)p->done, (long long)p->total, p->diff + strlen("sha256:"));

		p->l->opts->emit(p->l->opts->ctx, line);
		p->told = p->done;
	}
	return n;
}

static int register_one(struct loader *l, struct plan_image *pi, size_t i, char **ret_chain, struct err *err)
{
	const struct spool_member *m = pi->layers[i];
	const char *diff = pi->img->diff_ids.v[i];
	OWN_FREE char *chain = layer_chain_id(pi->chain, diff);
	OWN_READER struct reader *in = NULL;

	if (layer_ref(image_store_layers(l->store), chain, NULL) == 0) {
		*ret_chain = STEAL(chain);
		return 0;
	}
	/* what promises its diff id is compared while it is unpacked */
	if (m->promise && !streq(m->promise, id_digest_hex(diff)) && spool_check(l->spool, m, l->opts->cancel, err) < 0)
		return -1;
	in = spool_reader(l->spool, m);
	struct progress p = { { progress_read, NULL }, in, l, diff, 0, m->size, 0 };

	if (layer_register(image_store_layers(l->store), pi->chain, &p.reader, diff, l->opts->cancel, ret_chain, NULL, err) < 0)
		return err_wrap(err, "layer %.19s", diff);
	return 0;
}

static void drop(struct loader *l, const char *chain)
{
	OWN_ERR struct err err = ERR_INIT;

	if (chain && layer_unref(image_store_layers(l->store), chain, NULL, &err) < 0)
		log_warn("layer %s: %s", chain, err_text(&err));
}

/* Afterwards pi->chain is held; each layer holds the one below. */
static int register_layers(struct loader *l, struct plan_image *pi, struct err *err)
{
	for (size_t i = 0; i < pi->img->diff_ids.len; i++) {
		char *chain;

		if (register_one(l, pi, i, &chain, err) < 0)
			return -1;
		drop(l, pi->chain);
		free(pi->chain);
		pi->chain = chain;
	}
	return 0;
}

/* A parent counts only when it is one: its layers are the image's first ones. */
static const char *true_parent(struct loader *l, const struct plan_image *pi)
{
	CLEANUP(image_unrefp) struct image *parent = pi->parent ? image_by_id(l->store, pi->parent) : NULL;

	if (!parent || parent->diff_ids.len > pi->img->diff_ids.len || streq(parent->id, pi->img->id))
		return NULL;
	for (size_t i = 0; i < parent->diff_ids.len; i++)
		if (!streq(parent->diff_ids.v[i], pi->img->diff_ids.v[i]))
			return NULL;
	return pi->parent;
}

static int create_images(struct loader *l, struct err *err)
{
	for (size_t i = 0; i < l->plan.len; i++) {
		struct plan_image *pi = &l->plan.v[i];
		CLEANUP(image_unrefp) struct image *old = image_by_id(l->store, pi->img->id);
		char id[72];

		if (image_create(l->store, pi->config.data, pi->config.size, true_parent(l, pi), id, err) < 0)
			return -1;
		pi->created = !old;
		BUG_ON(!streq(id, pi->img->id));
	}
	return 0;
}

/* What became of the tags, image by image. */
static void report(struct loader *l, const struct image_tagging *tagged, struct strv *ret_ids)
{
	for (size_t i = 0; i < l->plan.len; i++) {
		struct plan_image *pi = &l->plan.v[i];

		for (size_t k = 0; k < pi->tags.len; k++, tagged++) {
			OWN_FREE char *familiar = reference_familiar(&tagged->ref);

			if (tagged->old)
				say(l, "stream", "The image %s already exists, renaming the old one with ID %s to empty string\n", familiar, tagged->old);
			say(l, "stream", "Loaded image: %s\n", familiar);
		}
		if (pi->inner && !pi->tags.len)
			continue;
		if (!pi->tags.len)
			say(l, "stream", "Loaded image ID: %s\n", pi->img->id);
		strv_add(ret_ids, pi->img->id);
	}
}

static int tag_images(struct loader *l, struct strv *ret_ids, struct err *err)
{
	struct image_tagging *v = NULL;
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < l->plan.len; i++)
		n += l->plan.v[i].tags.len;
	v = xcalloc(n + 1, sizeof(*v));
	n = 0;
	for (size_t i = 0; i < l->plan.len; i++) {
		struct plan_image *pi = &l->plan.v[i];

		for (size_t k = 0; k < pi->tags.len && rc == 0; k++, n++) {
			v[n].id = pi->img->id;
			rc = reference_parse(pi->tags.v[k], &v[n].ref, err);
		}
	}
	if (rc == 0)
		rc = image_tag_all(l->store, v, n, err);
	if (rc == 0)
		report(l, v, ret_ids);
	for (size_t i = 0; i < n; i++) {
		reference_done(&v[i].ref);
		free(v[i].old);
	}
	free(v);
	return rc;
}

/*
 * Configurations and tags. Between the two somebody's prune may take an image, as it has no tag yet; its layers are held,
 * so it is made again.
 */
static int store_images(struct loader *l, struct strv *ret_ids, struct err *err)
{
	for (int i = 0;; i++) {
		OWN_ERR struct err why = ERR_INIT;

		if (create_images(l, &why) == 0 && tag_images(l, ret_ids, &why) == 0)
			return 0;
		if (why.class != ERR_NOT_FOUND || i == TRIES)
			return err_move(err, &why);
	}
}

/* Images that this load made go again unless somebody has tagged them meanwhile; in reverse: children before parents. */
static void take_back(struct loader *l)
{
	for (size_t i = l->plan.len; i-- > 0;) {
		OWN_ERR struct err err = ERR_INIT;

		if (l->plan.v[i].created && image_take_back(l->store, l->plan.v[i].img->id, NULL, &err) < 0)
			log_warn("%s", err_text(&err));
	}
}

static void release(struct loader *l)
{
	for (size_t i = 0; i < l->plan.len; i++)
		drop(l, l->plan.v[i].chain);
}
