/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of the container room that need no daemon: mount specs, status words, log lines, the work queue. */
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/clock.h"
#include "container/internal.h"
#include "container/log/file.h"
#include "tap.h"

static void bind_is(const char *bind, const char *type, const char *source, const char *dest, const char *mode, bool rw)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mount_point m = { 0 };

	ok(mount_parse_bind(bind, NULL, &m, &err) == 0, "%s is taken (%s)", bind, err_text(&err));
	is_str(m.type, type, "its type");
	is_str(str_empty(m.source) ? m.name : m.source, source, "its source");
	is_str(m.destination, dest, "its destination");
	is_str(m.mode ? m.mode : "", mode, "its mode");
	ok(m.rw == rw, "its access");
	mount_point_done(&m);
}

static void bind_fails(const char *bind, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mount_point m = { 0 };

	ok(mount_parse_bind(bind, NULL, &m, &err) < 0 && err.class == ERR_INVALID, "%s is refused", bind);
	is_str(err_text(&err), text, "with Docker's words");
	mount_point_done(&m);
}

static void test_binds(void)
{
	bind_is("/a:/b", "bind", "/a", "/b", "", true);
	bind_is("/a/../c/:/b//x:ro,Z", "bind", "/c", "/b/x", "ro,Z", false);
	bind_is("vol:/data", "volume", "vol", "/data", "z", true);
	bind_is("vol:/data:ro", "volume", "vol", "/data", "ro", false);
	bind_is("/data", "volume", "", "/data", "z", true);
	bind_is("/a:/b:", "bind", "/a", "/b", "", true);
	bind_fails("/data:ro", "invalid volume specification: '/data:ro'");
	bind_fails("/a:b", "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: "
			   "'b' mount path must be absolute");
	bind_fails("/a:/b:zz", "invalid mode: zz");
	bind_fails("/a:/b:ro,rw", "invalid mode: ro,rw");
	bind_fails("/a:/", "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: "
			   "destination can't be '/'");
	bind_fails("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'");
	bind_fails("x:/b", "create x: volume name is too short, names should be at least two alphanumeric characters");
	bind_fails("a/b:/c",
		"create a/b: \"a/b\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are "
		"allowed. If you intended to pass a host directory, use absolute path");
	bind_fails("..:/c",
		"create ..: \"..\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are "
		"allowed. If you intended to pass a host directory, use absolute path");
}

static void spec_fails(struct mount_spec spec, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mount_point m = { 0 };

	ok(mount_from_spec(&spec, &m, &err) < 0, "refused");
	is_str(err_text(&err), text, "with Docker's words");
}

static void test_specs(void)
{
	char bind[] = "bind", vol[] = "volume", tmp[] = "tmpfs", foo[] = "foo", b[] = "/b", none[] = "/nosuch/x", rel[] = "b",
	     root[] = "/";
	char bad[] = "[[\"suid\"]]", good[] = "[[\"exec\"]]";
	struct tmpfs_options to = { 0 };
	OWN_BUF struct buf words = { 0 };

	spec_fails((struct mount_spec){ .type = foo, .target = b }, "invalid mount config for type \"foo\": mount type unknown");
	spec_fails((struct mount_spec){ .type = bind, .target = b },
		"invalid mount config for type \"bind\": field Source must not be empty");
	spec_fails((struct mount_spec){ .type = bind, .source = none, .target = b },
		"invalid mount config for type \"bind\": bind source path does not exist: /nosuch/x");
	spec_fails((struct mount_spec){ .type = bind, .source = b },
		"invalid mount config for type \"bind\": field Target must not be empty");
	spec_fails((struct mount_spec){ .type = vol, .target = rel },
		"invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute");
	spec_fails((struct mount_spec){ .type = vol, .target = root },
		"invalid mount config for type \"volume\": invalid specification: destination can't be '/'");
	spec_fails((struct mount_spec){ .type = vol, .target = b, .tmpfs = &to },
		"invalid mount config for type \"volume\": field TmpfsOptions must not be specified");
	to.options = bad;
	spec_fails((struct mount_spec){ .type = tmp, .target = b, .tmpfs = &to },
		"invalid mount config for type \"tmpfs\": invalid option: suid");
	to.options = good;
	ok(mount_tmpfs_words(&to, &words, NULL) == 0, "exec is an option of a tmpfs");
	is_str(words.data, ",exec", "and passed on");
	to.options = NULL;
	spec_fails((struct mount_spec){ .type = tmp, .source = b, .target = b },
		"invalid mount config for type \"tmpfs\": field Source must not be specified");
}

static void test_tmpfs(void)
{
	OWN_STRV struct strv opts = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *text = NULL, *clean = path_clean("/a/./b/../../../c//");

	mount_tmpfs_options("size=1m,exec,size=2m", &opts);
	text = strv_join(&opts, ",");
	is_str(text, "exec,nosuid,nodev,size=2m", "options take the place of the defaults they contradict");
	ok(mount_check_tmpfs("/t", "size=1m,exec,mode=700", &err) == 0, "known options");
	ok(mount_check_tmpfs("/t", "foo", &err) < 0 && mount_check_tmpfs("/t", "lowerdir=/x", &err) < 0,
		"unknown options are refused");
	ok(mount_check_tmpfs("t", "", &err) < 0, "a relative path is refused");
	is_str(clean, "/c", "a path does not climb above its root");
}

static void status_is(struct container_state st, const char *word, const char *text)
{
	char got[96];

	is_str(state_word(&st), word, "state");
	is_str(state_text(&st, 1000 * NSEC_PER_SEC, got, sizeof(got)), text, "status");
}

static void test_status(void)
{
	const int64_t s = NSEC_PER_SEC;

	status_is((struct container_state){ 0 }, "created", "Created");
	status_is((struct container_state){ .running = true, .started_at = 997 * s }, "running", "Up 3 seconds");
	status_is((struct container_state){ .running = true, .paused = true, .started_at = 997 * s }, "paused",
		"Up 3 seconds (Paused)");
	status_is(
		(struct container_state){
			.running = true, .restarting = true, .exit_code = 1, .finished_at = 995 * s, .started_at = 1 },
		"restarting", "Restarting (1) 5 seconds ago");
	status_is((struct container_state){ .exit_code = 137, .started_at = 1, .finished_at = 880 * s }, "exited",
		"Exited (137) 2 minutes ago");
	status_is((struct container_state){ .removal = true }, "removing", "Removal In Progress");
	status_is((struct container_state){ .dead = true }, "dead", "Dead");
	ok(state_word_valid("exited") && !state_word_valid("foo"), "words");
}

static void write_file(const char *dir, const char *name, int from, int to, const char *tail)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "ae");

	for (int i = from; i < to; i++)
		fprintf(f, "{\"log\":\"line %d\\n\",\"stream\":\"%s\",\"time\":\"2026-01-01T00:00:%02dZ\"}\n", i,
			i % 2 ? "stderr" : "stdout", i % 60);
	fputs(tail, f);
	fclose(f);
}

/* How many lines there are, and the first and last one's text. */
static int read_lines(struct logfile *f, char first[64], char last[64])
{
	const char *s;
	size_t size;
	int n = 0;

	*first = *last = '\0';
	while (logfile_next(f, &s, &size)) {
		struct log_line l;

		if (log_line_parse(s, size, &l)) {
			snprintf(n++ ? last : first, 64, "%s", l.text);
			if (n == 1)
				snprintf(last, 64, "%s", l.text);
		}
		log_line_done(&l);
	}
	return n;
}

static void test_log_lines(void)
{
	static const char good[] = "{\"log\":\"a\\u0000b\\n\",\"stream\":\"stderr\",\"attrs\":{\"z\":\"1\",\"a\":\"2\"},\"time\":"
				   "\"1970-01-01T00:00:01.5Z\"}";
	struct log_line l;

	ok(log_line_parse(good, strlen(good), &l) && l.size == 4 && l.from_stderr && l.time == 1500000000, "a line");
	ok(l.attrs.len == 2 && streq(l.attrs.v[0].key, "a"), "its attributes are sorted");
	log_line_done(&l);
	ok(!log_line_parse("{\"log\":", 7, &l), "half a line is none");
	log_line_done(&l);
	ok(!log_line_parse("{\"log\":\"x\"}", 11, &l), "without a time it is none");
	log_line_done(&l);
}

/* The one-pass reader and the JSON parser give the same: a space in front sends a line to the parser. */
static void test_log_lines_agree(void)
{
	static const char *const texts[] = {
		"", "plain\\n", "q\\\" b\\\\ s\\/ \\b\\f\\t\\r", "\\u003c\\u003E\\u0026", "\\u00e9\\u20ac", "\\u0000x", "\xc3\xa9", "\xc3",
		"\xed\xa0\x80", "\\ud83d\\ude00", "\\ud83d", "\\u12", "\\u12g4", "\\u 123", "\\x", "raw\ttab", "cut\\", "a\",\"log\":\"b",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		OWN_FREE char *line = xasprintf(" {\"log\":\"%s\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:01.5Z\"}", texts[i]);
		struct log_line a, b;
		bool got = log_line_parse(line + 1, strlen(line + 1), &a), want = log_line_parse(line, strlen(line), &b);

		ok(got == want && (!got || (a.size == b.size && memcmp(a.text, b.text, a.size + 1) == 0 && a.time == b.time &&
			a.from_stderr == b.from_stderr)), "both ways of reading agree about text %zu", i);
		log_line_done(&a);
		log_line_done(&b);
	}
}

static void test_logfile(void)
{
	char dir[] = "/tmp/dkd-logs-XXXXXX", first[64], last[64];
	OWN_FREE char *path = NULL, *moved = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct logfile *f;

	ok(mkdtemp(dir) != NULL, "scratch");
	path = xasprintf("%s/c.log", dir);
	moved = xasprintf("%s/c.log.1", dir);
	write_file(dir, "c.log.2", 0, 10, "");
	write_file(dir, "c.log.1", 10, 1000, "garbage\n\n");
	write_file(dir, "c.log", 1000, 1010, "");
	f = logfile_open(path, LOG_JSON, -1);
	is_int(read_lines(f, first, last), 1010, "all lines through the rotated files, bad ones skipped");
	is_str(first, "line 0\n", "oldest first");
	is_str(last, "line 1009\n", "newest last");
	write_file(dir, "c.log", 1010, 1011, "{\"log\":\"half");
	is_int(read_lines(f, first, last), 1, "what came meanwhile; half a line waits");
	write_file(dir, "c.log", 0, 0, " line\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n");
	is_int(read_lines(f, first, last), 1, "its other half");
	is_str(first, "half line\n", "in one piece");
	ok(rename(path, moved) == 0, "rotation");
	write_file(dir, "c.log.1", 1011, 1012, "");
	write_file(dir, "c.log", 1012, 1014, "");
	is_int(read_lines(f, first, last), 3, "the rest of the rotated file, then the new one");
	is_str(last, "line 1013\n", "to its end");
	logfile_free(f);
	f = logfile_open(path, LOG_JSON, 2);
	is_int(read_lines(f, first, last), 2, "tail within one file");
	logfile_free(f);
	f = logfile_open(path, LOG_JSON, 4);
	is_int(read_lines(f, first, last), 4, "tail over two files");
	is_str(first, "half line\n", "from the right place");
	logfile_free(f);
	f = logfile_open(path, LOG_JSON, 0);
	is_int(read_lines(f, first, last), 0, "tail 0");
	logfile_free(f);
	OWN_FREE char *pack = xasprintf("gzip %s/c.log.2", dir);
	ok(system(pack) == 0, "a compressed file");
	f = logfile_open(path, LOG_JSON, -1);
	ok(read_lines(f, first, last) > 10 && streq(first, "line 0\n"), "is read, too");
	logfile_free(f);
	f = logfile_open(path, LOG_JSON, 100000);
	ok(read_lines(f, first, last) > 4, "tail beyond the beginning");
	logfile_free(f);
	fs_remove_tree(AT_FDCWD, dir, &err);
}

static atomic_int ran, dropped;
static void run_item(void *ctx) { atomic_fetch_add(&ran, 1); usleep(ctx ? 20000 : 0); }
static void drop_item(void *ctx) { (void)ctx; atomic_fetch_add(&dropped, 1); }

static void test_work(void)
{
	struct work *w = work_new(4);

	for (int i = 0; i < 20; i++)
		work_post(w, 0, run_item, drop_item, w);
	work_post(w, clock_mono() + NSEC_PER_SEC, run_item, drop_item, NULL);
	usleep(10000);
	ok(atomic_load(&ran) < 21, "the planned item waits");
	for (int i = 0; i < 2000 && atomic_load(&ran) < 21; i++)
		usleep(10000);
	is_int(atomic_load(&ran), 21, "all ran, the planned one when due");
	work_post(w, clock_mono() + 3600 * NSEC_PER_SEC, run_item, drop_item, NULL);
	work_stop(w);
	is_int(atomic_load(&dropped), 0, "one that has stopped can be spoken to");
	work_free(w);
	is_int(atomic_load(&dropped), 1, "what was not due is dropped at the end");
	is_int(atomic_load(&ran), 21, "and did not run");
}

int main(void)
{
	test_binds();
	test_specs();
	test_tmpfs();
	test_status();
	test_log_lines();
	test_log_lines_agree();
	test_logfile();
	test_work();
	return tap_done();
}
