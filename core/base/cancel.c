/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cancel.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"

int cancel_wait(const struct cancel *c, int fd, short events, int timeout_ms)
{
	struct pollfd p[3] = {
		{ .fd = fd, .events = events },
		{ .fd = c ? c->client_fd : -1, .events = POLLRDHUP },
		{ .fd = c ? c->stop_fd : -1, .events = POLLIN },
	};
	int64_t end = timeout_ms < 0 ? 0 : clock_mono() + timeout_ms * NSEC_PER_MSEC;

	for (;;) {
		int n = poll(p, 3, timeout_ms);

		if (n > 0) {
			if (p[0].revents)
				return 1;
			return -1;
		}
		if (n == 0)
			return 0;
		if (errno != EINTR)
			return -1;
		if (timeout_ms > 0) {
			int64_t left = (end - clock_mono()) / NSEC_PER_MSEC;

			timeout_ms = left > 0 ? (int)left : 0;
		}
	}
}

bool cancel_fired(const struct cancel *c)
{
	return c && cancel_wait(c, -1, 0, 0) < 0;
}
