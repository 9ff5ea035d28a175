/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image database: imagedb/content/sha256/<hex> (the configuration's bytes, whose digest is the id) and
 * imagedb/metadata/sha256/<hex>/{parent,lastUpdated}. Written in the order layers, configuration, metadata, tag; removed in
 * reverse: a crash leaves at most a layer or a metadata folder without an image.
 */
#include "image/image.h"

#include <errno.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "image/image-store.h"

#define USED_EVERY (60 * NSEC_PER_SEC)

static void succeed(struct image_store *s, struct image *old, struct image *img);
static struct image *take(struct image_store *s, const char *id);
static struct image *by_prefix(struct image_store *s, const char *name);
static int write_metadata(struct image_store *s, const char *id, const char *name, const char *text, struct err *err);
static void orphan_children(struct image_store *s, const char *id);

struct image_store *image_store_open(struct layer_store *layers, const char *data_root, struct err *err)
{
	struct image_store *s = xcalloc(1, sizeof(*s));
	const char *driver = graph_name(layer_store_graph(layers));

	s->layers = layers;
	s->dir = xasprintf("%s/image/%s", data_root, driver);
	s->fd = -1;
	lock_init(&s->lock, LOCK_MAP);
	lock_cond_init(&s->idle);
	if (store_restore(s, err) == 0)
		return s;
	err_wrap(err, "image store");
	image_store_close(s);
	return NULL;
}

void image_store_close(struct image_store *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->len; i++)
		image_unref(s->v[i].img);
	free(s->v);
	tags_close(s);
	fd_close(&s->fd);
	pthread_cond_destroy(&s->idle);
	lock_done(&s->lock);
	free(s->dir);
	free(s);
}

struct layer_store *image_store_layers(struct image_store *s)
{
	return s->layers;
}

void store_begin(struct image_store *s)
{
	lock_take(&s->lock);
	while (s->busy)
		lock_wait(&s->lock, &s->idle, -1);
	s->busy = true;
	lock_drop(&s->lock);
}

void store_touch(struct image_store *s, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;
	char text[CLOCK_TEXT];
	int64_t now = clock_now();
	bool found;

	if (write_metadata(s, id, "lastUpdated", clock_rfc3339nano(now, text), &err) < 0)
		log_warn("image %s: %s", id, err_text(&err));
	WITH_LOCK(&s->lock);
	size_t at = store_find(s, id, &found);

	if (found)
		__atomic_store_n(&s->v[at].img->last_tag, now, __ATOMIC_RELAXED);
}

void store_end(struct image_store *s)
{
	lock_take(&s->lock);
	s->busy = false;
	pthread_cond_signal(&s->idle);
	lock_drop(&s->lock);
}

/* The chain that the image holds a reference on, or NULL. */
static const char *held(const struct image *img)
{
	return img->damaged ? img->held : img->chain;
}

static int create(struct image_store *s, struct image *img, const char *config, size_t size, struct err *err)
{
	OWN_FREE char *path = xasprintf(STORE_CONTENT "/%s", id_digest_hex(img->id));
	OWN_FREE char *content = xasprintf("%s/%s", s->dir, path);

	if (img->chain && layer_ref(s->layers, img->chain, err) < 0)
		return err_wrap(err, "image %s", img->id);
	if (fs_write_atomic(s->fd, path, config, size, 0600, FS_SYNC, err) < 0 ||
	    (img->parent && write_metadata(s, img->id, "parent", img->parent, err) < 0)) {
		unlink(content);
		if (img->chain)
			layer_unref(s->layers, img->chain, NULL, NULL);
		return -1;
	}
	image_fill_layers(s, img);
	return 0;
}

int image_create(struct image_store *s, const char *config, size_t size, const char *parent, char ret_id[72], struct err *err)
{
	CLEANUP(image_unrefp) struct image *img = image_parse(config, size, err);
	OWN_FREE char *path = NULL;
	struct image *old;
	int rc = 0;

	if (!img)
		return -1;
	digest_of(config, size, img->id);
	path = xasprintf(STORE_CONTENT "/%s", id_digest_hex(img->id));
	img->parent = str_empty(parent) ? NULL : xstrdup(parent);
	image_set_chain(img);
	strcpy(ret_id, img->id);
	/* on disk the layers come first, for good: a configuration never stands on what a power cut takes away */
	if (layer_sync(s->layers, err) < 0)
		return -1;
	store_begin(s);
	old = image_by_id(s, img->id);
	if (old && old->damaged)
		rc = fs_set_aside(s->fd, path, err);
	if (rc == 0 && (!old || old->damaged))
		rc = create(s, img, config, size, err);
	if (rc == 0 && !old) {
		lock_take(&s->lock);
		store_insert(s, STEAL(img));
		lock_drop(&s->lock);
	} else if (rc == 0 && old->damaged) {
		succeed(s, old, STEAL(img));
	}
	image_unref(old);
	store_end(s);
	return rc;
}

/* The operation is held: a damaged image came again, whole. */
static void succeed(struct image_store *s, struct image *old, struct image *img)
{
	bool found;

	if (!img->parent)
		img->parent = xstrdup(old->parent);
	lock_take(&s->lock);
	size_t at = store_find(s, old->id, &found);

	BUG_ON(!found || s->v[at].img != old);
	img->last_tag = image_last_tag(old);
	img->last_used = __atomic_load_n(&old->last_used, __ATOMIC_RELAXED);
	s->v[at].img = img;
	lock_drop(&s->lock);
	damage_forget("image", old->id);
	log_info("image %s is whole again", old->id);
	if (old->held)
		layer_unref(s->layers, old->held, NULL, NULL);
	image_unref(old); /* the table's */
}

struct image *image_get(struct image_store *s, const char *name, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_FREE char *full = id_is_hex64(name) ? xasprintf("sha256:%s", name) : NULL, *familiar = NULL;
	const char *id = full ? full : id_digest_hex(name) ? name : NULL;
	struct image *img = NULL;

	if (!id && reference_parse(name, &ref, err) < 0)
		return NULL;
	if (!id)
		familiar = reference_familiar(&ref);
	reference_add_latest(&ref);
	{
		WITH_LOCK(&s->lock);

		if (id)
			img = take(s, id);
		else if ((id = tags_lookup(s, &ref)))
			img = take(s, id);
		if (!img && familiar)
			img = by_prefix(s, name);
	}
	if (!img)
		err_set(err, ERR_NOT_FOUND, "No such image: %s", familiar ? familiar : id);
	return img;
}

struct image *image_by_id(struct image_store *s, const char *id)
{
	WITH_LOCK(&s->lock);
	return take(s, id);
}

int image_raw(struct image_store *s, const char *id, struct buf *ret, struct err *err)
{
	const char *hex = id_digest_hex(id);
	OWN_FREE char *path = hex ? xasprintf(STORE_CONTENT "/%s", hex) : NULL;
	char digest[DIGEST_TEXT];

	if (!hex)
		return err_set(err, ERR_INVALID, "bad image id");
	if (fs_read(s->fd, path, IMAGE_CONFIG_MAX, ret, err) < 0)
		return err_wrap(err, "configuration of image %s", id);
	digest_of(ret->data, ret->size, digest);
	if (!streq(digest, id))
		return err_set(err, ERR_INTERNAL, "configuration of image %s is damaged on disk", id);
	return 0;
}

size_t image_list(struct image_store *s, struct image ***ret)
{
	size_t n;
	WITH_LOCK(&s->lock);

	n = s->len;
	*ret = xcalloc(n + 1, sizeof(**ret));
	for (size_t i = 0; i < n; i++) {
		__atomic_add_fetch(&s->v[i].img->refs, 1, __ATOMIC_RELAXED);
		(*ret)[i] = s->v[i].img;
	}
	return n;
}

void image_list_free(struct image **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		image_unref(v[i]);
	free(v);
}

/* The operation is held: the image with its tags, but not its layers. */
static int delete(struct image_store *s, const char *id, struct err *err)
{
	const char *hex = id_digest_hex(id);
	OWN_FREE char *content = xasprintf(STORE_CONTENT "/%s", hex);
	bool found;

	if (tags_drop_image(s, id, err) < 0)
		return -1;
	if (fs_remove_tree(s->fd, content, err) < 0)
		return err_wrap(err, "remove image %s", id);
	{
		OWN_FREE char *dir = xasprintf("%s/" STORE_CONTENT, s->dir), *meta = xasprintf(STORE_METADATA "/%s", hex);
		OWN_ERR struct err ignored = ERR_INIT;

		/* the configuration must be gone for good before its layers go; metadata without one means nothing */
		if (fs_sync_dir(dir, &ignored) < 0 || fs_remove_tree(s->fd, meta, &ignored) < 0)
			log_warn("image %s: %s", id, err_text(&ignored));
	}
	{
		WITH_LOCK(&s->lock);
		size_t at = store_find(s, id, &found);

		image_unref(s->v[at].img);
		s->len--;
		memmove(s->v + at, s->v + at + 1, (s->len - at) * sizeof(*s->v));
	}
	damage_forget("image", id);
	orphan_children(s, id);
	return 0;
}

int image_delete(struct image_store *s, const char *id, struct strv *removed_layers, struct err *err)
{
	CLEANUP(image_unrefp) struct image *img = NULL;
	int rc;

	store_begin(s);
	img = id_digest_hex(id) ? image_by_id(s, id) : NULL;
	rc = img ? delete(s, id, err) : err_set(err, ERR_NOT_FOUND, "No such image: %s", id);
	store_end(s);
	if (rc == 0 && held(img) && layer_unref(s->layers, held(img), removed_layers, err) < 0)
		return err_wrap(err, "layers of image %s", id);
	return rc;
}

int image_take_back(struct image_store *s, const char *id, struct strv *removed_layers, struct err *err)
{
	CLEANUP(image_unrefp) struct image *img = NULL;
	int rc = 0;

	store_begin(s);
	img = image_by_id(s, id);
	if (img && (tags_any(s, id) || image_children(s, id, NULL)))
		image_unref(STEAL(img));
	if (img)
		rc = delete(s, id, err);
	store_end(s);
	if (rc == 0 && img && held(img) && layer_unref(s->layers, held(img), removed_layers, err) < 0)
		return err_wrap(err, "layers of image %s", id);
	return rc < 0 ? rc : img != NULL;
}

void image_used(struct image_store *s, const char *id)
{
	CLEANUP(image_unrefp) struct image *img = image_by_id(s, id);
	OWN_ERR struct err err = ERR_INIT;
	int64_t now = clock_now(), before;
	char text[CLOCK_TEXT];

	if (!img)
		return;
	before = __atomic_load_n(&img->last_used, __ATOMIC_RELAXED);
	if (now - before < USED_EVERY && now >= before)
		return;
	__atomic_store_n(&img->last_used, now, __ATOMIC_RELAXED);
	if (write_metadata(s, id, "lastUsed", clock_rfc3339nano(now, text), &err) < 0)
		log_debug("image %s: %s", id, err_text(&err));
}

int64_t image_last_use(struct image_store *s, const struct image *img)
{
	OWN_FREE char *path = xasprintf(STORE_CONTENT "/%s", id_digest_hex(img->id));
	int64_t ret = image_last_tag(img), used = __atomic_load_n(&img->last_used, __ATOMIC_RELAXED), here;
	struct stat st;

	here = fstatat(s->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mtim.tv_sec * NSEC_PER_SEC + st.st_mtim.tv_nsec : 0;
	ret = used > ret ? used : ret;
	return here > ret ? here : ret;
}

size_t image_children(struct image_store *s, const char *id, struct strv *ret)
{
	size_t n = 0;
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < s->len; i++) {
		if (!s->v[i].img->parent || !streq(s->v[i].img->parent, id))
			continue;
		n++;
		if (ret)
			strv_add(ret, s->v[i].img->id);
	}
	return n;
}

size_t store_find(const struct image_store *s, const char *id, bool *ret_found)
{
	size_t lo = 0, hi = s->len;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcmp(s->v[mid].img->id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*ret_found = lo < s->len && streq(s->v[lo].img->id, id);
	return lo;
}

/* Takes over the reference. */
void store_insert(struct image_store *s, struct image *img)
{
	bool found;
	size_t at = store_find(s, img->id, &found);

	BUG_ON(found);
	if (s->len == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->v = xrealloc(s->v, s->room * sizeof(*s->v));
	}
	memmove(s->v + at + 1, s->v + at, (s->len - at) * sizeof(*s->v));
	s->v[at].img = img;
	s->len++;
}

/* The lock is held. */
static struct image *take(struct image_store *s, const char *id)
{
	bool found;
	size_t at = store_find(s, id, &found);

	if (!found)
		return NULL;
	__atomic_add_fetch(&s->v[at].img->refs, 1, __ATOMIC_RELAXED);
	return s->v[at].img;
}

/* The lock is held. An id's beginning, with or without "sha256:"; NULL when it fits no image, or several. */
static struct image *by_prefix(struct image_store *s, const char *name)
{
	const char *hex = str_has_prefix(name, "sha256:") ? name + 7 : name;
	OWN_FREE char *prefix = NULL;
	size_t at;
	bool found;

	if (!id_is_hex_prefix(hex))
		return NULL;
	prefix = xasprintf("sha256:%s", hex);
	at = store_find(s, prefix, &found);
	if (at == s->len || !str_has_prefix(s->v[at].img->id, prefix))
		return NULL;
	if (at + 1 < s->len && str_has_prefix(s->v[at + 1].img->id, prefix))
		return NULL;
	return take(s, s->v[at].img->id);
}

void image_set_chain(struct image *img)
{
	for (size_t i = 0; i < img->diff_ids.len; i++) {
		OWN_FREE char *below = img->chain;

		img->chain = layer_chain_id(below, img->diff_ids.v[i]);
	}
}

void image_fill_layers(struct image_store *s, struct image *img)
{
	OWN_FREE char *chain = NULL;

	img->size = 0;
	for (size_t i = 0; i < img->diff_ids.len; i++) {
		OWN_FREE char *below = chain;
		int64_t size;

		chain = layer_chain_id(below, img->diff_ids.v[i]);
		size = layer_size(s->layers, chain);
		img->size += size > 0 ? size : 0;
	}
}

static int write_metadata(struct image_store *s, const char *id, const char *name, const char *text, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/" STORE_METADATA "/%s", s->dir, id_digest_hex(id));
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);

	if (fs_mkdir(dir, 0700, err) < 0)
		return -1;
	return fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, err);
}

/* The operation is held. Children of an image that went forget it: each is replaced by a fresh copy without parent. */
static void orphan_children(struct image_store *s, const char *id)
{
	OWN_STRV struct strv children = { 0 };

	image_children(s, id, &children);
	for (size_t i = 0; i < children.len; i++) {
		OWN_ERR struct err err = ERR_INIT;
		OWN_BUF struct buf raw = { 0 };
		OWN_FREE char *path = xasprintf(STORE_METADATA "/%s/parent", id_digest_hex(children.v[i]));
		struct image *fresh, *old;
		bool found;

		if (unlinkat(s->fd, path, 0) < 0 && errno != ENOENT)
			log_warn("image %s: cannot forget its parent: %s", children.v[i], strerror(errno));
		if (image_raw(s, children.v[i], &raw, &err) < 0 || !(fresh = image_parse(raw.data, raw.size, &err))) {
			log_warn("%s", err_text(&err));
			continue;
		}
		WITH_LOCK(&s->lock);
		size_t at = store_find(s, children.v[i], &found);

		BUG_ON(!found);
		old = s->v[at].img;
		strcpy(fresh->id, old->id);
		fresh->chain = xstrdup(old->chain);
		fresh->size = old->size;
		fresh->damaged = xstrdup(old->damaged);
		fresh->held = xstrdup(old->held);
		if (old->damaged)
			strmap_set(&fresh->config.labels, IMAGE_DAMAGED_LABEL, old->damaged);
		fresh->last_tag = image_last_tag(old);
		fresh->last_used = __atomic_load_n(&old->last_used, __ATOMIC_RELAXED);
		s->v[at].img = fresh;
		image_unref(old);
	}
}
