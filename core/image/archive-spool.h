/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Private to the archive loader: an archive read once, its regular members laid one after the other in one nameless
 * temporary file, found by name. Names never touch a file system. Not thread-safe.
 */
#ifndef IMAGE_ARCHIVE_SPOOL_H
#define IMAGE_ARCHIVE_SPOOL_H

#include "base/buf.h"
#include "base/cancel.h"
#include "base/str.h"
#include "base/stream.h"

struct spool;
struct spool_member {
	char *name;          /* normalised: no "./", no ".." */
	char *link;          /* symbolic or hard link: the member's name it leads to; else NULL */
	int64_t offset, size;
	const char *promise; /* blobs/sha256/HEX, not compared with its content yet: HEX; else NULL */
};

/*
 * Refuses names that leave the archive, names given twice, and blobs/sha256/ members that are not what they say: at once
 * up to SPOOL_CHECKED bytes; larger ones keep a promise, as whoever uses them may hash them anyway.
 */
#define SPOOL_CHECKED (1 << 20)
struct spool *spool_read(struct reader *in, const char *tmp_dir, const struct cancel *c, struct err *err);
void spool_free(struct spool *sp);
static inline void spool_freep(struct spool **sp) { if (*sp) spool_free(*sp); }
#define OWN_SPOOL __attribute__((cleanup(spool_freep)))

/* Through links that stay inside. NULL when there is no such file. */
const struct spool_member *spool_find(const struct spool *sp, const char *name);
/* The folders at the top that have something in them, by name. */
void spool_folders(const struct spool *sp, struct strv *ret);
/* The same as spool_find(), ERR_INVALID when absent. */
const struct spool_member *spool_need(const struct spool *sp, const char *name, struct err *err);
int spool_bytes(const struct spool *sp, const struct spool_member *m, size_t max, struct buf *ret, struct err *err);
/* Compares the member's content with its promise; without one all is well. */
int spool_check(const struct spool *sp, const struct spool_member *m, const struct cancel *c, struct err *err);
/* A reader of one member; the spool must outlive it. Free with reader_close(). */
struct reader *spool_reader(const struct spool *sp, const struct spool_member *m);

#endif
