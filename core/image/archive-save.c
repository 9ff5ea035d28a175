/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saving: one tar that is an OCI layout and a docker-archive over the same blobs. All names and sizes are known before the
 * first byte leaves; layers stream from the store, each once, and their digest is checked on the way.
 */
#include "image/archive.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/tar.h"
#include "image/archive-types.h"

#define BLOBS "blobs/sha256/"

struct saved_image {
	struct image *img;
	struct strv tags;        /* familiar references */
	struct strv chains;      /* of each layer */
	bool held;               /* a reference on the top layer is */
	struct archive_manifest m;
};

struct saving {
	struct image_store *store;
	const struct cancel *cancel;
	struct saved_image *v;
	size_t len;
	struct tar_writer tar;
	struct strv written;     /* digests of the blobs in the archive */
};

static int add_name(struct saving *s, const char *name, struct err *err);
static int prepare(struct saving *s, struct saved_image *si, struct err *err);
static int write_image(struct saving *s, struct saved_image *si, struct err *err);
static int write_index(struct saving *s, struct err *err);
static int write_manifest(struct saving *s, struct err *err);
static int write_repositories(struct saving *s, struct err *err);
static void saving_done(struct saving *s);

/* There is one image for one platform in each. */
static int check_platform(const struct saved_image *si, const struct platform *want, struct err *err)
{
	const struct image *img = si->img;

	if (!want || platform_fits(want, str_empty(img->os) ? "linux" : img->os, img->architecture, img->variant))
		return 0;
	return err_set(err, ERR_NOT_FOUND, "image with reference %s was found but does not provide the specified platform (%s/%s%s%s)",
		si->tags.len ? si->tags.v[0] : img->id, want->os, want->architecture, str_empty(want->variant) ? "" : "/",
		str_empty(want->variant) ? "" : want->variant);
}

int archive_save(struct image_store *store, const struct strv *names, const struct platform *want, struct writer *out,
	const struct cancel *c, struct strv *ret_ids, struct err *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	CLEANUP(saving_done) struct saving s = { .store = store, .cancel = c };

	for (size_t i = 0; i < names->len; i++)
		if (add_name(&s, names->v[i], err) < 0)
			return -1;
	for (size_t i = 0; i < s.len; i++)
		if (check_platform(&s.v[i], want, err) < 0 || prepare(&s, &s.v[i], err) < 0)
			return -1;
	tar_writer_init(&s.tar, out);
	if (tar_write_file(&s.tar, "blobs/", NULL, 0, 0, err) < 0 || tar_write_file(&s.tar, BLOBS, NULL, 0, 0, err) < 0)
		return -1;
	for (size_t i = 0; i < s.len; i++)
		if (write_image(&s, &s.v[i], err) < 0)
			return -1;
	if (write_index(&s, err) < 0 || write_manifest(&s, err) < 0 ||
	    tar_write_file(&s.tar, "oci-layout", layout, strlen(layout), 0, err) < 0 || write_repositories(&s, err) < 0)
		return -1;
	for (size_t i = 0; ret_ids && i < s.len; i++)
		strv_add(ret_ids, s.v[i].img->id);
	return tar_write_end(&s.tar, err);
}

static void saving_done(struct saving *s)
{
	for (size_t i = 0; i < s->len; i++) {
		struct saved_image *si = &s->v[i];

		if (si->held)
			layer_unref(image_store_layers(s->store), si->img->chain, NULL, NULL);
		image_unref(si->img);
		strv_done(&si->tags);
		strv_done(&si->chains);
		archive_manifest_done(&si->m);
	}
	free(s->v);
	strv_done(&s->written);
}

/* Takes over img. tag may be NULL. */
static void add_image(struct saving *s, struct image *img, const char *tag)
{
	struct saved_image *si = NULL;

	for (size_t i = 0; i < s->len && !si; i++)
		if (streq(s->v[i].img->id, img->id))
			si = &s->v[i];
	if (si) {
		image_unref(img);
	} else {
		s->v = xrealloc(s->v, (s->len + 1) * sizeof(*s->v));
		si = &s->v[s->len++];
		*si = (struct saved_image){ .img = img };
	}
	if (tag && !strv_contains(&si->tags, tag))
		strv_add(&si->tags, tag);
}

/* A bare repository name means all of its tags; an id comes without any. */
static int add_name(struct saving *s, const char *name, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_STRV struct strv tags = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	bool is_ref = !id_is_hex64(name) && !id_digest_hex(name), any = false;
	struct image *img;

	if (is_ref && reference_parse(name, &ref, err) < 0)
		return -1;
	if (is_ref && ref.tag && !ref.digest)
		strv_take(&tags, reference_familiar(&ref));
	else if (is_ref && !ref.digest)
		image_repo_tags(s->store, &ref, &tags);
	for (size_t i = 0; i < tags.len; i++) {
		img = image_get(s->store, tags.v[i], NULL);
		if (!img)
			continue;
		add_image(s, img, tags.v[i]);
		any = true;
	}
	if (any)
		return 0;
	img = image_get(s->store, name, &why);
	if (!img)
		return why.class == ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, "No such image: %s", name) : err_move(err, &why);
	add_image(s, img, NULL);
	return 0;
}

/* Holds the layers and learns every size. */
static int prepare(struct saving *s, struct saved_image *si, struct err *err)
{
	struct layer_store *layers = image_store_layers(s->store);
	const char *below = NULL;

	if (si->img->chain && layer_ref(layers, si->img->chain, err) < 0)
		return err_wrap(err, "image %s", si->img->id);
	si->held = si->img->chain != NULL;
	for (size_t i = 0; i < si->img->diff_ids.len; i++) {
		strv_take(&si->chains, layer_chain_id(below, si->img->diff_ids.v[i]));
		below = si->chains.v[i];
	}
	return archive_manifest(s->store, si->img, &si->m, err);
}

/* True once for each digest. */
static bool first_time(struct saving *s, const char *digest)
{
	if (strv_contains(&s->written, digest))
		return false;
	strv_add(&s->written, digest);
	return true;
}

static int64_t stamp(const struct image *img)
{
	return img->created > 0 ? img->created / NSEC_PER_SEC : 0;
}

/* A layer on its way into the archive. */
struct layer_writer { struct writer writer; struct tar_writer *tar; struct digest digest; int64_t left; };

static int layer_write(struct writer *w, const void *data, size_t size, struct err *err)
{
	struct layer_writer *l = (struct layer_writer *)w;

	if ((int64_t)size > l->left)
		return err_set(err, ERR_INTERNAL, "the layer is larger than its metadata says");
	l->left -= (int64_t)size;
	digest_add(&l->digest, data, size);
	return tar_write_data(l->tar, data, size, err);
}

static int write_layer(struct saving *s, struct saved_image *si, size_t i, struct err *err)
{
	OWN_FREE char *name = xasprintf(BLOBS "%s", id_digest_hex(si->img->diff_ids.v[i]));
	struct tar_entry e = { .type = TAR_FILE, .name = name, .link = "", .uname = "", .gname = "", .mode = 0644, .size = si->m.sizes[i],
		.mtime = { .tv_sec = stamp(si->img) }, .atime = { .tv_nsec = UTIME_OMIT } };
	struct layer_writer out = { .writer = { layer_write }, .tar = &s->tar, .left = si->m.sizes[i] };
	char digest[DIGEST_TEXT];

	digest_init(&out.digest);
	if (tar_write_header(&s->tar, &e, err) < 0 ||
	    layer_tar(image_store_layers(s->store), si->chains.v[i], &out.writer, s->cancel, err) < 0)
		return -1;
	digest_text(&out.digest, digest);
	if (out.left || !streq(digest, si->img->diff_ids.v[i]))
		return err_set(err, ERR_INTERNAL, "layer %s is damaged on disk", si->img->diff_ids.v[i]);
	return 0;
}

static int write_blob(struct saving *s, const char *digest, const struct buf *data, int64_t mtime, struct err *err)
{
	OWN_FREE char *name = xasprintf(BLOBS "%s", id_digest_hex(digest));

	return first_time(s, digest) ? tar_write_file(&s->tar, name, data->data, data->size, mtime, err) : 0;
}

static int write_image(struct saving *s, struct saved_image *si, struct err *err)
{
	for (size_t i = 0; i < si->img->diff_ids.len; i++) {
		if (cancel_fired(s->cancel))
			return err_set(err, ERR_CANCELLED, "cancelled");
		if (first_time(s, si->img->diff_ids.v[i]) && write_layer(s, si, i, err) < 0)
			return -1;
	}
	if (write_blob(s, si->img->id, &si->m.config, stamp(si->img), err) < 0)
		return -1;
	return write_blob(s, si->m.digest, &si->m.text, stamp(si->img), err);
}

/* One entry of index.json; tag may be NULL. */
static void put_entry(struct jw *w, const struct saved_image *si, const char *tag)
{
	OWN_REFERENCE struct reference ref = { 0 };

	jw_obj(w);
	archive_descriptor(w, ARCHIVE_MANIFEST_TYPE, si->m.digest, (int64_t)si->m.text.size);
	if (tag && reference_parse(tag, &ref, NULL) == 0) {
		OWN_FREE char *full = reference_text(&ref);

		jw_kobj(w, "annotations");
		jw_kstr(w, "io.containerd.image.name", full);
		jw_kstr(w, "org.opencontainers.image.ref.name", ref.tag);
		jw_obj_end(w);
	}
	if (!str_empty(si->img->architecture)) {
		jw_kobj(w, "platform");
		jw_kstr(w, "architecture", si->img->architecture);
		jw_kstr(w, "os", str_empty(si->img->os) ? "linux" : si->img->os);
		if (!str_empty(si->img->variant))
			jw_kstr(w, "variant", si->img->variant);
		jw_obj_end(w);
	}
	jw_obj_end(w);
}

static int write_index(struct saving *s, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kint(&w, "schemaVersion", 2);
	jw_kstr(&w, "mediaType", ARCHIVE_INDEX_TYPE);
	jw_karr(&w, "manifests");
	for (size_t i = 0; i < s->len; i++) {
		for (size_t k = 0; k < s->v[i].tags.len; k++)
			put_entry(&w, &s->v[i], s->v[i].tags.v[k]);
		if (!s->v[i].tags.len)
			put_entry(&w, &s->v[i], NULL);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	return tar_write_file(&s->tar, "index.json", b.data, b.size, 0, err);
}

static void put_item(struct jw *w, const struct saved_image *si)
{
	OWN_FREE char *config = xasprintf(BLOBS "%s", id_digest_hex(si->img->id));
	const struct strv *diffs = &si->img->diff_ids;

	jw_obj(w);
	jw_kstr(w, "Config", config);
	jw_kstrv(w, "RepoTags", &si->tags);
	jw_karr(w, "Layers");
	for (size_t i = 0; i < diffs->len; i++) {
		OWN_FREE char *name = xasprintf(BLOBS "%s", id_digest_hex(diffs->v[i]));

		jw_str(w, name);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

static int write_manifest(struct saving *s, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_arr(&w);
	for (size_t i = 0; i < s->len; i++)
		put_item(&w, &s->v[i]);
	jw_arr_end(&w);
	return tar_write_file(&s->tar, "manifest.json", b.data, b.size, 0, err);
}

/* {"busybox":{"latest":"<hex of the top layer>"}}: what tools older than manifest.json look at. */
static int write_repositories(struct saving *s, struct err *err)
{
	OWN_JSON json_t *all = json_object();
	OWN_FREE char *text = NULL;

	for (size_t i = 0; i < s->len; i++) {
		const struct strv *diffs = &s->v[i].img->diff_ids;

		for (size_t k = 0; k < s->v[i].tags.len && diffs->len; k++) {
			OWN_REFERENCE struct reference ref = { 0 };
			OWN_FREE char *repo = NULL;
			json_t *tags;

			if (reference_parse(s->v[i].tags.v[k], &ref, NULL) < 0)
				continue;
			repo = reference_familiar_name(&ref);
			tags = json_object_get(all, repo);
			if (!tags && json_object_set_new(all, repo, tags = json_object()) < 0)
				continue;
			json_object_set_new(tags, ref.tag, json_string(id_digest_hex(diffs->v[diffs->len - 1])));
		}
	}
	text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
	BUG_ON(!text);
	return tar_write_file(&s->tar, "repositories", text, strlen(text), 0, err);
}
