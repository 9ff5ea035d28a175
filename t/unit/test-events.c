/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "events.h"

#include "tap.h"

static struct event *take(struct event_reader *r, int64_t until)
{
	uint64_t lost;

	return events_next(r, until, NULL, &lost);
}

static void test_ring(void)
{
	struct events *ev = events_new();
	struct event_reader *r;
	struct event *e;
	int n = 0;

	for (int i = 0; i < 300; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		events_log(ev, "container", "start", id, "image", "busybox", NULL);
	}
	r = events_subscribe(ev, 1);
	is_int(events_subscribers(ev), 1, "one subscriber");
	while ((e = take(r, clock_now()))) {
		if (n++ == 0)
			is_str(e->actor, "44", "the ring keeps the last 256");
		event_unref(e);
	}
	is_int(n, 256, "all of them are replayed");
	events_unsubscribe(r);
	r = events_subscribe(ev, 0);
	ok(!take(r, clock_now()), "without since nothing is replayed");
	events_unsubscribe(r);
	is_int(events_subscribers(ev), 0, "no subscriber");
	events_free(ev);
}

static void test_until(void)
{
	struct events *ev = events_new();
	struct event_reader *r;
	struct event *a, *b;
	int64_t middle;

	events_log(ev, "image", "load", "1", NULL);
	middle = clock_now();
	events_log(ev, "image", "load", "2", NULL);
	r = events_subscribe(ev, 1);
	a = take(r, middle);
	b = take(r, middle);
	ok(a && streq(a->actor, "1") && !b, "until ends the replay");
	event_unref(a);
	events_unsubscribe(r);
	events_free(ev);
}

static void *publish_one(void *ev)
{
	usleep(30000);
	events_log(ev, "network", "create", "n", NULL);
	return NULL;
}

static void test_wait(void)
{
	struct events *ev = events_new();
	struct event_reader *r = events_subscribe(ev, 0);
	struct cancel c = CANCEL_NEVER;
	struct event *e;
	pthread_t t;
	int sv[2];
	uint64_t lost;

	pthread_create(&t, NULL, publish_one, ev);
	e = events_next(r, 0, &c, &lost);
	ok(e && streq(e->action, "create"), "a waiter wakes up");
	event_unref(e);
	pthread_join(t, NULL);
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	c.client_fd = sv[0];
	close(sv[1]);
	ok(!events_next(r, 0, &c, &lost), "a vanished client ends the wait");
	close(sv[0]);
	events_unsubscribe(r);
	events_free(ev);
}

static void test_lost(void)
{
	struct events *ev = events_new();
	struct event_reader *r = events_subscribe(ev, 0), *big;
	struct event *e;
	uint64_t lost, total = 0;
	int n = 0;
	OWN_FREE char *text = xmalloc(300001);

	for (int i = 0; i < 1034; i++)
		events_log(ev, "container", "die", "x", NULL);
	while ((e = events_next(r, clock_now(), NULL, &lost))) {
		n++;
		total += lost;
		event_unref(e);
	}
	is_int(n, 1024, "the queue holds 1024 events");
	is_int(total, 10, "and the reader learns how many it lost");
	big = events_subscribe(ev, 0);
	memset(text, 'x', 300000);
	text[300000] = '\0';
	for (int i = 0; i < 10; i++)
		events_log(ev, "container", "die", text, NULL);
	for (n = 0, total = 0; (e = events_next(big, clock_now(), NULL, &lost)); n++) {
		total += lost;
		event_unref(e);
	}
	is_int(n, 3, "and no more than 1 MiB");
	is_int(total, 7, "the rest is counted");
	events_unsubscribe(big);
	events_unsubscribe(r);
	events_free(ev);
}

static void encode_as(const char *type, int minor, char *ret, size_t size)
{
	struct event e = { .type = type, .action = (char *)"start", .actor = (char *)"abc", .time = 1700000000123456789 };
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	strmap_set(&e.attrs, "image", "busybox");
	jw_init(&w, &b);
	event_encode(&e, minor, &w);
	snprintf(ret, size, "%s", b.data);
	strmap_done(&e.attrs);
}

static void test_encode(void)
{
	char text[512];

	encode_as("container", 41, text, sizeof(text));
	is_str(text,
		"{\"status\":\"start\",\"id\":\"abc\",\"from\":\"busybox\",\"Type\":\"container\",\"Action\":\"start\",\"Actor\":"
		"{\"ID\":\"abc\","
		"\"Attributes\":{\"image\":\"busybox\"}},\"scope\":\"local\",\"time\":1700000000,\"timeNano\":"
		"1700000000123456789}",
		"legacy fields of containers");
	encode_as("container", 52, text, sizeof(text));
	ok(!strstr(text, "\"status\"") && !strstr(text, "\"from\""), "are gone with 1.52");
	encode_as("volume", 41, text, sizeof(text));
	ok(!strstr(text, "\"status\"") && !strstr(text, "\"id\""), "volumes never had them");
}

static void *publish_many(void *ev)
{
	for (int i = 0; i < 2000; i++)
		events_log(ev, "container", "exec_die", "x", "exitCode", "0", NULL);
	return NULL;
}

static void test_threads(void)
{
	struct events *ev = events_new();
	struct event_reader *r = events_subscribe(ev, 0);
	pthread_t t[2];
	uint64_t lost, total = 0, n = 0;
	int64_t last = 0, late = 0;
	struct event *e;

	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, publish_many, ev);
	while (n + total < 4000 && (e = events_next(r, clock_now() + 5 * NSEC_PER_SEC, NULL, &lost))) {
		n++;
		total += lost;
		late += e->time <= last;
		last = e->time;
		event_unref(e);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	is_int(n + total, 4000, "every event is delivered or counted as lost");
	is_int(late, 0, "times rise strictly");
	events_unsubscribe(r);
	events_free(ev);
}

int main(void)
{
	test_ring();
	test_until();
	test_wait();
	test_lost();
	test_encode();
	test_threads();
	return tap_done();
}
