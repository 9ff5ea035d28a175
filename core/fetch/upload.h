/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a push asks of a registry. All of it goes to the registry itself, never to a mirror or another host. */
#ifndef FETCH_UPLOAD_H
#define FETCH_UPLOAD_H

#include "fetch/client.h"

struct upload {
	const char *repo, *digest;
	int64_t size;
	int fd;
	void (*at)(void *ctx, int64_t at);
	void (*retry)(void *ctx, int seconds);
	void *ctx;
};

/* 1: the repository has it, *ret_size bytes; 0: not; -1. */
int upload_have(struct client *c, const char *repo, const char *digest, int64_t *ret_size, struct failure *f);
/* The same blob of another repository there: 1, or 0 where the registry does not. */
int upload_mount(struct client *c, const char *repo, const char *digest, const char *from, struct failure *f);
/* After a break the registry is asked how much it has, and gets the rest. */
int upload_blob(struct client *c, const struct upload *u, struct failure *f);
int upload_manifest(struct client *c, const char *repo, const char *ref, const char *type, int fd, int64_t size, struct failure *f);

#endif
