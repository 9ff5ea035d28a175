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

#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define BLOBS "blobs/sha256/"

struct saved_image {
	struct image *img;
	struct strv tags;        /* familiar references */
	struct strv chains;      /* of each layer */
	int64_t *sizes;          /* of each layer's tar */
	bool held;               /* a reference on the top layer is */
	struct buf config, manifest;
	char manifest_digest[DIGEST_TEXT];
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

int archive_save(struct image_store *store, const struct strv *names, struct writer *out, const struct cancel *c, struct err *err)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	CLEANUP(saving_done) struct saving s = { .store = store, .cancel = c };

	for (size_t i = 0; i < names->len; i++)
		if (add_name(&s, names->v[i], err) < 0)
			return -1;
	for (size_t i = 0; i < s.len; i++)
		if (prepare(&s, &s.v[i], err) < 0)
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
		free(si->sizes);
		buf_done(&si->config);
		buf_done(&si->manifest);
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

static void put_descriptor(struct jw *w, const char *type, const char *digest, int64_t size)
{
	jw_kstr(w, "mediaType", type);
	jw_kstr(w, "digest", digest);
	jw_kint(w, "size", size);
}

/* The manifest's text and digest. */
static void make_manifest(struct saved_image *si)
{
	struct jw w;

	jw_init(&w, &si->manifest);
	jw_obj(&w);
	jw_kint(&w, "schemaVersion", 2);
	jw_kstr(&w, "mediaType", MANIFEST_TYPE);
	jw_kobj(&w, "config");
	put_descriptor(&w, CONFIG_TYPE, si->img->id, (int64_t)si->config.size);
	jw_obj_end(&w);
	jw_karr(&w, "layers");
	for (size_t i = 0; i < si->img->diff_ids.len; i++) {
		jw_obj(&w);
		put_descriptor(&w, LAYER_TYPE, si->img->diff_ids.v[i], si->sizes[i]);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	digest_of(si->manifest.data, si->manifest.size, si->manifest_digest);
}

/* Holds the layers and learns every size. */
static int prepare(struct saving *s, struct saved_image *si, struct err *err)
{
	struct layer_store *layers = image_store_layers(s->store);
	const char *below = NULL;

	if (si->img->chain && layer_ref(layers, si->img->chain, err) < 0)
		return err_wrap(err, "image %s", si->img->id);
	si->held = si->img->chain != NULL;
	si->sizes = xcalloc(si->img->diff_ids.len + 1, sizeof(*si->sizes));
	for (size_t i = 0; i < si->img->diff_ids.len; i++) {
		strv_take(&si->chains, layer_chain_id(below, si->img->diff_ids.v[i]));
		below = si->chains.v[i];
		si->sizes[i] = layer_tar_size(layers, below, err);
		if (si->sizes[i] < 0)
			return -1;
	}
	if (image_raw(s->store, si->img->id, &si->config, err) < 0)
		return -1;
	make_manifest(si);
	return 0;
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
	struct tar_entry e = { .type = TAR_FILE, .name = name, .link = "", .uname = "", .gname = "", .mode = 0644, .size = si->sizes[i],
		.mtime = { .tv_sec = stamp(si->img) }, .atime = { .tv_nsec = UTIME_OMIT } };
	struct layer_writer out = { .writer = { layer_write }, .tar = &s->tar, .left = si->sizes[i] };
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
	if (write_blob(s, si->img->id, &si->config, stamp(si->img), err) < 0)
		return -1;
	return write_blob(s, si->manifest_digest, &si->manifest, stamp(si->img), err);
}

/* One entry of index.json; tag may be NULL. */
static void put_entry(struct jw *w, const struct saved_image *si, const char *tag)
{
	OWN_REFERENCE struct reference ref = { 0 };

	jw_obj(w);
	put_descriptor(w, MANIFEST_TYPE, si->manifest_digest, (int64_t)si->manifest.size);
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
	jw_kstr(&w, "mediaType", INDEX_TYPE);
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
