/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "logdriver.h"

#include <pthread.h>

#include "base/clock.h"
#include "driver.h"
#include "driver-once.h"
#include "dockerd/log.h"

/* A driver has no more for questions. */
#define CALL_TIME (10 * NSEC_PER_SEC)
#define WRITE_MOST 256

struct log_driver {
	const struct driver *driver;
	const struct dkd_log_ops *ops;
	struct dkd_log *handle;
};

struct log_sink {
	const struct log_driver *driver;
	struct dkd_log_stream *stream;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct driver_once *opened;

static void call_begin(struct driver_call *c, const struct log_driver *d)
{
	driver_call_begin(c, d->driver);
	c->abi.deadline = clock_mono() + CALL_TIME;
}

static void *open_named(void *ctx, const char *name, struct err *err)
{
	const struct driver *driver = driver_load(DKD_KIND_LOG, name, err);
	struct dkd_log_open open = { .size = sizeof(open) };
	struct log_driver *d;
	struct driver_call c;

	if (!driver)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	d->driver = driver;
	d->ops = driver->ops;
	open.instance = driver->desc->provider ? name : NULL;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->open(&c.abi, driver_host(driver), &open, &d->handle), err) == 0)
		return d;
	err_wrap(err, "open log driver %s", name);
	free(d);
	return NULL;
}

static void close_one(void *object)
{
	struct log_driver *d = object;

	if (d->ops->close)
		d->ops->close(d->handle);
	free(d);
}

static void make_opened(void)
{
	opened = driver_once_new(open_named, close_one, NULL);
}

static const struct log_driver *get(const char *name, struct err *err)
{
	pthread_once(&once, make_opened);
	return driver_once_get(opened, name, err);
}

static struct dkd_pair *to_pairs(const struct strmap *map)
{
	struct dkd_pair *v = xcalloc(map->len + 1, sizeof(*v));

	for (size_t i = 0; i < map->len; i++)
		v[i] = (struct dkd_pair){ map->v[i].key, map->v[i].value };
	return v;
}

bool logdriver_known(const char *name)
{
	return driver_present(DKD_KIND_LOG, name);
}

int logdriver_check(const char *name, const struct strmap *options, struct err *err)
{
	OWN_FREE struct dkd_pair *pairs = to_pairs(options);
	const struct log_driver *d = get(name, err);
	struct driver_call c;

	if (!d)
		return -1;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->check(&c.abi, d->handle, pairs, (uint32_t)options->len), err);
}

struct part_to {
	logdriver_part *emit;
	void *to;
};

static int32_t emit_part(void *to, const char *name, const struct dkd_pair *options, uint32_t options_len)
{
	const struct part_to *p = to;
	OWN_STRMAP struct strmap map = { 0 };

	for (uint32_t i = 0; i < options_len; i++)
		strmap_set(&map, options[i].key, options[i].value);
	p->emit(p->to, name, &map);
	return 0;
}

int logdriver_parts(const char *name, const struct strmap *options, logdriver_part *emit, void *to, struct err *err)
{
	OWN_FREE struct dkd_pair *pairs = to_pairs(options);
	const struct log_driver *d = get(name, err);
	struct part_to p = { emit, to };
	struct driver_call c;

	if (!d)
		return -1;
	if (!d->ops->parts)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->parts(&c.abi, d->handle, pairs, (uint32_t)options->len, emit_part, &p), err) < 0 ? -1 : 1;
}

int logdriver_probe(const char *name, struct err *err)
{
	const struct log_driver *d = get(name, err);
	struct driver_call c;

	if (!d)
		return -1;
	if (!d->ops->probe)
		return 0;
	call_begin(&c, d);
	return driver_call_end(&c, d->ops->probe(&c.abi, driver_host(d->driver), NULL) == DKD_PROBE_MINE ? 0 : -1, err);
}

struct log_sink *log_sink_open(const char *name, const struct log_subject *subject, struct err *err)
{
	OWN_FREE struct dkd_pair *options = to_pairs(&subject->options), *attrs = to_pairs(&subject->attrs);
	OWN_FREE struct dkd_pair *labels = to_pairs(subject->labels), *env = to_pairs(subject->env);
	struct dkd_log_subject given = { .size = sizeof(given), .options_len = (uint32_t)subject->options.len, .options = options,
		.id = subject->id, .name = subject->name, .image_id = subject->image_id, .image_name = subject->image_name,
		.command = subject->command, .tag = subject->tag, .attrs = attrs, .attrs_len = (uint32_t)subject->attrs.len,
		.created = subject->created, .labels = labels, .labels_len = (uint32_t)subject->labels->len, .env = env,
		.env_len = (uint32_t)subject->env->len, .argv = (const char *const *)subject->argv->v, .argv_len = (uint32_t)subject->argv->len };
	const struct log_driver *d = get(name, err);
	struct log_sink *s;
	struct driver_call c;

	if (!d)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->driver = d;
	call_begin(&c, d);
	if (driver_call_end(&c, d->ops->start(&c.abi, d->handle, &given, &s->stream), err) == 0)
		return s;
	free(s);
	return NULL;
}

void log_sink_close(struct log_sink *s)
{
	if (!s)
		return;
	s->driver->ops->stop(s->stream);
	free(s);
}

int log_sink_write(struct log_sink *s, const struct log_item *items, size_t len, int64_t deadline, int cancel_fd, size_t *ret_taken,
	struct err *err)
{
	uint32_t n = len < WRITE_MOST ? (uint32_t)len : WRITE_MOST, taken = 0;
	OWN_FREE struct dkd_log_record *v = xcalloc(n + 1, sizeof(*v));
	struct driver_call c;
	int r;

	for (uint32_t i = 0; i < n; i++)
		v[i] = (struct dkd_log_record){ .size = sizeof(*v), .time = items[i].time, .text = items[i].text, .text_size = items[i].size,
			.flags = (items[i].from_stderr ? DKD_LOG_STDERR : 0) | (items[i].partial ? DKD_LOG_PARTIAL : 0) |
				(items[i].last ? DKD_LOG_LAST : 0) };
	driver_call_begin(&c, s->driver->driver);
	c.abi.deadline = deadline;
	c.abi.cancel_fd = cancel_fd;
	r = driver_call_end(&c, s->driver->ops->write(&c.abi, s->stream, v, n, &taken), err);
	*ret_taken = taken < n ? taken : n;
	return r;
}
