/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a body means to clients of an older API: as in Docker, what came later is left out, or refused where that would mislead. */
#include "base/json.h"
#include "container/bundle/cgroup.h"
#include "container/spec.h"

static int for_bind(struct mount_spec *m, int minor, struct err *err)
{
	if (minor < 44 && m->bind && m->bind->read_only_force_recursive)
		return err_set(err, ERR_INVALID, "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
	if (minor < 42 && m->bind)
		m->bind->create_mountpoint = false;
	if (minor < 40 && m->bind)
		m->bind->non_recursive = false;
	return 0;
}

static int mounts_since(struct host_config *hc, int minor, struct err *err)
{
	for (size_t i = 0; i < hc->mounts.len; i++) {
		struct mount_spec *m = jlist_at(&hc->mounts, i, &mount_spec_desc);
		const char *type = m->type ? m->type : "";

		if (minor < 42)
			mount_spec_drop_others(m);
		if (streq(type, "bind") && for_bind(m, minor, err) < 0)
			return -1;
		if (minor < 45 && m->volume && !str_empty(m->volume->subpath)) /* without it all of the volume were there */
			return err_set(err, ERR_INVALID, "VolumeOptions.Subpath needs API v1.45 or newer");
		if (minor < 48 && streq(type, "image"))
			return err_set(err, ERR_INVALID, "Mount type \"Image\" needs API v1.48 or newer");
	}
	return 0;
}

/* One network, whose address stood with Config: what a client got from inspect may come back in its endpoint. */
static int networks_before_44(struct create_body *b, struct err *err)
{
	OWN_JSON json_t *js = b->networking ? json_read(b->networking, strlen(b->networking), NULL) : NULL;
	json_t *all = json_object_get(js, "EndpointsConfig"), *item;
	OWN_STRV struct strv names = { 0 };
	OWN_FREE char *text = NULL;
	const char *key;

	json_object_foreach(all, key, item) {
		strv_add(&names, key);
		json_object_del(item, "MacAddress");
	}
	text = strv_join(&names, ", ");
	if (names.len > 1)
		return err_set(err, ERR_INVALID, "Container cannot be connected to network endpoints: %.512s", text);
	if (names.len) {
		free(b->networking);
		b->networking = json_dumps(js, JSON_COMPACT);
	}
	return 0;
}

int create_body_since(struct create_body *b, int minor, struct strv *warnings, struct err *err)
{
	b->host.first_level = minor < 44;
	if (minor < 44 && b->config.healthcheck)
		b->config.healthcheck->start_interval = 0;
	if (minor < 41 && str_empty(b->host.cgroupns_mode) && !cgroup_is_v2())
		str_set(&b->host.cgroupns_mode, "host");
	if (minor < 40 && str_empty(b->host.ipc_mode))
		str_set(&b->host.ipc_mode, "shareable"); /* whatever --default-ipc-mode says: others join without a word about it */
	if (minor < 44 && networks_before_44(b, err) < 0)
		return -1;
	if (minor >= 44 && !str_empty(b->config.mac_address))
		strv_add(warnings, "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.");
	return mounts_since(&b->host, minor, err);
}
