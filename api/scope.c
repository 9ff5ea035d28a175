/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "scope.h"

#include "api.h"
#include "base/filters.h"
#include "container/container.h"
#include "network/net.h"
#include "volume/volume.h"

/* What is asked for, by the job of the route. Whatever is not listed is refused. */
enum about { FREE, LISTED, CONTAINER, UPDATE, EXEC, NETWORK, VOLUME, NEW_CONTAINER, NEW_NETWORK, NEW_VOLUME, PULL };

static const struct { const char *job; enum about about; } jobs[] = {
	{ "container_attach", CONTAINER }, { "container_attach_ws", CONTAINER }, { "container_changes", CONTAINER },
	{ "container_archive_get", CONTAINER }, { "container_archive_put", CONTAINER }, { "container_archive_stat", CONTAINER },
	{ "container_create", NEW_CONTAINER }, { "container_delete", CONTAINER }, { "container_export", CONTAINER },
	{ "container_inspect", CONTAINER }, { "container_kill", CONTAINER }, { "container_list", LISTED }, { "container_logs", CONTAINER },
	{ "container_pause", CONTAINER }, { "container_prune", LISTED }, { "container_rename", CONTAINER }, { "container_resize", CONTAINER },
	{ "container_restart", CONTAINER }, { "container_start", CONTAINER }, { "container_stats", CONTAINER }, { "container_stop", CONTAINER },
	{ "container_top", CONTAINER }, { "container_unpause", CONTAINER }, { "container_update", UPDATE }, { "container_wait", CONTAINER },
	{ "exec_create", CONTAINER }, { "exec_inspect", EXEC }, { "exec_resize", EXEC }, { "exec_start", EXEC },
	{ "distribution_inspect", FREE }, { "image_create", PULL }, { "image_history", FREE }, { "image_inspect", FREE }, { "image_list", FREE },
	{ "image_search", FREE },
	{ "network_connect", NETWORK }, { "network_create", NEW_NETWORK }, { "network_delete", NETWORK }, { "network_disconnect", NETWORK },
	{ "network_inspect", NETWORK }, { "network_list", LISTED }, { "network_prune", LISTED },
	{ "volume_create", NEW_VOLUME }, { "volume_delete", VOLUME }, { "volume_inspect", VOLUME }, { "volume_list", LISTED },
	{ "volume_prune", LISTED }, { "volume_update", VOLUME }, { "volume_export", VOLUME }, { "volume_import", VOLUME },
	{ "volume_rename", VOLUME }, { "volume_snapshot", VOLUME },
	{ "plugin_inspect", FREE }, { "plugin_list", FREE }, { "swarm", FREE },
	{ "system_events", FREE }, /* it looks at the scope itself */
	{ "system_auth", FREE }, { "system_info", FREE }, { "system_ping", FREE }, { "system_version", FREE },
};

/* One request. */
struct scoped {
	struct api *api;
	struct request *rq;
	struct filters labels;
	struct err *err;
};

static int see(struct scoped *s, enum about about);

static int refuse(struct scoped *s, const char *what)
{
	OWN_FREE char *labels = strv_join(&s->rq->scope, ", ");

	return err_set(s->err, ERR_FORBIDDEN, "%s is not for clients that are restricted to %s", what, labels);
}

int api_scope(void *api, struct request *rq, struct err *err)
{
	struct scoped s = { .api = api, .rq = rq, .err = err };
	int rc = 1;

	if (!rq->scope.len)
		return 0;
	for (size_t i = 0; i < rq->scope.len; i++)
		filters_add(&s.labels, "label", rq->scope.v[i]);
	for (size_t i = 0; i < ARRAY_LEN(jobs) && rc > 0; i++)
		if (streq(jobs[i].job, rq->route->job))
			rc = see(&s, jobs[i].about);
	if (rc > 0) {
		OWN_FREE char *what = xasprintf("%s %.200s", rq->method, rq->path);

		rc = refuse(&s, what);
	}
	filters_done(&s.labels);
	return rc;
}

/* ---- what there is ---- */

/* A container within the scope, else as if there were none. NULL: err is set. Released by the caller. */
static struct container *own_container(struct scoped *s, const char *name)
{
	CLEANUP(container_unrefp) struct container *c = container_find(s->api->containers, name, s->err);

	if (c && container_has_labels(c, &s->labels))
		return STEAL(c);
	if (c)
		err_set(s->err, ERR_NOT_FOUND, "No such container: %s", name);
	return NULL;
}

static int check_container(struct scoped *s, const char *name)
{
	CLEANUP(container_unrefp) struct container *c = own_container(s, name);

	return c ? 0 : -1;
}

/* From here on the request means this one, whoever gets the name meanwhile. */
static int pin_container(struct scoped *s)
{
	CLEANUP(container_unrefp) struct container *c = own_container(s, request_var(s->rq, "id"));

	if (!c)
		return -1;
	strmap_set(&s->rq->vars, "id", container_id(c));
	return 0;
}

static int check_exec(struct scoped *s)
{
	const char *id = request_var(s->rq, "id");
	CLEANUP(container_unrefp) struct container *c = exec_container(s->api->containers, id, s->err);

	if (!c)
		return -1;
	return container_has_labels(c, &s->labels) ? 0 : err_set(s->err, ERR_NOT_FOUND, "No such exec instance: %s", id);
}

static struct network *own_network(struct scoped *s, const char *name)
{
	OWN_NETWORK struct network *n = net_find(s->api->nets, name, s->err);

	if (n && filters_labels_pass(&s->labels, &n->labels))
		return STEAL(n);
	if (n)
		err_set(s->err, ERR_NOT_FOUND, "network %s not found", name);
	return NULL;
}

static int check_volume(struct scoped *s, const char *name)
{
	OWN_VOLUME struct volume *v = volume_get(s->api->volumes, name, s->err);

	if (!v)
		return -1;
	return filters_labels_pass(&s->labels, &v->labels) ? 0 : err_set(s->err, ERR_NOT_FOUND, "get %s: no such volume", name);
}

/* ---- lists ---- */

/* The client's own filters, and ours beside them: every value of "label" must hold. */
static int narrow(struct scoped *s)
{
	OWN_FILTERS struct filters f = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (filters_parse(request_query(s->rq, "filters"), &f, s->err) < 0)
		return -1;
	for (size_t i = 0; i < s->rq->scope.len; i++)
		filters_add(&f, "label", s->rq->scope.v[i]);
	jw_init(&w, &b);
	jw_obj(&w);
	for (size_t i = 0; i < f.len; i++)
		jw_kstrv(&w, f.v[i].key, &f.v[i].values);
	jw_obj_end(&w);
	strmap_set(&s->rq->query, "filters", b.data);
	return 0;
}

/* ---- bodies ---- */

static json_t *body_read(struct scoped *s)
{
	OWN_BUF struct buf body = { 0 };

	if (request_body(s->rq, &body, s->err) < 0)
		return NULL;
	return json_read(body.data ? body.data : "", body.size, s->err);
}

/* The body that the handler will read is this. */
static int body_write(struct scoped *s, json_t *js)
{
	OWN_FREE char *text = json_dumps(js, JSON_COMPACT);

	if (!text)
		return err_set(s->err, ERR_INVALID, "invalid JSON in the body");
	buf_reset(&s->rq->body);
	buf_adds(&s->rq->body, text);
	return 0;
}

/* One label of the scope in parts; value "" without one. */
static char *split_label(const char *label, const char **ret_value)
{
	const char *eq = strchr(label, '=');

	*ret_value = eq ? eq + 1 : "";
	return xstrndup(label, eq ? (size_t)(eq - label) : strlen(label));
}

static int give_labels(struct scoped *s, json_t *js)
{
	json_t *labels = json_object_get(js, "Labels");

	if (!json_is_object(js))
		return err_set(s->err, ERR_INVALID, "the body is no object");
	if (labels && !json_is_null(labels) && !json_is_object(labels))
		return err_set(s->err, ERR_INVALID, "Labels is no object");
	if (!json_is_object(labels)) {
		json_object_set_new(js, "Labels", json_object());
		labels = json_object_get(js, "Labels");
	}
	for (size_t i = 0; i < s->rq->scope.len; i++) {
		const char *value;
		OWN_FREE char *key = split_label(s->rq->scope.v[i], &value);

		json_object_set_new(labels, key, json_string(value));
	}
	return body_write(s, js);
}

/* What it has by the scope it keeps: nothing is handed to others, or taken out of their sight. */
static int check_update(struct scoped *s)
{
	OWN_JSON json_t *js = NULL;

	if (pin_container(s) < 0 || !(js = body_read(s)))
		return -1;
	for (size_t i = 0; i < s->rq->scope.len; i++) {
		const char *value, *text;
		OWN_FREE char *key = split_label(s->rq->scope.v[i], &value);
		const json_t *v = json_object_get(json_object_get(js, "Labels"), key);

		text = json_string_value(v);
		if (v && (!text || !streq(text, value)))
			return err_set(s->err, ERR_FORBIDDEN, "the label %s stays as it is for clients that are restricted to it", key);
	}
	return 0;
}

/* "container:X" in a mode; other modes are no business of labels. */
static int check_mode(struct scoped *s, const char *mode)
{
	return mode && str_has_prefix(mode, "container:") ? check_container(s, mode + strlen("container:")) : 0;
}

static int check_network_name(struct scoped *s, const char *name)
{
	OWN_NETWORK struct network *n = NULL;

	if (str_empty(name) || net_is_predefined(name))
		return 0;
	n = own_network(s, name);
	return n ? 0 : -1;
}

/* Lists of "X:more", X being a container. */
static int check_heads(struct scoped *s, json_t *list)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) {
		const char *text = json_string_value(v);
		OWN_FREE char *name = text ? xstrndup(text, strcspn(text, ":")) : NULL;

		if (name && check_container(s, name + (*name == '/')) < 0)
			return -1;
	}
	return 0;
}

static int check_mounted(struct scoped *s, const char *name)
{
	if (check_volume(s, name) == 0)
		return 0;
	/* One that would be made on the way would have no labels. */
	return err_set(s->err, ERR_NOT_FOUND, "no such volume: %s (make it first: docker volume create)", name);
}

static int check_volumes(struct scoped *s, json_t *host)
{
	size_t i;
	json_t *v;

	json_array_foreach(json_object_get(host, "Binds"), i, v) {
		const char *bind = json_string_value(v), *colon = bind ? strchr(bind, ':') : NULL;
		OWN_FREE char *name = colon ? xstrndup(bind, (size_t)(colon - bind)) : NULL;

		if (name && *name && *name != '/' && check_mounted(s, name) < 0)
			return -1;
	}
	json_array_foreach(json_object_get(host, "Mounts"), i, v) {
		const char *type = json_string_value(json_object_get(v, "Type")), *source = json_string_value(json_object_get(v, "Source"));

		if (type && streq(type, "volume") && !str_empty(source) && check_mounted(s, source) < 0)
			return -1;
	}
	return 0;
}

static int check_endpoints(struct scoped *s, json_t *networking)
{
	const char *name;
	json_t *v;

	json_object_foreach(json_object_get(networking, "EndpointsConfig"), name, v)
		if (check_network_name(s, name) < 0 || check_heads(s, json_object_get(v, "Links")) < 0)
			return -1;
	return 0;
}

/* Everything that a new container leans on is within the scope. */
static int check_host(struct scoped *s, json_t *host)
{
	const char *mode = json_string_value(json_object_get(host, "NetworkMode"));

	if (check_mode(s, mode) < 0 || check_mode(s, json_string_value(json_object_get(host, "PidMode"))) < 0 ||
		check_mode(s, json_string_value(json_object_get(host, "IpcMode"))) < 0)
		return -1;
	if (mode && !str_has_prefix(mode, "container:") && check_network_name(s, mode) < 0)
		return -1;
	if (check_heads(s, json_object_get(host, "VolumesFrom")) < 0 || check_heads(s, json_object_get(host, "Links")) < 0)
		return -1;
	return check_volumes(s, host);
}

static int new_container(struct scoped *s)
{
	OWN_JSON json_t *js = body_read(s);

	if (!js)
		return -1;
	if (check_host(s, json_object_get(js, "HostConfig")) == 0 && check_endpoints(s, json_object_get(js, "NetworkingConfig")) == 0)
		return give_labels(s, js);
	/* With a 404 clients would go and pull the image. */
	if (s->err->class == ERR_NOT_FOUND)
		s->err->class = ERR_INVALID;
	return -1;
}

static int new_network(struct scoped *s)
{
	OWN_JSON json_t *js = body_read(s);

	if (!js || check_network_name(s, json_string_value(json_object_get(json_object_get(js, "ConfigFrom"), "Network"))) < 0)
		return -1;
	return give_labels(s, js);
}

/* To make one that is there already is to get that. */
static int new_volume(struct scoped *s)
{
	OWN_JSON json_t *js = body_read(s);
	const char *name = json_string_value(json_object_get(js, "Name"));
	OWN_VOLUME struct volume *v = NULL;

	if (!js)
		return -1;
	v = str_empty(name) ? NULL : volume_get(s->api->volumes, name, NULL);
	if (v && !filters_labels_pass(&s->labels, &v->labels))
		return err_set(s->err, ERR_CONFLICT, "the volume name %s is taken", name);
	return give_labels(s, js);
}

static int connect_network(struct scoped *s)
{
	OWN_NETWORK struct network *n = own_network(s, request_var(s->rq, "id"));
	CLEANUP(container_unrefp) struct container *c = NULL;
	OWN_JSON json_t *js = NULL;
	const char *name;

	if (!n)
		return -1;
	strmap_set(&s->rq->vars, "id", n->id);
	if (!streq(s->rq->method, "POST"))
		return 0;
	js = body_read(s);
	name = json_string_value(json_object_get(js, "Container"));
	c = js ? own_container(s, name ? name : "") : NULL;
	if (!c || check_heads(s, json_object_get(json_object_get(js, "EndpointConfig"), "Links")) < 0)
		return -1;
	json_object_set_new(js, "Container", json_string(container_id(c)));
	return body_write(s, js);
}

static int see(struct scoped *s, enum about about)
{
	switch (about) {
	case FREE:
		return 0;
	case LISTED:
		return narrow(s);
	case CONTAINER:
		return pin_container(s);
	case UPDATE:
		return check_update(s);
	case EXEC:
		return check_exec(s);
	case NETWORK:
		return connect_network(s);
	case VOLUME:
		return check_volume(s, request_var(s->rq, "name"));
	case NEW_CONTAINER:
		return new_container(s);
	case NEW_NETWORK:
		return new_network(s);
	case NEW_VOLUME:
		return new_volume(s);
	case PULL:
		return str_empty(request_query(s->rq, "fromSrc")) ? 0 : refuse(s, "import");
	}
	return -1;
}
