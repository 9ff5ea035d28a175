/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures that the daemon counts while it runs, and their text for Prometheus (exposition format 0.0.4). The list is
 * metrics.tbl. Counting is cheap and thread-safe (atomic, or a leaf lock for timers).
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

enum metric_counter {
#define COUNTER(id, name, help) METRIC_##id,
#define TIMER(id, name, label, values, help)
#include "base/metrics.tbl"
#undef COUNTER
#undef TIMER
	METRIC_COUNTERS
};
enum metric_timer {
#define COUNTER(id, name, help)
#define TIMER(id, name, label, values, help) METRIC_##id,
#include "base/metrics.tbl"
#undef COUNTER
#undef TIMER
	METRIC_TIMERS
};

void metrics_add(enum metric_counter c, uint64_t n);
/* value is the label's; at most 32 of them are told apart by a timer, NULL for one without a label. */
void metrics_time(enum metric_timer t, const char *value, int64_t ns);

/* Everything of the table. */
void metrics_write(struct buf *out);
/* A figure known elsewhere: "# HELP", "# TYPE gauge" and its value; labels is `a="b",c="d"` ready made, or NULL. */
void metrics_put_head(struct buf *out, const char *name, const char *type, const char *help);
void metrics_put_value(struct buf *out, const char *name, const char *labels, double v);
/* For a label's value: quotes, backslashes and line ends are escaped. */
void metrics_put_escaped(struct buf *out, const char *s);

#endif
