/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file from an address, as docker import has it: no registry, no credentials, nothing to check it against. */
#ifndef FETCH_DOWNLOAD_H
#define FETCH_DOWNLOAD_H

#include "fetch/client.h"

struct download {
	const char *url;
	int fd;                   /* written from its beginning */
	int64_t max;              /* bytes; more is NOSPACE */
	void (*at)(void *ctx, int64_t at, int64_t total); /* total: -1 when it is not known */
	void (*retry)(void *ctx, int seconds);
	void *ctx;
};

/* *ret_size: what it has. */
int download_get(struct client *c, const struct download *d, int64_t *ret_size, struct failure *f);

#endif
