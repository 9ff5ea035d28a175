/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job that reads its request's body while it arrives. The job runs in a worker; the connection's thread fills a bounded
 * ring. What the job says before the upload's last byte waits in a buffer, then goes straight out.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/lock.h"
#include "http/conn.h"

#define OUT_MAX (1u << 20)
#define STACK (512u << 10)
#define LOOK_NS (200 * NSEC_PER_MSEC) /* how often a sleeping reader looks at its cancel token */

struct upload {
	struct http_request *h;
	pthread_t thread;
	const struct request_ops *ops;  /* the connection's own, for answers after the upload */
	struct request_ops mine;
	struct lock lock;               /* leaf: all below */
	pthread_cond_t changed;
	/*
	 * One thread writes, one reads. Bytes are copied without the lock: the writer alone touches what is free, the reader
	 * alone what is filled; head is the reader's, len changes hands under the lock.
	 */
	char *ring;
	size_t size, head, len;
	bool eof, aborted, done, joined;
	bool flushing, direct;          /* out is being written; later output goes straight to the client */
	struct buf out;
	bool begun;                     /* status and type of begin() are kept */
	int status;
	char *type;
};

static void *worker(void *arg);
static ssize_t up_read(struct request *rq, void *data, size_t size, struct err *err);
static int up_begin(struct request *rq, int status, const char *content_type);
static int up_write(struct request *rq, const void *data, size_t size);
static void start_flush(struct upload *u);
static int flush_out(struct upload *u);

struct upload *upload_start(struct http_request *h)
{
	struct upload *u = xcalloc(1, sizeof(*u));
	pthread_attr_t attr;
	int r;

	u->h = h;
	u->size = h->conn->srv->limits.ring_size;
	u->ring = xmalloc(u->size);
	u->ops = h->rq.ops;
	u->mine = *u->ops;
	u->mine.read_body = up_read;
	u->mine.begin = up_begin;
	u->mine.write = up_write;
	h->rq.ops = &u->mine;
	h->upload = u;
	lock_init(&u->lock, LOCK_LEAF);
	lock_cond_init(&u->changed);
	pthread_attr_init(&attr);
#ifndef __SANITIZE_ADDRESS__
	pthread_attr_setstacksize(&attr, STACK);
#endif
	r = pthread_create(&u->thread, &attr, worker, u);
	pthread_attr_destroy(&attr);
	if (r) {
		u->done = u->joined = true;
		h->rq.ops = u->ops;
		h->upload = NULL;
		upload_free(u);
		return NULL;
	}
	return u;
}

bool upload_push(struct upload *u, const char *data, size_t size)
{
	WITH_LOCK(&u->lock);

	while (size) {
		size_t at, n;

		/* A full ring is waited for until it is half empty: not every reading wakes us. */
		if (u->len == u->size)
			while (u->len > u->size / 2 && !u->done)
				lock_wait(&u->lock, &u->changed, -1);
		if (u->done)
			return u->h->rq.status < 400 && !u->h->rq.failed;
		at = (u->head + u->len) % u->size;
		n = u->size - u->len;
		if (n > u->size - at)
			n = u->size - at;
		if (n > size)
			n = size;
		lock_drop(&u->lock);
		memcpy(u->ring + at, data, n);
		lock_take(&u->lock);
		u->len += n;
		data += n;
		size -= n;
		if (u->len == n)
			pthread_cond_broadcast(&u->changed);
	}
	return true;
}

void upload_end(struct upload *u)
{
	lock_take(&u->lock);
	u->eof = true;
	pthread_cond_broadcast(&u->changed);
	start_flush(u);
	lock_drop(&u->lock);
	flush_out(u);
	lock_take(&u->lock);
	while (!u->done)
		lock_wait(&u->lock, &u->changed, -1);
	start_flush(u);
	lock_drop(&u->lock);
	pthread_join(u->thread, NULL);
	u->joined = true;
	flush_out(u);
}

void upload_free(struct upload *u)
{
	if (!u)
		return;
	lock_take(&u->lock);
	u->aborted = true;
	pthread_cond_broadcast(&u->changed);
	lock_drop(&u->lock);
	if (!u->joined)
		pthread_join(u->thread, NULL);
	lock_done(&u->lock);
	pthread_cond_destroy(&u->changed);
	free(u->ring);
	free(u->type);
	buf_done(&u->out);
	free(u);
}

static void *worker(void *arg)
{
	struct upload *u = arg;

	router_handle(u->h->conn->srv->router, &u->h->rq);
	lock_take(&u->lock);
	u->done = true;
	pthread_cond_broadcast(&u->changed);
	lock_drop(&u->lock);
	return NULL;
}

static struct upload *upload_of(struct request *rq)
{
	return ((struct http_request *)rq)->upload;
}

static ssize_t up_read(struct request *rq, void *data, size_t size, struct err *err)
{
	struct upload *u = upload_of(rq);
	const char *at;
	size_t n;
	bool full;
	WITH_LOCK(&u->lock);

	while (u->len == 0 && !u->eof && !u->aborted) {
		/* Polled without the lock: the token looks at sockets. */
		bool fired;

		lock_drop(&u->lock);
		fired = rq->job && cancel_fired(&rq->job->cancel);
		lock_take(&u->lock);
		if (fired && u->len == 0 && !u->eof)
			u->aborted = true;
		else if (u->len == 0 && !u->eof)
			lock_wait(&u->lock, &u->changed, LOOK_NS);
	}
	if (u->len == 0 && !u->eof)
		return err_set(err, ERR_CANCELLED, "the upload was cut off");
	n = u->len < size ? u->len : size;
	if (n > u->size - u->head)
		n = u->size - u->head;
	at = u->ring + u->head;
	lock_drop(&u->lock);
	memcpy(data, at, n);
	lock_take(&u->lock);
	full = u->len > u->size / 2;
	u->head = (u->head + n) % u->size;
	u->len -= n;
	if (full && u->len <= u->size / 2)
		pthread_cond_broadcast(&u->changed);
	return (ssize_t)n;
}

static int up_begin(struct request *rq, int status, const char *content_type)
{
	struct upload *u = upload_of(rq);

	lock_take(&u->lock);
	u->begun = true;
	u->status = status;
	u->type = xstrdup(content_type);
	rq->sent = SENT_STREAM;
	rq->status = status;
	if (!u->eof) {
		lock_drop(&u->lock);
		return 0;
	}
	start_flush(u);
	lock_drop(&u->lock);
	return flush_out(u);
}

static int up_write(struct request *rq, const void *data, size_t size)
{
	struct upload *u = upload_of(rq);
	bool keep, gone;

	lock_take(&u->lock);
	start_flush(u);
	keep = !u->direct && !u->eof && u->out.size + size <= OUT_MAX;
	gone = u->aborted;
	if (keep || gone) {
		u->flushing = false;
		pthread_cond_broadcast(&u->changed);
	}
	if (keep && !gone)
		buf_add(&u->out, data, size);
	lock_drop(&u->lock);
	if (keep || gone)
		return gone ? -1 : 0;
	if (flush_out(u) < 0)
		return -1;
	return raw_chunk(u->h, data, size);
}

/* Lock held: one flushes at a time. */
static void start_flush(struct upload *u)
{
	while (u->flushing)
		lock_wait(&u->lock, &u->changed, -1);
	u->flushing = true;
}

/* Writes what begin() and write() kept, after start_flush(). */
static int flush_out(struct upload *u)
{
	struct buf out;
	bool head;
	int r = 0;

	lock_take(&u->lock);
	out = u->out;
	u->out = (struct buf){ 0 };
	head = u->begun && !u->direct;
	lock_drop(&u->lock);
	if (head)
		r = raw_begin(u->h, u->status, u->type, -1);
	if (r == 0 && out.size)
		r = raw_chunk(u->h, out.data, out.size);
	buf_done(&out);
	lock_take(&u->lock);
	u->direct |= head;
	u->flushing = false;
	pthread_cond_broadcast(&u->changed);
	lock_drop(&u->lock);
	return r;
}
