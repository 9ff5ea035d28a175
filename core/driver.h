/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Driver loader: finds shared objects by name and kind, checks them, loads them under its lock when first needed, never
 * unloads. Search path: $(pkglibdir)/plugins, /usr/lib/dockerd/plugins, --plugin-dir; in each the kind's subfolder, then
 * the folder itself. The public ABI is plugins/include/dockerd/driver.h.
 */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/str.h"
#include "dockerd/driver.h"

struct driver {
	const struct dkd_driver *desc;
	void *ops;        /* zeroed table of the loader's size, the driver's ops copied in */
	char *path;
	/* The loader's own. */
	const char *kind;
	struct dkd_host host;
	struct lock lock; /* busy: a serial driver works */
	pthread_cond_t free;
	bool busy;
};

/*
 * Once, before anything loads. dirs: --plugin-dir, after the built-in ones; each absolute. options: the INI file's
 * sections for drivers, as "kind.name.key" (both may be NULL). A program run from its build tree (config.status beside
 * it) has that tree's drivers for built-in ones.
 */
int driver_init(const struct strv *dirs, const struct strmap *options, struct err *err);
/* The same with dirs for the whole search path. For tests. */
int driver_init_only(const struct strv *dirs, const struct strmap *options, struct err *err);
/* New values of the same options (reload); values handed out before stay valid. */
void driver_set_options(const struct strmap *options);
/* The folder that the daemon's own plugins are named in: the option "managed" of providers. Once, before anything loads. */
void driver_set_managed(const char *dir);
/* The daemon's id maps, for host->idmaps(). Kept by reference; NULL for none. */
void driver_set_idmaps(const struct dkd_idmaps *maps);
/* Who runs programs for drivers, by host->run(). NULL: nobody does. */
struct spawner;
void driver_set_spawner(struct spawner *s);
/* The host table's run(). */
int32_t driver_run(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, dkd_emit *emit, void *to);
/* Those of the data-root (base/idmap.h) are the daemon's. Before threads. */
void driver_set_root_idmaps(void);
/* A list for drivers, owned by the caller. */
struct idmap_list;
struct dkd_idmap *driver_idmap(const struct idmap_list *l, uint32_t *ret_len);

/*
 * Loads (once) and returns it. ERR_NOT_FOUND, or the one sentence why it was refused (ERR_INVALID). An alias is looked
 * for only in files whose name begins it (nfs.so may answer to nfs4), so that a wrong name loads nothing else.
 */
const struct driver *driver_load(uint32_t kind, const char *name, struct err *err);
/* The driver that is that file, of whatever kind and name. */
const struct driver *driver_load_file(const char *file, struct err *err);
/* Is there a file for that name? Loads nothing. */
bool driver_present(uint32_t kind, const char *name);
/* "graph", "net", ...; NULL for an unknown number. */
const char *driver_kind_name(uint32_t kind);

#define DRIVER_PROVIDER_STEM "remote" /* what the names of providers' files begin with */
/* Names of those that providers of a kind have now, each once. Asks no instance. */
void driver_provided(uint32_t kind, struct strv *ret);

/* Every candidate found on the search path, loaded or not, for --list-drivers, info and /plugins. */
struct driver_info { char *name, *kind, *version, *abi, *path, *state; /* "usable" or why not */ bool loaded, shadowed; };
size_t driver_list(bool open_all, struct driver_info **ret);
void driver_list_free(struct driver_info *v, size_t n);
/* The host table handed to a driver's open(). */
const struct dkd_host *driver_host(const struct driver *d);
void driver_host_init(struct driver *d);
/* Is that its name, or one of its aliases? */
bool driver_answers_to(const struct dkd_driver *d, const char *name, size_t len);

/*
 * A call of one of a driver's functions: &c.abi is its first argument, and what it says through host->fail() lands here.
 * Deadline, cancel fd (else that of driver_give_up()) and request id are set by the caller between begin and the call. begin asserts that no lock is held
 * and waits for its turn where the driver's thread model is serial; every begin needs its end.
 */
struct driver_call {
	struct dkd_call abi;
	struct err failed;
	const struct driver *driver;
	const char *before; /* driver-crash.h */
};
void driver_call_begin(struct driver_call *c, const struct driver *d);
/* Returns rc; when that is negative err is set, with a sentence of its own if the driver gave none. */
int driver_call_end(struct driver_call *c, int32_t rc, struct err *err);
/* While on, calls find their callers gone, unless they were given another cancel fd. At the daemon's end, so that no request waits for a driver that hangs. */
void driver_give_up(bool on);

#endif
