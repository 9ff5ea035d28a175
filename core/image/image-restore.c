/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a start finds of the images on the disk, whole and damaged, and what it puts right (docs/storage.md). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "image/image-store.h"

static int make_folders(struct image_store *s, struct err *err)
{
	static const char *const folders[] = { STORE_CONTENT, STORE_METADATA };

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		OWN_FREE char *path = xasprintf("%s/%s", s->dir, folders[i]);

		if (fs_mkdirs(path, 0700, err) < 0)
			return -1;
	}
	s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return s->fd < 0 ? err_errno(err, errno, "open %s", s->dir) : 0;
}

/* It stays in the lists with its reason, and nothing can be made of it. */
static void mark_damaged(struct image *img, const char *why)
{
	str_set(&img->damaged, why);
	strmap_set(&img->config.labels, IMAGE_DAMAGED_LABEL, why);
	damage_note("image", img->id, DAMAGE_LOST, "image %.12s is damaged: %s", img->id + strlen("sha256:"), why);
}

static struct image *stub(const char *hex, const char *why)
{
	struct image *img = xcalloc(1, sizeof(*img));

	img->refs = 1;
	snprintf(img->id, sizeof(img->id), "sha256:%s", hex);
	img->created = CLOCK_ZERO;
	img->architecture = xstrdup("");
	img->os = xstrdup("");
	mark_damaged(img, why);
	return img;
}

/* What an image tells of its layers. */
static void teach(struct image_store *s, const struct image *img)
{
	OWN_FREE char *below = NULL;

	for (size_t i = 0; i < img->diff_ids.len; i++) {
		char *chain = layer_chain_id(below, img->diff_ids.v[i]);

		layer_teach(s->layers, chain, below, img->diff_ids.v[i]);
		free(below);
		below = chain;
	}
}

/* What is not there or makes no sense is left out: it is a hint, not the image. */
static void read_metadata(struct image_store *s, struct image *img)
{
	OWN_BUF struct buf parent = { 0 }, stamp = { 0 }, used = { 0 };
	OWN_FREE char *dir = xasprintf(STORE_METADATA "/%s", id_digest_hex(img->id));
	OWN_FREE char *parent_path = xasprintf("%s/parent", dir), *stamp_path = xasprintf("%s/lastUpdated", dir);
	OWN_FREE char *used_path = xasprintf("%s/lastUsed", dir);
	int64_t ns;

	if (fs_read(s->fd, parent_path, 128, &parent, NULL) == 0 && id_digest_hex(parent.data))
		img->parent = buf_steal(&parent);
	if (fs_read(s->fd, stamp_path, 128, &stamp, NULL) == 0 && clock_parse_rfc3339(stamp.data, &ns))
		img->last_tag = ns;
	if (fs_read(s->fd, used_path, 128, &used, NULL) == 0 && clock_parse_rfc3339(used.data, &ns))
		img->last_used = ns;
}

/* One image of the disk; its layers are claimed later. */
static struct image *load_one(struct image_store *s, const char *hex)
{
	OWN_BUF struct buf raw = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *id = xasprintf("sha256:%s", hex);
	struct image *img = image_raw(s, id, &raw, &err) == 0 ? image_parse(raw.data, raw.size, &err) : NULL;

	if (!img)
		return stub(hex, err_text(&err));
	strcpy(img->id, id);
	image_set_chain(img);
	read_metadata(s, img);
	teach(s, img);
	return img;
}

static int load_all(struct image_store *s, struct err *err)
{
	int fd = openat(s->fd, STORE_CONTENT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir)
		return err_errno(err, errno, "open %s/" STORE_CONTENT, s->dir);
	while ((e = readdir(dir))) {
		if (str_has_prefix(e->d_name, ".tmp-"))
			unlinkat(fd, e->d_name, 0);
		if (id_is_hex64(e->d_name))
			store_insert(s, load_one(s, e->d_name));
	}
	return 0;
}

/* Images that tags know of and nothing else: a tag is made last and goes first. */
static void add_missing(struct image_store *s)
{
	OWN_STRV struct strv ids = { 0 };
	bool found;

	tags_ids(s, &ids);
	for (size_t i = 0; i < ids.len; i++) {
		store_find(s, ids.v[i], &found);
		if (!found)
			store_insert(s, stub(id_digest_hex(ids.v[i]), "its configuration is missing"));
	}
}

/* What a crash left of images that were being removed. */
static void sweep_metadata(struct image_store *s)
{
	int fd = openat(s->fd, STORE_METADATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		OWN_FREE char *id = xasprintf("sha256:%s", e->d_name);
		bool found = true;

		if (id_is_hex64(e->d_name))
			store_find(s, id, &found);
		if (!found)
			fs_remove_tree(fd, e->d_name, NULL);
	}
}

/* The image holds its topmost layer, or of a damaged one what is left. */
static void claim(struct image_store *s, struct image *img)
{
	OWN_FREE char *why = NULL, *claimed = NULL;

	for (size_t n = img->diff_ids.len; n && !claimed; n--) {
		OWN_FREE char *chain = NULL;

		for (size_t i = 0; i < n; i++) {
			OWN_FREE char *below = chain;

			chain = layer_chain_id(below, img->diff_ids.v[i]);
		}
		claimed = layer_claim(s->layers, chain, &why);
	}
	if (!why)
		return;
	img->held = STEAL(claimed);
	mark_damaged(img, why);
}

/* How many images are damaged. */
static size_t claim_all(struct image_store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->len; i++) {
		claim(s, s->v[i].img);
		image_fill_layers(s, s->v[i].img);
		n += s->v[i].img->damaged != NULL;
	}
	return n;
}

int store_restore(struct image_store *s, struct err *err)
{
	if (make_folders(s, err) < 0 || load_all(s, err) < 0)
		return -1;
	tags_open(s);
	add_missing(s);
	sweep_metadata(s);
	layer_settle(s->layers);
	/* what a load that never ended left behind; a damaged image may become whole again, with its layers */
	if (claim_all(s) == 0)
		layer_sweep(s->layers);
	return 0;
}
