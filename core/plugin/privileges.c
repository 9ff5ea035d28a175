/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plugin may do that needs somebody's consent, in Docker's words: told before it is installed, and granted by telling it back. */
#include "base/cleanup.h"
#include "plugin/managed_i.h"

static void add(json_t *list, const char *name, const char *description, json_t *values)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "Name", name, "Description", description, "Value", values));
}

static void add_flag(json_t *list, const json_t *o, const char *key, const char *name, const char *description)
{
	if (json_is_true(json_object_get(o, key)))
		add(list, name, description, json_pack("[s]", "true"));
}

static void add_each(json_t *list, const json_t *from, const char *key, const char *name, const char *description)
{
	const json_t *one;
	size_t i;

	json_array_foreach(from, i, one)
		if (json_is_string(json_object_get(one, key)))
			add(list, name, description, json_pack("[O]", json_object_get(one, key)));
}

json_t *managed_needs(const json_t *config)
{
	const char *network = json_string_value(json_object_get(json_object_get(config, "Network"), "Type"));
	const json_t *linux_ = json_object_get(config, "Linux");
	json_t *list = json_array(), *caps = json_object_get(linux_, "Capabilities");

	if (!str_empty(network) && !streq(network, "null") && !streq(network, "bridge"))
		add(list, "network", "permissions to access a network", json_pack("[s]", network));
	add_flag(list, config, "IpcHost", "host ipc namespace", "allow access to host ipc namespace");
	add_flag(list, config, "PidHost", "host pid namespace", "allow access to host pid namespace");
	add_each(list, json_object_get(config, "Mounts"), "Source", "mount", "host path to mount");
	add_each(list, json_object_get(linux_, "Devices"), "Path", "device", "host device to access");
	add_flag(list, linux_, "AllowAllDevices", "allow-all-devices", "allow 'rwm' access to all devices");
	if (json_array_size(caps))
		add(list, "capabilities", "list of additional capabilities required", json_incref(caps));
	return list;
}

/* One line each, sorted: a name, and its values in order. */
static void lines_of(const json_t *list, struct strv *ret)
{
	const json_t *one, *value;
	size_t i, k;

	json_array_foreach(list, i, one) {
		OWN_STRV struct strv values = { 0 };
		const char *name = json_string_value(json_object_get(one, "Name"));
		OWN_FREE char *all = NULL;

		json_array_foreach(json_object_get(one, "Value"), k, value)
			strv_add(&values, json_is_string(value) ? json_string_value(value) : "");
		strv_sort(&values);
		all = strv_join(&values, "\n");
		strv_addf(ret, "%s\n%s", name ? name : "", all ? all : "");
	}
	strv_sort(ret);
}

bool managed_granted(const json_t *config, const json_t *given)
{
	OWN_STRV struct strv needed = { 0 }, granted = { 0 };
	json_t *needs = managed_needs(config);
	bool same;

	lines_of(needs, &needed);
	lines_of(given, &granted);
	json_decref(needs);
	same = needed.len == granted.len;
	for (size_t i = 0; same && i < needed.len; i++)
		same = streq(needed.v[i], granted.v[i]);
	return same;
}

int managed_privileges(const struct buf *config, struct buf *ret, struct err *err)
{
	OWN_FREE char *text = managed_form(config->data, config->size, NULL, err), *out = NULL;
	OWN_JSON json_t *js = text ? json_read(text, strlen(text), err) : NULL;
	json_t *needs;

	if (!js)
		return err_wrap(err, "the plugin's configuration");
	needs = managed_needs(js);
	out = json_dumps(needs, JSON_COMPACT);
	json_decref(needs);
	buf_adds(ret, out ? out : "[]");
	return 0;
}
