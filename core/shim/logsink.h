/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a log: lines to records, records to the file, rotation. Belongs to one thread. */
#ifndef SHIM_LOGSINK_H
#define SHIM_LOGSINK_H

#include "shim/logger.h"

struct logsink;
struct logsink *logsink_open(const struct logger_config *cfg, struct err *err);
/* Written out before it returns. */
void logsink_write(struct logsink *s, int stream, int64_t time, const char *data, size_t size);
void logsink_end(struct logsink *s, int stream, int64_t time);
/* Output is missing here: ends the open lines and says so. */
void logsink_dropped(struct logsink *s, int64_t time, uint64_t bytes);
void logsink_tick(struct logsink *s);
void logsink_trim(struct logsink *s);
void logsink_close(struct logsink *s);

#endif
