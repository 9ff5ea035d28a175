/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deferred deletions: devices that were in use when they were to be deleted, tried again until they are not. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "devices.h"

#define LONGEST 30 /* seconds between two looks; the first come sooner */

struct names { char (*v)[NAME_MAX + 1]; size_t len; };

static int add_deleted(void *to, const struct store_device *v, bool damaged)
{
	struct names *n = to;
	void *more = !damaged && v->deleted ? realloc(n->v, (n->len + 1) * sizeof(*n->v)) : NULL;

	if (more) {
		n->v = more;
		memcpy(n->v[n->len++], v->layer, sizeof(v->layer));
	}
	return 0;
}

void devices_retry(struct devices *d)
{
	struct names n = { 0 };

	pthread_mutex_lock(&d->lock);
	if (d->deleted)
		store_each_device(d->dir, add_deleted, &n);
	pthread_mutex_unlock(&d->lock);
	for (size_t i = 0; i < n.len; i++) {
		struct dm_error e = { 0 };

		if (devices_delete(d, n.v[i], false, NULL, &e) < 0)
			dkd_logf(d->host, DKD_LOG_WARN, "Deletion of device %s failed: %s", n.v[i], e.text);
	}
	free(n.v);
}

unsigned devices_deleted(struct devices *d)
{
	unsigned ret;

	pthread_mutex_lock(&d->lock);
	ret = d->deleted;
	pthread_mutex_unlock(&d->lock);
	return ret;
}

/* Until there is something to do, or for that many seconds. False at the end. */
static bool rest(struct devices *d, unsigned seconds)
{
	struct timespec until;
	unsigned before;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&d->lock);
	before = d->deleted;
	while (!d->ending && rc != ETIMEDOUT && d->deleted <= before)
		rc = before ? pthread_cond_timedwait(&d->more, &d->lock, &until) : pthread_cond_wait(&d->more, &d->lock);
	rc = d->ending;
	pthread_mutex_unlock(&d->lock);
	return !rc;
}

static void *work(void *arg)
{
	struct devices *d = arg;
	unsigned seconds = 1, before = devices_deleted(d);

	while (rest(d, seconds)) {
		unsigned now = devices_deleted(d);

		/* a new one is not deleted at once: it is in use just now */
		if (now > before)
			seconds = 1;
		else
			seconds = seconds * 2 < LONGEST ? seconds * 2 : LONGEST;
		if (now <= before)
			devices_retry(d);
		before = now <= before ? devices_deleted(d) : now;
	}
	return NULL;
}

int devices_work(struct devices *d)
{
	errno = pthread_create(&d->worker, NULL, work, d);
	d->working = errno == 0;
	return errno ? -1 : 0;
}

void devices_rest(struct devices *d)
{
	if (!d->working)
		return;
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_broadcast(&d->more);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->worker, NULL);
	d->working = false;
}
