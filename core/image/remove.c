/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/remove.h"

#include "base/id.h"
#include "base/log.h"

enum conflict { CHILDREN = 1, RUNNING = 2, REFERENCED = 4, STOPPED = 8 };
#define HARD (CHILDREN | RUNNING)
#define SOFT (REFERENCED | STOPPED)

/* One removal under way. */
struct work {
	struct image_store *store;
	const struct image_users *users;
	struct removals *out;
	bool force, prune_parents;
};

/* References of one image. */
struct refs { struct strv tags, digests; };
static void refs_done(struct refs *r) { strv_done(&r->tags); strv_done(&r->digests); }
#define OWN_REFS CLEANUP(refs_done)

static int remove_by_name(struct work *w, struct image *img, const char *name, struct err *err);
static int remove_by_id(struct work *w, struct image *img, struct err *err);
static int delete_image(struct work *w, struct image *img, bool force, bool quiet, struct err *err);
static int find_conflict(struct work *w, const struct image *img, unsigned mask, bool *ret_used, struct err *err);
static int untag(struct work *w, struct image *img, const char *text, struct err *err);
static int conflict(struct err *err, const struct image *img, bool hard, const char *why, const char *who);
static bool in_one_repository(const struct refs *r);
static void note(struct work *w, enum removal_kind kind, const char *text, struct image *img);

void removals_done(struct removals *r)
{
	for (size_t i = 0; i < r->len; i++) {
		free(r->v[i].text);
		image_unref(r->v[i].img);
	}
	free(r->v);
	*r = (struct removals){ 0 };
}

static bool is_id_prefix(const char *id, const char *name)
{
	return str_has_prefix(id, name) || str_has_prefix(id + strlen("sha256:"), name);
}

int image_remove(struct image_store *s, const char *name, bool force, bool prune_parents, const struct image_users *users,
	struct removals *ret, struct err *err)
{
	CLEANUP(image_unrefp) struct image *img = image_get(s, name, err);
	struct work w = { s, users, ret, force, prune_parents };

	if (!img)
		return -1;
	return is_id_prefix(img->id, name) ? remove_by_id(&w, img, err) : remove_by_name(&w, img, name, err);
}

/* Digest references of the repository, once its last tag is gone. */
static int untag_digests(struct work *w, struct image *img, const struct reference *ref, struct err *err)
{
	OWN_REFS struct refs left = { 0 };
	OWN_FREE char *repo = reference_familiar_name(ref);
	size_t n = strlen(repo);

	image_refs(w->store, img->id, &left.tags, &left.digests);
	for (size_t i = 0; i < left.tags.len; i++)
		if (str_has_prefix(left.tags.v[i], repo) && left.tags.v[i][n] == ':' && !strchr(left.tags.v[i] + n, '/'))
			return 0;
	for (size_t i = 0; i < left.digests.len; i++)
		if (str_has_prefix(left.digests.v[i], repo) && left.digests.v[i][n] == '@' && untag(w, img, left.digests.v[i], err) < 0)
			return -1;
	return 0;
}

static int remove_by_name(struct work *w, struct image *img, const char *name, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_STRV struct strv running = { 0 }, stopped = { 0 };
	OWN_REFS struct refs before = { 0 }, after = { 0 };
	OWN_FREE char *text = NULL;

	if (reference_parse(name, &ref, err) < 0)
		return -1;
	text = reference_familiar(&ref);
	image_refs(w->store, img->id, &before.tags, &before.digests);
	if (!w->force && in_one_repository(&before)) {
		w->users->find(w->users->ctx, img->id, &running, &stopped);
		if (running.len + stopped.len)
			return err_set(err, ERR_CONFLICT,
				"conflict: unable to remove repository reference \"%s\" (must force) - container %.12s is using its referenced image %.12s",
				name, running.len ? running.v[0] : stopped.v[0], img->id + strlen("sha256:"));
	}
	if (untag(w, img, text, err) < 0 || (!ref.digest && untag_digests(w, img, &ref, err) < 0))
		return -1;
	image_refs(w->store, img->id, &after.tags, &after.digests);
	if (after.tags.len + after.digests.len)
		return 0;
	return delete_image(w, img, w->force, true, err);
}

static int remove_by_id(struct work *w, struct image *img, struct err *err)
{
	OWN_REFS struct refs r = { 0 };

	image_refs(w->store, img->id, &r.tags, &r.digests);
	if (in_one_repository(&r)) {
		if (find_conflict(w, img, w->force ? HARD : HARD | STOPPED, NULL, err) < 0)
			return -1;
		for (size_t i = 0; i < r.tags.len; i++)
			if (untag(w, img, r.tags.v[i], err) < 0)
				return -1;
		for (size_t i = 0; i < r.digests.len; i++)
			if (untag(w, img, r.digests.v[i], err) < 0)
				return -1;
	}
	return delete_image(w, img, w->force, false, err);
}

static bool no_refs(struct work *w, const struct image *img)
{
	OWN_REFS struct refs r = { 0 };

	image_refs(w->store, img->id, &r.tags, &r.digests);
	return r.tags.len + r.digests.len == 0;
}

struct sized { char *chain; int64_t size; };

/* Without force an image that somebody has tagged since it was looked at stays: a load that was answered is not undone. */
static int delete_record(struct work *w, struct image *img, bool force, struct strv *gone, struct err *err)
{
	CLEANUP(image_unrefp) struct image *there = NULL;
	int rc;

	if (force)
		return image_delete(w->store, img->id, gone, err);
	rc = image_take_back(w->store, img->id, gone, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	there = image_by_id(w->store, img->id);
	if (!there)
		return err_set(err, ERR_NOT_FOUND, "No such image: %s", img->id);
	return conflict(err, img, false, "image is referenced in multiple repositories", NULL);
}

static int delete_now(struct work *w, struct image *img, bool force, struct err *err)
{
	struct sized *layers = xcalloc(img->diff_ids.len + 1, sizeof(*layers));
	OWN_STRV struct strv gone = { 0 };
	const char *below = NULL;
	int rc;

	for (size_t i = 0; i < img->diff_ids.len; i++) {
		below = layers[i].chain = layer_chain_id(below, img->diff_ids.v[i]);
		layers[i].size = layer_size(image_store_layers(w->store), below);
	}
	rc = delete_record(w, img, force, &gone, err);
	if (rc == 0)
		note(w, REMOVAL_DELETED, img->id, img);
	for (size_t i = 0; i < gone.len; i++) {
		note(w, REMOVAL_LAYER, gone.v[i], img);
		for (size_t k = 0; k < img->diff_ids.len; k++)
			if (layers[k].size > 0 && streq(layers[k].chain, gone.v[i]))
				w->out->reclaimed += layers[k].size;
	}
	for (size_t i = 0; i < img->diff_ids.len; i++)
		free(layers[i].chain);
	free(layers);
	return rc;
}

/* quiet: a conflict leaves the image where it is without a word, unless it is dangling and nobody uses it. */
static int delete_image(struct work *w, struct image *img, bool force, bool quiet, struct err *err)
{
	struct image *parent = NULL;

	for (struct image *at = img; at; at = parent) {
		OWN_ERR struct err why = ERR_INIT;
		bool used = false;
		int rc;

		parent = NULL;
		if (find_conflict(w, at, force ? HARD : HARD | SOFT, &used, &why) < 0) {
			rc = quiet && (used || !no_refs(w, at) || image_children(w->store, at->id, NULL)) ? 0 : err_move(err, &why);
		} else {
			OWN_REFS struct refs r = { 0 };

			if (force)
				image_refs(w->store, at->id, &r.tags, &r.digests);
			for (size_t i = 0; i < r.tags.len; i++)
				untag(w, at, r.tags.v[i], NULL);
			for (size_t i = 0; i < r.digests.len; i++)
				untag(w, at, r.digests.v[i], NULL);
			rc = delete_now(w, at, force, &why);
			if (rc < 0)
				rc = quiet && why.class == ERR_CONFLICT ? 0 : err_move(err, &why);
			else if ( w->prune_parents && at->parent)
				parent = image_by_id(w->store, at->parent);
		}
		if (at != img)
			image_unref(at);
		if (rc < 0)
			return -1;
		/* parents go only when nothing at all speaks against it */
		force = false;
		quiet = true;
	}
	return 0;
}

static int conflict(struct err *err, const struct image *img, bool hard, const char *why, const char *who)
{
	return err_set(err, ERR_CONFLICT, "conflict: unable to delete %.12s (%s be forced) - %s%s%.12s", img->id + strlen("sha256:"),
		hard ? "cannot" : "must", why, who ? " " : "", who ? who : "");
}

static int find_conflict(struct work *w, const struct image *img, unsigned mask, bool *ret_used, struct err *err)
{
	OWN_STRV struct strv running = { 0 }, stopped = { 0 };

	if ((mask & CHILDREN) && image_children(w->store, img->id, NULL))
		return conflict(err, img, true, "image has dependent child images", NULL);
	w->users->find(w->users->ctx, img->id, &running, &stopped);
	if (ret_used)
		*ret_used = running.len || stopped.len;
	if ((mask & RUNNING) && running.len)
		return conflict(err, img, true, "image is being used by running container", running.v[0]);
	if ((mask & REFERENCED) && !no_refs(w, img))
		return conflict(err, img, false, "image is referenced in multiple repositories", NULL);
	if ((mask & STOPPED) && stopped.len)
		return conflict(err, img, false, "image is being used by stopped container", stopped.v[0]);
	return 0;
}

static int untag(struct work *w, struct image *img, const char *text, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };

	if (reference_parse(text, &ref, err) < 0)
		return -1;
	if (ref.digest)
		str_set(&ref.tag, NULL);
	if (image_untag(w->store, &ref, err) < 0)
		return -1;
	note(w, REMOVAL_UNTAGGED, text, img);
	return 0;
}

static size_t repo_len(const char *text)
{
	const char *slash = strrchr(text, '/');
	const char *from = slash ? slash : text;

	return (size_t)(from - text) + strcspn(from, ":@");
}

/* At most one reference, or one tag whose digests are all of the same repository. */
static bool in_one_repository(const struct refs *r)
{
	const char *one;
	size_t n;

	if (r->tags.len + r->digests.len <= 1)
		return true;
	if (r->tags.len > 1)
		return false;
	one = r->tags.len ? r->tags.v[0] : r->digests.v[0];
	n = repo_len(one);
	for (size_t i = 0; i < r->digests.len; i++)
		if (repo_len(r->digests.v[i]) != n || memcmp(r->digests.v[i], one, n) != 0)
			return false;
	return true;
}

static void note(struct work *w, enum removal_kind kind, const char *text, struct image *img)
{
	struct removals *out = w->out;

	out->v = xrealloc(out->v, (out->len + 1) * sizeof(*out->v));
	out->v[out->len++] = (struct removal){ kind, xstrdup(text), img };
	__atomic_add_fetch(&img->refs, 1, __ATOMIC_RELAXED);
}

/* One image of a prune; a conflict passes it over. */
static void prune_one(struct work *w, struct image *img, bool dangling_only)
{
	OWN_REFS struct refs r = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv names = { 0 };

	image_refs(w->store, img->id, &r.tags, &r.digests);
	if (dangling_only && r.tags.len)
		return;
	for (size_t i = 0; i < r.tags.len; i++)
		strv_add(&names, r.tags.v[i]);
	for (size_t i = 0; i < r.digests.len; i++)
		strv_add(&names, r.digests.v[i]);
	/* by itself and not by name, so that a tag that comes meanwhile keeps it */
	if (!names.len && delete_image(w, img, false, false, &err) < 0 && err.class != ERR_CONFLICT && err.class != ERR_NOT_FOUND)
		log_warn("prune: %s: %s", img->id, err_text(&err));
	err_done(&err);
	for (size_t i = 0; i < names.len; i++) {
		if (image_remove(w->store, names.v[i], false, true, w->users, w->out, &err) < 0 && err.class != ERR_CONFLICT &&
		    err.class != ERR_NOT_FOUND)
			log_warn("prune: %s: %s", names.v[i], err_text(&err));
		err_done(&err);
	}
}

int image_prune(struct image_store *s, bool dangling_only, bool (*want)(void *ctx, const struct image *img), void *ctx,
	const struct image_users *users, const struct cancel *c, struct removals *ret, struct err *err)
{
	struct work w = { s, users, ret, false, true };
	struct image **v;
	size_t n = image_list(s, &v);
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (cancel_fired(c))
			rc = err_set(err, ERR_CANCELLED, "cancelled");
		else if (!(no_refs(&w, v[i]) && image_children(s, v[i]->id, NULL)) && want(ctx, v[i]))
			prune_one(&w, v[i], dangling_only);
	}
	image_list_free(v, n);
	return rc;
}

void image_collect(struct image_store *s, struct image *img, const struct image_users *users, struct removals *ret)
{
	struct work w = { s, users, ret, false, true };

	prune_one(&w, img, false);
}
