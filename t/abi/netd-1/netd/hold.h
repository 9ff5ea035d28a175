/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket that holds a port of the host. */
#ifndef NETD_HOLD_H
#define NETD_HOLD_H

#include <stdbool.h>

#include "netd/address.h"

/* The kernel has no sockets for the protocol (SCTP): no process can have the port. */
#define HOLD_RECORD_ONLY (-2)

/* A bound socket, -1 with errno, or HOLD_RECORD_ONLY. Any process's listening or bound socket in the way is EADDRINUSE. */
int hold_bind(int proto, const struct address *a);
/* Whether somebody serves it: else it holds the port and takes no connection, and keeps no datagram. */
int hold_listen(int fd, int proto, bool serve);
/* Where ports of the kernel's choice are: ip_local_port_range, 49153-65535 where that is not to be read. */
void hold_local_range(unsigned *ret_begin, unsigned *ret_end);

#endif
