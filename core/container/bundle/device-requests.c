/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DeviceRequests: which driver takes one, as Docker chooses, with its words. */
#include <unistd.h>

#include "container/bundle/cdi.h"

/* What the hook of NVIDIA can be asked for; "gpu" and "nvidia" choose it and are not passed on. */
static const char *const nvidia_caps[] = { "compute", "compat32", "graphics", "utility", "video", "display", "ngx" };

static bool is_nvidia_cap(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(nvidia_caps); i++)
		if (streq(s, nvidia_caps[i]))
			return true;
	return false;
}

static json_t *read_caps(const struct device_request *r, struct err *err)
{
	json_t *js = str_empty(r->capabilities) ? json_array() : json_read(r->capabilities, strlen(r->capabilities), err);
	json_t *set, *word;
	size_t i, k;

	if (js && json_is_null(js)) {
		json_decref(js);
		js = json_array();
	}
	if (!js)
		return NULL;
	if (!json_is_array(js))
		goto bad;
	json_array_foreach(js, i, set) {
		if (!json_is_array(set))
			goto bad;
		json_array_foreach(set, k, word)
			if (!json_is_string(word))
				goto bad;
	}
	return js;
bad:
	json_decref(js);
	err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/DeviceRequests/Capabilities: expected an array of arrays of strings");
	return NULL;
}

int device_requests_check(const struct jlist *requests, struct err *err)
{
	for (size_t i = 0; i < requests->len; i++) {
		OWN_JSON json_t *caps = read_caps(jlist_at(requests, i, &device_request_desc), err);

		if (!caps)
			return -1;
	}
	return 0;
}

/* The first set of which NVIDIA's driver has all; NULL when there is none. */
static json_t *match_nvidia(json_t *caps)
{
	json_t *set, *word;
	size_t i, k;

	json_array_foreach(caps, i, set) {
		bool all = true;

		json_array_foreach(set, k, word)
			all &= streq(json_string_value(word), "gpu") || streq(json_string_value(word), "nvidia") ||
			       is_nvidia_cap(json_string_value(word));
		if (all)
			return set;
	}
	return NULL;
}

/* As Go prints [][]string. */
static char *show_caps(json_t *caps)
{
	OWN_BUF struct buf b = { 0 };
	json_t *set, *word;
	size_t i, k;

	buf_adds(&b, "[");
	json_array_foreach(caps, i, set) {
		buf_adds(&b, i ? " [" : "[");
		json_array_foreach(set, k, word)
			buf_addf(&b, "%s%s", k ? " " : "", json_string_value(word));
		buf_adds(&b, "]");
	}
	buf_adds(&b, "]");
	return buf_steal(&b);
}

static void add_visible(const struct device_request *r, struct strv *env)
{
	OWN_STRV struct strv numbers = { 0 };
	OWN_FREE char *list = NULL;

	for (int64_t i = 0; i < r->count && i < 1024; i++)
		strv_addf(&numbers, "%lld", (long long)i);
	list = strv_join(r->device_ids.len ? &r->device_ids : &numbers, ",");
	if (r->device_ids.len || r->count > 0)
		strv_addf(env, "NVIDIA_VISIBLE_DEVICES=%s", list);
	else if (r->count < 0)
		strv_add(env, "NVIDIA_VISIBLE_DEVICES=all");
}

static int add_nvidia(const struct device_request *r, json_t *set, const char *hook, struct device_edits *ret, struct err *err)
{
	OWN_STRV struct strv wanted = { 0 };
	struct edit_hook *h;
	json_t *word;
	size_t k;

	if (r->count && r->device_ids.len)
		return err_set(err, ERR_INVALID, "cannot set both Count and DeviceIDs on device request");
	add_visible(r, &ret->env);
	json_array_foreach(set, k, word)
		if (is_nvidia_cap(json_string_value(word)))
			strv_add(&wanted, json_string_value(word));
	if (wanted.len) {
		OWN_FREE char *list = strv_join(&wanted, ",");

		strv_addf(&ret->env, "NVIDIA_DRIVER_CAPABILITIES=%s", list);
	}
	h = jlist_add(&ret->hooks, &edit_hook_desc);
	h->name = xstrdup("prestart");
	h->path = xstrdup(hook);
	strv_add(&h->args, hook);
	strv_add(&h->args, "prestart");
	for (char **e = environ; *e; e++)
		strv_add(&h->env, *e);
	return 0;
}

int device_requests_resolve(const struct jlist *requests, const struct daemon_defaults *d, struct device_edits *ret, struct err *err)
{
	for (size_t i = 0; i < requests->len; i++) {
		const struct device_request *r = jlist_at(requests, i, &device_request_desc);
		const char *driver = r->driver ? r->driver : "";
		OWN_JSON json_t *caps = read_caps(r, err);
		OWN_FREE char *shown = NULL;
		json_t *set;

		if (!caps)
			return -1;
		if (streq(driver, "cdi") && d->cdi_dirs.len) {
			if (cdi_inject(&d->cdi_dirs, &r->device_ids, ret, err) < 0)
				return -1;
			continue;
		}
		set = d->nvidia_hook && (!*driver || streq(driver, "nvidia")) ? match_nvidia(caps) : NULL;
		if (set) {
			if (add_nvidia(r, set, d->nvidia_hook, ret, err) < 0)
				return -1;
			continue;
		}
		shown = show_caps(caps);
		return err_set(err, ERR_INVALID, "could not select device driver \"%.64s\" with capabilities: %.256s", driver, shown);
	}
	return 0;
}
