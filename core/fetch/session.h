/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first packet: which registry, and who we are there. */
#ifndef FETCH_SESSION_H
#define FETCH_SESSION_H

#include "fetch/client.h"

/* fds: those that came with it; they stay open as long as the client is used. */
struct client *session_read(const char *text, size_t size, const int *fds, size_t nfds, struct err *err);
void session_free(struct client *c);
/* Is an address, "10.1.2.3" or "fd00::1", within a network like "10.0.0.0/8"? */
bool session_within(const char *address, const char *cidr);

#endif
