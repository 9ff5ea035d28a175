/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins: Docker's managed ones, and the drivers that are installed, in the same shape. Of a driver "enabled" is loaded; drivers come and
 * go with their files: what would change one is refused.
 */
#include "plugins.h"

#include <errno.h>
#include <stdlib.h>

#include "api.h"
#include "authz.h"
#include "base/filters.h"
#include "bodies.h"
#include "events.h"
#include "plugin/managed.h"
#include "plugins-api.h"

static void encode_settings(struct jw *w)
{
	static const char *const lists[] = { "Mounts", "Env", "Args", "Devices" };

	jw_kobj(w, "Settings");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		jw_karr(w, lists[i]);
		jw_arr_end(w);
	}
	jw_obj_end(w);
}

static void encode_empty_list(struct jw *w, const char *key)
{
	jw_karr(w, key);
	jw_arr_end(w);
}

static void encode_interface(const struct plugin *p, struct jw *w)
{
	OWN_FREE char *type = xasprintf("docker.%s/1.0", p->capability);

	jw_kobj(w, "Interface");
	jw_karr(w, "Types");
	if (*p->capability)
		jw_str(w, type);
	jw_arr_end(w);
	jw_kstr(w, "Socket", "");
	jw_obj_end(w);
}

static void encode_config(const struct plugin *p, struct jw *w)
{
	OWN_FREE char *text = xasprintf("%s%sdriver %s%s%s%s%s: %s", p->kind, *p->kind ? " " : "", p->name,
		*p->version ? " " : "", p->version,
		*p->abi ? ", ABI " : "", p->abi, p->state);

	jw_kobj(w, "Config");
	jw_kstr(w, "Description", text);
	jw_kstr(w, "Documentation", "");
	encode_interface(p, w);
	jw_karr(w, "Entrypoint");
	jw_str(w, p->path);
	jw_arr_end(w);
	jw_kstr(w, "WorkDir", "");
	jw_kobj(w, "User");
	jw_obj_end(w);
	jw_kobj(w, "Network");
	jw_kstr(w, "Type", "host");
	jw_obj_end(w);
	jw_kobj(w, "Linux");
	encode_empty_list(w, "Capabilities");
	jw_kbool(w, "AllowAllDevices", true);
	encode_empty_list(w, "Devices");
	jw_obj_end(w);
	jw_kstr(w, "PropagatedMount", "");
	jw_kbool(w, "IpcHost", true);
	jw_kbool(w, "PidHost", true);
	encode_empty_list(w, "Mounts");
	encode_empty_list(w, "Env");
	jw_kobj(w, "Args");
	jw_kstr(w, "Name", "");
	jw_kstr(w, "Description", "");
	encode_empty_list(w, "Settable");
	encode_empty_list(w, "Value");
	jw_obj_end(w);
	jw_obj_end(w);
}

static void encode(const struct plugin *p, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "Id", p->id);
	jw_kstr(w, "Name", p->reference);
	jw_kbool(w, "Enabled", p->loaded);
	encode_settings(w);
	jw_kstr(w, "PluginReference", p->reference);
	encode_config(p, w);
	jw_obj_end(w);
}

/* "docker.volumedriver/1.0": volumedriver. */
static bool has_capability(const struct filters *f, const struct strv *types)
{
	for (size_t i = 0; i < types->len; i++) {
		const char *dot = strchr(types->v[i], '.'), *start = dot ? dot + 1 : types->v[i];
		OWN_FREE char *word = xstrndup(start, strcspn(start, "/"));

		if (filters_exact(f, "capability", word))
			return true;
	}
	return false;
}

static void list_managed(struct api *api, const struct filters *f, const char *key, bool enabled, struct jw *w)
{
	struct managed_view *v;
	size_t len = managed_list(api->plugins, &v);

	for (size_t i = 0; i < len; i++)
		if ((!filters_has(f, key) || v[i].enabled == enabled) && (!filters_has(f, "capability") || has_capability(f, &v[i].types)))
			jw_raw(w, v[i].text);
	managed_views_free(v, len);
}

static int on_list(struct job *job, struct err *err)
{
	/* Docker's code knows "enabled", its documentation "enable". */
	static const char *const allowed[] = { "capability", "enabled", "enable", NULL };
	struct request *rq = job_request(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	const char *key;
	struct plugin *v;
	bool enabled = false;
	struct jw w;
	size_t len;

	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0)
		return -1;
	key = filters_has(&f, "enabled") ? "enabled" : "enable";
	if (filters_bool(&f, key, false, &enabled, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_arr(&w);
	list_managed(job_api(job), &f, key, enabled, &w);
	len = plugins_list(&v);
	for (size_t i = 0; i < len; i++)
		if ((!filters_has(&f, key) || v[i].loaded == enabled) &&
		    (!filters_has(&f, "capability") || filters_exact(&f, "capability", v[i].capability)))
			encode(&v[i], &w);
	plugins_free(v, len);
	jw_arr_end(&w);
	return reply_json(rq, 200, &b);
}

/* By reference, id, or unique prefix of the id; ":latest" is understood. */
static bool names(const struct plugin *p, const char *name)
{
	OWN_FREE char *bare = xstrdup(name);

	if (str_has_suffix(bare, ":latest"))
		bare[strlen(bare) - strlen(":latest")] = '\0';
	return streq(p->reference, bare) || streq(p->id, name) || (strlen(name) >= 12 && str_has_prefix(p->id, name));
}

static int inspect_driver(struct request *rq, const char *name, struct err *err)
{
	OWN_BUF struct buf b = {0};
	bool found = false;
	struct plugin *v;
	struct jw w;
	size_t len = plugins_list(&v);

	jw_init(&w, &b);
	for (size_t i = 0; i < len && !found; i++)
		if (names(&v[i], name)) {
			encode(&v[i], &w);
			found = true;
		}
	plugins_free(v, len);
	return found ? reply_json(rq, 200, &b) : err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
}

static int on_inspect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct api *api = job_api(job);
	OWN_FREE char *id = NULL, *name = NULL;
	OWN_BUF struct buf b = {0};
	struct managed_view *v;
	bool enabled;
	size_t len;

	if (managed_find(api->plugins, request_var(rq, "name"), &id, &name, &enabled, err) < 0) {
		if (err->class != ERR_NOT_FOUND)
			return -1;
		err_done(err);
		return inspect_driver(rq, request_var(rq, "name"), err);
	}
	len = managed_list(api->plugins, &v);
	for (size_t i = 0; i < len; i++)
		if (streq(v[i].id, id))
			buf_adds(&b, v[i].text);
	managed_views_free(v, len);
	return b.size ? reply_json(rq, 200, &b) : err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
}

/* Why one that is not managed is not changed. */
static int refuse_change(const char *name, struct err *err)
{
	bool found = false;
	struct plugin *v;
	size_t len = plugins_list(&v);

	for (size_t i = 0; i < len; i++)
		found |= names(&v[i], name);
	plugins_free(v, len);
	if (!found)
		return err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
	return err_set(err, ERR_NOT_IMPLEMENTED, "plugin %s is a driver of this daemon: it is loaded when it is "
		"first needed, and comes and goes with its file", name);
}

void plugin_target_done(struct plugin_target *t)
{
	free(t->id);
	free(t->name);
}

int plugin_target_find(struct job *job, struct plugin_target *ret, struct err *err)
{
	const char *name = request_var(job_request(job), "name");
	struct api *api = job_api(job);

	if (managed_find(api->plugins, name, &ret->id, &ret->name, &ret->enabled, err) == 0)
		return 0;
	if (err->class != ERR_NOT_FOUND)
		return -1;
	err_done(err);
	return refuse_change(name, err);
}

static int done(struct job *job, const struct plugin_target *t, const char *action, int status)
{
	struct api *api = job_api(job);

	events_log(api->events, "plugin", action, t->id, "name", t->name, NULL);
	return reply_empty(job_request(job), status);
}

static int on_enable(struct job *job, struct err *err)
{
	CLEANUP(plugin_target_done) struct plugin_target t = {0};
	int64_t seconds = 0;

	if (request_query_int(job_request(job), "timeout", &seconds, err) < 0 || plugin_target_find(job, &t, err) < 0 ||
	    managed_enable(job_api(job)->plugins, t.id, seconds > 0 && seconds < 3600 ? (int)seconds : 0, err) < 0)
		return -1;
	return done(job, &t, "enable", 200);
}

static int on_disable(struct job *job, struct err *err)
{
	bool force = request_query_bool(job_request(job), "force", false);
	CLEANUP(plugin_target_done) struct plugin_target t = {0};

	if (plugin_target_find(job, &t, err) < 0 || (!force && plugin_check_unused(job_api(job), t.name, err) < 0) ||
	    managed_disable(job_api(job)->plugins, t.id, err) < 0)
		return -1;
	if (force && job_api(job)->authz)
		authz_leave_out(job_api(job)->authz, t.name);
	return done(job, &t, "disable", 200);
}

static int on_delete(struct job *job, struct err *err)
{
	bool force = request_query_bool(job_request(job), "force", false);
	CLEANUP(plugin_target_done) struct plugin_target t = {0};

	if (plugin_target_find(job, &t, err) < 0)
		return -1;
	if (!force && plugin_check_unused(job_api(job), t.name, err) < 0)
		return -1;
	if (managed_remove(job_api(job)->plugins, t.id, force, err) < 0)
		return -1;
	if (force && job_api(job)->authz)
		authz_leave_out(job_api(job)->authz, t.name);
	return done(job, &t, "remove", 200);
}

static int on_set(struct job *job, struct err *err)
{
	CLEANUP(plugin_target_done) struct plugin_target t = {0};
	OWN_STRV struct strv settings = {0};
	OWN_BUF struct buf body = {0};
	OWN_JSON json_t *js = NULL;
	const json_t *one;
	size_t i;

	if (plugin_target_find(job, &t, err) < 0 || request_body(job_request(job), &body, err) < 0)
		return -1;
	js = json_read(body.data ? body.data : "", body.size, err);
	if (!js)
		return -1;
	if (!json_is_array(js))
		return err_set(err, ERR_INVALID, "settings are a list of NAME=VALUE");
	json_array_foreach(js, i, one) {
		if (!json_is_string(one))
			return err_set(err, ERR_INVALID, "settings are a list of NAME=VALUE");
		strv_add(&settings, json_string_value(one));
	}
	return managed_set(job_api(job)->plugins, t.id, &settings, err) < 0 ? -1 : reply_empty(job_request(job), 204);
}

static int on_create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *name = request_query(rq, "name");
	CLEANUP(plugin_target_done) struct plugin_target t = {0};
	struct body_reader in;

	body_reader_init(&in, rq);
	if (managed_create(job_api(job)->plugins, name ? name : "", &in.reader, err) < 0 ||
	    managed_find(job_api(job)->plugins, name, &t.id, &t.name, &t.enabled, err) < 0)
		return -1;
	return done(job, &t, "create", 204);
}

int api_plugins_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "plugin_list", on_list }, { "plugin_inspect", on_inspect }, { "plugin_privileges", plugin_privileges_job },
		{ "plugin_pull", plugin_pull_job }, { "plugin_create", on_create }, { "plugin_enable", on_enable },
		{ "plugin_disable", on_disable }, { "plugin_upgrade", plugin_upgrade_job }, { "plugin_push", plugin_push_job },
		{ "plugin_set", on_set }, { "plugin_delete", on_delete },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
