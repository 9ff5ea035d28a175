/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Archives of Docker before 1.10: a folder for each image, named by its id, with json and layer.tar, of which each image has
 * one and its parent the others; repositories names tags. The images are those that Docker makes of them, parents included.
 */
#include "image/archive-v1.h"

#include <errno.h>

#include "base/digest.h"
#include "image/archive-plan.h"
#include "image/unpack.h"

#define READ_SIZE (128 * 1024)

enum state { V1_NEW, V1_BUSY, V1_DONE };

/* An image of the archive. */
struct v1_image {
	const char *name;            /* its folder */
	enum state state;
	const struct spool_member *layer;
	struct strv diff_ids, layers;
	struct buf history;
	char id[DIGEST_TEXT];
	size_t at;                   /* in the plan; NONE when it is for another platform */
};
#define NONE SIZE_MAX

struct v1 {
	struct plan *plan;
	const struct spool *spool;
	const struct platform *want;
	bool strict;
	int64_t room;
	const struct cancel *cancel;
	struct strv folders;
	struct v1_image *v;          /* one a folder */
	size_t bytes;                /* of what is read and made, which stays in memory */
};

static int plan_one(struct v1 *p, struct v1_image *im, int depth, struct err *err);
static int plan_tags(struct v1 *p, struct err *err);
static void v1_done(struct v1 *p);

int plan_v1(struct plan *plan, const struct spool *sp, const struct platform *want, bool strict, int64_t room, const struct cancel *c,
	struct err *err)
{
	CLEANUP(v1_done) struct v1 p = { .plan = plan, .spool = sp, .want = want, .strict = strict, .room = room, .cancel = c };

	spool_folders(sp, &p.folders);
	if (p.folders.len > PLAN_IMAGES_MAX)
		return err_set(err, ERR_INVALID, "invalid archive: more than %d images", PLAN_IMAGES_MAX);
	p.v = xcalloc(p.folders.len + 1, sizeof(*p.v));
	for (size_t i = 0; i < p.folders.len; i++)
		p.v[i].name = p.folders.v[i];
	for (size_t i = 0; i < p.folders.len; i++)
		if (plan_one(&p, &p.v[i], 0, err) < 0)
			return -1;
	return plan_tags(&p, err);
}

static void v1_done(struct v1 *p)
{
	for (size_t i = 0; p->v && i < p->folders.len; i++) {
		strv_done(&p->v[i].diff_ids);
		strv_done(&p->v[i].layers);
		buf_done(&p->v[i].history);
	}
	free(p->v);
	strv_done(&p->folders);
}

static struct v1_image *find(const struct v1 *p, const char *name)
{
	for (size_t i = 0; i < p->folders.len; i++)
		if (streq(p->v[i].name, name))
			return &p->v[i];
	return NULL;
}

static const struct spool_member *member(const struct v1 *p, const char *folder, const char *file, struct err *err)
{
	OWN_FREE char *name = xasprintf("%s/%s", folder, file);

	return spool_need(p->spool, name, err);
}

/* The digest of the plain layer, which nothing in such an archive tells. */
static int hash_layer(const struct v1 *p, const struct spool_member *m, char ret[DIGEST_TEXT], struct err *err)
{
	OWN_READER struct reader *in = spool_reader(p->spool, m);
	OWN_READER struct reader *plain = unpack_plain(in, p->cancel, err);
	OWN_FREE char *data = xmalloc(READ_SIZE);
	struct digest d;
	int64_t size = 0;
	ssize_t n;

	if (!plain)
		return -1;
	digest_init(&d);
	while ((n = plain->read(plain, data, READ_SIZE, err)) > 0) {
		if (cancel_fired(p->cancel))
			return err_set(err, ERR_CANCELLED, "cancelled");
		size += n;
		if (p->room >= 0 && size > p->room)
			return err_errno(err, ENOSPC, "load layers of more than %lld bytes", (long long)p->room);
		digest_add(&d, data, (size_t)n);
	}
	if (n < 0)
		return err_wrap(err, "invalid archive: %.200s", m->name);
	digest_text(&d, ret);
	return 0;
}

/* Adds the image's own layer; one that images share by links is read once. */
static int add_layer(struct v1 *p, struct v1_image *im, struct err *err)
{
	const struct spool_member *m = member(p, im->name, "layer.tar", err);
	char diff[DIGEST_TEXT];

	if (!m)
		return -1;
	for (size_t i = 0; i < p->folders.len && !im->layer; i++) {
		const struct v1_image *other = &p->v[i];

		if (other->state == V1_DONE && other->layer == m) {
			strv_add(&im->diff_ids, other->diff_ids.v[other->diff_ids.len - 1]);
			im->layer = m;
		}
	}
	if (!im->layer) {
		if (hash_layer(p, m, diff, err) < 0)
			return -1;
		strv_add(&im->diff_ids, diff);
		im->layer = m;
	}
	strv_add(&im->layers, m->name);
	return 0;
}

/* What the parent has comes first. */
static int inherit(struct v1 *p, struct v1_image *im, const char *name, int depth, struct v1_image **ret, struct err *err)
{
	struct v1_image *parent = find(p, name);

	if (!parent)
		return err_set(err, ERR_INVALID, "invalid archive: it has no image %.100s, the parent of %.100s", name, im->name);
	if (plan_one(p, parent, depth + 1, err) < 0)
		return -1;
	strv_copy(&im->diff_ids, &parent->diff_ids);
	strv_copy(&im->layers, &parent->layers);
	buf_add(&im->history, parent->history.data, parent->history.size);
	buf_addc(&im->history, ',');
	*ret = parent;
	return 0;
}

static int add_to_plan(struct v1 *p, struct v1_image *im, const struct v1_config *config, const struct v1_image *parent, struct err *err)
{
	OWN_BUF struct buf text = { 0 };
	struct plan_image *pi;

	v1_config_encode(config, &im->diff_ids, im->history.data, &text);
	digest_of(text.data, text.size, im->id);
	if (plan_add_config(p->plan, p->spool, im->name, &text, &im->layers, p->want, p->strict, &pi, err) < 0)
		return -1;
	im->at = pi ? (size_t)(pi - p->plan->v) : NONE;
	if (pi && parent)
		pi->parent = xstrdup(parent->id);
	if (parent && parent->at != NONE)
		p->plan->v[parent->at].inner = true;
	return 0;
}

static int count(struct v1 *p, size_t size, struct err *err)
{
	p->bytes += size;
	if (p->bytes > PLAN_BYTES_MAX)
		return err_set(err, ERR_TOO_LARGE, "invalid archive: its configurations have more than %u bytes", PLAN_BYTES_MAX);
	return 0;
}

static int plan_one(struct v1 *p, struct v1_image *im, int depth, struct err *err)
{
	OWN_V1_CONFIG struct v1_config config = { 0 };
	OWN_BUF struct buf text = { 0 };
	const struct spool_member *m;
	struct v1_image *parent = NULL;

	if (im->state == V1_DONE)
		return 0;
	if (im->state == V1_BUSY)
		return err_set(err, ERR_INVALID, "invalid archive: image %.100s is its own ancestor", im->name);
	if (depth >= IMAGE_LAYERS_MAX)
		return err_set(err, ERR_INVALID, "max depth exceeded");
	im->state = V1_BUSY;
	m = member(p, im->name, "json", err);
	if (!m || spool_bytes(p->spool, m, IMAGE_CONFIG_MAX, &text, err) < 0 || count(p, text.size, err) < 0)
		return -1;
	if (v1_config_parse(text.data ? text.data : "", text.size, &config, err) < 0)
		return err_wrap(err, "invalid archive: %.200s", m->name);
	if (!str_empty(config.parent) && inherit(p, im, config.parent, depth, &parent, err) < 0)
		return -1;
	v1_config_history(&config, &im->history);
	if (count(p, im->history.size, err) < 0 || add_layer(p, im, err) < 0 || add_to_plan(p, im, &config, parent, err) < 0)
		return -1;
	im->state = V1_DONE;
	return 0;
}

static int plan_tag_of(struct v1 *p, const char *repo, const char *tag, const char *target, struct err *err)
{
	const struct v1_image *im = target ? find(p, target) : NULL;
	OWN_FREE char *name = xasprintf("%s:%s", repo, tag);

	if (!im)
		return err_set(err, ERR_INVALID, "invalid target ID: %.100s", target ? target : "");
	return im->at == NONE ? 0 : plan_tag(p->plan, &p->plan->v[im->at], name, err);
}

static int plan_tags(struct v1 *p, struct err *err)
{
	const struct spool_member *m = spool_need(p->spool, "repositories", err);
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *js = NULL;
	json_t *tags, *target;
	const char *repo, *tag;

	if (!m || spool_bytes(p->spool, m, PLAN_JSON_MAX, &text, err) < 0)
		return -1;
	js = json_read(text.data ? text.data : "", text.size, err);
	if (!js)
		return err_wrap(err, "invalid archive: repositories");
	if (!json_is_object(js))
		return err_set(err, ERR_INVALID, "invalid archive: repositories is no object");
	json_object_foreach(js, repo, tags)
		json_object_foreach(tags, tag, target)
			if (plan_tag_of(p, repo, tag, json_string_value(target), err) < 0)
				return -1;
	return 0;
}
