/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/graph-choose.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "dockerd/graph.h"

/* Docker's order; vfs is the last resort. */
static const char *const priority[] = { "btrfs", "zfs", "overlay2", "fuse-overlayfs", "aufs", "overlay", "devicemapper", "vfs" };

static int use(const char *name, const char *data_root, const struct driver **ret, struct err *err);
static void find_prior(const char *data_root, struct strv *ret);
static bool has_data(const char *data_root, const char *name);
static void tell_others(const char *data_root, const char *name);

const struct driver *graph_choose(const char *want, const char *data_root, struct err *err)
{
	OWN_STRV struct strv prior = { 0 };
	const struct driver *d = NULL;

	if (!str_empty(want)) {
		if (strchr(want, '/') || *want == '.') { /* it becomes a folder's name */
			err_set(err, ERR_INVALID, "driver not supported: %s", want);
			return NULL;
		}
		if (use(want, data_root, &d, err) != 0 && err && err->class == ERR_NOT_FOUND)
			err_wrap(err, "driver not supported");
		/* by another name of the driver: what lies there is not its own */
		if (d && !streq(d->desc->name, want) && has_data(data_root, want))
			d = NULL, err_set(err, ERR_NOT_IMPLEMENTED, "%s holds data of the storage driver %s, which is not supported", data_root, want);
		if (d)
			tell_others(data_root, want);
		return d;
	}
	find_prior(data_root, &prior);
	if (prior.len > 1) {
		OWN_FREE char *names = strv_join(&prior, ", ");

		err_set(err, ERR_CONFLICT, "%s contains several valid graphdrivers: %s; Please cleanup or explicitly choose storage driver (-s <DRIVER>)",
			data_root, names);
		return NULL;
	}
	if (prior.len == 1) {
		if (use(prior.v[0], data_root, &d, err) != 0)
			err_wrap(err, "prior storage driver %s failed", prior.v[0]);
		else if (!streq(d->desc->name, prior.v[0]))
			d = NULL, err_set(err, ERR_NOT_IMPLEMENTED, "%s holds data of the storage driver %s, which is not supported", data_root, prior.v[0]);
		else
			log_info("[graphdriver] using prior storage driver: %s", prior.v[0]);
		return d;
	}
	for (size_t i = 0; i < ARRAY_LEN(priority); i++) {
		OWN_ERR struct err why = ERR_INIT;

		if (!driver_present(DKD_KIND_GRAPH, priority[i]))
			continue;
		int rc = use(priority[i], data_root, &d, &why);

		if (rc == 0)
			return d;
		if (rc == DKD_PROBE_BROKEN)
			return err_move(err, &why), NULL;
		log_debug("[graphdriver] %s: %s", priority[i], err_text(&why));
	}
	err_set(err, ERR_INTERNAL, "No supported storage backend found");
	return NULL;
}

/* Loads and probes. 0, or DKD_PROBE_NOT_HERE, or DKD_PROBE_BROKEN (also for a file that is refused) with err set. */
static int use(const char *name, const char *data_root, const struct driver **ret, struct err *err)
{
	const struct driver *d = driver_load(DKD_KIND_GRAPH, name, err);
	OWN_FREE char *root = NULL;
	const struct dkd_graph_ops *ops;
	struct driver_call c;
	int32_t rc;

	if (!d)
		return DKD_PROBE_BROKEN;
	ops = d->ops;
	if (ops->probe) {
		root = xasprintf("%s/%s", data_root, d->desc->provider ? name : d->desc->name);
		driver_call_begin(&c, d);
		rc = ops->probe(&c.abi, driver_host(d), root);
		if (driver_call_end(&c, rc == DKD_PROBE_MINE ? 0 : -1, err) < 0)
			return rc == DKD_PROBE_NOT_HERE ? DKD_PROBE_NOT_HERE : DKD_PROBE_BROKEN;
	}
	*ret = d;
	return 0;
}

static bool has_data(const char *data_root, const char *name)
{
	/* vfs keeps its layers one level further down, and the folder above may be there and mean nothing. */
	OWN_FREE char *path = xasprintf("%s/%s%s", data_root, name, streq(name, "vfs") ? "/dir" : "");
	OWN_DIR DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && !streq(e->d_name, "l"))
			return true;
	return false;
}

/* Names whose folder in data_root holds something. vfs counts only when nothing else does. */
static void find_prior(const char *data_root, struct strv *ret)
{
	struct driver_info *v;
	size_t n = driver_list(false, &v);

	for (size_t i = 0; i < ARRAY_LEN(priority); i++)
		if ((!streq(priority[i], "vfs") || !ret->len) && has_data(data_root, priority[i]))
			strv_add(ret, priority[i]);
	for (size_t i = 0; i < n; i++)
		if (streq(v[i].kind, "graph") && !streq(v[i].name, "vfs") && !strv_contains(ret, v[i].name) && has_data(data_root, v[i].name))
			strv_add(ret, v[i].name);
	driver_list_free(v, n);
}

/* Who names another driver than before would wonder where images and containers are. */
static void tell_others(const char *data_root, const char *name)
{
	OWN_STRV struct strv prior = { 0 };
	OWN_FREE char *names = NULL;

	find_prior(data_root, &prior);
	if (!prior.len || strv_contains(&prior, name) || has_data(data_root, name))
		return;
	names = strv_join(&prior, ", ");
	log_warn("%s holds layers of %s: what was made with them is not seen with the storage driver %s", data_root, names, name);
}
