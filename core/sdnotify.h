/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service manager's notification socket ($NOTIFY_SOCKET) and its socket activation ($LISTEN_FDS). */
#ifndef CORE_SDNOTIFY_H
#define CORE_SDNOTIFY_H

/* Sends "READY=1" and the like; without a manager it does nothing. */
void sdnotify(const char *state);
/* "RELOADING=1" with the time stamp that newer managers want; sdnotify("READY=1") ends it. */
void sdnotify_reloading(void);
/* Number of sockets passed to this process, from descriptor 3 on; they are made close-on-exec and the variables are dropped. */
#define SDNOTIFY_FIRST_FD 3
int sdnotify_sockets(void);

#endif
