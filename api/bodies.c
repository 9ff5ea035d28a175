/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bodies.h"

static ssize_t body_read(struct reader *r, void *data, size_t size, struct err *err)
{
	struct request *rq = ((struct body_reader *)r)->rq;

	return rq->ops->read_body(rq, data, size, err);
}

void body_reader_init(struct body_reader *b, struct request *rq)
{
	*b = (struct body_reader){ { body_read, NULL }, rq };
}

static int reply_write(struct writer *w, const void *data, size_t size, struct err *err)
{
	struct reply_writer *rw = (struct reply_writer *)w;

	if (!rw->begun) {
		rw->begun = true;
		if (rw->rq->ops->begin(rw->rq, 200, rw->type) < 0)
			return err_set(err, ERR_CANCELLED, "the client is gone");
	}
	if (rw->rq->ops->write(rw->rq, data, size) < 0)
		return err_set(err, ERR_CANCELLED, "the client is gone");
	return 0;
}

void reply_writer_init(struct reply_writer *w, struct request *rq, const char *type)
{
	*w = (struct reply_writer){ { reply_write }, rq, type, false };
}
