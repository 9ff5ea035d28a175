/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/str.h"

#define VALUES_MAX 32
#define VALUES(...) { __VA_ARGS__ }

static const double bounds[] = { .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10 };

static const struct { const char *name, *help; } counter_rows[] = {
#define COUNTER(id, name, help) { name, help },
#define TIMER(id, name, label, values, help)
#include "base/metrics.tbl"
#undef COUNTER
#undef TIMER
};
static const struct { const char *name, *label, *values[8], *help; } timer_rows[] = {
#define COUNTER(id, name, help)
#define TIMER(id, name, label, values, help) { name, label, values, help },
#include "base/metrics.tbl"
#undef COUNTER
#undef TIMER
};

struct histogram {
	char value[32];
	uint64_t buckets[ARRAY_LEN(bounds)], count; /* of each bucket alone */
	double sum;
};
struct timer { struct histogram v[VALUES_MAX]; size_t len; };

static _Atomic uint64_t counters[METRIC_COUNTERS];
static struct timer timers[METRIC_TIMERS];
static struct lock timers_lock = LOCK_INIT(LOCK_LEAF); /* guards the timers */

void metrics_add(enum metric_counter c, uint64_t n)
{
	atomic_fetch_add_explicit(&counters[c], n, memory_order_relaxed);
}

/* Under the lock: the histogram of a value, or NULL when there are too many. */
static struct histogram *histogram_of(struct timer *t, const char *value)
{
	value = value ? value : "";
	for (size_t i = 0; i < t->len; i++)
		if (streq(t->v[i].value, value))
			return &t->v[i];
	if (t->len == VALUES_MAX || strlen(value) >= sizeof(t->v->value))
		return NULL;
	memcpy(t->v[t->len].value, value, strlen(value) + 1);
	return &t->v[t->len++];
}

void metrics_time(enum metric_timer t, const char *value, int64_t ns)
{
	double seconds = (double)ns / 1e9;
	struct histogram *h;
	WITH_LOCK(&timers_lock);

	h = histogram_of(&timers[t], value);
	if (!h)
		return;
	h->count++;
	h->sum += seconds;
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		if (seconds <= bounds[i]) {
			h->buckets[i]++;
			return;
		}
}

void metrics_put_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_put_value(struct buf *out, const char *name, const char *labels, double v)
{
	buf_addf(out, labels ? "%s{%s} " : "%s%s ", name, labels ? labels : "");
	buf_addf(out, v == floor(v) && fabs(v) < 1e15 ? "%.0f\n" : "%.9g\n", v);
}

void metrics_put_escaped(struct buf *out, const char *s)
{
	for (; s && *s; s++) {
		if (*s == '\n') {
			buf_adds(out, "\\n");
			continue;
		}
		if (*s == '"' || *s == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *s);
	}
}

static void put_series(struct buf *out, const char *name, const char *suffix, const char *labels, double v)
{
	OWN_FREE char *full = xasprintf("%s_%s", name, suffix);

	metrics_put_value(out, full, labels, v);
}

static void put_histogram(struct buf *out, const char *name, const char *label, const struct histogram *h)
{
	OWN_FREE char *own = label ? xasprintf("%s=\"%s\"", label, h->value) : NULL;
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
		OWN_FREE char *labels = xasprintf("%s%sle=\"%g\"", own ? own : "", own ? "," : "", bounds[i]);

		sum += h->buckets[i];
		put_series(out, name, "bucket", labels, (double)sum);
	}
	{
		OWN_FREE char *labels = xasprintf("%s%sle=\"+Inf\"", own ? own : "", own ? "," : "");

		put_series(out, name, "bucket", labels, (double)h->count);
	}
	put_series(out, name, "sum", own, h->sum);
	put_series(out, name, "count", own, (double)h->count);
}

/* A value that nobody has timed yet is there all the same. */
static struct timer *snapshot(enum metric_timer t)
{
	struct timer *copy = xmalloc(sizeof(*copy));

	lock_take(&timers_lock);
	for (size_t i = 0; timer_rows[t].values[i]; i++)
		histogram_of(&timers[t], timer_rows[t].values[i]);
	if (!timer_rows[t].label)
		histogram_of(&timers[t], NULL);
	*copy = timers[t];
	lock_drop(&timers_lock);
	return copy;
}

void metrics_write(struct buf *out)
{
	for (size_t i = 0; i < METRIC_COUNTERS; i++) {
		metrics_put_head(out, counter_rows[i].name, "counter", counter_rows[i].help);
		metrics_put_value(out, counter_rows[i].name, NULL, (double)atomic_load_explicit(&counters[i], memory_order_relaxed));
	}
	for (size_t i = 0; i < METRIC_TIMERS; i++) {
		OWN_FREE struct timer *t = snapshot((enum metric_timer)i);

		metrics_put_head(out, timer_rows[i].name, "histogram", timer_rows[i].help);
		for (size_t k = 0; k < t->len; k++)
			put_histogram(out, timer_rows[i].name, timer_rows[i].label, &t->v[k]);
	}
}
