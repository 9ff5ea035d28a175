/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client that asks again as soon as it has its answer finds the connection's thread asleep, and waking it takes longer than
 * most answers. The thread of such a connection stays awake for a moment: it looks again and again, and gives its processor to
 * whoever wants it in between. A connection comes to that by a row of short waits only, and a wait that was not short after all
 * makes the row longer that is asked for; at most one thread of the server does it at a time, none where there is one processor.
 */
#include <poll.h>
#include <sched.h>

#include "base/clock.h"
#include "http/conn.h"

#define SPIN_NS 100000   /* how long one looks */
#define SHORT_NS 250000  /* a wait that ends within this may have been one of SPIN_NS but for the waking up */
#define ROW_MIN 8
#define ROW_MAX 4096

unsigned http_spinners(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

bool http_spin_due(const struct spin *s)
{
	return s->row >= (s->asked ?: ROW_MIN);
}

void http_spin_note(struct spin *s, enum spun spun, int64_t ns)
{
	if (spun == SPUN_HIT) {
		s->asked = ROW_MIN;
	} else if (spun == SPUN_MISS) {
		s->row = 0;
		s->asked = s->asked * 2 > ROW_MAX ? ROW_MAX : (uint16_t)((s->asked ?: ROW_MIN) * 2);
		return;
	}
	s->row = ns > SHORT_NS ? 0 : s->row < ROW_MAX ? (uint16_t)(s->row + 1) : ROW_MAX;
}

enum spun http_spin(struct conn *c, int64_t now)
{
	struct pollfd p = { c->fd, POLLIN, 0 };
	enum spun ret = SPUN_MISS;

	if (!http_spin_due(&c->spin))
		return SPUN_NOT;
	if (atomic_fetch_sub(&c->srv->spinners, 1) > 0) {
		for (int64_t end = now + SPIN_NS; ret == SPUN_MISS && now < end; now = clock_mono()) {
			if (poll(&p, 1, 0) > 0)
				ret = SPUN_HIT;
			else
				sched_yield();
		}
	} else {
		ret = SPUN_NOT;
	}
	atomic_fetch_add(&c->srv->spinners, 1);
	return ret;
}
