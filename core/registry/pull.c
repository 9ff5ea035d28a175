/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pulling: manifest, platform, configuration, layers (fetching.c), and at the end the image and its names in one write. Until then nothing of it shows; a
 * failure leaves no layer.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "registry/registry-priv.h"
#include "registry/wire.h"

#define TRIES 10

struct pull {
	struct registry *r;
	const struct registry_pull *given;
	struct session s;
	struct platform want;
	struct progress progress;
	bool newer;                /* something came that was not here */
};

/* Goes down an index to the image for the platform. ret holds the image's manifest afterwards, while the digest of top stays. */
static int choose_image(struct pull *p, const struct reference *ref, struct fetched *ret, struct err *err)
{
	for (int depth = 0; ret->m.index; depth++) {
		const struct manifest_entry *e = manifest_choose(&ret->m, &p->want, err);
		struct fetched next = { 0 };

		if (!e)
			return -1;
		if (depth == MANIFEST_DEPTH_MAX)
			return err_set(err, ERR_INVALID, "the indexes of the image are nested too deep");
		if (registry_manifest(&p->s, ref, e->digest, e->digest, e->size, &next, err) < 0) {
			fetched_done(&next);
			return -1;
		}
		if (!next.m.index && !streq(next.m.media_type, e->media_type)) {
			fetched_done(&next);
			return err_set(err, ERR_INVALID, "the index says that a manifest is %.100s, and the manifest that it is another thing", e->media_type);
		}
		fetched_done(ret);
		*ret = next;
		if (manifest_check_image(&ret->m, err) < 0)
			return -1;
	}
	return 0;
}

static int check_config(const struct pull *p, const struct manifest *m, const struct image *img, struct err *err)
{
	if (img->diff_ids.len != m->layers.len)
		return err_set(err, ERR_INVALID, "layers from manifest don't match image configuration");
	if (!str_empty(img->os) && !streq(img->os, "linux"))
		return err_set(err, ERR_INVALID, "image operating system \"%.64s\" cannot be used on this platform: operating system is not supported", img->os);
	return 0;
}

/* Both names of a pull by tag, the digest alone else; how many. */
static size_t names_of(const struct reference *ref, const char *digest, const char *id, struct image_tagging v[2])
{
	size_t n = 0;

	if (!ref->digest) {
		v[n].id = id;
		reference_copy(&v[n++].ref, ref);
	}
	v[n].id = id;
	reference_copy(&v[n].ref, ref);
	str_set(&v[n].ref.tag, NULL);
	str_set(&v[n++].ref.digest, digest);
	return n;
}

/* Whether the reference leads to that very image already. */
static bool is_here(struct pull *p, const struct reference *ref, const char *id)
{
	OWN_FREE char *name = reference_text(ref);
	CLEANUP(image_unrefp) struct image *img = image_get(p->r->images, name, NULL);

	return img && !img->damaged && streq(img->id, id);
}

static int name_image(struct pull *p, const struct reference *ref, const char *digest, const char *id, struct err *err)
{
	struct image_tagging v[2] = { 0 };
	size_t n = names_of(ref, digest, id, v), here = 0;
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		here += is_here(p, &v[i].ref, id);
	if (here < n)
		rc = image_tag_all(p->r->images, v, n, err);

	for (size_t i = 0; i < n; i++) {
		reference_done(&v[i].ref);
		free(v[i].old);
	}
	return rc;
}

/* The image and its names; somebody's prune may take it in between, as it has no name yet. */
static int store(struct pull *p, const struct reference *ref, const char *digest, const struct buf *config, const char *id, struct err *err)
{
	for (int i = 0;; i++) {
		OWN_ERR struct err why = ERR_INIT;
		CLEANUP(image_unrefp) struct image *old = image_by_id(p->r->images, id);
		char got[72];

		if (image_create(p->r->images, config->data, config->size, NULL, got, &why) == 0 && name_image(p, ref, digest, id, &why) == 0)
			return 0;
		if (why.class == ERR_NOT_FOUND && i < TRIES)
			continue;
		if (!old && image_take_back(p->r->images, id, NULL, NULL) < 0)
			log_warn("image %s stays without a name", id);
		return err_move(err, &why);
	}
}

static void drop_chain(struct pull *p, const char *chain)
{
	OWN_ERR struct err err = ERR_INIT;

	if (chain && layer_unref(image_store_layers(p->r->images), chain, NULL, &err) < 0)
		log_warn("layer %s: %s", chain, err_text(&err));
}

/* What is not here yet of an image: configuration and layers. */
static int fetch_image(struct pull *p, const struct reference *ref, const struct fetched *f, const char *digest, struct err *err)
{
	OWN_BUF struct buf config = { 0 };
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_FREE char *chain = NULL;
	struct layers l = { p->r, &p->s, p->given, &p->progress, ref, &f->m, NULL };
	struct fetching *blobs;
	int rc;

	if (registry_blob(&p->s, ref, f->m.config, &config, err) < 0)
		return -1;
	l.img = img = image_parse(config.data, config.size, err);
	if (!img || check_config(p, &f->m, img, err) < 0)
		return -1;
	rc = layers_fetch(&l, &chain, &blobs, err);
	if (rc == 0)
		rc = store(p, ref, digest, &config, f->m.config->digest, err);
	layers_done(blobs, rc == 0, rc < 0 && err && err->class == ERR_NO_SPACE);
	drop_chain(p, chain);
	return rc;
}

/* An image that is here under another name, or under this one. 1: it is gone meanwhile. */
static int adopt(struct pull *p, const struct reference *ref, const char *digest, const char *id, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	bool known = is_here(p, ref, id);

	if (name_image(p, ref, digest, id, &why) < 0)
		return why.class == ERR_NOT_FOUND ? 1 : err_move(err, &why);
	p->newer |= !known;
	return 0;
}

static int pull_one(struct pull *p, const struct reference *ref, struct err *err)
{
	OWN_FETCHED struct fetched f = { 0 };
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_FREE char *full = reference_familiar(ref);
	char digest[DIGEST_TEXT];
	int rc = 1;

	if (registry_manifest(&p->s, ref, ref->digest ? ref->digest : ref->tag, ref->digest, -1, &f, err) < 0 ||
	    manifest_check_image(&f.m, err) < 0)
		return -1;
	memcpy(digest, f.digest, sizeof(digest));
	progress_say(&p->progress, ref->digest ? full : ref->tag, "Pulling from %s", ref->path);
	if (choose_image(p, ref, &f, err) < 0)
		return -1;
	img = image_by_id(p->r->images, f.m.config->digest);
	if (img && !img->damaged)
		rc = adopt(p, ref, digest, img->id, err);
	if (rc > 0) {
		p->newer = true;
		rc = fetch_image(p, ref, &f, digest, err);
	}
	if (rc == 0)
		progress_say(&p->progress, NULL, "Digest: %s", digest);
	return rc;
}

static int pull_all(struct pull *p, const struct reference *ref, struct err *err)
{
	OWN_REPLY struct session_reply reply = { 0 };
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *all = NULL;
	json_t *tag;
	size_t i;
	int rc = session_get(&p->s, json_pack("{s:s, s:s}", "op", "tags", "repo", ref->path), WIRE_MANIFEST_MAX, &text, &reply, err);

	if (rc < 0)
		return -1;
	if (rc > 0)
		return registry_failed(&reply, ref, err);
	all = json_read(text.data, text.size, err);
	if (!all)
		return -1;
	json_array_foreach(all, i, tag) {
		OWN_REFERENCE struct reference one = { 0 };

		if (!reference_is_tag(json_string_value(tag) ? json_string_value(tag) : ""))
			continue;
		reference_copy(&one, ref);
		str_set(&one.tag, json_string_value(tag));
		if (pull_one(p, &one, err) < 0)
			return -1;
	}
	return 0;
}

/* What was asked for, and what came. */
static void warn_platform(struct pull *p, const char *full)
{
	OWN_FREE char *name = reference_text(p->given->ref);
	CLEANUP(image_unrefp) struct image *img = image_get(p->r->images, name, NULL);

	if (str_empty(p->given->platform) || !img || platform_fits(&p->want, str_empty(img->os) ? "linux" : img->os, img->architecture, img->variant))
		return;
	progress_say(&p->progress, NULL, "WARNING: image with reference %s was found but does not match the specified platform: wanted %s/%s%s%s, actual: %s/%s%s%s", full,
		p->want.os, p->want.architecture, p->want.variant ? "/" : "", p->want.variant ? p->want.variant : "", img->os ? img->os : "", img->architecture ? img->architecture : "",
		str_empty(img->variant) ? "" : "/", img->variant ? img->variant : "");
}

static int run(struct pull *p, struct err *err)
{
	const struct reference *ref = p->given->ref;
	OWN_FREE char *full = ref->tag || ref->digest ? reference_familiar(ref) : reference_familiar_name(ref);

	if (session_open(&p->s, p->r->spawner, p->r->program, p->given->config, ref->domain, p->given->auth, p->given->cancel, err) < 0)
		return -1;
	if ((ref->tag || ref->digest ? pull_one(p, ref, err) : pull_all(p, ref, err)) < 0)
		return -1;
	progress_say(&p->progress, NULL, p->newer ? "Status: Downloaded newer image for %s" : "Status: Image is up to date for %s", full);
	warn_platform(p, full);
	return 0;
}

int registry_pull(struct registry *r, const struct registry_pull *given, struct err *err)
{
	struct pull p = { .r = r, .given = given, .s = SESSION_INIT };
	int rc = platform_parse(given->platform, &p.want, err);

	progress_open(&p.progress, given->emit, given->ctx);
	partials_sweep(r->partials, false);
	if (rc == 0)
		rc = run(&p, err);
	session_close(&p.s);
	platform_done(&p.want);
	progress_close(&p.progress);
	return rc;
}
