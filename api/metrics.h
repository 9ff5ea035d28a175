/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The routes of the listener of --metrics-addr: it serves nothing else. */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "api.h"

extern const struct route metrics_routes[];
extern const size_t metrics_routes_len;

#endif
