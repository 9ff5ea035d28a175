/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of a container, written as Docker's json-file driver does: one JSON object a line, lines longer than 16 KiB in
 * parts, rotation by size. A disk that refuses never stops the container: what cannot be written is dropped.
 */
#ifndef SHIM_LOGGER_H
#define SHIM_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct logger;

/* attrs: JSON object text or NULL; max_size -1: unlimited. */
struct logger *logger_open(const char *path, int64_t max_size, int max_file, const char *attrs, struct err *err);
/* stream: 1 stdout, 2 stderr. Written out before it returns. */
void logger_write(struct logger *l, int stream, const char *data, size_t size);
/* The stream has ended: what is left of its last line is written. */
void logger_end(struct logger *l, int stream);
/* Gives its buffers back until they are needed again. */
void logger_trim(struct logger *l);
void logger_close(struct logger *l);

#endif
