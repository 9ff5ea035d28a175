/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests and indexes, as registries give them: checked to be what they say they are, and nothing else besides. */
#ifndef REGISTRY_MANIFEST_H
#define REGISTRY_MANIFEST_H

#include "base/json.h"
#include "image/archive.h"
#include "image/reference.h"

#define MANIFEST_DEPTH_MAX 4
#define MANIFEST_ENTRIES_MAX 4096

struct manifest_platform { char *os, *architecture, *variant, *os_version; struct strv os_features; };
struct manifest_entry {
	char *media_type, *digest;
	int64_t size;
	struct strmap annotations;
	struct manifest_platform *platform;
};
struct manifest {
	int64_t schema_version;
	char *media_type;
	struct manifest_entry *config;
	struct jlist layers, manifests; /* struct manifest_entry */
	bool index;
};
extern const struct jdesc manifest_entry_desc, manifest_platform_desc;

void manifest_done(struct manifest *m);
#define OWN_MANIFEST CLEANUP(manifest_done)
/* type: Content-Type, or NULL. ref: for whom to complain to. media_type is known afterwards. */
int manifest_read(const char *text, size_t size, const char *type, const struct reference *ref, struct manifest *ret, struct err *err);
/* What a manifest that is no index is of, by its configuration: "image", "plugin" or "unknown". */
const char *manifest_class(const struct manifest *m);
/* Whether all can be unpacked. */
int manifest_check_layers(const struct manifest *m, struct err *err);
/* An index, or of an image whose layers can be; else Docker's words. */
int manifest_check_image(const struct manifest *m, struct err *err);
/* The entry of an index for a platform, else the first that says of none; NULL with Docker's words. */
const struct manifest_entry *manifest_choose(const struct manifest *m, const struct platform *want, struct err *err);
static inline const struct manifest_entry *manifest_layer(const struct manifest *m, size_t i) { return jlist_at(&m->layers, i, &manifest_entry_desc); }
static inline const struct manifest_entry *manifest_at(const struct manifest *m, size_t i) { return jlist_at(&m->manifests, i, &manifest_entry_desc); }
/* Not for a machine: a signature or provenance beside the images. */
bool manifest_is_attestation(const struct manifest_entry *e);

#endif
