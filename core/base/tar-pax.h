/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the reading of archives: numbers of headers, and what extended headers say of the member behind them. Errors are ERR_INVALID with Docker's texts. */
#ifndef BASE_TAR_PAX_H
#define BASE_TAR_PAX_H

#include <stdint.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/tar-sparse.h"
#include "base/tar.h"

/* Texts point into .text; NULL: not said, so what the plain header says. */
struct tar_pax {
	struct buf text; /* the records, cut up in place */
	const char *path, *linkpath, *uname, *gname, *size, *uid, *gid, *mtime, *atime;
	struct tar_xattr *xattrs; /* allocated at the first */
	size_t xattrs_len;
	const char *sparse_major, *sparse_minor, *sparse_name, *sparse_size, *sparse_realsize, *sparse_map, *sparse_blocks;
	struct tar_sparse sparse; /* what version 0.0 has in records; the member's own map in the end */
};

int tar_invalid(struct err *err, const char *what); /* sets err; -1 */
/* A header's field: octal text, or base-256 with the top bit set. */
int tar_number(const char *field, size_t size, int64_t *ret, struct err *err);

void tar_pax_done(struct tar_pax *p);
void tar_pax_reset(struct tar_pax *p); /* for the next member; keeps the memory */
/* The records in p->text: "SIZE KEY=VALUE\n", SIZE counting all of it. Later ones count. */
int tar_pax_parse(struct tar_pax *p, struct err *err);

/* A record's value into *ret, which stays as it is for NULL. */
int tar_pax_number(const char *text, int64_t *ret, struct err *err);
/* "[-]SECONDS[.FRACTION]"; digits past the nanosecond are cut. */
int tar_pax_time(const char *text, struct timespec *ret, struct err *err);

#endif
