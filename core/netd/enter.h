/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Into a sandbox's network namespace and back. A socket stays in the namespace that it was made in, so this is only for
 * making sockets; dockerd-netd has one thread, and is at home again before it does anything else.
 */
#ifndef NETD_ENTER_H
#define NETD_ENTER_H

#include <stdbool.h>
#include <stdint.h>

/* Remembers home. -1 with errno. */
int enter_init(void);
/* -1 with errno, and then still at home. leave() cannot fail: without a way home the process ends. */
int enter(int netns);
void leave(void);

/* The namespace that this thread is in: queries to 127.0.0.11:53 go to these ports instead. 0 or -1 with errno. */
int redirect_write(uint16_t udp, uint16_t tcp);
/* Whether such rules are there. */
bool redirect_stands(void);

#endif
