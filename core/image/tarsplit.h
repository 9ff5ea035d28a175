/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tar-split: what an archive holds beside the content of its files, so that the very same bytes can be put together again
 * from the extracted tree. One JSON object a line, as Docker's layerdb keeps it in tar-split.json.gz:
 *   {"type":2,"payload":BASE64,"position":N}                 bytes as they are (headers, padding)
 *   {"type":1,"name":NAME,"size":N,"payload":CRC64,"position":N}  the content of a file
 */
#ifndef IMAGE_TARSPLIT_H
#define IMAGE_TARSPLIT_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/stream.h"
#include "base/tar.h"

struct tarsplit;
/*
 * Writes the lines to out while a tar_reader runs with tarsplit_tap(). With layer true, content of members named .wh.* is
 * kept in the lines, since it is not extracted; so is that of sparse files, whose bytes in the archive are not the file's. out stays the caller's.
 */
struct tarsplit *tarsplit_new(struct writer *out, bool layer);
struct tar_tap *tarsplit_tap(struct tarsplit *t);
/* After tar_drain(): the last line. */
int tarsplit_end(struct tarsplit *t, struct err *err);
void tarsplit_free(struct tarsplit *t);
static inline void tarsplit_freep(struct tarsplit **t) { if (*t) tarsplit_free(*t); }

/* The archive again: lines from json (plain text), content from the tree at rootfd, whose checksums must hold. */
int tarsplit_assemble(struct reader *json, int rootfd, struct writer *out, const struct cancel *c, struct err *err);
/* How many bytes that gives, from the lines alone; -1. */
int64_t tarsplit_size(struct reader *json, struct err *err);

/* The bytes of the files alone; -1. */
int64_t tarsplit_content_size(struct reader *json, struct err *err);

#endif
