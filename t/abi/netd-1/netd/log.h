/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dockerd-netd has to say goes into the daemon's log; while there is none, the last records wait for it. */
#ifndef NETD_LOG_H
#define NETD_LOG_H

#include "base/log.h"

void netd_log(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* At most one such record a second, of all of them: for what strangers can make happen as often as they like. */
void netd_log_seldom(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
