/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one door through which archives come onto disk: layers of images, and files for containers. Decompressing and
 * unpacking happen behind it. Thread-safe.
 */
#ifndef IMAGE_UNPACK_H
#define IMAGE_UNPACK_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/stream.h"
#include "image/graph.h"

/*
 * Unpacks a layer (plain, gzip or zstd: detected) into tree, and writes its tar-split.json.gz to split_fd. ret_diffid: the
 * digest of the plain archive; ret_size: bytes of its files. The caller removes the tree after a failure.
 */
int unpack_layer(struct reader *in, const struct graph_tree *tree, int split_fd, const struct cancel *c,
	char ret_diffid[DIGEST_TEXT], int64_t *ret_size, struct err *err);
/* Unpacks into the folder dirfd, by the flags of untar.h. */
int unpack_files(struct reader *in, int dirfd, unsigned flags, struct err *err);

#endif
