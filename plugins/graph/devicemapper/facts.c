/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of "docker info", and GraphDriver.Data of "docker inspect". */
#include <errno.h>

#include "size.h"
#include "driver.h"

static void emit_size(dkd_emit_pair *emit, void *to, const char *key, uint64_t bytes)
{
	char text[SIZE_TEXT];

	emit(to, key, size_human(bytes, text));
}

static void emit_file(dkd_emit_pair *emit, void *to, const char *key, const char *path)
{
	if (*path)
		emit(to, key, path);
}

int32_t facts_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	struct store_device base = { 0 };
	struct dm_error e = { 0 };
	struct pool_space s;
	char text[64];

	(void)call;
	devices_find(&g->devices, STORE_BASE, &base, &e);
	if (pool_space(&g->pool, g->options.min_free, &s) < 0)
		dkd_logf(g->host, DKD_LOG_WARN, "read the status of %s: %s", g->pool.name, strerror(errno));
	emit(to, "Pool Name", g->pool.name);
	emit_size(emit, to, "Pool Blocksize", s.block);
	emit_size(emit, to, "Base Device Size", base.bytes);
	emit(to, "Backing Filesystem", g->devices.set.base_fs);
	emit(to, "Udev Sync Supported", g->udev ? "true" : "false");
	emit_file(emit, to, "Data file", g->pool.data_device);
	emit_file(emit, to, "Metadata file", g->pool.meta_device);
	emit_file(emit, to, "Data loop file", g->pool.data_file);
	emit_file(emit, to, "Metadata loop file", g->pool.meta_file);
	emit_size(emit, to, "Data Space Used", s.data_used);
	emit_size(emit, to, "Data Space Total", s.data_total);
	emit_size(emit, to, "Data Space Available", s.data_free);
	emit_size(emit, to, "Metadata Space Used", s.meta_used);
	emit_size(emit, to, "Metadata Space Total", s.meta_total);
	emit_size(emit, to, "Metadata Space Available", s.meta_free);
	emit_size(emit, to, "Thin Pool Minimum Free Space", s.min_free);
	emit(to, "Deferred Removal Enabled", g->options.deferred_removal ? "true" : "false");
	emit(to, "Deferred Deletion Enabled", g->options.deferred_deletion ? "true" : "false");
	snprintf(text, sizeof(text), "%u", devices_deleted(&g->devices));
	emit(to, "Deferred Deleted Device Count", text);
	thin_library_version(text, sizeof(text));
	emit(to, "Library Version", text);
	return 0;
}

int32_t facts_metadata(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to)
{
	char text[32], name[THIN_NAME_MAX];
	struct dm_error e = { 0 };
	struct store_device v;

	if (devices_find(&g->devices, id, &v, &e) < 0)
		return dm_tell(g->host, call, &e);
	snprintf(text, sizeof(text), "%u", v.id);
	emit(to, "DeviceId", text);
	devices_name(&g->devices, id, name);
	emit(to, "DeviceName", name);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)v.bytes);
	emit(to, "DeviceSize", text);
	return 0;
}
