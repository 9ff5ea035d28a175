/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overlay2: overlays of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "dir.h"
#include "overlay-links.h"
#include "size.h"

/* Options */

static bool is_bool(const char *s)
{
	static const char *const words[] = { "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(s, words[i]) == 0)
			return true;
	return false;
}

static int32_t option(const struct dkd_call *call, struct dkd_graph *g, const char *full, const char *value)
{
	const char *key = strncasecmp(full, "overlay2.", 9) == 0 ? full + 9 : "";

	if (strcasecmp(key, "override_kernel_check") == 0) {
		if (!is_bool(value))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "strconv.ParseBool: parsing \"%s\": invalid syntax", value);
		g->host->log(g->host, DKD_LOG_WARN, "the option overlay2.override_kernel_check has no effect: what the kernel can do is tried out");
	} else if (strcasecmp(key, "size") == 0) {
		if (!size_parse(value, &g->size))
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "invalid size: '%s'", value);
		if (strcmp(g->fs_name, "xfs") != 0)
			return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Storage Option overlay2.size only supported for backingFS XFS. Found %s", g->fs_name);
	} else {
		return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "overlay2: unknown option %s", full);
	}
	return 0;
}

static int32_t opened(const struct dkd_call *call, struct dkd_graph *g)
{
	char device[PATH_MAX];

	if (g->facts.guessed)
		dkd_logf(g->host, DKD_LOG_WARN, "overlay2: nothing can be written in %s: what the kernel can do there is taken from its parameters", g->root);
	if (!g->facts.native_diff)
		dkd_logf(g->host, DKD_LOG_WARN, "Not using native diff for overlay2, this may cause degraded performance for building images: "
			"%s", g->facts.userxattr ? "running in a user namespace" : "the kernel follows redirects or copies metadata only");
	if (snprintf(device, sizeof(device), "%s/" QUOTA_DEVICE, g->root) >= (int)sizeof(device))
		return dkd_failf(g->host, call, DKD_ERR_INVALID, ENAMETOOLONG, "%s", g->root);
	if (strcmp(g->fs_name, "xfs") != 0 || quota_open(g->fd, device, QUOTA_LAYERS, &g->quota) == 0 || !g->size)
		return 0;
	return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "Storage option overlay2.size not supported. Filesystem does not support Project Quota: %s",
		strerror(errno));
}

static void status(const struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	emit(to, "Using metacopy", g->facts.metacopy ? "true" : "false");
	emit(to, "Native Overlay Diff", g->facts.native_diff ? "true" : "false");
	emit(to, "userxattr", g->facts.userxattr ? "true" : "false");
}

const struct overlay_flavour overlay_flavour = {
	.name = "overlay2", .idmaps = true, .here = overlay_kernel_here, .check = overlay_kernel_check, .option = option, .folders = overlay_folders, .opened = opened,
	.mount = overlay_kernel_mount, .status = status,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(overlay_ops), .thread_model = DKD_THREADS_OBJECT, .name = "overlay2", .version = PACKAGE_VERSION, .ops = &overlay_ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
