/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Manifests of images in lists and inspection. An image of this store has one, which is not kept: it is made as for `docker save`,
 * so that its digest is the one that such an archive has.
 */
#include "base/log.h"
#include "image/archive.h"
#include "image/archive-types.h"
#include "images.h"

static const char *os_of(const struct image *img)
{
	return str_empty(img->os) ? "linux" : img->os;
}

static void put_platform(struct jw *w, const struct image *img)
{
	jw_kobj(w, "Platform");
	jw_kstr(w, "architecture", img->architecture);
	jw_kstr(w, "os", os_of(img));
	if (!str_empty(img->os_version))
		jw_kstr(w, "os.version", img->os_version);
	if (!str_empty(img->variant))
		jw_kstr(w, "variant", img->variant);
	jw_obj_end(w);
}

static void put_containers(struct jw *w, struct api *api, const struct image *img)
{
	OWN_STRV struct strv running = { 0 }, stopped = { 0 };
	struct image_users users = image_users_of(api);

	users.find(users.ctx, img->id, &running, &stopped);
	jw_karr(w, "Containers");
	for (size_t i = 0; i < running.len; i++)
		jw_str(w, running.v[i]);
	for (size_t i = 0; i < stopped.len; i++)
		jw_str(w, stopped.v[i]);
	jw_arr_end(w);
}

static void put_image(struct jw *w, struct api *api, const struct image *img, const struct archive_manifest *m)
{
	jw_obj(w);
	jw_kstr(w, "ID", m->digest);
	jw_kobj(w, "Descriptor");
	archive_descriptor(w, ARCHIVE_MANIFEST_TYPE, m->digest, (int64_t)m->text.size);
	jw_obj_end(w);
	jw_kbool(w, "Available", true);
	jw_kobj(w, "Size");
	jw_kint(w, "Content", m->content);
	jw_kint(w, "Total", m->content + img->size);
	jw_obj_end(w);
	jw_kstr(w, "Kind", "image");
	jw_kobj(w, "ImageData");
	put_platform(w, img);
	put_containers(w, api, img);
	jw_kobj(w, "Size");
	jw_kint(w, "Unpacked", img->size);
	jw_obj_end(w);
	jw_obj_end(w);
	jw_obj_end(w);
}

void image_put_manifests(struct jw *w, struct api *api, const struct image *img)
{
	OWN_ARCHIVE_MANIFEST struct archive_manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	jw_karr(w, "Manifests");
	/* a damaged one, or one that goes at this moment, has none */
	if (!img->damaged && archive_manifest(api->images, img, &m, &err) == 0)
		put_image(w, api, img, &m);
	else if (!img->damaged)
		log_debug("manifest of %s: %s", img->id, err_text(&err));
	jw_arr_end(w);
}
