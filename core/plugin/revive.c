/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins that are enabled and end by themselves, or did not start, are started again by a thread, which there is from the first of them on: at once, and after a
 * second, two, four up to a minute where they do not live for ten seconds. What they share with the host stays mounted meanwhile.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "plugin/managed_i.h"

#define CALM_NS (10 * NSEC_PER_SEC)
#define FIRST_NS (100 * NSEC_PER_MSEC)
#define LAST_SECONDS 60
#define START_TIMEOUT 30

static int64_t delay(unsigned deaths)
{
	int64_t seconds;

	if (deaths < 2)
		return FIRST_NS;
	seconds = deaths < 8 ? 1ll << (deaths - 2) : LAST_SECONDS;
	return (seconds < LAST_SECONDS ? seconds : LAST_SECONDS) * NSEC_PER_SEC;
}

/* Under the lock, as the next two. Though it should run; nobody is at work on it. */
static bool is_down(const struct managed *m)
{
	struct pollfd p = { .fd = -1, .events = POLLIN };

	if (!m->enabled || m->busy)
		return false; /* of one that is worked on nothing else is read */
	p.fd = m->pidfd;
	return p.fd < 0 || poll(&p, 1, 0) > 0;
}

/* One whose time has come, its operation taken. *ret_at: when the next one's does, 0: none waits. */
static struct managed *take_due(struct managed_store *s, int64_t *ret_at)
{
	int64_t now = clock_mono();

	*ret_at = 0;
	for (struct managed *m = s->all; m; m = m->next) {
		if (!is_down(m))
			continue;
		if (!m->retry_at) {
			m->deaths = m->pidfd >= 0 && now - m->since > CALM_NS ? 1 : m->deaths + 1;
			m->retry_at = now + delay(m->deaths);
			log_warn("plugin %s does not run, it is started again", m->name);
		}
		if (m->retry_at <= now) {
			m->busy = true;
			return m;
		}
		if (!*ret_at || m->retry_at < *ret_at)
			*ret_at = m->retry_at;
	}
	return NULL;
}

/* What to wait for; [0] is for whoever changed something. */
static struct pollfd *waits(const struct managed_store *s, nfds_t *ret_len)
{
	struct pollfd *v = xcalloc(1, sizeof(*v));
	nfds_t n = 1;

	v[0] = (struct pollfd){ .fd = s->wake, .events = POLLIN };
	for (const struct managed *m = s->all; m; m = m->next)
		if (m->enabled && !m->busy && m->pidfd >= 0 && !m->retry_at) {
			v = xrealloc(v, (n + 1) * sizeof(*v));
			v[n++] = (struct pollfd){ .fd = m->pidfd, .events = POLLIN };
		}
	*ret_len = n;
	return v;
}

static void revive(struct managed_store *s, struct managed *m)
{
	OWN_OPERATION struct operation op = { s, m };
	OWN_ERR struct err err = ERR_INIT;

	atomic_store(&m->awaited, false);
	m->reviving = true;
	fd_close(&m->pidfd);
	if (managed_start(s, m, START_TIMEOUT, &err) < 0)
		log_error("plugin %s did not start: %s", m->name, err_text(&err));
	m->reviving = false;
	m->retry_at = 0;
}

static void *watch(void *arg)
{
	struct managed_store *s = arg;

	while (!atomic_load(&s->closing)) {
		OWN_FREE struct pollfd *v = NULL;
		struct managed *due;
		int64_t at, now;
		eventfd_t n;
		nfds_t len;

		lock_take(&s->lock);
		due = take_due(s, &at);
		v = waits(s, &len);
		lock_drop(&s->lock);
		if (due) {
			revive(s, due);
			continue;
		}
		now = clock_mono();
		poll(v, len, !at ? -1 : at > now ? (int)((at - now) / NSEC_PER_MSEC + 1) : 0);
		if (v[0].revents)
			eventfd_read(s->wake, &n);
	}
	return NULL;
}

void managed_changed(struct managed_store *s, const struct managed *m)
{
	if (s->wake < 0)
		return;
	if (!s->watched && m->enabled)
		s->watched = pthread_create(&s->watcher, NULL, watch, s) == 0; /* else the next change tries again */
	eventfd_write(s->wake, 1);
}

int managed_watch(struct managed_store *s, struct err *err)
{
	WITH_LOCK(&s->lock);

	if (str_empty(s->runtime))
		return 0;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		return err_errno(err, errno, "eventfd");
	for (const struct managed *m = s->all; m; m = m->next)
		managed_changed(s, m);
	return 0;
}

void managed_unwatch(struct managed_store *s)
{
	atomic_store(&s->closing, true);
	if (s->watched) {
		eventfd_write(s->wake, 1);
		pthread_join(s->watcher, NULL);
		s->watched = false;
	}
	fd_close(&s->wake);
}
