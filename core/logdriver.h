/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Facade over log drivers: opens each once, for the life of the process. The only caller of them. Thread-safe; a sink belongs
 * to one thread.
 */
#ifndef CORE_LOGDRIVER_H
#define CORE_LOGDRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct log_subject {
	const char *id, *name, *image_id, *image_name, *command, *tag;
	int64_t created;
	/* borrowed */
	struct strmap options, attrs;
	const struct strmap *labels, *env; /* all of the container's */
	const struct strv *argv;           /* program and arguments */
};

struct log_item {
	bool from_stderr, partial, last;
	int64_t time;
	char *text; /* without its line feed */
	size_t size;
};

/* Is there a driver of that name? Loads nothing. */
bool logdriver_known(const char *name);
/* Loads and opens it. ERR_INVALID with the driver's words when these are no options of it. */
int logdriver_check(const char *name, const struct strmap *options, struct err *err);

/* Calls emit for each driver that a container with these options has in its place: 1; 0 when it is one itself. */
typedef void logdriver_part(void *to, const char *name, const struct strmap *options);
int logdriver_parts(const char *name, const struct strmap *options, logdriver_part *emit, void *to, struct err *err);
/* Can it do its work on this machine now? With the driver's words where not. */
int logdriver_probe(const char *name, struct err *err);

struct log_sink;
struct log_sink *log_sink_open(const char *name, const struct log_subject *subject, struct err *err);
void log_sink_close(struct log_sink *s);
/* *ret_taken: how many are done with, also on failure. Waits at most until deadline (CLOCK_MONOTONIC, ns), or cancel_fd is readable. */
int log_sink_write(struct log_sink *s, const struct log_item *items, size_t len, int64_t deadline, int cancel_fd, size_t *ret_taken,
	struct err *err);

#endif
