/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LOG_GELF_H
#define LOG_GELF_H

#include "bytes.h"
#include "wire.h"

enum gelf_compression { GELF_GZIP, GELF_ZLIB, GELF_NONE };

struct gelf_options {
	enum wire_kind kind;
	char *address;
	char *host; /* in address */
	char *port;
	enum gelf_compression compression;
	int level;
	long reconnects; /* of one offer, by TCP */
	long delay;      /* between them, in seconds */
};

/* Docker's names and words; -1: told through host->fail(). */
int gelf_options_read(struct gelf_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v, uint32_t len);
void gelf_options_done(struct gelf_options *o);

/* What all messages of a container end with, from the comma on. */
void gelf_tail(const struct dkd_log_subject *subject, struct bytes *ret);
void gelf_message(const struct dkd_log_record *r, const char *hostname, const struct bytes *tail, struct bytes *ret);

#endif
