/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "events.h"

#include <stdarg.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/metrics.h"

#define RING 256
#define QUEUE_EVENTS 1024
#define QUEUE_BYTES (1u << 20)

struct events {
	struct lock lock; /* leaf: guards all below and every reader's queue */
	struct event *ring[RING];
	size_t next;      /* slot of the next event; the oldest one once the ring is full */
	int64_t last_time;
	struct event_reader *readers;
	int n_readers;
};

struct event_reader {
	struct events *events;
	struct event_reader *next, **prev;
	struct event *queue[QUEUE_EVENTS];
	size_t first, len, bytes;
	uint64_t lost;    /* since the reader was last told */
	int wake_fd;      /* readable while the queue holds something */
};

static size_t event_size(const struct event *e);
static void enqueue(struct event_reader *r, struct event *e, size_t bytes_max);
static struct event *dequeue(struct event_reader *r, uint64_t *lost);
static void encode_legacy(const struct event *e, struct jw *w);

struct events *events_new(void)
{
	struct events *ev = xcalloc(1, sizeof(*ev));

	lock_init(&ev->lock, LOCK_LEAF);
	return ev;
}

void events_free(struct events *ev)
{
	if (!ev)
		return;
	BUG_ON(ev->readers != NULL);
	for (size_t i = 0; i < RING; i++)
		event_unref(ev->ring[i]);
	lock_done(&ev->lock);
	free(ev);
}

static struct event *event_new(struct strmap *labels, const char *type, const char *action, const char *actor, struct strmap *attrs)
{
	struct event *e = xcalloc(1, sizeof(*e));

	e->type = type;
	e->action = xstrdup(action);
	e->actor = xstrdup(actor ? actor : "");
	e->attrs = *attrs;
	*attrs = (struct strmap){ 0 };
	e->attrs.set = true;
	e->labels = *labels;
	*labels = (struct strmap){ 0 };
	e->refs = 1;
	return e;
}

void events_publish(struct events *ev, const char *type, const char *action, const char *actor, struct strmap *attrs)
{
	struct strmap none = { 0 };

	events_publish_of(ev, &none, type, action, actor, attrs);
}

void events_publish_of(struct events *ev, struct strmap *labels, const char *type, const char *action, const char *actor, struct strmap *attrs)
{
	struct event *e = event_new(labels, type, action, actor, attrs), *old;

	metrics_add(METRIC_EVENTS, 1);
	lock_take(&ev->lock);
	/* Never back: since/until and readers rely on the order, the clock may jump. */
	e->time = clock_now();
	if (e->time <= ev->last_time)
		e->time = ev->last_time + 1;
	ev->last_time = e->time;
	old = ev->ring[ev->next];
	ev->ring[ev->next] = e;
	ev->next = (ev->next + 1) % RING;
	for (struct event_reader *r = ev->readers; r; r = r->next)
		enqueue(r, e, QUEUE_BYTES);
	lock_drop(&ev->lock);
	event_unref(old);
}

static struct strmap attrs_of(va_list ap)
{
	struct strmap attrs = { 0 };
	const char *key;

	while ((key = va_arg(ap, const char *)))
		strmap_set(&attrs, key, va_arg(ap, const char *));
	return attrs;
}

void events_log(struct events *ev, const char *type, const char *action, const char *actor, ...)
{
	struct strmap attrs;
	va_list ap;

	va_start(ap, actor);
	attrs = attrs_of(ap);
	va_end(ap);
	events_publish(ev, type, action, actor, &attrs);
}

void events_log_of(struct events *ev, const struct strmap *labels, const char *type, const char *action, const char *actor, ...)
{
	struct strmap attrs, copy = { 0 };
	va_list ap;

	va_start(ap, actor);
	attrs = attrs_of(ap);
	va_end(ap);
	strmap_copy(&copy, labels);
	events_publish_of(ev, &copy, type, action, actor, &attrs);
}

int events_subscribers(struct events *ev)
{
	WITH_LOCK(&ev->lock);

	return ev->n_readers;
}

struct event_reader *events_subscribe(struct events *ev, int64_t since)
{
	struct event_reader *r = xcalloc(1, sizeof(*r));

	r->events = ev;
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lock_take(&ev->lock);
	for (size_t i = 0; since && i < RING; i++) {
		struct event *e = ev->ring[(ev->next + i) % RING];

		/* all of them: the ring holds them anyway */
		if (e && e->time >= since)
			enqueue(r, e, SIZE_MAX);
	}
	r->next = ev->readers;
	r->prev = &ev->readers;
	if (r->next)
		r->next->prev = &r->next;
	ev->readers = r;
	ev->n_readers++;
	lock_drop(&ev->lock);
	return r;
}

void events_unsubscribe(struct event_reader *r)
{
	uint64_t lost;
	struct event *e;

	if (!r)
		return;
	lock_take(&r->events->lock);
	*r->prev = r->next;
	if (r->next)
		r->next->prev = r->prev;
	r->events->n_readers--;
	lock_drop(&r->events->lock);
	while ((e = dequeue(r, &lost)))
		event_unref(e);
	fd_close(&r->wake_fd);
	free(r);
}

struct event *events_next(struct event_reader *r, int64_t until, const struct cancel *c, uint64_t *lost)
{
	for (;;) {
		int64_t left = until ? until - clock_now() : -1;
		struct event *e;
		int ms = -1;

		lock_take(&r->events->lock);
		e = dequeue(r, lost);
		lock_drop(&r->events->lock);
		if (e && until && e->time > until) {
			event_unref(e);
			return NULL;
		}
		if (e)
			return e;
		if (until && left <= 0)
			return NULL;
		if (until)
			ms = left / 1000000 >= 60000 ? 60000 : (int)(left / 1000000) + 1;
		/* Without an eventfd (none were left) the reader looks every so often. */
		if (r->wake_fd < 0 && (ms < 0 || ms > 200))
			ms = 200;
		if (cancel_wait(c, r->wake_fd, POLLIN, ms) < 0)
			return NULL;
	}
}

void event_unref(struct event *e)
{
	if (!e || __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(e->action);
	free(e->actor);
	strmap_done(&e->attrs);
	strmap_done(&e->labels);
	free(e);
}

void event_encode(const struct event *e, int api_minor, struct jw *w)
{
	jw_obj(w);
	if (api_minor < 52)
		encode_legacy(e, w);
	jw_kstr(w, "Type", e->type);
	jw_kstr(w, "Action", e->action);
	jw_kobj(w, "Actor");
	jw_kstr(w, "ID", e->actor);
	jw_kstrmap(w, "Attributes", &e->attrs);
	jw_obj_end(w);
	jw_kstr(w, "scope", "local");
	jw_kint(w, "time", e->time / NSEC_PER_SEC);
	jw_kint(w, "timeNano", e->time);
	jw_obj_end(w);
}

/* status, id, from: what clients of Docker 1.9 read. Containers and images only. */
static void encode_legacy(const struct event *e, struct jw *w)
{
	bool container = streq(e->type, "container");
	const char *from = strmap_get(&e->attrs, "image");

	if (!container && !streq(e->type, "image"))
		return;
	jw_kstr(w, "status", e->action);
	if (*e->actor)
		jw_kstr(w, "id", e->actor);
	if (container && from && *from)
		jw_kstr(w, "from", from);
}

static size_t map_size(const struct strmap *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->len; i++)
		n += sizeof(m->v[i]) + strlen(m->v[i].key) + strlen(m->v[i].value);
	return n;
}

static size_t event_size(const struct event *e)
{
	return sizeof(*e) + strlen(e->action) + strlen(e->actor) + map_size(&e->attrs) + map_size(&e->labels);
}

/* Lock held. A full queue drops the new event. */
static void enqueue(struct event_reader *r, struct event *e, size_t bytes_max)
{
	size_t size = event_size(e);

	if (r->len == QUEUE_EVENTS || (r->len && r->bytes + size > bytes_max)) {
		r->lost++;
		return;
	}
	__atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
	r->queue[(r->first + r->len++) % QUEUE_EVENTS] = e;
	r->bytes += size;
	if (r->len == 1)
		eventfd_write(r->wake_fd, 1);
}

/* Lock held, or the reader is alone. */
static struct event *dequeue(struct event_reader *r, uint64_t *lost)
{
	struct event *e;
	eventfd_t n;

	if (r->len == 0)
		return NULL;
	e = r->queue[r->first];
	r->first = (r->first + 1) % QUEUE_EVENTS;
	r->len--;
	r->bytes -= event_size(e);
	if (r->len == 0)
		eventfd_read(r->wake_fd, &n);
	/* Told with the last event before the gap. */
	*lost = r->len ? 0 : r->lost;
	if (r->len == 0)
		r->lost = 0;
	return e;
}
