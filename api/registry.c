/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What needs registries: POST /images/create with fromImage, POST /images/{name}/push, GET /images/search, POST /auth, GET /distribution/{name}/json. */
#include "registry/registry.h"

#include "base/filters.h"
#include "base/id.h"
#include "events.h"
#include "images.h"
#include "registry-settings.h"

/* fromImage and tag, which may be a digest. */
static int read_reference(struct request *rq, struct reference *ret, struct err *err)
{
	OWN_FREE char *image = xstrdup(request_query(rq, "fromImage"));
	const char *tag = request_query(rq, "tag");

	if (str_has_suffix(image, ":"))
		image[strlen(image) - 1] = '\0';
	if (reference_parse(image, ret, err) < 0)
		return -1;
	if (streq(ret->path, "library/scratch") && streq(ret->domain, "docker.io"))
		return err_set(err, ERR_FORBIDDEN, "'scratch' is a reserved name");
	if (str_empty(tag))
		return 0;
	if (id_digest_hex(tag)) {
		str_set(&ret->tag, NULL);
		str_set(&ret->digest, tag);
		return 0;
	}
	if (!reference_is_tag(tag))
		return err_set(err, ERR_INVALID, "invalid tag format");
	str_set(&ret->tag, tag);
	return 0;
}

static void tell(struct api *api, const struct reference *ref, const char *action)
{
	OWN_FREE char *name = reference_familiar_name(ref), *full = ref->tag || ref->digest ? reference_familiar(ref) : xstrdup(name);
	OWN_FREE char *text = reference_text(ref);
	CLEANUP(image_unrefp) struct image *img = image_get(api->images, text, NULL);
	OWN_STRMAP struct strmap attrs = { 0 };

	if (!api->events)
		return;
	if (img)
		strmap_copy(&attrs, &img->config.labels);
	strmap_set(&attrs, "name", name);
	events_publish(api->events, "image", action, full, &attrs);
}

int image_pull(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	OWN_FREE char *platform = NULL;
	struct image_lines lines = { rq, false };
	struct registry_pull p = { .config = &settings.c, .ref = &ref, .auth = &auth, .emit = image_put_line, .ctx = &lines, .cancel = &job->cancel };

	if (read_reference(rq, &ref, err) < 0 || image_read_platform(rq, &platform, err) < 0 || registry_settings_read(api, &settings, err) < 0)
		return -1;
	p.platform = platform;
	registry_auth_read(request_header(rq, "X-Registry-Auth"), &auth);
	if (registry_pull(api->registry, &p, err) < 0)
		return image_put_error(&lines, err);
	tell(api, &ref, "pull");
	return 0;
}

int image_download(struct job *job, struct image_lines *lines, char **ret_url, struct err *err)
{
	struct api *api = job_api(job);
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	const struct registry_download d = { .config = &settings.c, .url = request_query(job_request(job), "fromSrc"), .emit = image_put_line, .ctx = lines,
		.cancel = &job->cancel };

	return registry_settings_read(api, &settings, err) < 0 ? -1 : registry_download(api->registry, &d, ret_url, err);
}

/* Clients without the header have it in the body, as before there was one. Neither is nobody. */
static int read_push_auth(struct request *rq, struct registry_auth *ret, struct err *err)
{
	const char *header = request_header(rq, "X-Registry-Auth");

	if (!str_empty(header))
		registry_auth_read(header, ret);
	else if (request_body_json(rq, &registry_auth_desc, ret, true, err) < 0)
		return err_wrap(err, "Bad parameters and missing X-Registry-Auth");
	return 0;
}

int image_push_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *tag = request_query(rq, "tag");
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	struct image_lines lines = { rq, false };
	const struct registry_push p = { .config = &settings.c, .ref = &ref, .auth = &auth, .emit = image_put_line, .ctx = &lines, .cancel = &job->cancel };

	if (reference_parse(request_var(rq, "name"), &ref, err) < 0)
		return -1;
	if (!str_empty(request_query(rq, "platform")))
		return err_set(err, ERR_INVALID, "graphdriver backed image stores do not support multi-platform images");
	if (ref.digest)
		return err_set(err, ERR_INVALID, "cannot push a digest reference");
	if (!str_empty(tag) && !reference_is_tag(tag))
		return err_set(err, ERR_INVALID, "invalid tag format");
	if (!str_empty(tag))
		str_set(&ref.tag, tag);
	if (read_push_auth(rq, &auth, err) < 0 || registry_settings_read(api, &settings, err) < 0)
		return -1;
	if (registry_push(api->registry, &p, err) < 0)
		return image_put_error(&lines, err);
	tell(api, &ref, "push");
	return 0;
}

/* "HOST[:PORT][/PATH]", with or without a scheme. */
static int check_address(const char *text, struct err *err)
{
	const char *host = strstr(text, "://") ? strstr(text, "://") + 3 : text, *port;
	size_t n = strcspn(host, "/?#"), digits;
	OWN_FREE char *shown = NULL;

	if (*host == '[') {
		const char *end = memchr(host, ']', n);

		if (!end)
			return err_set(err, ERR_INVALID, "unable to parse server address: parse \"%.256s\": missing ']' in host", text);
		port = end + 1 < host + n && end[1] == ':' ? end + 1 : NULL;
	} else {
		port = memrchr(host, ':', n);
	}
	digits = port ? strspn(port + 1, "0123456789") : 0;
	if (!port || port + 1 + digits == host + n)
		return 0;
	shown = xstrndup(port, (size_t)(host + n - port));
	return err_set(err, ERR_INVALID, "unable to parse server address: parse \"%.256s\": invalid port \"%.64s\" after host",
		text, shown);
}

int registry_login_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	OWN_FREE char *token = NULL;
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (request_body_json(rq, &registry_auth_desc, &auth, false, err) < 0 || (auth.server && check_address(auth.server, err) < 0) ||
	    registry_settings_read(api, &settings, err) < 0 ||
	    registry_login(api->registry, &settings.c, auth.server, &auth, &job->cancel, &token, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "IdentityToken", token);
	jw_kstr(&w, "Status", "Login Succeeded");
	jw_obj_end(&w);
	return reply_json(rq, 200, &b);
}

int registry_inspect_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	OWN_BUF struct buf b = { 0 };

	if (reference_parse(request_var(rq, "name"), &ref, err) < 0 || registry_settings_read(api, &settings, err) < 0)
		return -1;
	reference_add_latest(&ref);
	registry_auth_read(request_header(rq, "X-Registry-Auth"), &auth);
	if (registry_inspect(api->registry, &settings.c, &ref, &auth, &job->cancel, &b, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}

int image_search_job(struct job *job, struct err *err)
{
	static const char *const allowed[] = { "is-automated", "is-official", "stars", NULL };
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	const char *term = request_query(rq, "term");
	OWN_FILTERS struct filters filters = { 0 };
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_REGISTRY_SETTINGS struct registry_settings settings = { 0 };
	OWN_BUF struct buf b = { 0 };
	int64_t limit = 0;

	if (filters_parse(request_query(rq, "filters"), &filters, err) < 0 || filters_validate(&filters, allowed, err) < 0 ||
	    request_query_int(rq, "limit", &limit, err) < 0)
		return -1;
	if (limit < 0 || limit > 100)
		return err_set(err, ERR_INVALID, "limit %lld is outside the range of [1, 100]", (long long)limit);
	if (registry_settings_read(api, &settings, err) < 0)
		return -1;
	registry_auth_read(request_header(rq, "X-Registry-Auth"), &auth);
	if (registry_search(api->registry, &settings.c, term ? term : "", limit ? (int)limit : 25, &filters, &auth, &job->cancel, &b, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}
