/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* POST /images/load, GET /images/get and /images/{name}/get, POST /images/create. */
#include "image/archive.h"
#include "images.h"

void image_put_line(void *ctx, const char *json)
{
	struct image_lines *l = ctx;
	OWN_FREE char *line = xasprintf("%s\r\n", json);

	if (l->gone)
		return;
	if (l->rq->sent == SENT_NOTHING && l->rq->ops->begin(l->rq, 200, "application/json") < 0)
		l->gone = true;
	else if (l->rq->ops->write(l->rq, line, strlen(line)) < 0)
		l->gone = true;
}

int image_put_error(struct image_lines *l, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (l->rq->sent == SENT_NOTHING)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kobj(&w, "errorDetail");
	jw_kstr(&w, "message", err_text(err));
	jw_obj_end(&w);
	jw_kstr(&w, "error", err_text(err));
	jw_obj_end(&w);
	image_put_line(l, b.data);
	err_done(err);
	return 0;
}

int image_read_platform(struct request *rq, char **ret, struct err *err)
{
	const char *text = request_query(rq, "platform");
	OWN_JSON json_t *js = NULL;
	const char *os, *arch, *variant;
	OWN_STRV struct strv all = { 0 };

	*ret = NULL;
	request_query_list(rq, "platform", &all);
	if (all.len > 1)
		return err_set(err, ERR_INVALID, "only one platform can be given: an image of this store has one");
	if (str_empty(text))
		return 0;
	if (*text != '{') {
		*ret = xstrdup(text);
		return 0;
	}
	js = json_read(text, strlen(text), err);
	if (!js)
		return err_wrap(err, "platform");
	os = json_string_value(json_object_get(js, "os"));
	arch = json_string_value(json_object_get(js, "architecture"));
	variant = json_string_value(json_object_get(js, "variant"));
	if (!os || !arch)
		return err_set(err, ERR_INVALID, "platform: os and architecture are needed");
	*ret = xasprintf("%s/%s%s%s", os, arch, str_empty(variant) ? "" : "/", str_empty(variant) ? "" : variant);
	return 0;
}

char *image_tmp_dir(struct api *api)
{
	const char *env = getenv("DOCKER_TMPDIR");

	return str_empty(env) ? xasprintf("%s/tmp", api->data_root) : xstrdup(env);
}

int image_load_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FREE char *tmp = image_tmp_dir(api), *platform = NULL;
	OWN_STRV struct strv ids = { 0 };
	struct image_lines lines = { rq, false };
	struct archive_load_opts opts = { .tmp_dir = tmp, .quiet = request_query_bool(rq, "quiet", false),
		.emit = image_put_line, .ctx = &lines, .cancel = &job->cancel };
	struct body_reader body;

	if (image_read_platform(rq, &platform, err) < 0)
		return -1;
	opts.platform = platform;
	body_reader_init(&body, rq);
	if (archive_load(api->images, &body.reader, &opts, &ids, err) < 0)
		return image_put_error(&lines, err);
	for (size_t i = 0; i < ids.len; i++) {
		CLEANUP(image_unrefp) struct image *img = image_by_id(api->images, ids.v[i]);

		if (img)
			image_event(api, img, "load", NULL, true);
	}
	if (rq->sent == SENT_NOTHING)
		return rq->ops->begin(rq, 200, "application/json");
	return 0;
}

/* The archive's bytes; the answer begins with the first one. */
struct body_writer { struct writer writer; struct request *rq; };

static int body_write(struct writer *w, const void *data, size_t size, struct err *err)
{
	struct request *rq = ((struct body_writer *)w)->rq;

	if (rq->sent == SENT_NOTHING && rq->ops->begin(rq, 200, "application/x-tar") < 0)
		return err_set(err, ERR_CANCELLED, "the client is gone");
	if (rq->ops->write(rq, data, size) < 0)
		return err_set(err, ERR_CANCELLED, "the client is gone");
	return 0;
}

/* The names: {name} of the path, or names=a&names=b; old clients put commas in between. */
static void save_names(struct request *rq, struct strv *ret)
{
	OWN_STRV struct strv given = { 0 };
	const char *one = strmap_get(&rq->vars, "name");

	if (one) {
		strv_add(ret, one);
		return;
	}
	request_query_list(rq, "names", &given);
	for (size_t i = 0; i < given.len; i++)
		strv_split(ret, given.v[i], ",");
}

int image_save_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_STRV struct strv names = { 0 }, ids = { 0 };
	OWN_PLATFORM struct platform want = { 0 };
	OWN_FREE char *platform = NULL;
	struct body_writer out = { { body_write }, rq };

	save_names(rq, &names);
	if (!names.len)
		return err_set(err, ERR_INVALID, "no image names given");
	if (image_read_platform(rq, &platform, err) < 0 || (platform && platform_parse(platform, &want, err) < 0))
		return -1;
	if (archive_save(api->images, &names, platform ? &want : NULL, &out.writer, &job->cancel, &ids, err) < 0)
		return -1;
	for (size_t i = 0; i < ids.len; i++) {
		CLEANUP(image_unrefp) struct image *img = image_by_id(api->images, ids.v[i]);

		if (img)
			image_event(api, img, "save", NULL, true);
	}
	return 0;
}

/* The archive becomes an image, with a name where one is given. */
static int import(struct job *job, struct reader *in, const char *message, const struct reference *ref, char ret_id[72], struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_STRV struct strv changes = { 0 };
	OWN_FREE char *name = NULL;

	request_query_list(rq, "changes", &changes);
	if (archive_import(api->images, in, message, &changes, request_query(rq, "platform"), &job->cancel, ret_id, err) < 0)
		return -1;
	img = image_by_id(api->images, ret_id);
	if (ref->path) {
		if (image_tag(api->images, ret_id, ref, NULL, err) < 0)
			return -1;
		name = reference_familiar(ref);
		if (img)
			image_event(api, img, "tag", name, true);
	}
	if (img)
		image_event(api, img, "import", NULL, true);
	return 0;
}

static int import_url(struct job *job, const struct reference *ref, struct image_lines *lines, char ret_id[72], struct err *err)
{
	const char *given = request_query(job_request(job), "message");
	OWN_FREE char *url = NULL, *message = NULL;
	OWN_FD int fd = image_download(job, lines, &url, err);
	struct fd_reader in;

	if (fd < 0)
		return -1;
	fd_reader_init(&in, fd);
	message = str_empty(given) ? xasprintf("Imported from %s", url) : xstrdup(given);
	return import(job, &in.reader, message, ref, ret_id, err);
}

static int create_by_import(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *repo = request_query(rq, "repo");
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_FREE char *line = NULL;
	struct image_lines lines = { rq, false };
	struct body_reader body;
	char id[72];
	int rc;

	if (!str_empty(repo) && reference_parse_tag(repo, request_query(rq, "tag"), &ref, err) < 0)
		return -1;
	body_reader_init(&body, rq);
	if (streq(request_query(rq, "fromSrc"), "-"))
		rc = import(job, &body.reader, request_query(rq, "message"), &ref, id, err);
	else
		rc = import_url(job, &ref, &lines, id, err);
	if (rc < 0)
		return image_put_error(&lines, err);
	line = xasprintf("{\"status\":\"%s\"}", id);
	image_put_line(&lines, line);
	return 0;
}

int image_create_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);

	if (!str_empty(request_query(rq, "fromImage")))
		return image_pull(job, err);
	if (!str_empty(request_query(rq, "fromSrc")))
		return create_by_import(job, err);
	return err_set(err, ERR_INVALID, "either fromImage or fromSrc is needed");
}
