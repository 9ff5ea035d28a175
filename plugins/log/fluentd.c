/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log driver "fluentd": to a server of Fluentd's forward protocol, by tcp, tls or unix, one message a record. Where the server is asked to
 * acknowledge, a record is done with when it did. As the daemon keeps what is not handed on, all is asynchronous here: fluentd-async
 * only says that fluentd-async-reconnect-interval counts.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fluentd.h"
#include "opened.h"
#include "tls.h"

#define MOST_WAIT INT64_C(60000000000)

struct dkd_log_stream {
	struct dkd_log *log;
	struct fluentd_options options;
	struct wire wire;
	int64_t connected; /* wire_now() of it */
	struct fluentd_common common;
	struct pieces pieces[2];
	struct bytes message;
	char chunk[FLUENTD_CHUNK + 1];
};

static int32_t fluentd_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	struct fluentd_options o;
	int r = fluentd_options_read(&o, l->host, call, options, options_len);

	if (r == 0)
		fluentd_options_done(&o);
	return r;
}

static void fluentd_stop(struct dkd_log_stream *s)
{
	wire_close(&s->wire);
	fluentd_options_done(&s->options);
	fluentd_common_done(&s->common);
	bytes_done(&s->message);
	free(s);
}

static int32_t fluentd_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	s->log = l;
	s->wire.fd = -1;
	if (fluentd_options_read(&s->options, l->host, call, subject->options, subject->options_len) < 0) {
		free(s);
		return -1;
	}
	s->wire = (struct wire){ .kind = s->options.kind, .host = s->options.host, .port = s->options.port, .fd = -1,
		.layer = s->options.tls ? &tls_layer : NULL };
	fluentd_common(&s->common, subject);
	if (!bytes_ok(&s->common.tag) || !bytes_ok(&s->common.fields)) {
		fluentd_stop(s);
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	}
	*ret = s;
	return 0;
}

/* As many digits of base64 as Docker has. */
static bool make_chunk(char ret[FLUENTD_CHUNK + 1])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned char bytes[FLUENTD_CHUNK];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++)
		ret[i] = digits[bytes[i] % 64];
	ret[sizeof(bytes)] = '\0';
	return true;
}

/* The call with a time of its own, where that is shorter; ns: 0 for none. */
static struct dkd_call within(const struct dkd_call *call, int64_t ns)
{
	struct dkd_call c = *call;

	if (ns && (!c.deadline || wire_now() + ns < c.deadline))
		c.deadline = wire_now() + ns;
	return c;
}

static int wait_for_ack(const struct dkd_call *call, struct dkd_log_stream *s)
{
	struct dkd_call c = within(call, s->options.read_timeout);
	char answer[FLUENTD_CHUNK + 16];
	size_t size = 0, n;
	int is;

	do {
		if (size == sizeof(answer) || wire_receive(&s->wire, s->log->host, &c, answer + size, sizeof(answer) - size, &n) < 0)
			break;
		size += n;
		is = fluentd_is_ack(answer, size, s->chunk);
		if (is > 0)
			return 0;
	} while (is == 0);
	if (s->wire.fd < 0)
		return -1;
	wire_close(&s->wire);
	return s->log->host->fail(s->log->host, call, DKD_ERR_UNAVAILABLE, 0, "the server acknowledged something else");
}

static int send_once(const struct dkd_call *call, struct dkd_log_stream *s)
{
	struct dkd_call c = within(call, s->options.write_timeout);
	bool fresh;

	if (s->options.async && s->options.reconnect && wire_now() - s->connected >= s->options.reconnect)
		wire_close(&s->wire);
	fresh = s->wire.fd < 0;
	if (wire_send(&s->wire, s->log->host, &c, s->message.data, s->message.size) < 0)
		return -1;
	if (fresh)
		s->connected = wire_now();
	return s->options.ack ? wait_for_ack(call, s) : 0;
}

static int send_message(const struct dkd_call *call, struct dkd_log_stream *s)
{
	int64_t wait = s->options.retry_wait;

	for (long tries = 0; send_once(call, s) < 0; tries++) {
		if (tries >= s->options.retries || !wire_pause(call, wait))
			return -1;
		wait = wait * 3 / 2 < MOST_WAIT ? wait * 3 / 2 : MOST_WAIT;
	}
	return 0;
}

static int send_record(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *r)
{
	const struct dkd_host *host = s->log->host;
	struct pieces *pieces = &s->pieces[r->flags & DKD_LOG_STDERR ? 1 : 0];
	bool partial = r->flags & DKD_LOG_PARTIAL;

	if ((s->options.ack && !make_chunk(s->chunk)) || (partial && !pieces_begin(pieces)))
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "no random numbers");
	s->message.size = 0;
	s->message.broken = false;
	fluentd_message(r, &s->common, partial ? pieces : NULL, s->options.sub_second, s->options.ack ? s->chunk : NULL, &s->message);
	if (!bytes_ok(&s->message))
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	if (send_message(call, s) < 0)
		return -1;
	pieces_end(pieces, r);
	return 0;
}

static int32_t fluentd_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	for (*taken = 0; *taken < len; ++*taken)
		if (send_record(call, s, &records[*taken]) < 0)
			return -1;
	return 0;
}

static const struct dkd_log_ops ops = { .open = opened_open, .close = opened_close, .check = fluentd_check, .start = fluentd_start,
	.stop = fluentd_stop, .write = fluentd_write };

static const struct dkd_driver driver = { .magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "fluentd", .version = PACKAGE_VERSION,
	.ops = &ops };

DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
