/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tar streams, in and out: ustar, GNU long names and base-256 numbers, PAX records (path, linkpath, size, uid, gid, uname,
 * gname, mtime, atime, SCHILY.xattr.*), sparse files of GNU tar. Everything in an archive is hostile: headers are capped,
 * time and memory are bounded by the stream's length and a constant. Not thread-safe.
 */
#ifndef BASE_TAR_H
#define BASE_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "base/stream.h"

#define TAR_BLOCK 512
#define TAR_NAME_MAX 4095               /* bytes of a member's or link's name */
#define TAR_META_MAX (1024 * 1024)      /* bytes of one extended header */
#define TAR_METAS_MAX 8                 /* extended headers before one member */
#define TAR_TRAILER_MAX (64 * 1024 * 1024) /* bytes behind the end mark */

enum tar_type {
	TAR_FILE = '0',
	TAR_HARDLINK = '1',
	TAR_SYMLINK = '2',
	TAR_CHARDEV = '3',
	TAR_BLOCKDEV = '4',
	TAR_DIR = '5',
	TAR_FIFO = '6',
};

struct tar_xattr { const char *name, *value; size_t size; };

struct tar_entry {
	enum tar_type type;
	const char *name, *link;      /* as the archive spells them, never NULL */
	const char *uname, *gname;
	uint32_t mode;                /* permission bits, 07777 */
	uint32_t uid, gid, major, minor;
	int64_t size;                 /* payload bytes, with its holes; 0 for all but files */
	bool sparse;                  /* its payload has holes that the archive does not hold (reading only) */
	struct timespec mtime, atime; /* tv_nsec UTIME_OMIT: not given */
	const struct tar_xattr *xattrs;
	size_t xattrs_len;
};

/* Sees every byte of the stream in order; either function may fail with err set. */
struct tar_tap {
	int (*meta)(struct tar_tap *t, const void *data, size_t size, struct err *err);  /* headers, padding, what follows the end mark */
	int (*entry)(struct tar_tap *t, const struct tar_entry *e, struct err *err);     /* behind the member's last header byte */
	int (*data)(struct tar_tap *t, const void *data, size_t size, struct err *err);  /* payload, without its holes */
	int (*entry_end)(struct tar_tap *t, struct err *err);                            /* behind the last payload byte */
};

struct tar_reader;
/* in stays the caller's. tap may be NULL. */
struct tar_reader *tar_reader_new(struct reader *in, struct tar_tap *tap);
void tar_reader_free(struct tar_reader *r);
static inline void tar_reader_freep(struct tar_reader **r) { if (*r) tar_reader_free(*r); }
#define OWN_TAR_READER __attribute__((cleanup(tar_reader_freep)))

/* 1: the next member, valid until the following call; 0: end mark or end of stream; -1. Skips what is left of a payload. */
int tar_next(struct tar_reader *r, const struct tar_entry **ret, struct err *err);
/* The next piece of the payload in place, valid until the following call: its size, 0 at the payload's end, -1. */
ssize_t tar_data(struct tar_reader *r, const void **ret, struct err *err);
/* Passes a hole that comes next: its bytes, or 0. Who does not ask for holes gets their zeros from the two others. */
int64_t tar_hole(struct tar_reader *r);
/* The same, copied: at most size bytes. */
ssize_t tar_read(struct tar_reader *r, void *data, size_t size, struct err *err);
/* The payload as a reader (owned by r, valid until the next tar_next). */
struct reader *tar_payload(struct tar_reader *r);
/* After tar_next gave 0: reads what follows the end mark, to the end of the stream. */
int tar_drain(struct tar_reader *r, struct err *err);

struct tar_writer {
	struct writer *out;
	int64_t left;   /* payload bytes still to come */
	uint32_t pad;   /* zeros behind them */
};
void tar_writer_init(struct tar_writer *w, struct writer *out);
/* ustar where it fits, PAX records in front where it does not. A payload of e->size bytes must follow (files only). */
int tar_write_header(struct tar_writer *w, const struct tar_entry *e, struct err *err);
/* Pads by itself behind the last byte. */
int tar_write_data(struct tar_writer *w, const void *data, size_t size, struct err *err);
/* A whole regular file of mode 0644 or a directory (name ends in "/") of mode 0755. */
int tar_write_file(struct tar_writer *w, const char *name, const void *data, size_t size, int64_t mtime, struct err *err);
int tar_write_end(struct tar_writer *w, struct err *err);

#endif
