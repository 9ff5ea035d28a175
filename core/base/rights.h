/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef DKD_BASE_RIGHTS_H
#define DKD_BASE_RIGHTS_H

/*
 * Bytes and descriptors over a unix socket (SCM_RIGHTS of unix(7)). Both calls go on after a signal; for any thread.
 */

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define RIGHTS_MAX 128 /* descriptors of one message */

/* What the socket took of the bytes, or -1 with errno. The descriptors stay the caller's; flags are those of sendmsg(2), and no SIGPIPE comes. */
ssize_t rights_send(int sock, struct iovec *iov, size_t n, const int *fds, size_t nfds, int flags);
/*
 * How many bytes came, 0 at the end, or -1 with errno. *nfds is room in fds at first, then how many came: the caller's, closed on exec.
 * More than there is room for: EPROTO, and none is kept.
 */
ssize_t rights_recv(int sock, struct iovec *iov, size_t n, int *fds, size_t *nfds, int flags);

#endif
