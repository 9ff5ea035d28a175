/* SPDX-License-Identifier: MIT */
/*
 * dockerd driver ABI: what every kind of driver shares. The tables of each kind stand in graph.h, net.h, volume.h, authz.h, log.h, ipam.h.
 *
 * Changes
 *   1.0  first version: a daemon takes drivers of every minor of its major.
 *
 * A driver is one shared object NAME.so that exports one function, dkd_driver_entry(), and links to nothing of the
 * daemon's. The function returns a descriptor that lives as long as the process. All that a driver asks of the daemon
 * comes through the host table that its open() gets.
 *
 * Rules, for both sides:
 *  - A function returns 0 (or what its comment says) or -1. Before it returns -1 a driver calls host->fail() once, with
 *    the call that it was given.
 *  - Strings are NUL-terminated and belong to who made them; they are valid until the function returns (those handed to
 *    a driver) or until the callback returns (those handed to an emit callback). Nobody frees the other side's memory.
 *  - Structs begin with their size. Who reads one looks only at members that lie inside that size; who fills one in that
 *    the other side passed stays inside it. Tables and structs grow at the end, nothing is taken out or moved.
 *  - A member that is NULL or 0 means "not given" unless its comment says something else.
 *  - An emit callback returns 0, or another number when it wants no more; the driver then stops emitting and returns 0.
 *  - A driver may be called from any thread (see thread models), never after fork(), and is never unloaded.
 *  - A driver leaves the process alone: no fork() (see run() of the host table), no signals handled, no exit(), no chdir(), no
 *    umask(), no setlocale(), all descriptors close-on-exec.
 */
#ifndef DOCKERD_DRIVER_H
#define DOCKERD_DRIVER_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_MAGIC UINT32_C(0x31444b44) /* "DKD1" */

/* Kinds of drivers. The ABI version of each is in its header. */
#define DKD_KIND_GRAPH  UINT32_C(1)
#define DKD_KIND_NET    UINT32_C(2)
#define DKD_KIND_VOLUME UINT32_C(3)
#define DKD_KIND_AUTHZ  UINT32_C(4)
#define DKD_KIND_LOG    UINT32_C(5)
#define DKD_KIND_IPAM   UINT32_C(6)

/* Thread models: which of a driver's functions may run at the same time. */
#define DKD_THREADS_PARALLEL UINT32_C(0) /* any */
#define DKD_THREADS_OBJECT   UINT32_C(1) /* not two on the same layer, network, volume or request */
#define DKD_THREADS_SERIAL   UINT32_C(2) /* one at a time in the whole driver */

/* Classes of errors: what the client is told (HTTP status in brackets). */
#define DKD_ERR_INTERNAL        UINT32_C(1) /* [500] */
#define DKD_ERR_INVALID         UINT32_C(2) /* [400] the request makes no sense */
#define DKD_ERR_NOT_FOUND       UINT32_C(3) /* [404] */
#define DKD_ERR_CONFLICT        UINT32_C(4) /* [409] exists already, in use */
#define DKD_ERR_FORBIDDEN       UINT32_C(5) /* [403] */
#define DKD_ERR_NOT_IMPLEMENTED UINT32_C(6) /* [501] this driver does not do that */
#define DKD_ERR_UNAVAILABLE     UINT32_C(7) /* [503] try again later */
#define DKD_ERR_NO_SPACE        UINT32_C(8) /* [507] */
#define DKD_ERR_CANCELLED       UINT32_C(9) /* cancelled, or the deadline passed */

/* Levels of log lines. */
#define DKD_LOG_ERROR UINT32_C(1)
#define DKD_LOG_WARN  UINT32_C(2)
#define DKD_LOG_INFO  UINT32_C(3)
#define DKD_LOG_DEBUG UINT32_C(4)

/* Answers of probe(). For the last two the reason goes to host->fail() first. */
#define DKD_PROBE_MINE     0 /* works here */
#define DKD_PROBE_NOT_HERE 1 /* not on this machine or file system: try the next driver */
#define DKD_PROBE_BROKEN (-1) /* there is something of this driver's, and it cannot be used: stop and say so */

/* One call of one function. It may be copied (to shorten the deadline, say); it is not kept after the function returned. */
struct dkd_call {
	uint32_t size;
	uint32_t flags;         /* none yet */
	int64_t deadline;       /* CLOCK_MONOTONIC in ns; 0: none. Whoever waits for something ends with DKD_ERR_CANCELLED then */
	int32_t cancel_fd;      /* readable, or hung up: the caller is gone, give up. -1: none. Poll it, never read it */
	int32_t pad;
	const char *request_id; /* for log lines; may be NULL */
	void *opaque;           /* the daemon's */
};

struct dkd_pair {
	const char *key;
	const char *value;
};

/* count ids from inside on (as a container sees them) are the ids from outside on (as the host sees them). */
struct dkd_idmap {
	uint32_t inside;
	uint32_t outside;
	uint32_t count;
};
struct dkd_idmaps {
	uint32_t size;
	uint32_t uids_len;
	uint32_t gids_len;
	uint32_t pad;
	const struct dkd_idmap *uids;
	const struct dkd_idmap *gids;
};

typedef int32_t dkd_emit(void *to, const char *text);
typedef int32_t dkd_emit_pair(void *to, const char *key, const char *value);

/*
 * What the daemon does for a driver. The table stays until close(), every function may be called from any thread, and
 * each takes the table itself as its first argument.
 */
struct dkd_host {
	uint32_t size;
	uint32_t pad;
	const char *daemon_version;
	/* One line for the daemon's log; the driver's name is put before it. */
	void (*log)(const struct dkd_host *host, uint32_t level, const char *text);
	/* Why this call fails: class, errno behind it or 0, a sentence without a full stop. Returns -1, for "return host->fail(...)". */
	int32_t (*fail)(const struct dkd_host *host, const struct dkd_call *call, uint32_t err_class, int32_t sys, const char *text);
	/* The driver's own section of the configuration, "[kind.name]": one value, or NULL. */
	const char *(*option)(const struct dkd_host *host, const char *key);
	/* Every key and value of it. */
	int32_t (*each_option)(const struct dkd_host *host, dkd_emit_pair *emit, void *to);
	/* The daemon's own id maps (userns-remap), or NULL: ids are the host's. */
	const struct dkd_idmaps *(*idmaps)(const struct dkd_host *host);
	/*
	 * Runs a program to its end, with the daemon's environment and nothing to read: argv[0] is its absolute path, or a name that is
	 * looked for in PATH; NULL ends the list. What it printed, on stdout and stderr together, is emitted once, as one text, when
	 * emit is given. The program is killed when the call's deadline passes or its caller goes. Returns the exit status, 128 + N when
	 * signal N ended it; -1 after a fail() for that call, DKD_ERR_NOT_FOUND when there is no such program.
	 */
	int32_t (*run)(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, dkd_emit *emit, void *to);
};

/*
 * A provider is a driver that stands for many, known by name only at run time (the sockets in a folder, say). Its open
 * struct then carries the instance's name.
 */
struct dkd_provider {
	uint32_t size;
	uint32_t pad;
	/* Every instance that is there now; more may come later. */
	int32_t (*each)(const struct dkd_call *call, const struct dkd_host *host, dkd_emit *emit, void *to);
	/* 1 when there is an instance of that name now, 0 when not. */
	int32_t (*has)(const struct dkd_call *call, const struct dkd_host *host, const char *name);
};

/* The descriptor. Its shape never changes. */
struct dkd_driver {
	uint32_t magic;        /* DKD_MAGIC */
	uint32_t kind;
	uint32_t abi_major;    /* of the kind: DKD_GRAPH_MAJOR, ... */
	uint32_t abi_minor;
	uint32_t ops_size;     /* sizeof() of the ops table below */
	uint32_t thread_model;
	uint64_t features;     /* of the kind */
	const char *name;      /* [a-z0-9_-]+; what users write and state on disk is named after */
	const char *aliases;   /* other names, with spaces between; NULL for none. The file is named after one of all these */
	const char *version;   /* of the driver */
	const void *ops;       /* struct dkd_graph_ops, ... */
	const struct dkd_provider *provider; /* NULL: a driver of its own */
};

#if defined(__GNUC__)
#define DKD_EXPORT __attribute__((visibility("default")))
#else
#define DKD_EXPORT
#endif

/* The one exported symbol. */
DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void);

/* The value of a key, "" for one without, NULL for none. */
#if defined(__GNUC__)
__attribute__((unused))
#endif
static const char *dkd_pair_get(const struct dkd_pair *v, uint32_t len, const char *key)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		if (strcmp(v[i].key, key) == 0)
			return v[i].value ? v[i].value : "";
	return NULL;
}

/* host->fail() with a format. */
#if defined(__GNUC__)
__attribute__((format(printf, 5, 6), unused))
#endif
static int32_t dkd_failf(const struct dkd_host *host, const struct dkd_call *call, uint32_t err_class, int32_t sys, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return host->fail(host, call, err_class, sys, text);
}

/* host->log() with a format. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), unused))
#endif
static void dkd_logf(const struct dkd_host *host, uint32_t level, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	host->log(host, level, text);
}

#ifdef __cplusplus
}
#endif

#endif
