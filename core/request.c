/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What handlers read of a request, and how they answer. */
#include <strings.h>

#include "router.h"

static int read_whole(struct request *rq, struct err *err);
static int check_json_type(struct request *rq, bool empty, struct err *err);

const char *request_var(const struct request *rq, const char *name)
{
	const char *v = strmap_get(&rq->vars, name);

	return v ? v : "";
}

const char *request_query(const struct request *rq, const char *name)
{
	return strmap_get(&rq->query, name);
}

bool request_query_bool(const struct request *rq, const char *name, bool absent)
{
	const char *v = request_query(rq, name);

	return v ? str_to_bool(v) : absent;
}

int request_query_int(const struct request *rq, const char *name, int64_t *ret, struct err *err)
{
	const char *v = request_query(rq, name);

	if (!v || !*v)
		return 0;
	if (!str_to_i64(v, ret))
		return err_set(err, ERR_INVALID, "invalid value for %s: \"%.64s\" is not an integer", name, v);
	return 0;
}

void request_query_list(const struct request *rq, const char *name, struct strv *ret)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < rq->query_all.len; i++)
		if (strncmp(rq->query_all.v[i], name, n) == 0 && rq->query_all.v[i][n] == '=')
			strv_add(ret, rq->query_all.v[i] + n + 1);
}

const char *request_header(const struct request *rq, const char *name)
{
	return rq->ops->header((struct request *)rq, name);
}

int request_body(struct request *rq, struct buf *ret, struct err *err)
{
	if (!rq->body_known && read_whole(rq, err) < 0)
		return -1;
	buf_add(ret, rq->body.data ? rq->body.data : "", rq->body.size);
	return 0;
}

int request_body_json(struct request *rq, const struct jdesc *d, void *obj, bool allow_empty, struct err *err)
{
	OWN_JSON json_t *js = NULL;

	if (!rq->body_known && read_whole(rq, err) < 0)
		return -1;
	if (check_json_type(rq, rq->body.size == 0, err) < 0)
		return -1;
	if (rq->body.size == 0)
		return allow_empty ? 0 : err_set(err, ERR_INVALID, "got EOF while reading request body");
	js = json_read(rq->body.data, rq->body.size, err);
	if (!js)
		return -1;
	request_any_case(rq, d, js);
	return jdesc_decode(d, js, obj, err);
}

void request_any_case(const struct request *rq, const struct jdesc *d, json_t *js)
{
	if (!rq->judged)
		jdesc_any_case(d, js);
}

int reply_json(struct request *rq, int status, const struct buf *json)
{
	OWN_BUF struct buf b = { 0 };

	buf_add(&b, json->data ? json->data : "", json->size);
	buf_addc(&b, '\n');
	return rq->ops->reply(rq, status, "application/json", b.data, b.size);
}

int reply_empty(struct request *rq, int status)
{
	return rq->ops->reply(rq, status, NULL, NULL, 0);
}

int reply_error(struct request *rq, const struct err *err)
{
	int status = err->msg ? err_status(err->class) : 500;
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	if (rq->sent != SENT_NOTHING)
		return -1;
	if (status == 304)
		return reply_empty(rq, status);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "message", err->msg ? err->msg : "internal error without a message");
	jw_obj_end(&w);
	return reply_json(rq, status, &b);
}

void peer_done(struct peer *p)
{
	free(p->user);
	strv_done(&p->certs);
	*p = (struct peer){ 0 };
}

void request_done(struct request *rq)
{
	strmap_done(&rq->vars);
	strmap_done(&rq->query);
	strv_done(&rq->query_all);
	strmap_done(&rq->reply_headers);
	buf_done(&rq->body);
	strv_done(&rq->scope);
}

static int read_whole(struct request *rq, struct err *err)
{
	for (;;) {
		void *to = buf_reserve(&rq->body, 16384);
		ssize_t n = rq->ops->read_body(rq, to, 16384, err);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		rq->body.size += (size_t)n;
		if (rq->body.size > REQUEST_BODY_MAX)
			return err_set(err, ERR_TOO_LARGE, "request body is larger than %u bytes", REQUEST_BODY_MAX);
	}
	rq->body_known = true;
	return 0;
}

static int check_json_type(struct request *rq, bool empty, struct err *err)
{
	static const char want[] = "application/json";
	const char *type = request_header(rq, "Content-Type");
	size_t n;

	if (!type && empty)
		return 0;
	n = type ? strcspn(type, "; \t") : 0;
	if (n != sizeof(want) - 1 || strncasecmp(type, want, n) != 0)
		return err_set(err, ERR_INVALID, "Content-Type specified (%.128s) must be 'application/json'", type ? type : "");
	return 0;
}
