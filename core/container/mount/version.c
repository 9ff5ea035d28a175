/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a body means to clients of an older API: as in Docker, what came later is left out, or refused where that would mislead. */
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

		if (streq(type, "bind") && for_bind(m, minor, err) < 0)
			return -1;
		if (minor < 45 && m->volume && !str_empty(m->volume->subpath)) /* without it all of the volume were there */
			return err_set(err, ERR_INVALID, "VolumeOptions.Subpath needs API v1.45 or newer");
		if (minor < 48 && streq(type, "image"))
			return err_set(err, ERR_INVALID, "Mount type \"Image\" needs API v1.48 or newer");
	}
	return 0;
}

int create_body_since(struct create_body *b, int minor, struct err *err)
{
	b->host.first_level = minor < 44;
	if (minor < 44 && b->config.healthcheck)
		b->config.healthcheck->start_interval = 0;
	if (minor < 40 && str_empty(b->host.ipc_mode))
		str_set(&b->host.ipc_mode, "shareable"); /* whatever --default-ipc-mode says: others join without a word about it */
	return mounts_since(&b->host, minor, err);
}
