/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plugin's configuration says of it, and what may be set. Everything in it comes from strangers. */
#include "plugin/managed_i.h"

#include "base/id.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INVALID, "invalid plugin configuration: %s", what);
}

/* An absolute path without ".." and control characters. */
static bool path_ok(const char *path)
{
	const char *at = path;

	if (*path != '/' || strlen(path) >= 4096)
		return false;
	for (; *at; at++)
		if ((unsigned char)*at < ' ' || (strncmp(at, "/..", 3) == 0 && (at[3] == '/' || !at[3])))
			return false;
	return true;
}

static int check_mounts(const json_t *config, struct err *err)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(config, "Mounts"), i, one)
		if (!path_ok(text_of(one, "Destination")) || strchr(text_of(one, "Name"), '='))
			return bad(err, "a mount has no destination that is absolute");
	json_array_foreach(json_object_get(json_object_get(config, "Linux"), "Devices"), i, one)
		if (*text_of(one, "Path") && !str_has_prefix(text_of(one, "Path"), "/dev/"))
			return bad(err, "a device is not below /dev");
	return 0;
}

int managed_config_check(const json_t *config, struct err *err)
{
	const json_t *interface = json_object_get(config, "Interface"), *words = json_object_get(config, "Entrypoint"), *one;
	const char *propagated = text_of(config, "PropagatedMount"), *network = text_of(json_object_get(config, "Network"), "Type");
	size_t i;

	if (!json_is_object(config))
		return bad(err, "it is no object");
	if (!json_array_size(words))
		return bad(err, "there is no entrypoint");
	json_array_foreach(words, i, one)
		if (!json_is_string(one))
			return bad(err, "the entrypoint is no list of words");
	if (!id_is_name(text_of(interface, "Socket"), 1) || strlen(text_of(interface, "Socket")) > 32)
		return bad(err, "the socket is no file name");
	if (*text_of(interface, "ProtocolScheme") && !streq(text_of(interface, "ProtocolScheme"), "moby.plugins.http/v1"))
		return err_set(err, ERR_NOT_IMPLEMENTED, "plugins of the protocol %.100s are not supported", text_of(interface, "ProtocolScheme"));
	if (*propagated && !path_ok(propagated))
		return bad(err, "PropagatedMount is no absolute path");
	if (*network && !streq(network, "host") && !streq(network, "none") && !streq(network, "bridge"))
		return bad(err, "the network is none of host, none, bridge");
	return check_mounts(config, err);
}

json_t *managed_config(const struct managed *m)
{
	return json_read(m->config, strlen(m->config), NULL);
}

void managed_settings_begin(struct managed *m, const json_t *config)
{
	const json_t *one;
	size_t i;

	m->env.set = m->args.set = true;
	json_array_foreach(json_object_get(config, "Env"), i, one)
		if (json_is_string(json_object_get(one, "Value")))
			strv_addf(&m->env, "%s=%s", text_of(one, "Name"), text_of(one, "Value"));
	json_array_foreach(json_object_get(json_object_get(config, "Args"), "Value"), i, one)
		if (json_is_string(one))
			strv_add(&m->args, json_string_value(one));
	json_array_foreach(json_object_get(config, "Mounts"), i, one)
		if (json_is_string(json_object_get(one, "Source")))
			strmap_set(&m->mounts, text_of(one, "Name"), text_of(one, "Source"));
	json_array_foreach(json_object_get(json_object_get(config, "Linux"), "Devices"), i, one)
		if (json_is_string(json_object_get(one, "Path")))
			strmap_set(&m->devices, text_of(one, "Name"), text_of(one, "Path"));
}

static bool settable(const json_t *o, const char *field)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(o, "Settable"), i, one)
		if (json_is_string(one) && streq(json_string_value(one), field))
			return true;
	return false;
}

/* Only what has a name and may be set has something else than the configuration says: most have no name at all. */
const char *managed_setting(const struct strmap *set, const json_t *one, const char *key)
{
	const char *name = text_of(one, "Name"), *value = *name && json_array_size(json_object_get(one, "Settable")) ? strmap_get(set, name) : NULL;

	return value ? value : json_string_value(json_object_get(one, key));
}

static const json_t *named(const json_t *list, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		if (streq(text_of(one, "Name"), name))
			return one;
	return NULL;
}

static int refuse(const char *head, const char *field, struct err *err)
{
	return err_set(err, ERR_INVALID, "\"%s%s%s\" is not settable", head, *field ? "." : "", field);
}

/* One of a list whose settable field is a path. below: where that has to be. */
static int set_path(struct strmap *to, const json_t *o, const char *head, const char *field, const char *only, const char *value, const char *below, struct err *err)
{
	if (!*field && json_array_size(json_object_get(o, "Settable")) == 1)
		field = only; /* a name alone stands for the one that may be set */
	if (!streq(field, only) || !settable(o, only))
		return refuse(head, field, err);
	if (!path_ok(value) || !str_has_prefix(value, below))
		return err_set(err, ERR_INVALID, "\"%s.%s\" is not settable to that", head, field);
	strmap_set(to, head, value);
	return 0;
}

static int set_value(struct managed *m, const json_t *o, bool is_args, const char *head, const char *field, const char *value, struct err *err)
{
	if ((*field && !streq(field, "value")) || !settable(o, "value"))
		return refuse(head, field, err);
	if (is_args) {
		strv_done(&m->args);
		strv_split(&m->args, value, " ");
		m->args.set = true;
	} else {
		strv_env_set(&m->env, head, value);
	}
	return 0;
}

int managed_settings_set(struct managed *m, const json_t *config, const char *setting, struct err *err)
{
	const char *eq = strchr(setting, '='), *value = eq ? eq + 1 : "";
	OWN_FREE char *head = eq ? xstrndup(setting, (size_t)(eq - setting)) : xstrdup(setting);
	char *dot = strrchr(head, '.');
	OWN_FREE char *field = dot ? xstrdup(dot + 1) : xstrdup("");
	const json_t *o, *args = json_object_get(config, "Args");

	if (dot)
		*dot = '\0';
	if (!*head)
		return err_set(err, ERR_INVALID, "invalid format, must be <name>[.<field>][=<value>]");
	if ((o = named(json_object_get(config, "Env"), head)))
		return set_value(m, o, false, head, field, value, err);
	if ((o = named(json_object_get(config, "Mounts"), head)))
		return set_path(&m->mounts, o, head, field, "source", value, "/", err);
	if ((o = named(json_object_get(json_object_get(config, "Linux"), "Devices"), head)))
		return set_path(&m->devices, o, head, field, "path", value, "/dev/", err);
	if (streq(text_of(args, "Name"), head))
		return set_value(m, args, true, head, field, value, err);
	return err_set(err, ERR_INVALID, "setting \"%s\" not found in the plugin configuration", head);
}

/* What was set of a list, by name. */
static void carry(const json_t *list, const char *field, const struct strmap *old, const struct strmap *old_begin, struct strmap *to)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) {
		const char *name = text_of(one, "Name"), *was = strmap_get(old, name), *began = strmap_get(old_begin, name);

		if (was && settable(one, field) && (!began || !streq(was, began)))
			strmap_set(to, name, was);
	}
}

void managed_settings_carry(struct managed *m, const json_t *config, const struct managed *old)
{
	OWN_JSON json_t *before = managed_config(old);
	struct managed began = { 0 };
	const json_t *one;
	size_t i;

	managed_settings_begin(&began, before);
	json_array_foreach(json_object_get(config, "Env"), i, one) {
		const char *name = text_of(one, "Name"), *was = strv_env_get(&old->env, name), *first = strv_env_get(&began.env, name);

		if (was && settable(one, "value") && (!first || !streq(was, first)))
			strv_env_set(&m->env, name, was);
	}
	carry(json_object_get(config, "Mounts"), "source", &old->mounts, &began.mounts, &m->mounts);
	carry(json_object_get(json_object_get(config, "Linux"), "Devices"), "path", &old->devices, &began.devices, &m->devices);
	if (settable(json_object_get(config, "Args"), "value") &&
	    streq(text_of(json_object_get(config, "Args"), "Name"), text_of(json_object_get(before, "Args"), "Name"))) {
		OWN_FREE char *was = strv_join(&old->args, "\n"), *first = strv_join(&began.args, "\n");

		if (!streq(was ? was : "", first ? first : "")) {
			strv_done(&m->args);
			strv_copy(&m->args, &old->args);
		}
	}
	strv_done(&began.env);
	strv_done(&began.args);
	strmap_done(&began.mounts);
	strmap_done(&began.devices);
}

/* The configuration's list with what was set put in its place. */
static void encode_set(const json_t *list, const struct strmap *set, const char *key, const char *field, struct jw *w)
{
	const json_t *one;
	size_t i;

	jw_karr(w, key);
	json_array_foreach(list, i, one) {
		json_t *copy = json_deep_copy(one);
		const char *value = managed_setting(set, one, field);
		char *text;

		json_object_set_new(copy, field, value ? json_string(value) : json_null());
		text = json_dumps(copy, JSON_COMPACT);
		jw_raw(w, text ? text : "{}");
		free(text);
		json_decref(copy);
	}
	jw_arr_end(w);
}

void managed_encode(const struct managed *m, struct jw *w)
{
	OWN_JSON json_t *config = managed_config(m);
	const json_t *linux_ = json_object_get(config, "Linux");

	jw_obj(w);
	jw_kraw(w, "Config", m->config);
	jw_kbool(w, "Enabled", m->enabled);
	jw_kstr(w, "Id", m->id);
	jw_kstr(w, "Name", m->name);
	if (!str_empty(m->reference))
		jw_kstr(w, "PluginReference", m->reference);
	jw_kobj(w, "Settings");
	jw_kstrv(w, "Args", &m->args);
	encode_set(json_object_get(linux_, "Devices"), &m->devices, "Devices", "Path", w);
	jw_kstrv(w, "Env", &m->env);
	encode_set(json_object_get(config, "Mounts"), &m->mounts, "Mounts", "Source", w);
	jw_obj_end(w);
	jw_obj_end(w);
}
