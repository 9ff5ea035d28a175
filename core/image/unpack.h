/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one door through which archives come in: layers of images, files for containers, archives of images. What decompresses
 * and unpacks is a process of its own, dockerd-untar, started for each by the spawner and confined before it reads the first
 * byte (core/untar). The calling thread feeds it, sets the attributes it has no right to, and waits for its end: when a
 * function here returns, nobody writes to the tree any more. Thread-safe; no lock may be held,
 * and SIGPIPE must be ignored.
 */
#ifndef IMAGE_UNPACK_H
#define IMAGE_UNPACK_H

#include <stdint.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/spawner.h"
#include "base/stream.h"
#include "image/graph.h"

/*
 * Before threads: names the program, which is opened once, so that an upgrade never mixes two versions. Without this call
 * (unit tests) all happens in the calling process.
 */
int unpack_setup(struct spawner *s, const char *program, struct err *err);
void unpack_done(void);

/*
 * Unpacks a layer (plain, gzip or zstd: detected) into tree, and writes its tar-split.json.gz to split_fd. ret_diffid: the
 * digest of the plain archive; ret_size: bytes of its files. The caller removes the tree after a failure.
 */
int unpack_layer(struct reader *in, const struct graph_tree *tree, int split_fd, const struct cancel *c,
	char ret_diffid[DIGEST_TEXT], int64_t *ret_size, struct err *err);
struct untar_owner;
/*
 * Unpacks into the folder base ("/": itself) of rootfd, which links in it do not leave, by the flags of untar.h. owner (may
 * be NULL) takes the place of those in the archive.
 */
int unpack_files(struct reader *in, int rootfd, const char *base, unsigned flags, const struct untar_owner *owner,
	const struct idmaps *ids, struct err *err);
/*
 * A reader of the plain bytes of in, which stays the caller's and must outlive it. Reads the first bytes at once; what is
 * plain already takes no process. Free with reader_close().
 */
struct reader *unpack_plain(struct reader *in, const struct cancel *c, struct err *err);

#endif
