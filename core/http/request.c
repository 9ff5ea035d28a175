/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One request as the router and handlers see it: its fields, its body, and the ways to answer. */
#include <strings.h>

#include "http/conn.h"

static const char *header(struct request *rq, const char *name)
{
	struct http_request *h = (struct http_request *)rq;

	for (size_t i = 0; i < h->names.len; i++)
		if (strcasecmp(h->names.v[i], name) == 0)
			return h->values.v[i];
	return NULL;
}

static void emit_headers(struct request *rq, void (*emit)(void *to, const char *name, const char *value), void *to)
{
	struct http_request *h = (struct http_request *)rq;

	for (size_t i = 0; i < h->names.len; i++)
		emit(to, h->names.v[i], h->values.v[i]);
}

const char *http_request_framing(const struct http_request *h, struct http_framing *f)
{
	for (size_t i = 0; i < h->names.len; i++)
		http_framing_add(f, h->names.v[i], strlen(h->names.v[i]), h->values.v[i], strlen(h->values.v[i]));
	return http_framing_check(f, h->http10);
}

static ssize_t read_body(struct request *rq, void *data, size_t size, struct err *err)
{
	struct http_request *h = (struct http_request *)rq;
	size_t n = h->body.size - h->body_at;

	if (n > size)
		n = size;
	if (n == 0)
		return 0;
	memcpy(data, h->body.data + h->body_at, n);
	h->body_at += n;
	return (ssize_t)n;
}

static int reply(struct request *rq, int status, const char *content_type, const void *data, size_t size)
{
	struct http_request *h = (struct http_request *)rq;

	BUG_ON(rq->sent != SENT_NOTHING);
	h->answer.set = true;
	h->answer.type = xstrdup(content_type);
	if (size)
		buf_add(&h->answer.data, data, size);
	rq->sent = SENT_ALL;
	rq->status = status;
	return 0;
}

static int begin(struct request *rq, int status, const char *content_type)
{
	struct http_request *h = (struct http_request *)rq;

	BUG_ON(rq->sent != SENT_NOTHING);
	h->raw = true;
	rq->sent = SENT_STREAM;
	rq->status = status;
	return raw_begin(h, status, content_type, -1);
}

static int write_chunk(struct request *rq, const void *data, size_t size)
{
	BUG_ON(rq->sent != SENT_STREAM);
	return raw_chunk((struct http_request *)rq, data, size);
}

static struct http_stream *hijack(struct request *rq, const char *content_type, struct err *err)
{
	struct http_request *h = (struct http_request *)rq;

	BUG_ON(rq->sent != SENT_NOTHING);
	h->raw = true;
	rq->sent = SENT_HIJACK;
	rq->status = h->upgrade ? 101 : 200;
	return raw_hijack(h, content_type, err);
}

static const struct request_ops ops = {
	.header = header,
	.each_header = emit_headers,
	.read_body = read_body,
	.reply = reply,
	.begin = begin,
	.write = write_chunk,
	.hijack = hijack,
};

void http_request_init(struct http_request *h)
{
	h->cancel = (struct cancel){ h->conn->fd, router_stop_fd(h->conn->srv->router) };
	h->rq.ops = &ops;
	h->rq.method = h->method;
	h->rq.uri = h->uri;
	h->rq.peer = &h->conn->peer;
	h->rq.user = h->conn->peer.user ? h->conn->peer.user : "";
	h->rq.user_auth = h->conn->peer.certs.len ? "TLS" : "";
	h->rq.client_fd = h->conn->fd;
	h->upgrade = header(&h->rq, "Upgrade") != NULL;
}

void http_request_done(struct http_request *h)
{
	upload_free(h->upload);
	request_done(&h->rq);
	strv_done(&h->names);
	strv_done(&h->values);
	buf_done(&h->body);
	buf_done(&h->answer.data);
	free(h->answer.type);
	free(h->uri);
	free(h->method);
}
