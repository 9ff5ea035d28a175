/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies of requests and of answers as streams. */
#ifndef API_BODIES_H
#define API_BODIES_H

#include <stdbool.h>

#include "base/stream.h"
#include "router.h"

struct body_reader { struct reader reader; struct request *rq; };
void body_reader_init(struct body_reader *b, struct request *rq);

/* The answer as a sink; its headers leave with the first bytes, so that an error before them has its own answer. */
struct reply_writer {
	struct writer writer;
	struct request *rq;
	const char *type;
	bool begun;
};
void reply_writer_init(struct reply_writer *w, struct request *rq, const char *type);

#endif
