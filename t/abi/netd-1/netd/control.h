/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who tells dockerd-netd what to do: daemons at its listening socket. */
#ifndef NETD_CONTROL_H
#define NETD_CONTROL_H

#include "network/netd-wire.h"

/* identity: what tells this program from other builds. Takes fd, the listening socket. -1 with errno. */
int control_start(int fd, const char *identity);
int control_listener(void);
/* Nothing to do and nobody there: the loop ends. */
void control_check_end(void);

/* take-over.c. To the process at fd: true when it has taken everything, and nothing may be touched any more. */
bool take_over_give(int fd);
/* From the process at fd: the listening socket, or -1, and then that process goes on. */
int take_over_take(int fd);

#endif
