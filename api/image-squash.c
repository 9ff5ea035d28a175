/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POST /images/{name}/squash: not Docker's. */
#include "image/squash.h"
#include "images.h"

static int find(struct request *rq, struct api *api, struct image **ret, struct image **ret_base, struct err *err)
{
	const char *from = request_query(rq, "from");

	*ret = image_get(api->images, request_var(rq, "name"), err);
	if (!*ret)
		return -1;
	*ret_base = str_empty(from) ? NULL : image_get(api->images, from, err);
	return str_empty(from) || *ret_base ? 0 : err_wrap(err, "from");
}

int image_squash_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FREE char *tmp = image_tmp_dir(api), *name = NULL;
	CLEANUP(image_unrefp) struct image *img = NULL, *base = NULL, *made = NULL;
	OWN_REFERENCE struct reference ref = { 0 };
	struct squash_options o = { .tmp_dir = tmp, .comment = request_query(rq, "message") };
	const char *repo = request_query(rq, "repo"), *tag = request_query(rq, "tag");
	OWN_BUF struct buf b = { 0 };
	char id[72];
	struct jw w;

	if (str_empty(o.comment))
		o.comment = request_query(rq, "comment");
	if (str_empty(repo) && !str_empty(tag))
		return err_set(err, ERR_INVALID, "tag is given without repo");
	if (!str_empty(repo) && reference_parse_tag(repo, tag, &ref, err) < 0)
		return -1;
	if (find(rq, api, &img, &base, err) < 0 || image_squash(api->images, img, base, &o, &job->cancel, id, err) < 0)
		return -1;
	if (!str_empty(repo) && image_tag(api->images, id, &ref, NULL, err) < 0)
		return -1;
	made = image_by_id(api->images, id);
	if (made && !str_empty(repo)) {
		name = reference_familiar(&ref);
		image_event(api, made, "tag", name, true);
	}
	if (made)
		image_event(api, made, "squash", img->id, true);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}
