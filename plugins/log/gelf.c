/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log driver "gelf": to a Graylog server by udp (compressed, in chunks) or tcp. A message is what Docker's driver makes of it. Empty
 * lines are passed over: GELF knows no empty message.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <zlib.h>

#include "gelf.h"
#include "opened.h"

#define CHUNK_MAX  1420 /* of a datagram, with its head */
#define CHUNK_HEAD 12
#define CHUNK_DATA ((size_t)(CHUNK_MAX - CHUNK_HEAD))
#define CHUNKS_MAX 128

struct dkd_log_stream {
	struct dkd_log *log;
	struct gelf_options options;
	struct wire wire;
	char hostname[256];
	struct bytes tail;
	struct bytes message;
	struct bytes packed;
	bool told; /* of a message that is too long */
};

static int32_t gelf_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	struct gelf_options o;
	int r = gelf_options_read(&o, l->host, call, options, options_len);

	if (r == 0)
		gelf_options_done(&o);
	return r;
}

static void gelf_stop(struct dkd_log_stream *s)
{
	wire_close(&s->wire);
	gelf_options_done(&s->options);
	bytes_done(&s->tail);
	bytes_done(&s->message);
	bytes_done(&s->packed);
	free(s);
}

static int32_t gelf_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	s->log = l;
	s->wire.fd = -1;
	if (gelf_options_read(&s->options, l->host, call, subject->options, subject->options_len) < 0) {
		free(s);
		return -1;
	}
	s->wire = (struct wire){ .kind = s->options.kind, .host = s->options.host, .port = s->options.port, .fd = -1 };
	gelf_tail(subject, &s->tail);
	if (gethostname(s->hostname, sizeof(s->hostname) - 1) < 0 || !bytes_ok(&s->tail)) {
		gelf_stop(s);
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "no name of this host");
	}
	*ret = s;
	return 0;
}

static int compress_message(struct dkd_log_stream *s)
{
	z_stream z = { 0 };
	char *at;
	int r;

	if (deflateInit2(&z, s->options.level, Z_DEFLATED, s->options.compression == GELF_GZIP ? 15 + 16 : 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -1;
	z.avail_out = (uInt)deflateBound(&z, s->message.size);
	s->packed.size = 0;
	at = bytes_reserve(&s->packed, z.avail_out);
	z.next_out = (Bytef *)at;
	z.next_in = (Bytef *)s->message.data;
	z.avail_in = (uInt)s->message.size;
	r = at ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	s->packed.size = z.total_out;
	deflateEnd(&z);
	return r == Z_STREAM_END ? 0 : -1;
}

/* "GELF chunked": 1e 0f, the message's id, which, of how many. */
static int send_chunks(const struct dkd_call *call, struct dkd_log_stream *s, const struct bytes *b, size_t chunks)
{
	unsigned char chunk[CHUNK_MAX] = { 0x1e, 0x0f };

	if (getrandom(chunk + 2, 8, GRND_NONBLOCK) != 8)
		return s->log->host->fail(s->log->host, call, DKD_ERR_INTERNAL, 0, "no random bytes");
	chunk[11] = (unsigned char)chunks;
	for (size_t i = 0; i < chunks; i++) {
		size_t at = i * CHUNK_DATA, n = b->size - at < CHUNK_DATA ? b->size - at : CHUNK_DATA;

		chunk[10] = (unsigned char)i;
		memcpy(chunk + CHUNK_HEAD, b->data + at, n);
		if (wire_send(&s->wire, s->log->host, call, chunk, CHUNK_HEAD + n) < 0)
			return -1;
	}
	return 0;
}

static int send_udp(const struct dkd_call *call, struct dkd_log_stream *s)
{
	const struct dkd_host *host = s->log->host;
	const struct bytes *b = s->options.compression == GELF_NONE ? &s->message : &s->packed;
	size_t chunks;

	if (b == &s->packed && compress_message(s) < 0)
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "a message cannot be compressed");
	chunks = (b->size + CHUNK_DATA - 1) / CHUNK_DATA;
	if (b->size <= CHUNK_MAX)
		return wire_send(&s->wire, host, call, b->data, b->size);
	if (chunks <= CHUNKS_MAX)
		return send_chunks(call, s, b, chunks);
	if (!s->told)
		host->log(host, DKD_LOG_WARN, "a message is too long for 128 datagrams: such ones are dropped");
	s->told = true;
	return 0;
}

static int send_tcp(const struct dkd_call *call, struct dkd_log_stream *s)
{
	for (long tries = 0; wire_send(&s->wire, s->log->host, call, s->message.data, s->message.size) < 0; tries++)
		if (tries >= s->options.reconnects || !wire_pause(call, s->options.delay * INT64_C(1000000000)))
			return -1;
	return 0;
}

static int send_record(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *r)
{
	s->message.size = 0;
	s->message.broken = false;
	gelf_message(r, s->hostname, &s->tail, &s->message);
	if (s->options.kind == WIRE_TCP)
		bytes_put(&s->message, "", 1); /* what ends it */
	if (!bytes_ok(&s->message))
		return s->log->host->fail(s->log->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	return s->options.kind == WIRE_TCP ? send_tcp(call, s) : send_udp(call, s);
}

static int32_t gelf_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	for (*taken = 0; *taken < len; ++*taken)
		if (records[*taken].text_size && send_record(call, s, &records[*taken]) < 0)
			return -1;
	return 0;
}

static const struct dkd_log_ops ops = { .open = opened_open, .close = opened_close, .check = gelf_check, .start = gelf_start, .stop = gelf_stop,
	.write = gelf_write };

static const struct dkd_driver driver = { .magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "gelf", .version = PACKAGE_VERSION,
	.ops = &ops };

DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
