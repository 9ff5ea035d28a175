/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queries that go on to the upstream servers: each with an id of its own, from a socket that carries no other meanwhile, to one
 * server after the other, with 4 s for each.
 */
#ifndef NETD_FORWARD_H
#define NETD_FORWARD_H

#include "netd/box.h"

#define FORWARD_MAX 1024 /* at a time, of one sandbox */

/* By UDP or by TCP, as it came. Every query gets an answer. */
void forward(const struct asker *who, const uint8_t *m, size_t size, const struct dns_query *q);
size_t forward_count(void);
void forward_set_limit(size_t limit);
/* Nobody waits any more, and nobody else will ask. */
void forwards_end(struct box *b);
void forwards_end_conn(struct box *b, const struct conn *c);

#endif
