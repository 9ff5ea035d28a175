/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log of a container, written as Docker's drivers json-file and local do: lines longer than 16 KiB in parts, rotation by
 * size and age, rotated files compressed. A disk that refuses never stops the container: what cannot be written is dropped. One
 * that is slow stops it (while a record is written) unless there is a buffer: then a thread writes, and what the buffer has no
 * room for is dropped, and counted in the log.
 */
#ifndef SHIM_LOGGER_H
#define SHIM_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct logger_config {
	const char *path;
	bool local;          /* the format of local, not of json-file */
	int64_t max_size;    /* bytes; -1 unlimited */
	int max_file;
	int64_t max_age;     /* ns; 0: records may grow old */
	bool compress;
	const char *attrs;   /* JSON object text for each line of json-file, or NULL */
	int64_t buffer;      /* bytes; 0: the writer waits for the disk */
};

struct logger;
struct logger *logger_open(const struct logger_config *cfg, struct err *err);
/* stream: 1 stdout, 2 stderr. Without a buffer it is written when this returns. */
void logger_write(struct logger *l, int stream, const char *data, size_t size);
/* The stream has ended: what is left of its last line is written. */
void logger_end(struct logger *l, int stream);
/* From time to time, with max_age: rotates and removes what is too old. */
void logger_tick(struct logger *l);
/* Waits until the buffer is written, but not for ever: false when the disk does not take it. */
bool logger_settle(struct logger *l);
/* Gives its memory back until it is needed again. */
void logger_trim(struct logger *l);
void logger_close(struct logger *l);

#endif
