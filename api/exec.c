/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Execs: /containers/{id}/exec and /exec/... */
#include "api.h"
#include "container-streams.h"
#include "container/container.h"
#include "framing.h"

#define EXIT_WAIT_MS 2000

static void config_done(struct exec_config *cfg)
{
	jdesc_clear(&exec_config_desc, cfg);
}

static int create(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = NULL;
	CLEANUP(config_done) struct exec_config cfg = { 0 };
	struct detach_keys keys;
	OWN_BUF struct buf b = { 0 };
	char id[65];
	struct jw w;

	if (request_body_json(rq, &exec_config_desc, &cfg, false, err) < 0 || detach_keys_parse(cfg.detach_keys, &keys, err) < 0)
		return -1;
	c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	if (!c || exec_create(c, &cfg, id, err) < 0)
		return -1;
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Id", id);
	jw_obj_end(&w);
	return reply_json(rq, 201, &b);
}

struct start_body { bool detach, tty; char *console_size; };
JDESC(start_body_desc, start_body,
	JFIELD(start_body, detach, "Detach", J_BOOL, 0),
	JFIELD(start_body, tty, "Tty", J_BOOL, 0),
	JFIELD(start_body, console_size, "ConsoleSize", J_RAW, 0));

static void body_done(struct start_body *b)
{
	jdesc_clear(&start_body_desc, b);
}

static int parse_size(const char *text, int64_t ret[2], struct err *err)
{
	OWN_JSON json_t *js = NULL;

	ret[0] = ret[1] = 0;
	if (str_empty(text) || streq(text, "null"))
		return 0;
	js = json_read(text, strlen(text), err);
	if (!js || !json_is_array(js) || json_array_size(js) != 2)
		return err_set(err, ERR_INVALID, "/ConsoleSize: expected an array of two numbers");
	for (size_t i = 0; i < 2; i++) {
		ret[i] = json_integer_value(json_array_get(js, i));
		if (ret[i] < 0 || ret[i] > UINT16_MAX)
			return err_set(err, ERR_INVALID, "/ConsoleSize: out of range");
	}
	return 0;
}

/* An error that comes when the connection is already a stream: part of stdout, as Docker has it. */
static void tell(struct http_stream *hs, bool tty, const struct err *err)
{
	OWN_FREE char *text = xasprintf("%s\r\n", err_text(err));
	size_t n = strlen(text);
	unsigned char frame[8] = { 1, 0, 0, 0, (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8),
		(unsigned char)n };

	if (!tty)
		hs->write(hs, frame, sizeof(frame));
	hs->write(hs, text, n);
}

/* Whether there are frames, and what they are called, goes by what this request says of a terminal, as in Docker; the exec's own
 * setting may be another. */
static struct http_stream *take_over(struct request *rq, bool says_tty, bool tty, struct err *err)
{
	struct http_stream *hs = rq->ops->hijack(rq, stream_type(rq, says_tty), err);

	return hs && says_tty != tty ? framing_wrap(hs, tty) : hs;
}

static int start_attached(struct job *job, const char *id, bool says_tty, const int64_t size[2], struct err *err)
{
	struct request *rq = job_request(job);
	struct container_store *s = job_api(job)->containers;
	OWN_ERR struct err local = ERR_INIT;
	OWN_FREE char *keys_text = NULL;
	struct detach_keys keys;
	struct http_stream *hs;
	enum pump_end end;
	OWN_FD int fd = -1;
	bool tty = false, in = false;

	if (exec_check(s, id, &tty, &in, &keys_text, err) < 0 || detach_keys_parse(keys_text, &keys, err) < 0)
		return -1;
	hs = take_over(rq, says_tty, tty, err);
	if (!hs)
		return -1;
	if (exec_start(s, id, tty, size, &fd, &local) < 0) {
		tell(hs, tty, &local);
	} else {
		end = stream_pump(hs, fd, PUMP_STDIN | (tty && in ? PUMP_EOF_LEAVES : 0), tty ? &keys : NULL, &job->cancel);
		if (end == PUMP_DETACHED)
			exec_detached(s, id);
		else if (end == PUMP_DONE)
			exec_await_end(s, id, EXIT_WAIT_MS);
	}
	hs->shutdown_write(hs);
	hs->close(hs);
	return 0;
}

static int start(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(body_done) struct start_body body = { 0 };
	const char *id = request_var(rq, "id");
	int64_t size[2];

	if (request_body_json(rq, &start_body_desc, &body, true, err) < 0 || parse_size(body.console_size, size, err) < 0)
		return -1;
	if (!body.detach)
		return start_attached(job, id, body.tty, size, err);
	if (exec_start(job_api(job)->containers, id, body.tty, size, NULL, err) < 0)
		return -1;
	return reply_empty(rq, 200);
}

static int inspect(struct job *job, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (exec_inspect(job_api(job)->containers, request_var(job_request(job), "id"), &w, err) < 0)
		return -1;
	return reply_json(job_request(job), 200, &b);
}

static int resize(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	int64_t h, w;

	if (api_terminal_size(rq, &h, &w, err) < 0 || exec_resize(job_api(job)->containers, request_var(rq, "id"), h, w, err) < 0)
		return -1;
	return reply_empty(rq, 200);
}

int api_exec_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "exec_create", create }, { "exec_start", start }, { "exec_inspect", inspect }, { "exec_resize", resize },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
