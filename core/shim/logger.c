/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/logger.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/str.h"
#include "shim/logsink.h"

#define STACK_SIZE 131072
#define SETTLE_MAX (2 * NSEC_PER_SEC)

enum item_kind { ITEM_TEXT, ITEM_END, ITEM_DROPPED, ITEM_TICK };

/* What the queue holds, followed by size bytes of text. */
struct item {
	int64_t time;
	uint64_t size; /* ITEM_DROPPED: of what is missing here */
	int kind, stream;
};

struct logger {
	struct logsink *sink;    /* with a buffer: the thread's */
	size_t buffer;           /* 0: no thread, and nothing below */
	pthread_t thread;
	struct lock lock;        /* of what follows */
	pthread_cond_t more, idle;
	struct buf queue;
	size_t queued;           /* bytes of text, with their items, in the queue and in the thread's hands */
	uint64_t dropped;        /* bytes that were refused since the last item */
	bool busy, ending, trim;
};

static void *run(void *arg);

struct logger *logger_open(const struct logger_config *cfg, struct err *err)
{
	struct logsink *sink = logsink_open(cfg, err);
	struct logger *l;
	pthread_attr_t attr;
	int r;

	if (!sink)
		return NULL;
	l = xcalloc(1, sizeof(*l));
	l->sink = sink;
	if (cfg->buffer <= 0)
		return l;
	l->buffer = (size_t)cfg->buffer;
	lock_init(&l->lock, LOCK_LEAF);
	lock_cond_init(&l->more);
	lock_cond_init(&l->idle);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&l->thread, &attr, run, l);
	pthread_attr_destroy(&attr);
	if (r) {
		err_errno(err, r, "start the thread that writes the log");
		logsink_close(sink);
		free(l);
		return NULL;
	}
	return l;
}

static void put_item(struct logger *l, enum item_kind kind, int stream, const char *data, uint64_t size)
{
	struct item item = { .time = clock_now(), .size = size, .kind = kind, .stream = stream };

	buf_add(&l->queue, &item, sizeof(item));
	if (data)
		buf_add(&l->queue, data, size);
	l->busy = true;
	pthread_cond_signal(&l->more);
}

static void put_dropped(struct logger *l)
{
	if (l->dropped)
		put_item(l, ITEM_DROPPED, 2, NULL, l->dropped);
	l->dropped = 0;
}

void logger_write(struct logger *l, int stream, const char *data, size_t size)
{
	if (!l->buffer) {
		logsink_write(l->sink, stream, clock_now(), data, size);
		return;
	}
	WITH_LOCK(&l->lock);
	if (l->queued && l->queued + sizeof(struct item) + size > l->buffer) {
		l->dropped += size;
		return;
	}
	put_dropped(l);
	l->queued += sizeof(struct item) + size;
	put_item(l, ITEM_TEXT, stream, data, size);
}

void logger_end(struct logger *l, int stream)
{
	if (!l->buffer) {
		logsink_end(l->sink, stream, clock_now());
		return;
	}
	WITH_LOCK(&l->lock);
	put_dropped(l);
	put_item(l, ITEM_END, stream, NULL, 0);
}

void logger_tick(struct logger *l)
{
	if (!l->buffer) {
		logsink_tick(l->sink);
		return;
	}
	WITH_LOCK(&l->lock);
	if (!l->busy)
		put_item(l, ITEM_TICK, 0, NULL, 0);
}

void logger_trim(struct logger *l)
{
	if (!l->buffer) {
		logsink_trim(l->sink);
		return;
	}
	WITH_LOCK(&l->lock);
	l->trim = true;
	pthread_cond_signal(&l->more);
}

bool logger_settle(struct logger *l)
{
	int64_t by = clock_mono() + SETTLE_MAX, left;

	if (!l->buffer)
		return true;
	WITH_LOCK(&l->lock);
	while (l->busy && (left = by - clock_mono()) > 0)
		lock_wait(&l->lock, &l->idle, left);
	return !l->busy;
}

void logger_close(struct logger *l)
{
	if (!l)
		return;
	if (l->buffer) {
		if (!logger_settle(l))
			return; /* the thread hangs at the disk and keeps what it uses; the shim ends without it */
		lock_take(&l->lock);
		l->ending = true;
		pthread_cond_signal(&l->more);
		lock_drop(&l->lock);
		pthread_join(l->thread, NULL);
		lock_done(&l->lock);
		pthread_cond_destroy(&l->more);
		pthread_cond_destroy(&l->idle);
		buf_done(&l->queue);
	}
	logsink_close(l->sink);
	free(l);
}

static void write_item(struct logger *l, const struct item *item, const char *text)
{
	switch ((enum item_kind)item->kind) {
	case ITEM_TEXT:
		logsink_write(l->sink, item->stream, item->time, text, item->size);
		break;
	case ITEM_END:
		logsink_end(l->sink, item->stream, item->time);
		break;
	case ITEM_DROPPED:
		logsink_dropped(l->sink, item->time, item->size);
		break;
	case ITEM_TICK:
		logsink_tick(l->sink);
		break;
	}
}

static void write_batch(struct logger *l, const struct buf *batch)
{
	for (size_t at = 0; at < batch->size;) {
		struct item item;

		memcpy(&item, batch->data + at, sizeof(item));
		at += sizeof(item);
		write_item(l, &item, batch->data + at);
		if (item.kind != ITEM_TEXT)
			continue;
		at += item.size;
		/* one by one, so that there is room again as soon as there can be */
		WITH_LOCK(&l->lock);
		l->queued -= sizeof(item) + item.size;
	}
}

static void *run(void *arg)
{
	struct logger *l = arg;
	struct buf batch = { 0 };

	lock_take(&l->lock);
	for (;;) {
		if (l->queue.size) {
			buf_done(&batch);
			batch = l->queue;
			l->queue = (struct buf){ 0 };
			lock_drop(&l->lock);
			write_batch(l, &batch);
			lock_take(&l->lock);
			continue;
		}
		if (l->dropped) {
			put_dropped(l); /* nothing came since */
			continue;
		}
		l->busy = false;
		pthread_cond_broadcast(&l->idle);
		if (l->trim) {
			l->trim = false;
			buf_done(&batch);
			logsink_trim(l->sink);
		}
		if (l->ending)
			break;
		lock_wait(&l->lock, &l->more, -1);
	}
	lock_drop(&l->lock);
	buf_done(&batch);
	return NULL;
}
