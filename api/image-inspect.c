/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /images/{name}/json and GET /images/{name}/history. */
#include "base/clock.h"
#include "image/archive.h"
#include "images.h"

/* The members of a configuration that only inspect shows. */
struct raw_config { char *config, *container_config; };
JDESC(raw_config_desc, raw_config,
	JFIELD(raw_config, config, "config", J_RAW, 0),
	JFIELD(raw_config, container_config, "container_config", J_RAW, 0));
static void raw_config_done(struct raw_config *r) { jdesc_clear(&raw_config_desc, r); }

/* Config as from 1.52 on: nothing that is empty. The rows of image_config_desc otherwise. */
JDESC(short_config_desc, image_config,
	JFIELD(image_config, user, "User", J_STR, J_OMITEMPTY),
	JFIELD(image_config, exposed_ports, "ExposedPorts", J_SET, J_OMITEMPTY),
	JFIELD(image_config, env, "Env", J_STRV, J_OMITEMPTY),
	JFIELD(image_config, entrypoint, "Entrypoint", J_WORDS, J_OMITEMPTY),
	JFIELD(image_config, cmd, "Cmd", J_WORDS, J_OMITEMPTY),
	JFIELD(image_config, volumes, "Volumes", J_SET, J_OMITEMPTY),
	JFIELD(image_config, working_dir, "WorkingDir", J_STR, J_OMITEMPTY),
	JFIELD(image_config, labels, "Labels", J_STRMAP, J_OMITEMPTY),
	JFIELD(image_config, stop_signal, "StopSignal", J_STR, J_OMITEMPTY),
	JFIELD(image_config, args_escaped, "ArgsEscaped", J_BOOL, J_OMITEMPTY),
	JFIELD_SUB(image_config, health, "Healthcheck", J_PTR, J_OMITEMPTY, image_health_desc),
	JFIELD(image_config, onbuild, "OnBuild", J_STRV, J_OMITEMPTY),
	JFIELD(image_config, shell, "Shell", J_WORDS, J_OMITEMPTY));

struct json_platform { char *os, *architecture, *variant; };
JDESC(json_platform_desc, json_platform,
	JFIELD(json_platform, os, "os", J_STR, J_REQUIRED),
	JFIELD(json_platform, architecture, "architecture", J_STR, J_REQUIRED),
	JFIELD(json_platform, variant, "variant", J_STR, 0));
static void json_platform_done(struct json_platform *p) { jdesc_clear(&json_platform_desc, p); }

/* platform={"os":...,"architecture":...}: the image must be made for it. */
static int check_platform(struct request *rq, const struct image *img, struct err *err)
{
	CLEANUP(json_platform_done) struct json_platform p = { 0 };
	const char *text = request_query(rq, "platform");
	struct platform want;

	if (str_empty(text))
		return 0;
	if (jdesc_parse(&json_platform_desc, text, strlen(text), &p, err) < 0)
		return err_wrap(err, "platform");
	want = (struct platform){ p.os, p.architecture, p.variant };
	if (platform_fits(&want, str_empty(img->os) ? "linux" : img->os, img->architecture, img->variant))
		return 0;
	return err_set(err, ERR_NOT_FOUND, "image with reference %s was found but does not provide the specified platform (%s/%s%s%s)",
		request_var(rq, "name"), p.os, p.architecture, str_empty(p.variant) ? "" : "/", str_empty(p.variant) ? "" : p.variant);
}

static void put_refs(struct jw *w, const char *key, const struct strv *v)
{
	if (v->len)
		jw_kstrv(w, key, v);
	else
		jw_kraw(w, key, "[]");
}

/* A configuration of Docker's containers; absent is all zero. */
static int put_full(struct jw *w, const char *key, const char *raw, struct err *err)
{
	struct image_config_full full = { 0 };
	int rc = raw ? jdesc_parse(&image_config_full_desc, raw, strlen(raw), &full, err) : 0;

	if (rc == 0)
		jw_kdesc(w, key, &image_config_full_desc, &full);
	jdesc_clear(&image_config_full_desc, &full);
	return rc;
}

/* An image without "config" shows null to old clients, as their daemons did. */
static int put_config(struct jw *w, const struct image *img, const char *raw, int minor, struct err *err)
{
	if (minor >= 52) {
		jw_kdesc(w, "Config", &short_config_desc, &img->config);
	} else if (minor >= 50) {
		struct image_config c = img->config; /* borrowed */

		c.stop_timeout.set = false;
		jw_kdesc(w, "Config", &image_config_desc, &c);
	} else if (raw) {
		return put_full(w, "Config", raw, err);
	} else {
		jw_knull(w, "Config");
	}
	return 0;
}

static void put_times(struct jw *w, const struct image *img)
{
	jw_kobj(w, "Metadata");
	jw_ktime(w, "LastTagTime", image_last_tag(img) ? image_last_tag(img) : CLOCK_ZERO);
	jw_obj_end(w);
}

static void put_layers(struct jw *w, struct api *api, const struct image *img)
{
	struct layer_store *layers = image_store_layers(api->images);

	jw_kobj(w, "GraphDriver");
	jw_key(w, "Data");
	if (img->chain)
		layer_metadata(layers, img->chain, w);
	else
		jw_null(w);
	jw_kstr(w, "Name", graph_name(layer_store_graph(layers)));
	jw_obj_end(w);
	jw_kobj(w, "RootFS");
	jw_kstr(w, "Type", "layers");
	if (img->diff_ids.len)
		jw_kstrv(w, "Layers", &img->diff_ids);
	jw_obj_end(w);
}

static int encode(struct jw *w, struct api *api, const struct image *img, const struct raw_config *raw, int minor,
	bool manifests, struct err *err)
{
	OWN_STRV struct strv tags = { 0 }, digests = { 0 };
	bool brief = minor >= 52;

	image_refs(api->images, img->id, &tags, &digests);
	jw_obj(w);
	jw_kstr(w, "Id", img->id);
	put_refs(w, "RepoTags", &tags);
	put_refs(w, "RepoDigests", &digests);
	if (!brief || !str_empty(img->parent))
		jw_kstr(w, "Parent", img->parent);
	if (!brief || !str_empty(img->comment))
		jw_kstr(w, "Comment", img->comment);
	if (minor < 44 || img->created != CLOCK_ZERO)
		jw_ktime(w, "Created", img->created);
	if (minor < 45) {
		jw_kstr(w, "Container", img->container);
		if (put_full(w, "ContainerConfig", raw->container_config, err) < 0)
			return -1;
	}
	if (!brief || !str_empty(img->docker_version))
		jw_kstr(w, "DockerVersion", img->docker_version);
	if (!brief || !str_empty(img->author))
		jw_kstr(w, "Author", img->author);
	if (put_config(w, img, raw->config, minor, err) < 0)
		return -1;
	jw_kstr(w, "Architecture", img->architecture);
	if (!str_empty(img->variant))
		jw_kstr(w, "Variant", img->variant);
	jw_kstr(w, "Os", str_empty(img->os) ? "linux" : img->os);
	if (!str_empty(img->os_version))
		jw_kstr(w, "OsVersion", img->os_version);
	jw_kint(w, "Size", img->size);
	if (minor < 44)
		jw_kint(w, "VirtualSize", img->size);
	put_layers(w, api, img);
	put_times(w, img);
	if (manifests)
		image_put_manifests(w, api, img);
	jw_obj_end(w);
	return 0;
}

int image_inspect_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(image_unrefp) struct image *img = image_get(api->images, request_var(rq, "name"), err);
	CLEANUP(raw_config_done) struct raw_config raw = { 0 };
	OWN_BUF struct buf text = { 0 }, b = { 0 };
	bool manifests = rq->api_minor >= 48 && request_query_bool(rq, "manifests", false);
	struct jw w;

	if (manifests && !str_empty(request_query(rq, "platform")))
		return err_set(err, ERR_INVALID, "conflicting options: manifests and platform options cannot both be set");
	if (!img || check_platform(rq, img, err) < 0)
		return -1;
	if (rq->api_minor < 50 && (image_raw(api->images, img->id, &text, err) < 0 ||
	    jdesc_parse(&raw_config_desc, text.data, text.size, &raw, err) < 0))
		return -1;
	buf_reserve(&b, 4000);
	jw_init(&w, &b);
	if (encode(&w, api, img, &raw, rq->api_minor, manifests, err) < 0)
		return -1;
	return reply_json(rq, 200, &b);
}

/* One step of the history, from the newest to the oldest. size: of the layer it made. */
static void put_step(struct jw *w, struct api *api, const struct image_history *h, const char *id, int64_t size)
{
	OWN_STRV struct strv tags = { 0 };

	if (id)
		image_refs(api->images, id, &tags, NULL);
	jw_obj(w);
	jw_kstr(w, "Comment", h->comment);
	jw_kint(w, "Created", h->created / NSEC_PER_SEC - (h->created % NSEC_PER_SEC < 0));
	jw_kstr(w, "CreatedBy", h->created_by);
	jw_kstr(w, "Id", id ? id : "<missing>");
	jw_kint(w, "Size", size);
	jw_kstrv(w, "Tags", &tags);
	jw_obj_end(w);
}

/* Sizes of the history's steps, oldest first; steps without a layer are 0. Owned by the caller. */
static int64_t *step_sizes(struct api *api, const struct image *img)
{
	int64_t *sizes = xcalloc(img->history.len + 1, sizeof(*sizes));
	OWN_FREE char *chain = NULL;
	size_t layer = 0;

	for (size_t i = 0; i < img->history.len && layer < img->diff_ids.len; i++) {
		const struct image_history *h = jlist_at(&img->history, i, &image_history_desc);
		OWN_FREE char *below = NULL;

		if (h->empty_layer)
			continue;
		below = chain;
		chain = layer_chain_id(below, img->diff_ids.v[layer++]);
		sizes[i] = layer_size(image_store_layers(api->images), chain);
		if (sizes[i] < 0)
			sizes[i] = 0;
	}
	return sizes;
}

int image_history_job(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	CLEANUP(image_unrefp) struct image *img = image_get(api->images, request_var(rq, "name"), err), *at = NULL;
	OWN_FREE int64_t *sizes = NULL;
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (!img || check_platform(rq, img, err) < 0)
		return -1;
	sizes = step_sizes(api, img);
	jw_init(&w, &b);
	jw_arr(&w);
	at = image_by_id(api->images, img->id);
	for (size_t i = img->history.len; i-- > 0;) {
		struct image *up;

		put_step(&w, api, jlist_at(&img->history, i, &image_history_desc), at ? at->id : NULL, sizes[i]);
		up = at && at->parent ? image_by_id(api->images, at->parent) : NULL;
		image_unref(at);
		at = up;
	}
	jw_arr_end(&w);
	return reply_json(rq, 200, &b);
}
