/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the process that unpacks does with its stream. Also run in place where there is no such process (unit tests, fuzzers). */
#ifndef IMAGE_UNTAR_WORK_H
#define IMAGE_UNTAR_WORK_H

#include "base/cancel.h"
#include "base/digest.h"
#include "image/untar.h"

struct untar_work {
	const struct cancel *cancel;
	struct untar_host *host;
	const struct idmaps *ids;    /* of untar_opts */
	bool hash;                   /* fill digest: what is plain can be hashed by whoever sends it */
	char digest[DIGEST_TEXT];    /* of the plain archive */
	int64_t size;                /* of what was written */
};

/* A layer from in (plain, gzip, zstd) into the tree rootfd, its tar-split.json.gz into split_fd; reads in to its end. */
int untar_work_layer(struct untar_work *w, struct reader *in, int rootfd, enum graph_whiteout whiteout, int split_fd, struct err *err);
/*
 * Files from in into the folder base (clean; "": itself) of rootfd, as flags and owner (may be NULL) say; what follows the
 * end mark stays unread.
 */
int untar_work_files(struct untar_work *w, struct reader *in, int rootfd, const char *base, unsigned flags,
	const struct untar_owner *owner, struct err *err);
/* The plain bytes of in to out. */
int untar_work_plain(struct reader *in, struct writer *out, struct err *err);

#endif
