/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the reading of archives: where a sparse member has data, in the four formats that GNU tar has written ("Storing Sparse Files"
 * of its manual): type S, and PAX records of the versions 0.0, 0.1 and 1.0. Errors are ERR_INVALID.
 */
#ifndef BASE_TAR_SPARSE_H
#define BASE_TAR_SPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TAR_SPARSE_MAX (INT64_C(1) << 50) /* bytes of a file with its holes */
#define TAR_EXTENTS_MAX (1 << 18)         /* of one file */
#define TAR_SPARSE_FIELD 24               /* bytes of an extent in a header of type S: two numbers */
#define TAR_SPARSE_FIRST 4                /* extents in the header itself, */
#define TAR_SPARSE_MORE 21                /* and in each block that follows it */

struct tar_extent { int64_t offset, size; };

/* What is between the extents, and behind the last, is holes. */
struct tar_sparse {
	struct tar_extent *v;
	size_t len, room;
	int64_t real;    /* bytes of the file */
	int64_t pos;     /* of the reader, in the file */
	size_t at;       /* the extent that holds pos, or is the next one */
	bool odd;        /* records: an offset without its size yet */
	int64_t offset;  /* that one */
};

void tar_sparse_reset(struct tar_sparse *s); /* keeps the memory */
void tar_sparse_done(struct tar_sparse *s);

int tar_sparse_add(struct tar_sparse *s, int64_t offset, int64_t size, struct err *err);
/* n extents of a header of type S, or fewer, up to an empty one. */
int tar_sparse_fields(struct tar_sparse *s, const char *fields, size_t n, struct err *err);
/* The next decimal number of version 0.0 and 1.0: offsets and sizes in turn. */
int tar_sparse_number(struct tar_sparse *s, const char *text, bool is_size, struct err *err);
/* "OFFSET,SIZE,OFFSET,SIZE..." of version 0.1. */
int tar_sparse_map(struct tar_sparse *s, const char *text, struct err *err);
/* All is there, in order, inside of the file of real bytes, and as much as the archive holds. Sets the reader to the beginning. */
int tar_sparse_check(struct tar_sparse *s, int64_t real, int64_t stored, struct err *err);

/* At the reader's place: bytes of the hole there, or of data; 0 for neither. They are passed by raising pos. */
int64_t tar_sparse_hole(struct tar_sparse *s);
int64_t tar_sparse_data(struct tar_sparse *s);

#endif
