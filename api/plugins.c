/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins: the drivers that are installed, in the shape of Docker's managed plugins. "Enabled" is loaded. They come and
 * go with their files: everything that would install or change one is refused.
 */
#include "plugins.h"

#include "api.h"
#include "base/filters.h"

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

static int on_list(struct job *job, struct err *err)
{
	/* Docker's code knows "enabled", its documentation "enable". */
	static const char *const allowed[] = { "capability", "enabled", "enable", NULL };
	struct request *rq = job_request(job);
	OWN_FILTERS struct filters f = {0};
	OWN_BUF struct buf b = {0};
	const char *key;
	struct plugin *v;
	bool enabled;
	struct jw w;
	size_t len;

	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0)
		return -1;
	key = filters_has(&f, "enabled") ? "enabled" : "enable";
	if (filters_bool(&f, key, false, &enabled, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_arr(&w);
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

static int on_inspect(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *name = request_var(rq, "name");
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

/* What would change one plugin. */
static int on_change(struct job *job, struct err *err)
{
	const char *name = request_var(job_request(job), "name");
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

/* What would bring one. */
static int on_install(struct job *job, struct err *err)
{
	(void)job;
	return err_set(err, ERR_NOT_IMPLEMENTED, "managed plugins are not supported: drivers are shared objects "
		"in the folders of --plugin-dir");
}

int api_plugins_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "plugin_list", on_list }, { "plugin_inspect", on_inspect }, { "plugin_privileges", on_install },
		{ "plugin_pull", on_install }, { "plugin_create", on_install }, { "plugin_enable", on_change },
		{ "plugin_disable", on_change }, { "plugin_upgrade", on_change }, { "plugin_push", on_change },
		{ "plugin_set", on_change }, { "plugin_delete", on_change },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
