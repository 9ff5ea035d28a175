/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plugins and registries: GET /plugins/privileges, POST /plugins/pull, /plugins/{name}/upgrade, /plugins/{name}/push. */
#include "plugins-api.h"

#include "events.h"
#include "images.h"
#include "plugin/managed.h"
#include "registry-settings.h"

/* One request that a registry is needed for. */
struct dealing {
	struct reference ref;
	struct registry_auth auth;
	struct registry_settings settings;
	struct image_lines lines;
	struct registry_ask ask;
	struct registry_artifact *found;
	json_t *granted;
};

static void dealing_done(struct dealing *d)
{
	if (d->found)
		registry_artifact_free(d->found);
	reference_done(&d->ref);
	registry_auth_done(&d->auth);
	registry_settings_done(&d->settings);
	json_decref(d->granted);
}
#define OWN_DEALING CLEANUP(dealing_done)

static int begin(struct job *job, struct dealing *d, bool told, struct err *err)
{
	struct request *rq = job_request(job);

	if (registry_settings_read(job_api(job), &d->settings, err) < 0)
		return -1;
	registry_auth_read(request_header(rq, "X-Registry-Auth"), &d->auth);
	d->lines = (struct image_lines){ rq, false };
	d->ask = (struct registry_ask){ .config = &d->settings.c, .ref = &d->ref, .class = "plugin", .auth = &d->auth, .emit = told ? image_put_line : NULL,
		.ctx = &d->lines, .cancel = &job->cancel };
	return 0;
}

/* remote; *ret_tag: the tag beside a digest, which is left out then; owned by the caller. */
static int read_remote(struct request *rq, struct dealing *d, char **ret_tag, struct err *err)
{
	const char *remote = request_query(rq, "remote");

	if (reference_parse(remote ? remote : "", &d->ref, err) < 0)
		return -1;
	*ret_tag = NULL;
	if (d->ref.digest)
		*ret_tag = STEAL(d->ref.tag);
	reference_add_latest(&d->ref);
	return 0;
}

/* What it is called here: given, or as it is called there. Owned by the caller. */
static char *local_name(const struct dealing *d, const char *tag, const char *given, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };

	if (str_empty(given)) {
		reference_copy(&ref, &d->ref);
		if (ref.digest)
			str_set(&ref.tag, tag);
		str_set(&ref.digest, NULL);
	} else if (reference_parse(given, &ref, err) < 0) {
		return NULL;
	} else if (ref.digest) {
		err_set(err, ERR_INVALID, "cannot use digest in plugin tag");
		return NULL;
	}
	reference_add_latest(&ref);
	return reference_familiar(&ref);
}

static int read_granted(struct request *rq, struct dealing *d, struct err *err)
{
	OWN_BUF struct buf body = { 0 };

	if (request_body(rq, &body, err) < 0)
		return -1;
	if (!body.size)
		return err_set(err, ERR_INVALID, "failed to parse privileges: EOF");
	d->granted = json_read(body.data, body.size, err);
	if (!d->granted)
		return err_wrap(err, "failed to parse privileges");
	if (!json_is_array(d->granted) && !json_is_null(d->granted))
		return err_set(err, ERR_INVALID, "failed to parse privileges: they are no list");
	return 0;
}

static int find(struct job *job, struct dealing *d, struct err *err)
{
	d->found = registry_artifact_find(job_api(job)->registry, &d->ask, err);
	return d->found ? 0 : err_wrap(err, "error resolving plugin reference");
}

int plugin_privileges_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	OWN_DEALING struct dealing d = { 0 };
	OWN_FREE char *tag = NULL, *shown = NULL;
	struct registry_artifact_view v;
	OWN_BUF struct buf b = { 0 };

	if (read_remote(rq, &d, &tag, err) < 0 || begin(job, &d, false, err) < 0 || find(job, &d, err) < 0)
		return -1;
	registry_artifact_look(d.found, &v);
	shown = reference_text(&d.ref);
	if (!v.config)
		return err_set(err, ERR_INVALID, "did not find plugin config for specified reference %s", shown);
	return managed_privileges(v.config, &b, err) < 0 ? -1 : reply_json(rq, 200, &b);
}

static const char *layer_of(void *ctx, size_t i, int64_t *ret_size)
{
	return registry_artifact_layer(((struct dealing *)ctx)->found, i, ret_size);
}

static int fetch(void *ctx, size_t i, struct err *err)
{
	return registry_artifact_fetch(((struct dealing *)ctx)->found, i, err);
}

static void say(void *ctx, const char *digest, const char *action, int64_t at, int64_t size)
{
	registry_artifact_say(((struct dealing *)ctx)->found, digest, action, at, size);
}

typedef int install_fn(struct managed_store *s, const char *name, const struct managed_from *from, struct err *err);

/* It is found: it comes, and the client sees it coming. */
static int install(struct job *job, struct dealing *d, const char *name, install_fn *fn, struct err *err)
{
	struct api *api = job_api(job);
	struct registry_artifact_view v;
	OWN_FREE char *full = reference_text(&d->ref), *shown = reference_familiar(&d->ref);
	struct managed_from from = { .reference = full, .granted = d->granted, .cancel = &job->cancel, .ctx = d, .layer = layer_of, .fetch = fetch, .say = say };
	int rc;

	registry_artifact_head(d->found);
	registry_artifact_look(d->found, &v);
	from.manifest = v.manifest;
	from.config = v.config;
	from.manifest_digest = v.digest;
	from.config_digest = v.config_digest;
	from.layers = v.layers;
	rc = v.config ? fn(api->plugins, name, &from, err) : err_set(err, ERR_INVALID, "fetched plugin image but plugin config is missing");
	registry_artifact_free(STEAL(d->found)); /* the lines so far are with the client */
	if (rc < 0)
		return image_put_error(&d->lines, err);
	events_log(api->events, "plugin", "pull", shown, "name", name, NULL);
	return 0;
}

int plugin_pull_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_DEALING struct dealing d = { 0 };
	OWN_FREE char *tag = NULL, *name = NULL, *full = NULL;

	if (read_granted(rq, &d, err) < 0 || read_remote(rq, &d, &tag, err) < 0 || !(name = local_name(&d, tag, request_query(rq, "name"), err)))
		return -1;
	strmap_set(&rq->reply_headers, "Docker-Plugin-Name", name);
	if (managed_check_name(api->plugins, name, &full, err) < 0 || begin(job, &d, true, err) < 0 || find(job, &d, err) < 0)
		return -1;
	return install(job, &d, name, managed_install, err);
}

int plugin_upgrade_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	OWN_DEALING struct dealing d = { 0 };
	OWN_FREE char *tag = NULL, *name = NULL;
	CLEANUP(plugin_target_done) struct plugin_target t = { 0 };

	if (read_granted(rq, &d, err) < 0 || read_remote(rq, &d, &tag, err) < 0 || !(name = local_name(&d, tag, request_var(rq, "name"), err)))
		return -1;
	strmap_set(&rq->reply_headers, "Docker-Plugin-Name", name);
	if (plugin_target_find(job, &t, err) < 0)
		return -1;
	if (t.enabled)
		return err_set(err, ERR_CONFLICT, "plugin must be disabled before upgrading: plugin %s is enabled", t.name);
	if (begin(job, &d, true, err) < 0 || find(job, &d, err) < 0)
		return -1;
	return install(job, &d, t.name, managed_upgrade, err);
}

static int push(struct job *job, struct dealing *d, const struct plugin_target *t, struct err *err)
{
	struct managed_part *parts;
	ssize_t len = managed_parts(job_api(job)->plugins, t->id, &parts, err);
	OWN_FREE struct registry_part *v = len > 0 ? xcalloc((size_t)len, sizeof(*v)) : NULL;
	int rc;

	if (len < 0)
		return -1;
	for (ssize_t i = 0; i < len; i++)
		v[i] = (struct registry_part){ parts[i].digest, parts[i].size, parts[i].fd };
	rc = registry_artifact_send(job_api(job)->registry, &d->ask, v, (size_t)len, MANAGED_MANIFEST_TYPE, err);
	managed_parts_free(parts, (size_t)len);
	return rc < 0 ? err_wrap(err, "error pushing plugin") : 0;
}

int plugin_push_job(struct job *job, struct err *err)
{
	OWN_DEALING struct dealing d = { 0 };
	CLEANUP(plugin_target_done) struct plugin_target t = { 0 };

	if (plugin_target_find(job, &t, err) < 0)
		return -1;
	if (reference_parse(t.name, &d.ref, err) < 0)
		return err_wrap(err, "plugin has invalid name %s for push", t.name);
	reference_add_latest(&d.ref);
	if (begin(job, &d, true, err) < 0)
		return -1;
	return push(job, &d, &t, err) < 0 ? image_put_error(&d.lines, err) : 0;
}
