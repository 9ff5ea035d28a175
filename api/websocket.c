/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "websocket.h"

#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <strings.h>

#include "base/mux.h"

#define MAGIC "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* of the RFC's section 1.3 */
#define KEY_TEXT 24                                  /* 16 bytes in base64 */
#define HEAD_MAX 14
#define CONTROL_MAX 125
#define PIECE (32u << 10)

enum op { OP_MORE = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };
#define CLOSED_NORMAL 1000
#define CLOSED_PROTOCOL 1002

struct websocket {
	struct http_stream s; /* first */
	struct http_stream *inner;
	bool text, mux;
	struct demux demux;
	bool ended, close_sent;
	/* What the client sends: a frame's head while it is not whole, then how much of its contents is to come. */
	unsigned char head[HEAD_MAX];
	size_t have;
	uint64_t left;
	unsigned char mask[4];
	size_t mask_at;
	enum op op;
	unsigned char control[CONTROL_MAX];
	size_t control_size;
	struct buf out;
};

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; p && *p; p += strcspn(p, ","), p += *p == ',') {
		p += strspn(p, " \t");
		if (strncasecmp(p, word, n) == 0 && strchr(", \t", p[n]))
			return true;
	}
	return false;
}

int websocket_accept(struct request *rq, struct err *err)
{
	const char *key = request_header(rq, "Sec-WebSocket-Key"), *version = request_header(rq, "Sec-WebSocket-Version");
	uint8_t hash[SHA1_DIGEST_SIZE];
	char text[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1] = "";
	struct sha1_ctx sha;

	if (!has_word(request_header(rq, "Upgrade"), "websocket") || !has_word(request_header(rq, "Connection"), "upgrade"))
		return err_set(err, ERR_INVALID, "a WebSocket handshake needs Upgrade: websocket and Connection: Upgrade");
	if (!version || !streq(version, "13"))
		return err_set(err, ERR_INVALID, "unsupported version of WebSocket: only 13 is spoken");
	if (!key || strlen(key) != KEY_TEXT)
		return err_set(err, ERR_INVALID, "a WebSocket handshake needs a Sec-WebSocket-Key of 16 bytes");
	sha1_init(&sha);
	sha1_update(&sha, KEY_TEXT, (const uint8_t *)key);
	sha1_update(&sha, strlen(MAGIC), (const uint8_t *)MAGIC);
	sha1_digest(&sha, sizeof(hash), hash);
	base64_encode_raw(text, sizeof(hash), hash);
	strmap_set(&rq->reply_headers, "Upgrade", "websocket");
	strmap_set(&rq->reply_headers, "Sec-WebSocket-Accept", text);
	return 0;
}

/* One frame, whole. */
static int put_frame(struct websocket *ws, enum op op, const void *data, size_t size)
{
	unsigned char head[10] = { (unsigned char)(0x80 | op) };
	size_t n = 2;

	if (size < 126) {
		head[1] = (unsigned char)size;
	} else {
		int bytes = size < 65536 ? 2 : 8;

		head[1] = bytes == 2 ? 126 : 127;
		for (int i = bytes - 1; i >= 0; i--)
			head[n++] = (unsigned char)((uint64_t)size >> (8 * i));
	}
	ws->out.size = 0;
	buf_add(&ws->out, head, n);
	buf_add(&ws->out, data, size);
	return ws->inner->write(ws->inner, ws->out.data, ws->out.size);
}

static void say_close(struct websocket *ws, unsigned code)
{
	const unsigned char text[2] = { (unsigned char)(code >> 8), (unsigned char)code };

	if (!ws->close_sent)
		put_frame(ws, OP_CLOSE, text, sizeof(text));
	ws->close_sent = true;
}

static ssize_t broken(struct websocket *ws)
{
	say_close(ws, CLOSED_PROTOCOL);
	ws->ended = true;
	errno = EPROTO;
	return -1;
}

/* How long the head is, as far as its bytes tell; one without a mask is refused before it is whole. */
static size_t head_size(const struct websocket *ws)
{
	unsigned char len = ws->have > 1 ? ws->head[1] & 0x7f : 0;

	return ws->have < 2 || !(ws->head[1] & 0x80) ? 2 : 2 + (size_t)(len == 126 ? 2 : len == 127 ? 8 : 0) + 4;
}

/* A head is whole. False: it breaks the protocol. */
static bool take_head(struct websocket *ws)
{
	unsigned char op = ws->head[0] & 0x0f, len = ws->head[1] & 0x7f;
	size_t bytes = len == 126 ? 2 : len == 127 ? 8 : 0;
	uint64_t size = bytes ? 0 : len;

	for (size_t i = 0; i < bytes; i++)
		size = size << 8 | ws->head[2 + i];
	memcpy(ws->mask, ws->head + 2 + bytes, 4);
	ws->have = 0;
	ws->mask_at = 0;
	ws->left = size;
	ws->op = op;
	ws->control_size = 0;
	if ((ws->head[0] & 0x70) || !(ws->head[1] & 0x80) || size >> 63)
		return false;
	if (op >= OP_CLOSE)
		return op <= OP_PONG && size <= CONTROL_MAX && (ws->head[0] & 0x80);
	return op <= OP_BINARY;
}

static void unmask(struct websocket *ws, unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] ^= ws->mask[ws->mask_at++ & 3];
}

static void end_control(struct websocket *ws)
{
	if (ws->op == OP_PING) {
		/* who asks without end and does not read the answers is not read either */
		put_frame(ws, OP_PONG, ws->control, ws->control_size);
		ws->inner->settle(ws->inner);
	} else if (ws->op == OP_CLOSE) {
		say_close(ws, CLOSED_NORMAL);
		ws->ended = true;
	}
}

/* Some bytes of the client's into data; what heads and control frames take does not count. */
static ssize_t ws_read(struct http_stream *s, void *data, size_t size)
{
	struct websocket *ws = (struct websocket *)s;

	while (!ws->ended) {
		bool in_data = ws->left && ws->op <= OP_BINARY;
		unsigned char *to = in_data ? data : ws->left ? ws->control + ws->control_size : ws->head + ws->have;
		uint64_t want = in_data ? size : ws->left ? ws->left : head_size(ws) - ws->have;
		ssize_t n = ws->inner->read(ws->inner, to, ws->left && want > ws->left ? (size_t)ws->left : (size_t)want);

		if (n <= 0)
			return n;
		if (!ws->left) {
			ws->have += (size_t)n;
			if (ws->have < head_size(ws))
				continue;
			if (!take_head(ws))
				return broken(ws);
			if (!ws->left && ws->op >= OP_CLOSE)
				end_control(ws);
			continue;
		}
		unmask(ws, to, (size_t)n);
		ws->left -= (uint64_t)n;
		if (in_data)
			return n;
		ws->control_size += (size_t)n;
		if (!ws->left)
			end_control(ws);
	}
	/* a close ends both directions, and who sent it waits for the connection's end */
	errno = ESHUTDOWN;
	return -1;
}

static int put_data(void *ctx, const void *data, size_t size)
{
	struct websocket *ws = ctx;

	return put_frame(ws, ws->text ? OP_TEXT : OP_BINARY, data, size);
}

static int ws_write(struct http_stream *s, const void *data, size_t size)
{
	struct websocket *ws = (struct websocket *)s;

	if (ws->close_sent) {
		errno = EPIPE;
		return -1;
	}
	if (ws->mux)
		return demux_feed(&ws->demux, data, size, put_data, ws);
	for (const char *p = data; size;) {
		size_t n = size < PIECE ? size : PIECE;

		if (put_data(ws, p, n) < 0)
			return -1;
		p += n;
		size -= n;
	}
	return 0;
}

static int ws_shutdown_write(struct http_stream *s)
{
	struct websocket *ws = (struct websocket *)s;

	say_close(ws, CLOSED_NORMAL);
	return ws->inner->shutdown_write(ws->inner);
}

static bool ws_pending(struct http_stream *s)
{
	struct websocket *ws = (struct websocket *)s;

	return ws->ended || (ws->inner->pending && ws->inner->pending(ws->inner));
}

static enum http_owed ws_owed(struct http_stream *s)
{
	struct websocket *ws = (struct websocket *)s;

	return ws->inner->owed(ws->inner);
}

static int ws_settle(struct http_stream *s)
{
	struct websocket *ws = (struct websocket *)s;

	return ws->inner->settle(ws->inner);
}

static void ws_close(struct http_stream *s)
{
	struct websocket *ws = (struct websocket *)s;

	say_close(ws, CLOSED_NORMAL);
	ws->inner->close(ws->inner);
	buf_done(&ws->out);
	free(ws);
}

struct http_stream *websocket_wrap(struct http_stream *inner, bool text, bool demux)
{
	struct websocket *ws = xcalloc(1, sizeof(*ws));

	ws->s = (struct http_stream){ ws_read, ws_write, ws_owed, ws_settle, ws_shutdown_write, ws_pending, ws_close, inner->poll_fd };
	ws->inner = inner;
	ws->text = text;
	ws->mux = demux;
	return &ws->s;
}
