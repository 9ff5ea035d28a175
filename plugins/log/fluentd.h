/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LOG_FLUENTD_H
#define LOG_FLUENTD_H

#include "bytes.h"
#include "pieces.h"
#include "wire.h"

struct fluentd_options {
	enum wire_kind kind;
	bool tls;
	char *address;
	const char *host; /* in address; or the path */
	const char *port;
	long retries;     /* of one offer */
	bool async;
	bool sub_second;
	bool ack;
	/* ns; 0: no limit of its own, none at all */
	int64_t retry_wait, reconnect, write_timeout, read_timeout;
};

/* Docker's names and words; -1: told through host->fail(). */
int fluentd_options_read(struct fluentd_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v,
	uint32_t len);
void fluentd_options_done(struct fluentd_options *o);

#define FLUENTD_CHUNK 24 /* digits of base64 */

/* What is the same in all messages of a container. */
struct fluentd_common {
	struct bytes tag;
	struct bytes fields; /* without container_id and so on, where an attribute has that name */
	unsigned fields_len;
	bool has_source, has_log; /* ... an attribute */
};

void fluentd_common(struct fluentd_common *c, const struct dkd_log_subject *subject);
void fluentd_common_done(struct fluentd_common *c);
/* p: of a line in pieces, else NULL. chunk: what the server is to answer; NULL: nothing. */
void fluentd_message(const struct dkd_log_record *r, const struct fluentd_common *c, const struct pieces *p, bool sub_second,
	const char *chunk, struct bytes *ret);
/* Is this the answer? 1: yes, 0: it may be the beginning of it, -1: it is something else. */
int fluentd_is_ack(const void *data, size_t size, const char *chunk);

#endif
