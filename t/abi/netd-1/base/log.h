/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's log: one line a record to stderr, in Docker's text format
 * (time="..." level=info msg="..." key=value) or as JSON. Thread-safe; a record is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

#include "base/err.h"

enum log_level { LOG_PANIC, LOG_FATAL, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

/* Level names as Docker spells them (panic fatal error warn info debug trace; "warning" too). -1 on another word. */
int log_level_parse(const char *name);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_json(bool json);
/* Writes somewhere else than stderr (tests); -1 is stderr again. */
void log_set_fd(int fd);

void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same with fields: key, value, ..., NULL before the message. */
void log_fields(enum log_level level, const char *const *fields, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) do { if (log_get_level() >= LOG_DEBUG) log_write(LOG_DEBUG, __VA_ARGS__); } while (0)

#endif
