/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log driver "syslog": to the host's log, or to a server by unix, unixgram, udp, tcp or TLS. A message is what Docker's driver makes of
 * it, with the time of the record, which may be sent later.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "opened.h"
#include "syslog.h"

#define HEAD_MAX 1024
#define COUNT_MAX 24
#define SEVERITY_ERROR 3
#define SEVERITY_INFO  6

struct dkd_log_stream {
	struct dkd_log *log;
	struct syslog_options options;
	struct wire wire;
	char *tag;
	char hostname[256];
	char *message;
	size_t room;
};

static int32_t syslog_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	struct syslog_options o;
	int r = syslog_options_read(&o, l->host, call, options, options_len);

	if (r < 0)
		return -1;
	r = syslog_options_reach(&o, l->host, call);
	syslog_options_done(&o);
	return r;
}

static void syslog_stop(struct dkd_log_stream *s)
{
	wire_close(&s->wire);
	syslog_options_done(&s->options);
	free(s->tag);
	free(s->message);
	free(s);
}

static int32_t syslog_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	s->log = l;
	s->wire.fd = -1;
	if (syslog_options_read(&s->options, l->host, call, subject->options, subject->options_len) < 0) {
		free(s);
		return -1;
	}
	s->wire = (struct wire){ .kind = s->options.kind, .host = s->options.host, .port = s->options.port, .fd = -1,
		.layer = s->options.secure ? &tls_layer : NULL, .layer_options = &s->options.tls };
	s->tag = strndup(subject->tag, HEAD_MAX / 4);
	if (gethostname(s->hostname, sizeof(s->hostname) - 1) < 0 || !s->tag) {
		syslog_stop(s);
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "no name of this host");
	}
	*ret = s;
	return 0;
}

/* "2006-01-02T15:04:05[.000000]+01:00" */
static void put_rfc3339(const struct tm *tm, int64_t time, int micro, char *ret, size_t size)
{
	long off = tm->tm_gmtoff / 60;
	char fraction[16] = "", zone[16] = "Z", day[32];

	if (micro)
		snprintf(fraction, sizeof(fraction), ".%06d", (int)(time % 1000000000 / 1000));
	if (off)
		snprintf(zone, sizeof(zone), "%c%02d:%02d", off < 0 ? '-' : '+', (int)(labs(off) / 60 % 100), (int)(labs(off) % 60));
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", tm);
	snprintf(ret, size, "%s%s%s", day, fraction, zone);
}

static int put_head(const struct dkd_log_stream *s, const struct dkd_log_record *r, char *ret)
{
	int priority = s->options.facility << 3 | (r->flags & DKD_LOG_STDERR ? SEVERITY_ERROR : SEVERITY_INFO), pid = (int)getpid();
	time_t seconds = (time_t)(r->time / 1000000000);
	char stamp[64] = "";
	struct tm tm;

	localtime_r(&seconds, &tm);
	if (s->options.format == SYSLOG_UNIX || s->options.format == SYSLOG_RFC3164)
		strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	else
		put_rfc3339(&tm, r->time, s->options.format == SYSLOG_RFC5424_MICRO, stamp, sizeof(stamp));
	switch (s->options.format) {
	case SYSLOG_UNIX:
		return snprintf(ret, HEAD_MAX, "<%d>%s %s[%d]: ", priority, stamp, s->tag, pid);
	case SYSLOG_RFC3164:
		return snprintf(ret, HEAD_MAX, "<%d>%s %s %s[%d]: ", priority, stamp, s->hostname, s->tag, pid);
	default:
		return snprintf(ret, HEAD_MAX, "<%d>1 %s %s %s %d %s - ", priority, stamp, s->hostname, s->tag, pid, s->tag);
	}
}

/* RFC 5425: its size, before it. */
static void put_count(char **message, size_t *size)
{
	char count[COUNT_MAX + 1];
	int n = snprintf(count, sizeof(count), "%zu ", *size);

	*message -= n;
	*size += (size_t)n;
	memcpy(*message, count, (size_t)n);
}

static int send_record(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *r)
{
	const struct dkd_host *host = s->log->host;
	char *message;
	size_t want = COUNT_MAX + HEAD_MAX + (size_t)r->text_size + 1, size;

	if (s->room < want) {
		char *more = realloc(s->message, want);

		if (!more)
			return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
		s->message = more;
		s->room = want;
	}
	message = s->message + COUNT_MAX;
	size = (size_t)put_head(s, r, message);
	if (r->text_size)
		memcpy(message + size, r->text, (size_t)r->text_size);
	size += (size_t)r->text_size;
	message[size++] = '\n';
	if (s->options.counted)
		put_count(&message, &size);
	return wire_send(&s->wire, host, call, message, size);
}

static int32_t syslog_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	for (*taken = 0; *taken < len; ++*taken)
		if (send_record(call, s, &records[*taken]) < 0)
			return -1;
	return 0;
}

static const struct dkd_log_ops ops = { .open = opened_open, .close = opened_close, .check = syslog_check, .start = syslog_start,
	.stop = syslog_stop, .write = syslog_write };

static const struct dkd_driver driver = { .magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "syslog", .version = PACKAGE_VERSION,
	.ops = &ops };

DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
