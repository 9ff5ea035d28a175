/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way of a container's output from the file that its shim writes to log drivers: one thread for each container and driver,
 * from its start (or adoption) until it has ended and all is handed on. What the driver does not take stays in the file. A
 * cursor on disk for each driver says how far it came; after a crash some records may come twice.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "container/internal.h"
#include "container/log/file.h"
#include "logdriver.h"

#define BATCH      128
#define STACK_SIZE (192 * 1024)
#define CALL_TIME  (30 * NSEC_PER_SEC)
#define LAST_TIME  (2 * NSEC_PER_SEC) /* for what is left when the container is removed or the daemon ends */
#define RETRY_LEAST 200
#define RETRY_MOST 30000
#define NOTE_EVERY NSEC_PER_SEC
#define CURSOR     "log-cursor"

struct log_ship {
	struct log_ship *next;       /* under the container's lock */
	char *driver, *cursor;       /* its name, and of its cursor */
	enum log_format format;
	pthread_t thread;
	struct container *container; /* outlives it: ship_stop() joins */
	int stop;                    /* eventfd */
	int64_t by;                  /* under the container's lock: when it must end; 0: not told to */
	bool done;                   /* ... it ends by itself */
	/* the thread's own */
	struct log_sink *sink;
	struct logfile *file;
	struct log_place place, noted_place;
	int64_t pass;                /* records up to this time were handed on by another daemon; 0: by place */
	int64_t noted;
	struct log_item items[BATCH];
	size_t len;
	bool open[2];                /* of stdout and stderr: what came last is not the end of a line; json-file does not tell */
	int retry;
	bool failing;
};

static int64_t end_by(struct log_ship *s)
{
	WITH_LOCK(&s->container->lock);

	return s->by;
}

static char *cursor_path(const struct log_ship *s)
{
	OWN_FREE char *dir = container_dir(s->container);

	return xasprintf("%s/%s", dir, s->cursor);
}

static void read_cursor(struct log_ship *s)
{
	OWN_FREE char *path = cursor_path(s);
	OWN_BUF struct buf b = { 0 };
	unsigned long long inode;
	long long offset, time;

	if (fs_read(AT_FDCWD, path, 4096, &b, NULL) < 0 || !b.size || sscanf(b.data, "1 %llu %lld %lld", &inode, &offset, &time) != 3)
		return;
	s->place = (struct log_place){ .inode = inode, .offset = offset, .time = time };
	if (!logfile_seek(s->file, &s->place))
		s->pass = time;
}

static void note_cursor(struct log_ship *s)
{
	OWN_FREE char *path = cursor_path(s);
	OWN_FREE char *text = xasprintf("1 %llu %lld %lld\n", (unsigned long long)s->place.inode, (long long)s->place.offset,
		(long long)s->place.time);

	fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, NULL);
	s->noted = clock_mono();
	s->noted_place = s->place;
}

static void drop_items(struct log_ship *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(s->items[i].text);
	s->len -= n;
	memmove(s->items, s->items + n, s->len * sizeof(*s->items));
}

/* False: there is nothing more for now. */
static bool fetch(struct log_ship *s)
{
	const char *text;
	size_t size;

	while (s->len < BATCH && logfile_next(s->file, &text, &size)) {
		struct log_line l;

		if (logfile_parse(s->file, text, size, &l) && l.time > s->pass) {
			bool ends = l.size && l.text[l.size - 1] == '\n';

			if (s->format == LOG_JSON) {
				l.partial = !ends || s->open[l.from_stderr];
				s->open[l.from_stderr] = !ends;
			}
			s->items[s->len++] = (struct log_item){ .from_stderr = l.from_stderr, .partial = l.partial, .last = l.partial && ends,
				.time = l.time, .text = STEAL(l.text), .size = l.size - ends };
		}
		log_line_done(&l);
	}
	if (s->len)
		logfile_tell(s->file, &s->place);
	return s->len;
}

/* Not after each batch: once a second, and when there is nothing more to do. */
static void note_some(struct log_ship *s, bool now)
{
	if (s->len == 0 && memcmp(&s->place, &s->noted_place, sizeof(s->place)) != 0 && (now || clock_mono() - s->noted > NOTE_EVERY))
		note_cursor(s);
}

/* Until something happens to the file, the time is over, or it is to stop. */
static void wait_for(struct log_ship *s, int changes, int timeout_ms)
{
	struct pollfd p[2] = { { .fd = s->stop, .events = POLLIN }, { .fd = changes, .events = POLLIN } };
	char events[4096];

	if (poll(p, 2, timeout_ms) > 0)
		while (changes >= 0 && read(changes, events, sizeof(events)) > 0)
			;
}

/* Hands on what there is; false: the driver does not take it now. */
static bool hand_on(struct log_ship *s)
{
	while (s->len) {
		OWN_ERR struct err err = ERR_INIT;
		int64_t by = end_by(s), now = clock_mono();
		size_t taken = 0;
		int r = log_sink_write(s->sink, s->items, s->len, by ? by : now + CALL_TIME, by ? -1 : s->stop, &taken, &err);

		drop_items(s, taken);
		if (r < 0) {
			metrics_add(METRIC_LOG_WRITES_FAILED, 1);
			if (!s->failing)
				log_warn("container %s: its log for %s waits: %s", s->container->id, s->driver, err_text(&err));
			s->failing = true;
			return false;
		}
		if (s->failing)
			log_info("container %s: its log for %s goes on", s->container->id, s->driver);
		s->failing = false;
		s->retry = RETRY_LEAST;
	}
	note_some(s, false);
	return true;
}

/* The run is over and all is handed on: no start came between. */
static bool finish(struct log_ship *s)
{
	WITH_LOCK(&s->container->lock);

	s->done = !s->container->rec.state.running;
	return s->done;
}

static void work(struct log_ship *s)
{
	OWN_FREE char *path = log_file_path(s->container, &s->container->host.log), *dir = container_dir(s->container);
	OWN_FD int changes = logs_watch(dir, path);

	s->file = logfile_open(path, s->format, -1);
	read_cursor(s);
	s->noted_place = s->place;
	for (;;) {
		/* asked before the last look: what a container wrote before it ended is in the file by then */
		bool running = container_is_running(s->container);
		int64_t by = end_by(s);

		if (s->len || fetch(s)) {
			if (!hand_on(s)) {
				if (by)
					break;
				wait_for(s, -1, s->retry);
				s->retry = s->retry * 2 > RETRY_MOST ? RETRY_MOST : s->retry * 2;
			}
			continue;
		}
		if (by || (!running && finish(s)))
			break;
		note_some(s, false);
		wait_for(s, changes, LOGS_LOOK_AGAIN_MS);
	}
	note_some(s, true);
	drop_items(s, s->len);
	logfile_free(s->file);
}

static struct log_sink *open_sink(struct container *c, const struct log_config *part, struct err *err)
{
	OWN_STRMAP struct strmap attrs = { 0 }, env = { 0 };
	OWN_BUF struct buf tag = { 0 }, command = { 0 };
	OWN_STRV struct strv argv = { 0 };
	struct log_subject subject = { .id = c->id, .name = c->rec.name + 1, .image_id = c->rec.image, .created = c->rec.created,
		.image_name = c->rec.config.image ? c->rec.config.image : "" };

	if (log_tag_of(c, &part->config, &tag, err) < 0 || log_attrs(c, &part->config, &attrs, err) < 0)
		return NULL;
	log_command(c, &command);
	subject.tag = tag.data;
	subject.command = command.data ? command.data : "";
	subject.options = part->config;
	subject.attrs = attrs;
	log_env(c, &env);
	strv_add(&argv, c->rec.path ? c->rec.path : "");
	for (size_t i = 0; i < c->rec.args.len; i++)
		strv_add(&argv, c->rec.args.v[i]);
	subject.labels = &c->rec.config.labels;
	subject.env = &env;
	subject.argv = &argv;
	return log_sink_open(part->type, &subject, err);
}

static void *run(void *arg)
{
	struct log_ship *s = arg;

	work(s);
	log_sink_close(s->sink);
	s->sink = NULL;
	return NULL;
}

static void forget(struct log_ship *s)
{
	log_sink_close(s->sink);
	if (s->stop >= 0)
		close(s->stop);
	free(s->driver);
	free(s->cursor);
	free(s);
}

/* Waits for their threads. */
static void free_all(struct log_ship *s)
{
	for (struct log_ship *next; s; s = next) {
		next = s->next;
		pthread_join(s->thread, NULL);
		forget(s);
	}
}

static int run_thread(struct log_ship *s, struct err *err)
{
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&s->thread, &attr, run, s);
	pthread_attr_destroy(&attr);
	return r ? err_errno(err, r, "start the thread that hands on the log") : 0;
}

static int begin(struct container *c, const struct log_plan *plan, const struct log_config *part, struct err *err)
{
	struct log_ship *s = xcalloc(1, sizeof(*s));

	s->container = c;
	s->driver = xstrdup(part->type);
	s->cursor = plan->divided ? xasprintf(CURSOR "-%s", part->type) : xstrdup(CURSOR);
	s->format = log_plan_is_local(plan) ? LOG_LOCAL : LOG_JSON;
	s->retry = RETRY_LEAST;
	s->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->sink = open_sink(c, part, err);
	if (!s->sink || run_thread(s, err) < 0) {
		forget(s);
		return -1;
	}
	WITH_LOCK(&c->lock);

	s->next = c->ship;
	c->ship = s;
	return 0;
}

/* Those that are done; what is left of a run before goes on. */
static struct log_ship *take_done(struct container *c)
{
	struct log_ship *done = NULL;

	WITH_LOCK(&c->lock);
	for (struct log_ship **at = &c->ship; *at;) {
		struct log_ship *s = *at;

		if (!s->done) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		s->next = done;
		done = s;
	}
	return done;
}

static bool goes_on(struct container *c, const char *driver)
{
	WITH_LOCK(&c->lock);

	for (const struct log_ship *s = c->ship; s; s = s->next)
		if (streq(s->driver, driver))
			return true;
	return false;
}

void ship_begin(struct container *c)
{
	CLEANUP(log_plan_done) struct log_plan plan = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (!log_has_driver(&c->host.log))
		return;
	free_all(take_done(c));
	if (log_plan_make(&c->host.log, &plan, &err) < 0)
		log_error("container %s: its log is not handed on: %s", c->id, err_text(&err));
	for (size_t i = 0; i < plan.len; i++) {
		OWN_ERR struct err why = ERR_INIT;

		if (!goes_on(c, plan.parts[i].type) && begin(c, &plan, &plan.parts[i], &why) < 0)
			log_error("container %s: its log is not handed on to %s: %s", c->id, plan.parts[i].type, err_text(&why));
	}
}

void ship_tell_stop(struct container *c)
{
	WITH_LOCK(&c->lock);

	for (struct log_ship *s = c->ship; s; s = s->next) {
		s->by = clock_mono() + LAST_TIME;
		eventfd_write(s->stop, 1);
	}
}

void ship_stop(struct container *c)
{
	struct log_ship *s;

	ship_tell_stop(c);
	lock_take(&c->lock);
	s = STEAL(c->ship);
	lock_drop(&c->lock);
	free_all(s);
}
