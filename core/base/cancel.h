/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cancel token of a job: fires when its client goes away or the engine shuts down. Anything that waits on behalf of a
 * client waits through it. Thread-safe; the fds belong to whoever made the token.
 */
#ifndef BASE_CANCEL_H
#define BASE_CANCEL_H

#include <stdbool.h>

struct cancel {
	int client_fd; /* POLLRDHUP|POLLHUP|POLLERR on it fires; -1 for none */
	int stop_fd;   /* readable fires (engine shutdown); -1 for none */
};
#define CANCEL_NEVER { -1, -1 }

/* NULL is a token that never fires. */
bool cancel_fired(const struct cancel *c);
/* Waits for events on fd (-1: none): 1 when they are there, 0 after timeout_ms (-1: for ever), -1 when the token fired. */
int cancel_wait(const struct cancel *c, int fd, short events, int timeout_ms);

#endif
