/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef LOG_SYSLOG_H
#define LOG_SYSLOG_H

#include "tls.h"

enum syslog_format { SYSLOG_UNIX, SYSLOG_RFC3164, SYSLOG_RFC5424, SYSLOG_RFC5424_MICRO };

struct syslog_options {
	enum wire_kind kind;
	bool secure;            /* by TLS */
	struct tls_options tls; /* ... its strings are in files */
	char *files[3];
	char *address;          /* "": the host's own log */
	char *host;             /* in address: of it, or the path */
	const char *port;
	int facility;
	enum syslog_format format;
	bool counted;           /* each message has its size before it */
};

/* Docker's names and words; -1: told through host->fail(). */
int syslog_options_read(struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call, const struct dkd_pair *v,
	uint32_t len);
/* Is the path there that they name? Asked when a container is created; later it is waited for. */
int syslog_options_reach(const struct syslog_options *o, const struct dkd_host *host, const struct dkd_call *call);
void syslog_options_done(struct syslog_options *o);

#endif
