/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The OCI image layout: oci-layout, index.json, blobs/sha256/<hex>. The spool has checked each blob against its name, so a
 * digest is a name here. A document must be what its media type says, and nothing else besides.
 */
#include "image/archive-plan.h"

#include "base/id.h"

#define DEPTH_MAX 4
#define DESCRIPTORS_MAX 4096
#define BLOB_NAME 80

struct oci_platform { char *os, *architecture, *variant; };
struct descriptor {
	char *media_type, *digest;
	int64_t size;
	struct strmap annotations;
	struct oci_platform *platform;
};
struct document {
	int64_t schema_version;
	char *media_type;
	struct descriptor *config;
	struct jlist layers, manifests;
};

JDESC(oci_platform_desc, oci_platform,
	JFIELD(oci_platform, os, "os", J_STR, 0),
	JFIELD(oci_platform, architecture, "architecture", J_STR, 0),
	JFIELD(oci_platform, variant, "variant", J_STR, 0));
JDESC(descriptor_desc, descriptor,
	JFIELD(descriptor, media_type, "mediaType", J_STR, J_REQUIRED),
	JFIELD(descriptor, digest, "digest", J_STR, J_REQUIRED),
	JFIELD(descriptor, size, "size", J_I64, J_REQUIRED),
	JFIELD(descriptor, annotations, "annotations", J_STRMAP, 0),
	JFIELD_SUB(descriptor, platform, "platform", J_PTR, 0, oci_platform_desc));
JDESC(document_desc, document,
	JFIELD(document, schema_version, "schemaVersion", J_I64, J_REQUIRED),
	JFIELD(document, media_type, "mediaType", J_STR, 0),
	JFIELD_SUB(document, config, "config", J_PTR, 0, descriptor_desc),
	JFIELD_SUB(document, layers, "layers", J_LIST, 0, descriptor_desc),
	JFIELD_SUB(document, manifests, "manifests", J_LIST, 0, descriptor_desc));
static void document_done(struct document *d) { jdesc_clear(&document_desc, d); }

static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json", NULL };
static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json", NULL };
static const char *const config_types[] = {
	"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", NULL };
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip",
		"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip", "application/vnd.docker.image.rootfs.diff.tar.zstd",
	"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", NULL };

struct walk {
	struct plan *plan;
	const struct spool *spool;
	const struct platform *want;
	bool strict;
	int left;          /* descriptors */
	bool found;
};

static int walk_index(struct walk *w, struct jlist *manifests, const char *name, int depth, struct err *err);

static bool one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

/* Where a descriptor's blob lies; its size must be the promised one. */
static const struct spool_member *blob(const struct walk *w, const struct descriptor *d, struct err *err)
{
	const char *hex = id_digest_hex(d->digest);
	const struct spool_member *m;
	char name[BLOB_NAME];

	if (!hex) {
		err_set(err, ERR_INVALID, "invalid archive: bad digest %.100s", d->digest);
		return NULL;
	}
	snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	m = spool_need(w->spool, name, err);
	if (m && m->size != d->size) {
		err_set(err, ERR_INVALID, "invalid archive: blob %s has %lld bytes, not %lld", d->digest, (long long)m->size,
			(long long)d->size);
		return NULL;
	}
	if (m && !streq(m->name, name)) {
		err_set(err, ERR_INVALID, "invalid archive: blob %s is a link", d->digest);
		return NULL;
	}
	return m;
}

/* media: what the descriptor called it, NULL for index.json. */
static int read_document(const struct walk *w, const struct spool_member *m, const char *media, struct document *ret,
	struct err *err)
{
	OWN_BUF struct buf text = { 0 };

	if (spool_bytes(w->spool, m, PLAN_JSON_MAX, &text, err) < 0)
		return -1;
	if (jdesc_parse(&document_desc, text.data, text.size, ret, err) < 0)
		return err_wrap(err, "invalid archive: %.200s", m->name);
	if (ret->schema_version != 2)
		return err_set(err, ERR_INVALID, "invalid archive: %.200s: schema version %lld is not supported", m->name,
			(long long)ret->schema_version);
	if (ret->manifests.set && (ret->layers.set || ret->config))
		return err_set(err, ERR_INVALID, "invalid archive: %.200s is both a manifest and an index", m->name);
	if (media && ret->media_type && !streq(ret->media_type, media))
		return err_set(err, ERR_INVALID, "invalid archive: %.200s says it is %.100s, but %.100s was promised", m->name,
			ret->media_type, media);
	return 0;
}

static int walk_manifest(struct walk *w, const struct spool_member *m, const char *media, const char *name, struct err *err)
{
	CLEANUP(document_done) struct document doc = { 0 };
	const struct spool_member *config;
	OWN_STRV struct strv layers = { 0 };
	struct plan_image *pi;

	if (read_document(w, m, media, &doc, err) < 0)
		return -1;
	if (!doc.config || !one_of(doc.config->media_type, config_types))
		return err_set(err, ERR_INVALID, "invalid archive: %.200s is no container image (its configuration is %.100s)", m->name,
			doc.config ? doc.config->media_type : "missing");
	config = blob(w, doc.config, err);
	if (!config)
		return -1;
	for (size_t i = 0; i < doc.layers.len; i++) {
		struct descriptor *d = jlist_at(&doc.layers, i, &descriptor_desc);

		if (!one_of(d->media_type, layer_types))
			return err_set(err, ERR_INVALID, "invalid archive: layers of type %.100s are not supported", d->media_type);
		if (!blob(w, d, err))
			return -1;
		strv_addf(&layers, "blobs/sha256/%s", id_digest_hex(d->digest));
	}
	if (plan_add(w->plan, w->spool, config, &layers, w->want, w->strict, &pi, err) < 0)
		return -1;
	w->found |= pi != NULL;
	return pi && name ? plan_tag(w->plan, pi, name, err) : 0;
}

static int walk_descriptor(struct walk *w, struct descriptor *d, const char *name, int depth, struct err *err)
{
	CLEANUP(document_done) struct document doc = { 0 };
	const struct spool_member *m = blob(w, d, err);

	if (!m)
		return -1;
	if (one_of(d->media_type, manifest_types))
		return walk_manifest(w, m, d->media_type, name, err);
	if (!one_of(d->media_type, index_types))
		return err_set(err, ERR_INVALID, "invalid archive: %.100s is neither an image manifest nor an index", d->media_type);
	if (depth >= DEPTH_MAX)
		return err_set(err, ERR_INVALID, "invalid archive: indexes are nested too deep");
	if (read_document(w, m, d->media_type, &doc, err) < 0)
		return -1;
	return walk_index(w, &doc.manifests, name, depth + 1, err);
}

/* The image's name, owned by the caller: a full reference, or NULL. A bare ref.name ("latest") names no repository. */
static char *name_of(const struct descriptor *d)
{
	const char *full = strmap_get(&d->annotations, "io.containerd.image.name");
	const char *ref = strmap_get(&d->annotations, "org.opencontainers.image.ref.name");
	OWN_REFERENCE struct reference r = { 0 };

	if (!full && ref && strpbrk(ref, ":/"))
		full = ref;
	if (!full || reference_parse(full, &r, NULL) < 0 || (r.digest && !r.tag))
		return NULL;
	str_set(&r.digest, NULL);
	reference_add_latest(&r);
	return reference_text(&r);
}

static bool is_attestation(const struct descriptor *d)
{
	return strmap_get(&d->annotations, "vnd.docker.reference.type") ||
	       (d->platform && d->platform->os && streq(d->platform->os, "unknown"));
}

/* How well an entry fits; one that does not say fits somehow. */
static int rank_of(const struct walk *w, const struct descriptor *d)
{
	if (is_attestation(d))
		return 0;
	return d->platform ? platform_rank(w->want, d->platform->os, d->platform->architecture, d->platform->variant) : 1;
}

static int best_rank(const struct walk *w, struct jlist *manifests)
{
	int best = 0;

	for (size_t i = 0; i < manifests->len && i < DESCRIPTORS_MAX; i++) {
		int rank = rank_of(w, jlist_at(manifests, i, &descriptor_desc));

		best = rank > best ? rank : best;
	}
	return best;
}

/*
 * At the top (depth 0) every entry is an image of its own; below, the entries are one image for several platforms and the
 * first of those that fit best is taken.
 */
static int walk_index(struct walk *w, struct jlist *manifests, const char *name, int depth, struct err *err)
{
	int least = depth > 0 ? best_rank(w, manifests) : 1;
	bool taken = false;

	for (size_t i = 0; i < manifests->len; i++) {
		struct descriptor *d = jlist_at(manifests, i, &descriptor_desc);
		OWN_FREE char *own = name_of(d);

		if (--w->left < 0)
			return err_set(err, ERR_INVALID, "invalid archive: more than %d manifests", DESCRIPTORS_MAX);
		if (!least || rank_of(w, d) < least)
			continue;
		if (depth > 0 && taken)
			break;
		taken = true;
		if (walk_descriptor(w, d, own ? own : name, depth, err) < 0)
			return -1;
	}
	if (!taken && depth > 0)
		return err_set(err, ERR_NOT_FOUND, "no matching manifest for %s/%s%s%s in the manifest list entries", w->want->os,
			w->want->architecture, w->want->variant ? "/" : "", w->want->variant ? w->want->variant : "");
	return 0;
}

static int check_layout(const struct spool *sp, struct err *err)
{
	const struct spool_member *m = spool_need(sp, "oci-layout", err);
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *js = NULL;
	const char *version;

	if (!m || spool_bytes(sp, m, PLAN_JSON_MAX, &text, err) < 0)
		return -1;
	js = json_read(text.data, text.size, err);
	if (!js)
		return err_wrap(err, "invalid archive: oci-layout");
	version = json_string_value(json_object_get(js, "imageLayoutVersion"));
	if (!version || !str_has_prefix(version, "1."))
		return err_set(err, ERR_INVALID, "invalid archive: unknown version of the OCI layout");
	return 0;
}

int plan_oci(struct plan *p, const struct spool *sp, const struct platform *want, bool strict, struct err *err)
{
	struct walk w = { p, sp, want, strict, DESCRIPTORS_MAX, false };
	CLEANUP(document_done) struct document doc = { 0 };
	const struct spool_member *m = spool_need(sp, "index.json", err);

	if (!m || check_layout(sp, err) < 0 || read_document(&w, m, NULL, &doc, err) < 0)
		return -1;
	if (doc.media_type && !one_of(doc.media_type, index_types))
		return err_set(err, ERR_INVALID, "invalid archive: index.json says it is %.100s", doc.media_type);
	if (walk_index(&w, &doc.manifests, NULL, 0, err) < 0)
		return -1;
	if (!w.found)
		return err_set(err, ERR_NOT_FOUND, "no image for %s/%s in the archive", want->os, want->architecture);
	return 0;
}
