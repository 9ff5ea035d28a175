/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET /events: what the ring holds, then what happens, filtered. */
#include "events.h"

#include "base/clock.h"
#include "base/filters.h"
#include "image/reference.h"
#include "system.h"

static const char *const allowed[] = { "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin",
	"scope", "secret", "service", "type", "volume", NULL };

/* How one event is set apart from the next. */
struct framing { const char *type, *before; };

/* The filter "container" takes ids and names, and the beginnings of both; so do the others of its kind. */
static bool match_actor(const struct filters *f, const struct event *e, const char *key)
{
	const char *name = strmap_get(&e->attrs, "name");

	return filters_prefix(f, key, e->actor) || filters_prefix(f, key, name ? name : "");
}

/* Without its tag, as an image is called for short. */
static char *strip_tag(const char *image)
{
	CLEANUP(reference_done) struct reference r = { 0 };

	return reference_parse(image, &r, NULL) < 0 ? xstrdup(image) : reference_familiar_name(&r);
}

static bool match_image(const struct filters *f, const struct event *e)
{
	const char *name = strmap_get(&e->attrs, streq(e->type, "image") ? "name" : "image");
	OWN_FREE char *id_bare = NULL, *name_bare = NULL;

	if (!filters_has(f, "image"))
		return true;
	if (!name)
		name = "";
	id_bare = strip_tag(e->actor);
	name_bare = strip_tag(name);
	return filters_exact(f, "image", e->actor) || filters_exact(f, "image", name) || filters_exact(f, "image", id_bare) ||
		filters_exact(f, "image", name_bare);
}

/* "exec_start" stands for "exec_start: true", too. */
static bool match_action(const struct filters *f, const struct event *e)
{
	static const char *const loose[] = { "health_status", "exec_create", "exec_start" };
	const struct strv *want = filters_get(f, "event");

	for (size_t i = 0; want && i < ARRAY_LEN(loose); i++)
		if (strv_contains(want, loose[i]))
			return filters_prefix(f, "event", e->action);
	return filters_exact(f, "event", e->action);
}

static bool matches(const struct filters *f, const struct event *e)
{
	static const char *const actors[] = { "daemon", "container", "plugin", "volume", "network", "node", "service", "secret",
		"config" };

	if (!f->len)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(actors); i++)
		if (filters_has(f, actors[i]) && !match_actor(f, e, actors[i]))
			return false;
	return match_action(f, e) && filters_exact(f, "type", e->type) && filters_exact(f, "scope", "local") &&
	       match_image(f, e) && filters_labels(f, "label", &e->attrs);
}

/* What a client may see that is restricted to labels: what happens to what it owns. */
static bool in_scope(const struct filters *scope, const struct event *e)
{
	return !scope->len || filters_labels_pass(scope, &e->labels);
}

static int read_time(struct request *rq, const char *key, int64_t *ret, struct err *err)
{
	const char *text = request_query(rq, key);

	*ret = 0;
	if (str_empty(text))
		return 0;
	if (!clock_parse_stamp(text, clock_now(), ret))
		return err_set(err, ERR_INVALID, "invalid value for %s: \"%.64s\" is no time", key, text);
	/* 0 means "not given" from here on. */
	if (*ret <= 0)
		*ret = 1;
	return 0;
}

static struct framing choose_framing(struct request *rq)
{
	const char *accept = request_header(rq, "Accept");

	if (rq->api_minor < 52)
		return (struct framing){ "application/json", "" };
	if (accept && strstr(accept, "application/json-seq"))
		return (struct framing){ "application/json-seq", "\x1e" };
	if (accept && strstr(accept, "application/jsonl"))
		return (struct framing){ "application/jsonl", "" };
	return (struct framing){ "application/x-ndjson", "" };
}

static int send_event(struct request *rq, const struct event *e, const struct framing *f)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	buf_adds(&b, f->before);
	jw_init(&w, &b);
	event_encode(e, rq->api_minor, &w);
	buf_addc(&b, '\n');
	return rq->ops->write(rq, b.data, b.size);
}

/* The reader was too slow for its queue: it is told how many events it missed. */
static int send_lost(struct api *api, struct request *rq, uint64_t lost, const struct framing *f)
{
	struct event e = {
		.type = "daemon", .action = (char *)"events-lost", .actor = (char *)api->engine_id, .time = clock_now(), .refs = 1
	};
	OWN_FREE char *n = xasprintf("%llu", (unsigned long long)lost);
	int r;

	strmap_set(&e.attrs, "n", n);
	r = send_event(rq, &e, f);
	strmap_done(&e.attrs);
	return r;
}

static void follow(struct job *job, struct event_reader *r, const struct filters *f, int64_t until, const struct framing *framing)
{
	struct request *rq = job_request(job);
	OWN_FILTERS struct filters scope = { 0 };
	uint64_t lost;
	struct event *e;
	int bad = 0;

	for (size_t i = 0; i < rq->scope.len; i++)
		filters_add(&scope, "label", rq->scope.v[i]);
	while (bad == 0 && (e = events_next(r, until, &job->cancel, &lost))) {
		if (in_scope(&scope, e) && matches(f, e))
			bad = send_event(rq, e, framing);
		event_unref(e);
		if (lost && bad == 0)
			bad = send_lost(job_api(job), rq, lost, framing);
	}
}

int system_events(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	OWN_FILTERS struct filters f = { 0 };
	struct framing framing = choose_framing(rq);
	struct event_reader *r;
	int64_t since, until;

	if (read_time(rq, "since", &since, err) < 0 || read_time(rq, "until", &until, err) < 0)
		return -1;
	if (since && until && since > until)
		return err_set(err, ERR_INVALID, "`since` time (%s) cannot be after `until` time (%s)",
			request_query(rq, "since"), request_query(rq, "until"));
	if (filters_parse(request_query(rq, "filters"), &f, err) < 0 || filters_validate(&f, allowed, err) < 0)
		return -1;
	r = events_subscribe(job_api(job)->events, since || !until ? since : 1);
	if (rq->ops->begin(rq, 200, framing.type) == 0)
		follow(job, r, &f, until, &framing);
	events_unsubscribe(r);
	return 0;
}
