/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/manifest.h"

#include "base/cleanup.h"
#include "base/id.h"

JDESC(manifest_platform_desc, manifest_platform,
	JFIELD(manifest_platform, architecture, "architecture", J_STR, 0),
	JFIELD(manifest_platform, os, "os", J_STR, 0),
	JFIELD(manifest_platform, os_version, "os.version", J_STR, J_OMITEMPTY),
	JFIELD(manifest_platform, os_features, "os.features", J_STRV, J_OMITEMPTY),
	JFIELD(manifest_platform, variant, "variant", J_STR, J_OMITEMPTY));
JDESC(manifest_entry_desc, manifest_entry,
	JFIELD(manifest_entry, media_type, "mediaType", J_STR, J_REQUIRED),
	JFIELD(manifest_entry, digest, "digest", J_STR, J_REQUIRED),
	JFIELD(manifest_entry, size, "size", J_I64, J_REQUIRED),
	JFIELD(manifest_entry, annotations, "annotations", J_STRMAP, J_OMITEMPTY),
	JFIELD_SUB(manifest_entry, platform, "platform", J_PTR, J_OMITEMPTY, manifest_platform_desc));
JDESC_STATIC(manifest_desc, manifest,
	JFIELD(manifest, schema_version, "schemaVersion", J_I64, J_REQUIRED),
	JFIELD(manifest, media_type, "mediaType", J_STR, 0),
	JFIELD_SUB(manifest, config, "config", J_PTR, 0, manifest_entry_desc),
	JFIELD_SUB(manifest, layers, "layers", J_LIST, 0, manifest_entry_desc),
	JFIELD_SUB(manifest, manifests, "manifests", J_LIST, 0, manifest_entry_desc));

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
static const char *const index_types[] = { OCI "index.v1+json", DOCKER "distribution.manifest.list.v2+json", NULL };
static const char *const image_types[] = { OCI "manifest.v1+json", DOCKER "distribution.manifest.v2+json", NULL };
static const char *const old_types[] = { DOCKER "distribution.manifest.v1+json", DOCKER "distribution.manifest.v1+prettyjws", NULL };
/* Of what a configuration is; as in Docker some that say nothing are those of images. */
static const struct { const char *type, *class; } classes[] = {
	{ OCI "config.v1+json", "image" }, { DOCKER "container.image.v1+json", "image" }, { "application/octet-stream", "image" },
	{ "application/json", "image" }, { "text/html", "image" }, { "", "image" }, { DOCKER "plugin.v1+json", "plugin" },
};
static const char *const layer_types[] = {
	OCI "layer.v1.tar", OCI "layer.v1.tar+gzip", OCI "layer.v1.tar+zstd", OCI "layer.nondistributable.v1.tar", OCI "layer.nondistributable.v1.tar+gzip",
	OCI "layer.nondistributable.v1.tar+zstd", DOCKER "image.rootfs.diff.tar", DOCKER "image.rootfs.diff.tar.gzip", DOCKER "image.rootfs.diff.tar.zstd",
	DOCKER "image.rootfs.foreign.diff.tar", DOCKER "image.rootfs.foreign.diff.tar.gzip", NULL };

void manifest_done(struct manifest *m)
{
	jdesc_clear(&manifest_desc, m);
}

static bool one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

static int refuse_old(const struct reference *ref, struct err *err)
{
	OWN_FREE char *name = ref ? reference_text(ref) : NULL;

	return err_set(err, ERR_INVALID, "Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed.%s%s%s More information at "
		"https://docs.docker.com/go/deprecated-image-specs/", name ? " Suggest the author of " : "", name ? name : "",
		name ? " to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2." : "");
}

/* What the answer and the document call it must be one thing. */
static int settle_type(struct manifest *m, const char *type, struct err *err)
{
	bool told = one_of(type, index_types) || one_of(type, image_types);

	if (!str_empty(m->media_type) && told && !streq(type, m->media_type))
		return err_set(err, ERR_INVALID, "the registry says that the manifest is %.100s, and the manifest that it is %.100s", type, m->media_type);
	if (str_empty(m->media_type))
		str_set(&m->media_type, told ? type : m->manifests.set ? index_types[0] : image_types[0]);
	m->index = one_of(m->media_type, index_types);
	if (!m->index && !one_of(m->media_type, image_types))
		return err_set(err, ERR_INVALID, "unsupported media type %.200s", m->media_type);
	if (m->manifests.set && (m->layers.set || m->config))
		return err_set(err, ERR_INVALID, "the manifest is both that of an image and an index");
	if (m->index ? !m->manifests.set : !m->config)
		return err_set(err, ERR_INVALID, m->index ? "the index has no manifests" : "the manifest has no configuration");
	return 0;
}

static int check_entry(const struct manifest_entry *e, struct err *err)
{
	if (!id_digest_hex(e->digest))
		return err_set(err, ERR_INVALID, "invalid digest in the manifest: %.100s", e->digest);
	return e->size >= 0 ? 0 : err_set(err, ERR_INVALID, "invalid size in the manifest: %lld", (long long)e->size);
}

static int check_image(const struct manifest *m, struct err *err)
{
	if (m->config->size > IMAGE_CONFIG_MAX)
		return err_set(err, ERR_TOO_LARGE, "image configuration is larger than %u bytes", IMAGE_CONFIG_MAX);
	if (m->layers.len > IMAGE_LAYERS_MAX)
		return err_set(err, ERR_INVALID, "max depth exceeded");
	if (check_entry(m->config, err) < 0)
		return -1;
	for (size_t i = 0; i < m->layers.len; i++)
		if (check_entry(manifest_layer(m, i), err) < 0)
			return -1;
	return 0;
}

const char *manifest_class(const struct manifest *m)
{
	for (size_t i = 0; m->config && i < ARRAY_LEN(classes); i++)
		if (streq(m->config->media_type, classes[i].type))
			return classes[i].class;
	return "unknown";
}

int manifest_check_layers(const struct manifest *m, struct err *err)
{
	for (size_t i = 0; i < m->layers.len; i++)
		if (!one_of(manifest_layer(m, i)->media_type, layer_types))
			return err_set(err, ERR_INVALID, "layers of media type %.200s are not supported", manifest_layer(m, i)->media_type);
	return 0;
}

int manifest_check_image(const struct manifest *m, struct err *err)
{
	if (m->index || streq(manifest_class(m), "image"))
		return manifest_check_layers(m, err);
	return err_set(err, ERR_INVALID, "Encountered remote \"%.200s\"(%s) when fetching", m->config->media_type, manifest_class(m));
}

/* "application/x; charset=utf-8" without what is behind; owned by the caller. */
static char *bare_type(const char *type)
{
	return type ? xstrndup(type, strcspn(type, "; \t")) : NULL;
}

int manifest_read(const char *text, size_t size, const char *given, const struct reference *ref, struct manifest *ret, struct err *err)
{
	OWN_FREE char *type = bare_type(given);

	*ret = (struct manifest){ 0 };
	if (one_of(type, old_types))
		return refuse_old(ref, err);
	if (jdesc_parse(&manifest_desc, text ? text : "", size, ret, err) < 0)
		return err_wrap(err, "invalid manifest");
	if (ret->schema_version == 1 || one_of(ret->media_type, old_types))
		return refuse_old(ref, err);
	if (ret->schema_version != 2)
		return err_set(err, ERR_INVALID, "invalid manifest: schema version %lld is not supported", (long long)ret->schema_version);
	if (settle_type(ret, type, err) < 0)
		return -1;
	if (!ret->index)
		return check_image(ret, err);
	if (ret->manifests.len > MANIFEST_ENTRIES_MAX)
		return err_set(err, ERR_INVALID, "the index has more than %d manifests", MANIFEST_ENTRIES_MAX);
	for (size_t i = 0; i < ret->manifests.len; i++)
		if (check_entry(manifest_at(ret, i), err) < 0)
			return -1;
	return 0;
}

bool manifest_is_attestation(const struct manifest_entry *e)
{
	return strmap_get(&e->annotations, "vnd.docker.reference.type") || (e->platform && e->platform->os && streq(e->platform->os, "unknown"));
}

static bool says_nothing(const struct manifest_platform *p)
{
	return !p || (str_empty(p->os) && str_empty(p->architecture) && str_empty(p->variant));
}

const struct manifest_entry *manifest_choose(const struct manifest *m, const struct platform *want, struct err *err)
{
	const struct manifest_entry *best = NULL, *any = NULL;
	int rank, most = 0;

	for (size_t i = 0; i < m->manifests.len; i++) {
		const struct manifest_entry *e = manifest_at(m, i);

		if (manifest_is_attestation(e))
			continue;
		if (says_nothing(e->platform)) {
			any = any ? any : e;
			continue;
		}
		rank = platform_rank(want, e->platform->os, e->platform->architecture, e->platform->variant);
		if (rank > most) {
			most = rank;
			best = e;
		}
	}
	if (best || any)
		return best ? best : any;
	err_set(err, ERR_NOT_FOUND, "no matching manifest for %s/%s%s%s in the manifest list entries", want->os, want->architecture,
		str_empty(want->variant) ? "" : "/", str_empty(want->variant) ? "" : want->variant);
	return NULL;
}
