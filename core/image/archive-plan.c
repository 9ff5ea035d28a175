/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans of an archive, and the docker-archive form: manifest.json. */
#include "image/archive-plan.h"

#include "base/digest.h"
#include "base/id.h"
#include "image/image-store.h"

struct manifest_item { char *config, *parent; struct strv tags, layers; };

JDESC(manifest_item_desc, manifest_item,
	JFIELD(manifest_item, config, "Config", J_STR, J_REQUIRED),
	JFIELD(manifest_item, tags, "RepoTags", J_STRV, 0),
	JFIELD(manifest_item, layers, "Layers", J_STRV, 0),
	JFIELD(manifest_item, parent, "Parent", J_STR, J_OMITEMPTY));

struct manifest { struct jlist items; };
JDESC(manifest_desc, manifest, JFIELD_SUB(manifest, items, "items", J_LIST, 0, manifest_item_desc));
static void manifest_done(struct manifest *m) { jdesc_clear(&manifest_desc, m); }

static void plan_image_done(struct plan_image *pi)
{
	buf_done(&pi->config);
	image_unref(pi->img);
	strv_done(&pi->tags);
	free(pi->parent);
	free(pi->chain);
}

void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->len; i++)
		plan_image_done(&p->v[i]);
	free(p->v);
	*p = (struct plan){ 0 };
}

int plan_add(struct plan *p, const struct spool *sp, const struct spool_member *config, const struct strv *layers,
	const struct platform *want, bool strict, struct plan_image **ret, struct err *err)
{
	OWN_BUF struct buf bytes = { 0 };

	*ret = NULL;
	if (spool_bytes(sp, config, IMAGE_CONFIG_MAX, &bytes, err) < 0)
		return -1;
	return plan_add_config(p, sp, config->name, &bytes, layers, want, strict, ret, err);
}

int plan_add_config(struct plan *p, const struct spool *sp, const char *name, struct buf *config, const struct strv *layers,
	const struct platform *want, bool strict, struct plan_image **ret, struct err *err)
{
	CLEANUP(plan_image_done) struct plan_image pi = { .config = *config };
	struct image *img;

	*ret = NULL;
	*config = (struct buf){ 0 };
	if (p->len >= PLAN_IMAGES_MAX)
		return err_set(err, ERR_INVALID, "invalid archive: more than %d images", PLAN_IMAGES_MAX);
	p->bytes += pi.config.size;
	if (p->bytes > PLAN_BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "invalid archive: its configurations have more than %u bytes", PLAN_BYTES_MAX);
	img = pi.img = image_parse(pi.config.data ? pi.config.data : "", pi.config.size, err);
	if (!img)
		return err_wrap(err, "invalid archive: %.200s", name);
	digest_of(pi.config.data, pi.config.size, img->id);
	if (!str_empty(img->os) && !streq(img->os, "linux"))
		return err_set(err, ERR_INVALID, "cannot load %.64s image on linux", img->os);
	if (img->diff_ids.len != layers->len)
		return err_set(err, ERR_INVALID, "invalid manifest, layers length mismatch: expected %zu, got %zu",
			layers->len, img->diff_ids.len);
	if (strict && !platform_fits(want, str_empty(img->os) ? "linux" : img->os, img->architecture, img->variant))
		return 0;
	for (size_t i = 0; i < layers->len; i++) {
		pi.layers[i] = spool_need(sp, layers->v[i], err);
		if (!pi.layers[i])
			return -1;
	}
	p->v = xrealloc(p->v, (p->len + 1) * sizeof(*p->v));
	p->v[p->len] = pi;
	memset(&pi, 0, sizeof(pi));
	*ret = &p->v[p->len++];
	return 0;
}

int plan_tag(struct plan *p, struct plan_image *pi, const char *name, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < p->len; i++)
		n += p->v[i].tags.len;
	if (n >= PLAN_TAGS_MAX)
		return err_set(err, ERR_INVALID, "invalid archive: more than %d tags", PLAN_TAGS_MAX);
	if (reference_parse(name, &ref, err) < 0)
		return -1;
	if (!ref.tag || ref.digest)
		return err_set(err, ERR_INVALID, "invalid tag \"%.300s\"", name);
	strv_take(&pi->tags, reference_text(&ref));
	return 0;
}

static int plan_item(struct plan *p, const struct spool *sp, struct manifest_item *item, const struct platform *want,
	bool strict, struct err *err)
{
	const struct spool_member *config = spool_need(sp, item->config, err);
	struct plan_image *pi;

	if (!config || plan_add(p, sp, config, &item->layers, want, strict, &pi, err) < 0)
		return -1;
	if (!pi)
		return 0;
	for (size_t i = 0; i < item->tags.len; i++)
		if (plan_tag(p, pi, item->tags.v[i], err) < 0)
			return -1;
	if (!str_empty(item->parent) && !id_digest_hex(item->parent))
		return err_set(err, ERR_INVALID, "invalid archive: bad parent %.100s", item->parent);
	pi->parent = str_empty(item->parent) ? NULL : xstrdup(item->parent);
	return 0;
}

int plan_docker(struct plan *p, const struct spool *sp, const struct platform *want, bool strict, struct err *err)
{
	CLEANUP(manifest_done) struct manifest m = { 0 };
	const struct spool_member *file = spool_need(sp, "manifest.json", err);
	OWN_BUF struct buf text = { 0 };

	if (!file)
		return -1;
	/* the table wants an object around the list */
	buf_adds(&text, "{\"items\":");
	if (spool_bytes(sp, file, PLAN_JSON_MAX, &text, err) < 0)
		return -1;
	buf_addc(&text, '}');
	if (jdesc_parse(&manifest_desc, text.data, text.size, &m, err) < 0)
		return err_wrap(err, "invalid archive: manifest.json");
	for (size_t i = 0; i < m.items.len; i++)
		if (plan_item(p, sp, jlist_at(&m.items, i, &manifest_item_desc), want, strict, err) < 0)
			return -1;
	return 0;
}
