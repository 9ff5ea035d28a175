/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The OCI manifest of an image as archives have it: over the plain layers, so that it is the same whenever it is asked for. */
#include "image/archive.h"

#include "image/archive-types.h"

void archive_manifest_done(struct archive_manifest *m)
{
	free(m->sizes);
	buf_done(&m->config);
	buf_done(&m->text);
	*m = (struct archive_manifest){ 0 };
}

void archive_descriptor(struct jw *w, const char *type, const char *digest, int64_t size)
{
	jw_kstr(w, "mediaType", type);
	jw_kstr(w, "digest", digest);
	jw_kint(w, "size", size);
}

static void encode(const struct image *img, struct archive_manifest *m)
{
	struct jw w;

	jw_init(&w, &m->text);
	jw_obj(&w);
	jw_kint(&w, "schemaVersion", 2);
	jw_kstr(&w, "mediaType", ARCHIVE_MANIFEST_TYPE);
	jw_kobj(&w, "config");
	archive_descriptor(&w, ARCHIVE_CONFIG_TYPE, img->id, (int64_t)m->config.size);
	jw_obj_end(&w);
	jw_karr(&w, "layers");
	for (size_t i = 0; i < img->diff_ids.len; i++) {
		jw_obj(&w);
		archive_descriptor(&w, ARCHIVE_LAYER_TYPE, img->diff_ids.v[i], m->sizes[i]);
		jw_obj_end(&w);
	}
	jw_arr_end(&w);
	jw_obj_end(&w);
	digest_of(m->text.data, m->text.size, m->digest);
}

int archive_manifest(struct image_store *s, const struct image *img, struct archive_manifest *ret, struct err *err)
{
	OWN_FREE char *chain = NULL;

	*ret = (struct archive_manifest){ .sizes = xcalloc(img->diff_ids.len + 1, sizeof(*ret->sizes)) };
	for (size_t i = 0; i < img->diff_ids.len; i++) {
		OWN_FREE char *below = chain;

		chain = layer_chain_id(below, img->diff_ids.v[i]);
		ret->sizes[i] = layer_tar_size(image_store_layers(s), chain, err);
		if (ret->sizes[i] < 0)
			goto fail;
		ret->content += ret->sizes[i];
	}
	if (image_raw(s, img->id, &ret->config, err) < 0)
		goto fail;
	encode(img, ret);
	ret->content += (int64_t)(ret->config.size + ret->text.size);
	return 0;
fail:
	archive_manifest_done(ret);
	return -1;
}
