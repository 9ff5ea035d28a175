/* SPDX-License-Identifier: MIT */
/*
 * Log drivers: hand a container's output on to where logs are kept.
 *
 * Changes
 *   1.0  first version.
 *
 * The output is on disk before a driver sees it. The daemon reads it from there and offers it, in order, at the driver's pace:
 * what a driver does not take is offered again, also by the next daemon. After a crash of the daemon some records may come
 * twice. A container never waits for a driver; of one that is too slow for too long the oldest records are lost.
 */
#ifndef DOCKERD_LOG_H
#define DOCKERD_LOG_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_LOG_MAJOR UINT32_C(1)
#define DKD_LOG_MINOR UINT32_C(0)

/* The driver's own: the driver, and one container's log. */
struct dkd_log;
struct dkd_log_stream;

struct dkd_log_open {
	uint32_t size;
	uint32_t flags;       /* none yet */
	const char *instance; /* of a provider */
};

/* A container whose output comes. */
struct dkd_log_subject {
	uint32_t size;
	uint32_t options_len;
	const struct dkd_pair *options; /* as check() saw them */
	const char *id;
	const char *name;               /* without "/" */
	const char *image_id;           /* "sha256:..." */
	const char *image_name;
	const char *command;
	const char *tag;                /* the option of that name, evaluated; never empty */
	const struct dkd_pair *attrs;   /* labels and variables that the options chose */
	uint32_t attrs_len;
	uint32_t pad;
	int64_t created;                /* ns since 1970 */
	const struct dkd_pair *labels;  /* all of the container's */
	const struct dkd_pair *env;     /* all of its variables */
	const char *const *argv;        /* its program and the program's arguments */
	uint32_t labels_len;
	uint32_t env_len;
	uint32_t argv_len;
	uint32_t pad2;
};

#define DKD_LOG_STDERR  UINT32_C(1) /* else stdout */
#define DKD_LOG_PARTIAL UINT32_C(2) /* one of the pieces of a line that is longer than 16 KiB */
#define DKD_LOG_LAST    UINT32_C(4) /* ... the one that ends it */

struct dkd_log_record {
	uint32_t size;
	uint32_t flags;      /* DKD_LOG_STDERR, ... */
	int64_t time;        /* ns since 1970 */
	const char *text;    /* any bytes, without the line feed */
	uint64_t text_size;
};

/* One of the logs that a container has at the same time, and the options that are its own. */
typedef int32_t dkd_emit_log(void *to, const char *driver, const struct dkd_pair *options, uint32_t options_len);

struct dkd_log_ops {
	/* Optional; also asked before a container starts, which DKD_PROBE_MINE alone allows. root is NULL. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_log_open *open, struct dkd_log **ret);
	/* Optional. */
	void (*close)(struct dkd_log *l);

	/*
	 * Are these options ones to create a container with? Quick: connects to nothing. mode, max-buffer-size and those that begin
	 * with "cache-" are the daemon's and not among them; tag, labels, labels-regex, env and env-regex are, and are its work, too.
	 */
	int32_t (*check)(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len);
	/* Connects to nothing: write() does. A container that a new daemon finds running begins here, too, wherever its server is. */
	int32_t (*start)(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret);
	/* Nothing is waited for. */
	void (*stop)(struct dkd_log_stream *s);
	/*
	 * *taken: how many of the records are done with, from the first on; also where it fails. One that can never be handed on
	 * is done with. What is left is offered again, a while later if this failed.
	 */
	int32_t (*write)(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken);
	/*
	 * Optional, of a driver that has no log of its own: which drivers a container with these options has instead, no name twice.
	 * The same options always give the same. Each is checked and runs as if it were the only one, at its own pace; json-file and
	 * local are the daemon's own, of which there can be one. start(), stop() and write() of a driver that has this are not called.
	 */
	int32_t (*parts)(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len,
		dkd_emit_log *emit, void *to);
};

#ifdef __cplusplus
}
#endif

#endif
