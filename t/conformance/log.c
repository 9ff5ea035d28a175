/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is checked of log drivers. --option: those of the containers. Where the server they name is not there, writing may fail; how it
 * fails is looked at then.
 */
#include "dockerd/log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "kit.h"

#define THREADS 4
#define ROUNDS 20
#define RECORDS 64
#define PIECE (16u << 10)

static const struct dkd_log_ops *ops;
static struct dkd_log *logs;

static bool begin(struct check *c)
{
	struct dkd_log_open open = { .size = sizeof(open), .instance = c->instance };

	kit_begin(c);
	ops = c->driver->ops;
	return works(call_driver(ops->open, driver_host(c->driver), &open, &logs) == 0, "open");
}

static void shut(void)
{
	if (ops->close)
		ops->close(logs);
	err_done(&why);
}

static int check_with(const char *key, const char *value)
{
	uint32_t len;
	OWN_FREE struct dkd_pair *options = kit_options(key, value, &len);

	return call_driver(ops->check, logs, options, len);
}

static struct dkd_log_stream *start(const char *id, const char *name)
{
	static const struct dkd_pair attrs[] = { { "label", "value" }, { "empty", "" } };
	struct dkd_log_subject s = {
		.size = sizeof(s), .id = id, .name = name, .image_id = "sha256:0000000000000000000000000000000000000000000000000000000000000000",
		.image_name = "busybox:latest", .command = "sh -c 'echo \"x\"'", .tag = name, .attrs = attrs, .attrs_len = ARRAY_LEN(attrs), .created = clock_now(),
	};
	OWN_FREE struct dkd_pair *options = kit_options(NULL, NULL, &s.options_len);
	struct dkd_log_stream *ret = NULL;

	s.options = options;
	return call_driver(ops->start, logs, &s, &ret) == 0 ? ret : NULL;
}

/* All are taken, or it fails and says how many were. */
static bool hands_on(struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len)
{
	uint32_t taken = 0;
	int rc = call_driver(ops->write, s, records, len, &taken);

	return taken <= len && (rc == 0 || (why.msg && *why.msg));
}

static struct dkd_log_record record_of(const char *text, size_t size, uint32_t flags)
{
	return (struct dkd_log_record){ .size = sizeof(struct dkd_log_record), .flags = flags, .time = clock_now(), .text = text, .text_size = size };
}

static void case_options(struct check *c)
{
	int64_t began;

	if (!begin(c))
		return;
	began = clock_mono();
	works(check_with(NULL, NULL) == 0, "the options are right");
	works(check_with("tag", "{{.Name}}") == 0 || why.class == ERR_INVALID, "a tag is taken, or refused as one");
	refused(check_with("no-such.option_", "x"), ERR_INVALID, "an option that nobody knows is refused");
	check_ok(clock_mono() - began < 10 * NSEC_PER_SEC, "nothing was waited for");
	shut();
}

static void write_all_kinds(struct dkd_log_stream *s)
{
	OWN_FREE char *piece = xcalloc(1, PIECE);
	struct dkd_log_record r[RECORDS];

	memset(piece, 'p', PIECE);
	r[0] = record_of("one line", 8, 0);
	r[1] = record_of("of stderr", 9, DKD_LOG_STDERR);
	r[2] = record_of("", 0, 0);
	r[3] = record_of("\0\xff\x1b[0m\r\"\\", 9, 0);
	r[4] = record_of(piece, PIECE, DKD_LOG_PARTIAL);
	r[5] = record_of(piece, PIECE, DKD_LOG_PARTIAL);
	r[6] = record_of("end", 3, DKD_LOG_PARTIAL | DKD_LOG_LAST);
	works(hands_on(s, r, 7), "records of each kind are taken, or it says why not");
	r[0].time = 0;
	works(hands_on(s, r, 1), "one of 1970");
	for (unsigned i = 0; i < RECORDS; i++)
		r[i] = record_of("many", 4, i % 2 ? DKD_LOG_STDERR : 0);
	works(hands_on(s, r, RECORDS), "many at once");
	works(hands_on(s, r, 0), "none at all");
}

static void case_records(struct check *c)
{
	struct dkd_log_stream *s;
	int64_t began;

	if (!begin(c))
		return;
	if (ops->parts) {
		check_skip("records", "it divides, and has none of its own");
		return shut();
	}
	kit.deadline = clock_mono() + 10 * NSEC_PER_SEC;
	s = start("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "one");
	if (works(s != NULL, "a container's log begins")) {
		write_all_kinds(s);
		began = clock_mono();
		kit.deadline = began;
		hands_on(s, (struct dkd_log_record[]){ record_of("late", 4, 0) }, 1);
		check_ok(clock_mono() - began < 10 * NSEC_PER_SEC, "whose time is over waits for nothing");
		ops->stop(s);
	}
	kit.deadline = 0;
	s = start("1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "two");
	if (works(s != NULL, "another begins"))
		ops->stop(s);
	check_ok(true, "and ends without a record");
	shut();
}

static unsigned work(unsigned number)
{
	OWN_FREE char *id = xasprintf("%064x", number), *name = xasprintf("thread-%u", number);
	struct dkd_log_record r[2] = { record_of("from", 4, 0), record_of("a thread", 8, DKD_LOG_STDERR) };
	unsigned bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct dkd_log_stream *s = start(id, name);

		bad += !s || !hands_on(s, r, 2);
		if (s)
			ops->stop(s);
	}
	return bad;
}

static void case_threads(struct check *c)
{
	if (!begin(c))
		return;
	kit.deadline = clock_mono() + 30 * NSEC_PER_SEC;
	if (ops->parts)
		check_skip("threads", "it divides, and has no records of its own");
	else
		check_ok(kit_threads(THREADS, work) == 0, "%d threads with a container each", THREADS);
	shut();
}

static int32_t add_part(void *to, const char *driver, const struct dkd_pair *options, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		BUG_ON(!options[i].key);
	strv_add(to, driver);
	return 0;
}

static void case_parts(struct check *c)
{
	OWN_STRV struct strv first = { 0 }, second = { 0 };
	OWN_FREE char *a = NULL, *b = NULL;
	uint32_t len;
	OWN_FREE struct dkd_pair *options = NULL;
	bool twice = false;

	if (!begin(c))
		return;
	options = kit_options(NULL, NULL, &len);
	if (!ops->parts) {
		check_skip("parts", "it does not divide");
		return shut();
	}
	works(call_driver(ops->parts, logs, options, len, add_part, &first) == 0 && first.len > 0, "it divides");
	call_driver(ops->parts, logs, options, len, add_part, &second);
	a = strv_join(&first, ",");
	b = strv_join(&second, ",");
	check_ok(streq(a, b), "in the same way every time");
	strv_sort(&first);
	for (size_t i = 1; i < first.len; i++)
		twice = twice || streq(first.v[i], first.v[i - 1]);
	check_ok(!twice, "with no name twice");
	shut();
}

static int probe(struct check *c, char *reason, size_t size)
{
	return kit_probe(c, ((const struct dkd_log_ops *)c->driver->ops)->probe, NULL, reason, size);
}

static const struct check_case cases[] = {
	{ "options", case_options, false },
	{ "records", case_records, false },
	{ "threads", case_threads, false },
	{ "parts", case_parts, false },
	{ 0 },
};

const struct check_suite check_log = { DKD_KIND_LOG, cases, probe };
