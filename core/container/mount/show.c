/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mounts of an image: each has a layer of its own on the image's layers, named after the container and the place, so that the
 * image's content stays while the container is there. All by the holder of the operation.
 */
#include "base/digest.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

static struct layer_store *layers_of(const struct container *c)
{
	return image_store_layers(c->store->deps.images);
}

bool mount_is_image(const struct mount_point *m)
{
	return m->type && streq(m->type, "image");
}

void mount_view_id(const char *container, const struct mount_point *m, char ret[65])
{
	OWN_FREE char *name = xasprintf("%s,dst=%s", container, m->destination);
	char text[DIGEST_TEXT];

	digest_of(name, strlen(name), text);
	snprintf(ret, 65, "%s", text + strlen("sha256:"));
}

char *mount_view_get(const struct container *c, const struct mount_point *m, struct err *err)
{
	char id[65];

	mount_view_id(c->id, m, id);
	return container_mount(c, id, err);
}

void mount_view_put(const struct container *c, const struct mount_point *m)
{
	OWN_ERR struct err err = ERR_INIT;
	char id[65];

	mount_view_id(c->id, m, id);
	if (rwlayer_unmount(layers_of(c), id, &err) < 0)
		log_warn("container %s: the image at %s: %s", c->id, m->destination, err_text(&err));
}

void mount_view_remove(const struct container *c, const struct mount_point *m)
{
	OWN_ERR struct err err = ERR_INIT;
	char id[65];

	mount_view_id(c->id, m, id);
	if (rwlayer_remove(layers_of(c), id, &err) < 0)
		log_warn("container %s: the image at %s: %s", c->id, m->destination, err_text(&err));
}

int mount_view_make(struct container *c, struct mount_point *m, struct err *err)
{
	CLEANUP(image_unrefp) struct image *img = image_get(c->store->deps.images, m->spec.source, err);
	OWN_FREE char *path = NULL;
	char id[65];

	if (!img)
		return -1;
	if (img->damaged)
		return err_set(err, ERR_INTERNAL, "image %s is damaged: %s", m->spec.source, img->damaged);
	mount_view_id(c->id, m, id);
	if (unfinished_view(c, id, err) < 0 || rwlayer_create_view(layers_of(c), id, img->chain, container_mount_label(c), err) < 0 ||
	    container_fit_layer(c, id, err) < 0 || (!c->host.auto_remove && rwlayer_sync(layers_of(c), id, err) < 0))
		return -1;
	path = mount_view_get(c, m, err); /* where it will be */
	if (!path)
		return -1;
	mount_view_put(c, m);
	str_set(&m->source, path);
	str_set(&m->spec.source, img->id);
	m->rw = false;
	return 0;
}
