/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Driver loader: finds shared objects by name and kind, checks them, loads them under its lock when first needed, never
 * unloads. Search path: $(pkglibdir)/plugins, /usr/lib/dockerd/plugins, --plugin-dir; in each the folder and its kind's
 * subfolder. The public ABI is plugins/include/dockerd/driver.h.
 */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "dockerd/driver.h"

struct driver {
	const struct dkd_driver *desc;
	void *ops;        /* zeroed table of the loader's size, the driver's ops copied in */
	char *path;
};

/* Once, before anything loads. dirs: --plugin-dir, after the built-in ones. options: "[kind.name]" sections of the INI file. */
int driver_init(const struct strv *dirs, const struct strmap *options, struct err *err);
/* Loads (once) and returns it. ERR_NOT_FOUND, or the one sentence why it was refused. */
const struct driver *driver_load(uint32_t kind, const char *name, struct err *err);
/* Every candidate found on the search path, loaded or not, for --list-drivers, info and /plugins. */
struct driver_info { char *name, *kind, *version, *abi, *path, *state; /* "usable" or why not */ bool loaded; };
size_t driver_list(bool open_all, struct driver_info **ret);
void driver_list_free(struct driver_info *v, size_t n);
/* The host table handed to a driver's open(). */
const struct dkd_host *driver_host(const struct driver *d);

#endif
