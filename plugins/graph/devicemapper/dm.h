/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the driver devicemapper share: why something failed, and what the user asked for. */
#ifndef GRAPH_DM_H
#define GRAPH_DM_H

#include <dockerd/graph.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why an operation failed, until it is handed to the daemon. sys: errno behind it, or 0. */
struct dm_error {
	uint32_t class;
	int32_t sys;
	bool said; /* host->fail() was called already */
	char text[1024];
};
/* Sets it (the first one stays) and returns -1. */
__attribute__((format(printf, 4, 5)))
int dm_refuse(struct dm_error *e, uint32_t class, int32_t sys, const char *fmt, ...);
/* An error of errno, with a sentence. */
#define DM_FAIL(e, ...) dm_refuse((e), DKD_ERR_INTERNAL, errno, __VA_ARGS__)
/* Tells the daemon; returns -1. */
int32_t dm_tell(const struct dkd_host *host, const struct dkd_call *call, const struct dm_error *e);

/* Waits a moment, longer each time (*turn counts from 0). -1 with errno when it was tried for 20 s, or the call (may be NULL) ends. */
int dm_patience(const struct dkd_call *call, unsigned *turn);

/* An executable of that name is on PATH. */
bool dm_has_program(const char *name);

#endif
