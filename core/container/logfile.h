/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading of json-file logs, rotated ones included. Belongs to one thread. */
#ifndef CONTAINER_LOGFILE_H
#define CONTAINER_LOGFILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define LOG_LINE_MAX (1u << 20) /* a longer line is no log line: skipped */

struct log_line {
	char *text;          /* with its line feed, if it had one */
	size_t size;
	bool from_stderr;
	int64_t time;        /* ns */
	struct strmap attrs;
};
void log_line_done(struct log_line *l);
/* One line of the file, without its line feed; false when it is none. */
bool log_line_parse(const char *s, size_t size, struct log_line *ret);

struct logfile;
/* The files path.N ... path.1, path that exist now, oldest first; starts tail lines before the end (-1: at the beginning). */
struct logfile *logfile_open(const char *path, int64_t tail, struct err *err);
void logfile_free(struct logfile *f);
static inline void logfile_freep(struct logfile **f) { logfile_free(*f); }
/* 1: the next whole line, valid until the next call; 0: nothing more for now (call again later to follow, also through rotation).
 */
int logfile_next(struct logfile *f, const char **ret, size_t *ret_size);

#endif
