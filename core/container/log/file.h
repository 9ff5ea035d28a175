/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of the logs of json-file and local, rotated and compressed ones included. Belongs to one thread. */
#ifndef CONTAINER_LOGFILE_H
#define CONTAINER_LOGFILE_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define LOG_LINE_MAX (1u << 20) /* a longer line is no log line: skipped */

struct log_line {
	char *text;          /* with its line feed, if it had one */
	size_t size;
	bool from_stderr;
	bool partial;        /* one of the pieces of a line; only local tells */
	int64_t time;        /* ns */
	struct strmap attrs;
};
void log_line_done(struct log_line *l);
/* One line of the file, without its line feed; false when it is none. */
bool log_line_parse(const char *s, size_t size, struct log_line *ret);

/* The whole record (length, message, length) at the front of that: its size and its message; 0: more is needed; -1: there is none. */
ssize_t loglocal_frame(const char *s, size_t size, const char **ret, size_t *ret_size);
/* The message of a record of local; false when it is none. */
bool loglocal_parse(const char *s, size_t size, struct log_line *ret);

enum log_format { LOG_JSON, LOG_LOCAL };

struct logfile;
/* The files path.N[.gz] ... path.1[.gz], path that exist now, oldest first; starts tail records before the end (-1: at the
 * beginning). */
struct logfile *logfile_open(const char *path, enum log_format format, int64_t tail);
void logfile_free(struct logfile *f);
static inline void logfile_freep(struct logfile **f) { logfile_free(*f); }
/* 1: the next whole record, valid until the next call; 0: nothing more for now (call again later to follow, also through
 * rotation). */
int logfile_next(struct logfile *f, const char **ret, size_t *ret_size);
/* Where what comes next begins, and the time of what came last. */
struct log_place { uint64_t inode; int64_t offset, time; };
void logfile_tell(const struct logfile *f, struct log_place *ret);
/* Goes on from there; false when that place is not to be found, and nothing was changed. */
bool logfile_seek(struct logfile *f, const struct log_place *place);
/* What logfile_next() gave; false when it is no record. */
bool logfile_parse(const struct logfile *f, const char *s, size_t size, struct log_line *ret);

#endif
