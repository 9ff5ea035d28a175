/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tags: repositories.json, {"Repositories":{"busybox":{"busybox:latest":"sha256:..."}}}, names in familiar form. A change is
 * written out first and shown after.
 */
#include "image/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "image/image-store.h"

#define FILE_NAME "repositories.json"
#define FILE_MAX (64u << 20)

static int read_file(struct image_store *s, const char *name, struct err *err);
static int write_file(struct image_store *s, struct tag *const *v, size_t n, struct err *err);
static int load_repo(struct image_store *s, json_t *refs);
static struct tag *tag_new(const struct reference *ref, const char *id);
static void tag_free(struct tag *t);
static int tag_cmp(const void *a, const void *b);
static size_t find(struct tag *const *v, size_t len, const char *repo, const char *text, bool *ret_found);
static void replace(struct image_store *s, struct tag **v, size_t n);

/* The second copy, where there is one. */
static bool read_copy(struct image_store *s, const char *why)
{
	OWN_ERR struct err err = ERR_INIT;

	tags_close(s);
	if (read_file(s, FILE_NAME ".copy", &err) < 0)
		return false;
	damage_note("image", "tags", DAMAGE_REPAIRED, "%s/" FILE_NAME " was damaged (%s): the tags come from its copy", s->dir, why);
	return true;
}

void tags_open(struct image_store *s)
{
	OWN_ERR struct err why = ERR_INIT, err = ERR_INIT;

	fs_sweep_temporary(s->dir);
	if (read_file(s, FILE_NAME, &why) == 0)
		return;
	if (!read_copy(s, err_text(&why))) {
		tags_close(s);
		if (why.class == ERR_NOT_FOUND)
			return; /* nothing was ever tagged */
		damage_note("image", "tags", DAMAGE_LOST, "the tags of all images are lost: %s/" FILE_NAME " was damaged (%s)", s->dir,
			err_text(&why));
	}
	if (fs_set_aside(s->fd, FILE_NAME, &err) < 0 || write_file(s, s->tags, s->tags_len, &err) < 0)
		log_warn("%s/" FILE_NAME ": %s", s->dir, err_text(&err));
}

void tags_ids(const struct image_store *s, struct strv *ret)
{
	for (size_t i = 0; i < s->tags_len; i++)
		strv_add(ret, s->tags[i]->id);
}

void tags_close(struct image_store *s)
{
	for (size_t i = 0; i < s->tags_len; i++)
		tag_free(s->tags[i]);
	free(s->tags);
	s->tags = NULL;
	s->tags_len = 0;
}

const char *tags_lookup(const struct image_store *s, const struct reference *ref)
{
	struct reference by = *ref;
	OWN_FREE char *repo = reference_familiar_name(ref), *text = NULL;
	size_t at;
	bool found;

	if (by.digest)
		by.tag = NULL;
	text = reference_familiar(&by);
	at = find(s->tags, s->tags_len, repo, text, &found);
	return found ? s->tags[at]->id : NULL;
}

void image_refs(struct image_store *s, const char *id, struct strv *tags, struct strv *digests)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->tags_len; i++) {
		struct strv *to = s->tags[i]->digest ? digests : tags;

		if (to && streq(s->tags[i]->id, id))
			strv_add(to, s->tags[i]->text);
	}
}

static int by_id(const void *key, const void *member)
{
	return strcmp(key, (*(struct image *const *)member)->id);
}

void image_refs_of(struct image_store *s, struct image *const *v, size_t n, struct strv *tags, struct strv *digests)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; n && i < s->tags_len; i++) {
		struct image *const *img = bsearch(s->tags[i]->id, v, n, sizeof(struct image *), by_id);

		if (img)
			strv_add(s->tags[i]->digest ? &digests[img - v] : &tags[img - v], s->tags[i]->text);
	}
}

void image_repo_tags(struct image_store *s, const struct reference *ref, struct strv *ret)
{
	OWN_FREE char *repo = reference_familiar_name(ref);
	bool found;
	WITH_LOCK(&s->lock);

	for (size_t i = find(s->tags, s->tags_len, repo, "", &found); i < s->tags_len && streq(s->tags[i]->repo, repo); i++)
		if (!s->tags[i]->digest)
			strv_add(ret, s->tags[i]->text);
}

/* A table in the making: what is in it, and what left it. */
struct table { struct tag **v, **gone; size_t len, gone_len; };

/* Puts a tag in, takes it over; an older one of the same name goes. */
static void table_put(struct table *tb, struct tag *t, char **ret_old)
{
	bool found;
	size_t at = find(tb->v, tb->len, t->repo, t->text, &found);

	if (found) {
		if (!streq(tb->v[at]->id, t->id))
			*ret_old = xstrdup(tb->v[at]->id);
		tb->gone[tb->gone_len++] = tb->v[at];
	} else {
		memmove(tb->v + at + 1, tb->v + at, (tb->len - at) * sizeof(*tb->v));
		tb->len++;
	}
	tb->v[at] = t;
}

/* Whether the table of tags holds this very one. */
static bool is_shown(const struct image_store *s, const struct tag *t)
{
	bool found;
	size_t at = find(s->tags, s->tags_len, t->repo, t->text, &found);

	return found && s->tags[at] == t;
}

/* The operation is held, and every image exists. */
static int tag_all(struct image_store *s, struct image_tagging *v, size_t n, struct err *err)
{
	struct table tb = { .v = xcalloc(s->tags_len + n, sizeof(*tb.v)), .gone = xcalloc(n, sizeof(*tb.gone)), .len = s->tags_len };

	if (s->tags_len)
		memcpy(tb.v, s->tags, s->tags_len * sizeof(*tb.v));
	for (size_t i = 0; i < n; i++)
		table_put(&tb, tag_new(&v[i].ref, v[i].id), &v[i].old);
	if (write_file(s, tb.v, tb.len, err) < 0) {
		for (size_t i = 0; i < tb.len; i++)
			if (!is_shown(s, tb.v[i]))
				tag_free(tb.v[i]);
		for (size_t i = 0; i < tb.gone_len; i++)
			if (!is_shown(s, tb.gone[i]))
				tag_free(tb.gone[i]);
		free(tb.v);
		free(tb.gone);
		return -1;
	}
	replace(s, tb.v, tb.len);
	for (size_t i = 0; i < tb.gone_len; i++)
		tag_free(tb.gone[i]);
	free(tb.gone);
	return 0;
}

static int check_tagging(struct image_store *s, struct image_tagging *t, struct err *err)
{
	OWN_FREE char *name = reference_familiar_name(&t->ref);
	bool found;

	t->old = NULL;
	reference_add_latest(&t->ref);
	if (streq(name, "sha256"))
		return err_set(err, ERR_INVALID, "refusing to create an ambiguous tag using digest algorithm as name");
	lock_take(&s->lock);
	store_find(s, t->id, &found);
	lock_drop(&s->lock);
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "No such image: %s", t->id);
}

int image_tag_all(struct image_store *s, struct image_tagging *v, size_t n, struct err *err)
{
	int rc = 0;

	store_begin(s);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = check_tagging(s, &v[i], err);
	if (rc == 0 && n)
		rc = tag_all(s, v, n, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		store_touch(s, v[i].id);
	store_end(s);
	return rc;
}

int image_tag(struct image_store *s, const char *id, const struct reference *ref, char **ret_old, struct err *err)
{
	struct image_tagging t = { .id = id };
	int rc;

	reference_copy(&t.ref, ref);
	rc = image_tag_all(s, &t, 1, err);
	if (ret_old)
		*ret_old = STEAL(t.old);
	free(t.old);
	reference_done(&t.ref);
	return rc;
}

/* The operation is held: keeps the tags that drop() does not name. */
static int sift(struct image_store *s, bool (*drop)(const struct tag *t, const void *arg), const void *arg,
	size_t *ret_dropped, struct err *err)
{
	struct tag **v = xcalloc(s->tags_len + 1, sizeof(*v)), **gone = xcalloc(s->tags_len + 1, sizeof(*gone));
	size_t n = 0, ngone = 0;
	int rc = 0;

	for (size_t i = 0; i < s->tags_len; i++)
		if (drop(s->tags[i], arg))
			gone[ngone++] = s->tags[i];
		else
			v[n++] = s->tags[i];
	if (ngone)
		rc = write_file(s, v, n, err);
	if (ngone && rc == 0) {
		replace(s, STEAL(v), n);
		for (size_t i = 0; i < ngone; i++)
			tag_free(gone[i]);
	}
	*ret_dropped = ngone;
	free(gone);
	free(v);
	return rc;
}

static bool has_id(const struct tag *t, const void *id) { return streq(t->id, id); }
static bool has_text(const struct tag *t, const void *text) { return streq(t->text, text); }

bool tags_any(const struct image_store *s, const char *id)
{
	for (size_t i = 0; i < s->tags_len; i++)
		if (has_id(s->tags[i], id))
			return true;
	return false;
}

int tags_drop_image(struct image_store *s, const char *id, struct err *err)
{
	size_t dropped;

	return sift(s, has_id, id, &dropped, err);
}

int image_untag(struct image_store *s, const struct reference *ref, struct err *err)
{
	OWN_FREE char *text = reference_familiar(ref);
	size_t dropped = 0;
	int rc;

	store_begin(s);
	rc = sift(s, has_text, text, &dropped, err);
	store_end(s);
	if (rc == 0 && !dropped)
		return err_set(err, ERR_NOT_FOUND, "reference %s does not exist", text);
	return rc;
}

static int read_file(struct image_store *s, const char *name, struct err *err)
{
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *js = NULL;
	const char *repo;
	json_t *refs, *all;
	size_t bad = 0;

	if (fs_read(s->fd, name, FILE_MAX, &text, err) < 0)
		return -1;
	js = json_read(text.data, text.size, err);
	if (!js)
		return -1;
	all = json_object_get(js, "Repositories");
	if (!json_is_object(js) || (all && !json_is_object(all) && !json_is_null(all)))
		return err_set(err, ERR_INVALID, "not in the form of tags");
	json_object_foreach(all, repo, refs)
		bad += (size_t)load_repo(s, refs);
	if (s->tags_len)
		qsort(s->tags, s->tags_len, sizeof(*s->tags), tag_cmp);
	if (bad)
		damage_note("image", "tags", DAMAGE_LOST, "%s/%s: %zu tags make no sense and are left out", s->dir, name, bad);
	return 0;
}

/* Adds the references of one repository, unsorted; how many were bad. */
static int load_repo(struct image_store *s, json_t *refs)
{
	const char *text;
	json_t *id;
	int bad = 0;

	if (!json_is_object(refs))
		return 1;
	s->tags = xrealloc(s->tags, (s->tags_len + json_object_size(refs) + 1) * sizeof(*s->tags));
	json_object_foreach(refs, text, id) {
		OWN_REFERENCE struct reference ref = { 0 };

		if (!json_is_string(id) || !id_digest_hex(json_string_value(id)) || reference_parse(text, &ref, NULL) < 0 ||
		    (!ref.tag && !ref.digest))
			bad++;
		else
			s->tags[s->tags_len++] = tag_new(&ref, json_string_value(id));
	}
	return bad;
}

static int write_file(struct image_store *s, struct tag *const *v, size_t n, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kobj(&w, "Repositories");
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !streq(v[i - 1]->repo, v[i]->repo))
			jw_kobj(&w, v[i]->repo);
		jw_kstr(&w, v[i]->text, v[i]->id);
		if (i + 1 == n || !streq(v[i + 1]->repo, v[i]->repo))
			jw_obj_end(&w);
	}
	jw_obj_end(&w);
	jw_obj_end(&w);
	lock_none_held();
	return fs_write_copied(s->fd, FILE_NAME, b.data, b.size, 0600, FS_SYNC, err);
}

static struct tag *tag_new(const struct reference *ref, const char *id)
{
	struct tag *t = xcalloc(1, sizeof(*t));
	struct reference by = *ref;

	if (by.digest)
		by.tag = NULL;
	t->repo = reference_familiar_name(&by);
	t->text = reference_familiar(&by);
	t->digest = by.digest != NULL;
	BUG_ON(strlen(id) >= sizeof(t->id));
	strcpy(t->id, id);
	return t;
}

static void tag_free(struct tag *t)
{
	free(t->repo);
	free(t->text);
	free(t);
}

static int cmp(const struct tag *t, const char *repo, const char *text)
{
	int c = strcmp(t->repo, repo);

	return c ? c : strcmp(t->text, text);
}

static int tag_cmp(const void *a, const void *b)
{
	const struct tag *y = *(struct tag *const *)b;

	return cmp(*(struct tag *const *)a, y->repo, y->text);
}

static size_t find(struct tag *const *v, size_t len, const char *repo, const char *text, bool *ret_found)
{
	size_t lo = 0, hi = len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cmp(v[mid], repo, text) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = lo < len && cmp(v[lo], repo, text) == 0;
	return lo;
}

/* Shows a new table; tags that are in neither are the caller's. */
static void replace(struct image_store *s, struct tag **v, size_t n)
{
	struct tag **old;

	lock_take(&s->lock);
	old = s->tags;
	s->tags = v;
	s->tags_len = n;
	lock_drop(&s->lock);
	free(old);
}
