/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One blob into a file: gone on with what is there, checked against its digest, tried again, taken from the next site. */
#ifndef FETCH_BLOB_H
#define FETCH_BLOB_H

#include "fetch/client.h"

struct blob {
	const char *repo, *digest;
	int64_t size;
	int fd;                   /* read and written; holds what came before */
	void (*at)(void *ctx, int64_t at);
	void (*retry)(void *ctx, int seconds);
	void *ctx;
};

/* -1: the file holds what may be gone on with, unless f->code is DIGEST or SIZE. */
int blob_get(struct client *c, const struct blob *b, struct failure *f);

#endif
