/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Squash: an image like another, whose layers above a base (or all of them) are one. The merged tree is spooled as a tar, registered
 * as any layer is, and the configuration is the old one with other layers; its history tells what became of them.
 */
#include "image/squash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

static int spool(struct image_store *s, const struct image *img, const struct image *base, const char *tmp_dir,
	const struct cancel *c, struct err *err);
static int encode(struct image_store *s, const struct image *img, const struct image *base, const char *diffid, const char *comment,
	struct buf *ret, struct err *err);

/* The layers of base are the lowest of img's, and there are some above. */
static int check_base(const struct image *img, const struct image *base, struct err *err)
{
	bool prefix = base->diff_ids.len <= img->diff_ids.len;

	for (size_t i = 0; prefix && i < base->diff_ids.len; i++)
		prefix = streq(base->diff_ids.v[i], img->diff_ids.v[i]);
	if (!prefix)
		return err_set(err, ERR_INVALID, "image %s is not a base of image %s", base->id, img->id);
	if (base->diff_ids.len == img->diff_ids.len)
		return err_set(err, ERR_INVALID, "image %s has no layers above image %s: there is nothing to squash", img->id, base->id);
	return 0;
}

int image_squash(struct image_store *s, const struct image *img, const struct image *base, const struct squash_options *o,
	const struct cancel *c, char ret_id[72], struct err *err)
{
	struct layer_store *layers = image_store_layers(s);
	OWN_FREE char *chain = NULL, *diffid = NULL;
	OWN_BUF struct buf text = { 0 };
	OWN_FD int fd = -1;
	struct fd_reader in;
	int rc;

	if (img->damaged || (base && base->damaged))
		return err_set(err, ERR_INTERNAL, "image %s is damaged: %s", img->damaged ? img->id : base->id,
			img->damaged ? img->damaged : base->damaged);
	if (!img->chain)
		return err_set(err, ERR_INVALID, "image %s has no layers: there is nothing to squash", img->id);
	if (base && check_base(img, base, err) < 0)
		return -1;
	/* a base without layers is none */
	base = base && base->chain ? base : NULL;
	fd = spool(s, img, base, o->tmp_dir, c, err);
	if (fd < 0)
		return -1;
	fd_reader_init(&in, fd);
	if (layer_register(layers, base ? base->chain : NULL, &in.reader, NULL, c, &chain, &diffid, err) < 0)
		return -1;
	rc = encode(s, img, base, diffid, o->comment, &text, err);
	if (rc == 0)
		rc = image_create(s, text.data, text.size, NULL, ret_id, err);
	/* the image holds the layer now, or nobody does */
	layer_unref(layers, chain, NULL, NULL);
	return rc;
}

static int spool(struct image_store *s, const struct image *img, const struct image *base, const char *tmp_dir,
	const struct cancel *c, struct err *err)
{
	OWN_FD int fd = -1;
	struct fd_writer out;
	struct statvfs fs;
	int64_t room;

	if (fs_mkdirs(tmp_dir, 0700, err) < 0)
		return -1;
	fd = open(tmp_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a temporary file in %s", tmp_dir);
	fd_writer_init(&out, fd);
	room = fstatvfs(fd, &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize + 1 : 0;
	if (layer_merged_tar(image_store_layers(s), img->chain, base ? base->chain : NULL, &out.writer, room, c, err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "cannot read the layer back");
	return STEAL_FD(fd);
}

/* The steps above the base have no layer of their own any more; the last one made theirs. */
static json_t *history(const json_t *old, size_t kept, const char *now, const char *comment)
{
	json_t *all = json_array(), *step, *copy;
	size_t i, layers = 0;

	json_array_foreach(old, i, step) {
		copy = json_deep_copy(step);
		if (!json_is_true(json_object_get(step, "empty_layer")) && layers++ >= kept)
			json_object_set_new(copy, "empty_layer", json_true());
		json_array_append_new(all, copy);
	}
	json_array_append_new(all, json_pack("{s:s,s:s}", "created", now, "comment", comment));
	return all;
}

static int encode(struct image_store *s, const struct image *img, const struct image *base, const char *diffid, const char *comment,
	struct buf *ret, struct err *err)
{
	OWN_BUF struct buf raw = { 0 };
	OWN_JSON json_t *js = NULL;
	OWN_FREE char *text = NULL, *what = NULL;
	size_t kept = base ? base->diff_ids.len : 0;
	char now[CLOCK_TEXT];
	json_t *diffs;

	if (image_raw(s, img->id, &raw, err) < 0)
		return -1;
	js = json_read(raw.data, raw.size, err);
	if (!js)
		return -1;
	clock_rfc3339nano(clock_now(), now);
	what = base ? xasprintf("merge %s to %s", img->id, base->id) : xasprintf("create new from %s", img->id);
	diffs = json_array();
	for (size_t i = 0; i < kept; i++)
		json_array_append_new(diffs, json_string(base->diff_ids.v[i]));
	json_array_append_new(diffs, json_string(diffid));
	json_object_set_new(js, "created", json_string(now));
	json_object_set_new(js, "history", history(json_object_get(js, "history"), kept, now, str_empty(comment) ? what : comment));
	json_object_set_new(js, "rootfs", json_pack("{s:s,s:o}", "type", "layers", "diff_ids", diffs));
	text = json_dumps(js, JSON_COMPACT);
	if (!text)
		return err_set(err, ERR_INTERNAL, "the configuration of image %s cannot be written", img->id);
	buf_adds(ret, text);
	return 0;
}
