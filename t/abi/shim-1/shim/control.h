/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shim's side of proto.h: connections, requests and their answers, events to the subscriber. */
#ifndef SHIM_CONTROL_H
#define SHIM_CONTROL_H

#include "base/err.h"
#include "shim/proto.h"

struct conn;

/* Takes the daemon's end of the socket that the shim was started with. */
void control_start(int fd);
/* Answers and closes a request's connection (not a subscriber's). conn NULL: nobody waits any more. */
void control_answer(struct conn *c, const struct shim_msg *m, int with_fd);
void control_ok(struct conn *c);
void control_error(struct conn *c, const struct err *err);
/* True when the subscriber got it. */
bool control_event(const struct shim_msg *m);
/* No more connections; the socket's file goes, so that a successor can have the name. */
void control_stop(void);

#endif
