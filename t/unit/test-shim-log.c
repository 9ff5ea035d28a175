/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the shim writes, read back by what the daemon reads with: both formats, rotation, compression, age, the buffer. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "container/log/file.h"
#include "shim/gzip.h"
#include "shim/logger.h"

#include "tap.h"

static char top[] = "/tmp/test-shim-log-XXXXXX";

static struct logger *begin(struct logger_config cfg)
{
	OWN_ERR struct err err = ERR_INIT;
	struct logger *l = logger_open(&cfg, &err);

	if (!l)
		printf("# %s\n", err_text(&err));
	return l;
}

static char *fresh(const char *name)
{
	OWN_FREE char *dir = xasprintf("%s/%s", top, name);

	fs_mkdir(dir, 0700, NULL);
	return xasprintf("%s/log", dir);
}


static bool there(const char *path, const char *suffix)
{
	OWN_FREE char *name = xasprintf("%s%s", path, suffix);

	return fs_exists(name);
}

/* All text of the log behind one another; the number of records. */
static int slurp(struct logfile *f, struct buf *text, int *ret_err)
{
	const char *s;
	size_t size;
	int n = 0;

	while (logfile_next(f, &s, &size)) {
		struct log_line l;

		if (logfile_parse(f, s, size, &l)) {
			buf_add(text, l.text, l.size);
			n++;
			if (ret_err)
				*ret_err += l.from_stderr;
		}
		log_line_done(&l);
	}
	return n;
}

static void test_formats(void)
{
	for (int local = 0; local < 2; local++) {
		OWN_FREE char *path = fresh(local ? "local" : "json");
		OWN_FREE char *big = xmalloc(40001);
		OWN_BUF struct buf got = { 0 }, want = { 0 };
		int64_t before = clock_now();
		struct logger *l = begin((struct logger_config){ .path = path, .local = local, .max_size = -1, .max_file = 1 });
		struct logfile *f;
		struct log_line line = { 0 };
		const char *s;
		size_t size;
		int errs = 0;

		memset(big, 'x', 40000);
		big[40000] = '\n';
		logger_write(l, 1, "first\nsec", 9);
		logger_write(l, 2, "bad \"\x01\xff\n", 8);
		logger_write(l, 1, "ond\n\n", 5);
		logger_write(l, 1, big, 40001);
		logger_write(l, 1, "no end", 6);
		logger_end(l, 1);
		logger_end(l, 2);
		logger_close(l);
		f = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, -1);
		buf_adds(&want, local ? "first\nbad \"\x01\xff\nsecond\n\n" : "first\nbad \"\x01\xef\xbf\xbd\nsecond\n\n");
		buf_add(&want, big, 40001);
		buf_adds(&want, "no end");
		is_int(slurp(f, &got, &errs), 8, "%s: long lines are cut into records", local ? "local" : "json-file");
		ok(got.size == want.size && memcmp(got.data, want.data, got.size) == 0, "and come back whole");
		is_int(errs, 1, "streams are told apart");
		logfile_free(f);
		f = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, 2);
		buf_reset(&got);
		is_int(slurp(f, &got, NULL), 2, "the last two records");
		logfile_free(f);
		f = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, -1);
		ok(logfile_next(f, &s, &size) && logfile_parse(f, s, size, &line) && line.time >= before && line.time <= clock_now(),
			"with their time");
		log_line_done(&line);
		logfile_free(f);
	}
}

/* Written by Docker's daemon: a whole line, one of stderr, and the piece of a line that never ended. */
static const char dockers[] =
	"\0\0\0\x19\x0a\x06" "stdout\x10\xe5\x90\xe5\xc1\xa9\xdc\x83\xf5\x18\x1a\x05" "first\0\0\0\x19"
	"\0\0\0\x17\x0a\x06" "stderr\x10\xf1\xe5\x8f\xc2\xa9\xdc\x83\xf5\x18\x1a\x03" "err\0\0\0\x17"
	"\0\0\0\x66\x0a\x06" "stdout\x10\xc0\xa1\xa3\xee\xa9\xdc\x83\xf5\x18\x1a\x0a" "no newline \x01*D\x12@"
	"f58dc4a568413ba0e61ee6290b797360aac7c99d4a6ad472e49f328477ba1f40\x18\x01\0\0\0\x66";

static void put(const char *path, const void *data, size_t size)
{
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ok(fs_write_all(fd, data, size) == 0, "written by hand");
}

static void test_dockers(void)
{
	OWN_FREE char *path = fresh("dockers"), *older = xasprintf("%s.1", path);
	OWN_BUF struct buf got = { 0 };
	struct log_line line = { 0 };
	struct logfile *f;
	const char *s;
	size_t size;

	put(path, dockers, sizeof(dockers) - 1);
	f = logfile_open(path, LOG_LOCAL, -1);
	ok(logfile_next(f, &s, &size) && logfile_parse(f, s, size, &line), "Docker's own record");
	is_int(line.time, INT64_C(1795263767839852645), "its time");
	log_line_done(&line);
	is_int(slurp(f, &got, NULL), 2, "and the others");
	is_str(got.data, "err\nno newline", "a piece has no line feed");
	put(path, dockers, 20);
	buf_reset(&got);
	is_int(slurp(f, &got, NULL), 0, "half a record waits");
	put(path, dockers + 20, 13);
	is_int(slurp(f, &got, NULL), 1, "for its other half");
	logfile_free(f);
	put(path, "\0\0\0\x08garbage!\xff\xff", 14);
	put(path, dockers, 33);
	f = logfile_open(path, LOG_LOCAL, -1);
	is_int(slurp(f, &got, NULL), 5, "what is no record is skipped");
	logfile_free(f);
	for (int n = 1; n < 6; n++) {
		f = logfile_open(path, LOG_LOCAL, n);
		is_int(slurp(f, &got, NULL), n, "the last %d around it", n);
		logfile_free(f);
	}
	put(older, dockers, sizeof(dockers) - 1 - 30);
	f = logfile_open(path, LOG_LOCAL, -1);
	is_int(slurp(f, &got, NULL), 7, "a torn record at the end of an older file is not joined with the next");
	logfile_free(f);
}

static void test_gzip(void)
{
	OWN_FREE char *plain = xasprintf("%s/plain", top), *packed = xasprintf("%s/packed.gz", top);
	atomic_bool stop = false;

	for (int kind = 0; kind < 5; kind++) {
		size_t size = kind == 4 ? 0 : kind == 3 ? 5 : 300000;
		OWN_FREE unsigned char *data = xmalloc(size + 1);
		OWN_FREE char *check = xasprintf("gzip -dc %s | cmp - %s", packed, plain);
		unsigned seed = 1;
		struct stat st;

		for (size_t i = 0; i < size; i++) {
			seed = seed * 1103515245 + 12345;
			data[i] = kind == 0 ? 'x' : kind == 1 ? (unsigned char)(seed >> 16) : (unsigned char)("a log line of "[i % 14] + (seed >> 28 == 3));
		}
		unlink(plain);
		unlink(packed);
		put(plain, data, size);
		int fd = open(packed, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		OWN_FD int from = open(plain, O_RDONLY | O_CLOEXEC);
		ok(gzip_write(fd, from, "{}", &stop), "gzip of %s", (const char *[]){ "one byte over and over", "noise", "text", "little", "nothing" }[kind]);
		is_int(fstat(fd, &st), 0, "its size");
		ok(kind == 1 || kind >= 3 || (size_t)st.st_size < size / 2, "it is smaller: %lld", (long long)st.st_size);
		close(fd);
		is_int(system(check), 0, "gunzip gives the same");
	}
	stop = true;
	OWN_FD int endless = open("/dev/urandom", O_RDONLY | O_CLOEXEC), hole = open("/dev/null", O_WRONLY | O_CLOEXEC);
	ok(!gzip_write(hole, endless, "{}", &stop), "it can be stopped");
}

static void test_rotation(void)
{
	for (int local = 0; local < 2; local++) {
		OWN_FREE char *path = fresh(local ? "rl" : "rj"), *third = xasprintf("%s.3.gz", path), *temp = xasprintf("%s.pack", path);
		OWN_BUF struct buf got = { 0 };
		struct logger *l;
		struct logfile *f, *follow;
		struct stat st;
		int count = 0;

		put(temp, "left", 4);
		l = begin((struct logger_config){ .path = path, .local = local, .max_size = 20000, .max_file = 4, .compress = true });
		ok(!fs_exists(temp), "what an earlier shim left half done is gone");
		follow = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, -1);
		for (int i = 0; i < 600; i++) {
			char text[128];
			int n = snprintf(text, sizeof(text), "line %d of a log that is turned, with %0*d to fill it\n", i, 40, i);

			logger_write(l, 1, text, (size_t)n);
			if (i % 150 == 149)
				count += slurp(follow, &got, NULL);
		}
		count += slurp(follow, &got, NULL);
		is_int(count, 600, "a follower gets every line through rotation and compression");
		logfile_free(follow);
		for (int i = 0; i < 4000 && (there(path, ".1") || there(path, ".2") || there(path, ".3")); i++)
			usleep(10000);
		logger_close(l);
		ok(there(path, ".1.gz") && there(path, ".2.gz") && fs_exists(third) && !there(path, ".4.gz"), "as many files as allowed");
		ok(!there(path, ".1") && !there(path, ".2") && !there(path, ".3"), "rotated ones are compressed only");
		ok(stat(third, &st) == 0 && st.st_size < 10000 && (st.st_mode & 0777) == 0640, "smaller, with the log's mode");
		f = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, -1);
		buf_reset(&got);
		count = slurp(f, &got, NULL);
		ok(count > 300 && strstr(got.data, "line 599 of"), "and are read: %d lines", count);
		logfile_free(f);
		f = logfile_open(path, local ? LOG_LOCAL : LOG_JSON, count - 5);
		buf_reset(&got);
		is_int(slurp(f, &got, NULL), count - 5, "a tail that reaches into them");
		logfile_free(f);
		OWN_FREE char *check = xasprintf("gzip -t %s.*.gz", path);
		is_int(system(check), 0, "gunzip is content with them");
	}
}

static void test_age(void)
{
	OWN_FREE char *path = fresh("age"), *first = xasprintf("%s.1", path);
	struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	struct logger *l = begin((struct logger_config){ .path = path, .max_size = -1, .max_file = 3, .max_age = 2 * NSEC_PER_SEC });

	logger_write(l, 1, "a\n", 2);
	logger_tick(l);
	ok(!fs_exists(first), "young records stay");
	usleep(1200000);
	logger_write(l, 1, "b\n", 2);
	usleep(1000000);
	logger_tick(l);
	ok(fs_exists(first), "a file with an old record is rotated");
	utimensat(AT_FDCWD, first, old, 0);
	logger_tick(l);
	ok(!fs_exists(first), "and removed when all of it is old");
	logger_close(l);
}

/* A disk that does not take anything: a pipe that nobody reads. */
static void test_buffer(void)
{
	OWN_FREE char *path = fresh("slow"), *text = xmalloc(32768);
	OWN_BUF struct buf got = { 0 };
	int64_t start;
	struct logger *l;
	int fd;

	is_int(mkfifo(path, 0600), 0, "a slow disk");
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	l = begin((struct logger_config){ .path = path, .max_size = -1, .max_file = 1, .buffer = 200000 });
	memset(text, 'y', 32768);
	for (int i = 128; i <= 32768; i += 128)
		text[i - 1] = '\n';
	start = clock_mono();
	for (int i = 0; i < 100; i++)
		logger_write(l, 1, text, 32768);
	ok(clock_mono() - start < NSEC_PER_SEC, "writing does not wait for it");
	start = clock_mono();
	ok(!logger_settle(l) && clock_mono() - start < 10 * NSEC_PER_SEC, "neither does the end, for ever");
	for (int i = 0; i < 1000; i++) {
		ssize_t n = read(fd, buf_reserve(&got, 65536), 65536);

		if (n > 0)
			got.size += (size_t)n;
		else
			usleep(20000);
		got.data[got.size] = '\0';
		if (strstr(got.data, "bytes of output were dropped"))
			break;
	}
	ok(got.size && strstr(got.data, "bytes of output were dropped: the log could not be written in time]\\n\",\"stream\":\"stderr\""),
		"what was dropped is counted in the log");
	unsigned long long dropped = 0;
	const char *said = strstr(got.data, "\"[");
	size_t kept = 0;
	for (const char *p = got.data; (p = strstr(p, "{\"log\":\"yyy")); p++)
		kept += 128;
	ok(said && sscanf(said, "\"[%llu", &dropped) == 1, "with a number");
	is_int((int64_t)(kept + dropped), 3276800, "and nothing else is missing");
	ok(logger_settle(l), "it settles");
	logger_close(l);
	close(fd);
}

static void test_buffered(void)
{
	OWN_FREE char *path = fresh("buffered");
	OWN_BUF struct buf got = { 0 };
	struct logger *l = begin((struct logger_config){ .path = path, .local = true, .max_size = -1, .max_file = 1, .buffer = 1 << 20 });
	struct logfile *f;

	for (int i = 0; i < 1000; i++)
		logger_write(l, 1 + i % 2, "line\n", 5);
	logger_write(l, 1, "open", 4);
	logger_trim(l);
	logger_end(l, 1);
	logger_end(l, 2);
	ok(logger_settle(l), "all is written soon");
	f = logfile_open(path, LOG_LOCAL, -1);
	is_int(slurp(f, &got, NULL), 1001, "and there when settling says so");
	logfile_free(f);
	logger_close(l);
}

/* A reader that goes on where an earlier one was, also when the file has another name by now. */
static void test_place(void)
{
	OWN_FREE char *path = fresh("place");
	struct logger *l = begin((struct logger_config){ .path = path, .local = true, .max_size = 1000, .max_file = 4 });
	struct logfile *f = logfile_open(path, LOG_LOCAL, -1);
	OWN_BUF struct buf got = { 0 };
	struct log_place place = { 0 }, wrong;
	const char *s;
	size_t size;

	for (int i = 0; i < 20; i++) {
		OWN_FREE char *text = xasprintf("line %d\n", i);

		logger_write(l, 1, text, strlen(text));
	}
	for (int i = 0; i < 7; i++)
		ok(logfile_next(f, &s, &size), "record %d", i);
	logfile_tell(f, &place);
	logfile_free(f);
	ok(place.inode && place.offset > 0 && place.time > 0, "a place");
	for (int i = 20; i < 50; i++) {
		OWN_FREE char *text = xasprintf("line %d\n", i);

		logger_write(l, 1, text, strlen(text));
	}
	ok(there(path, ".1"), "the file was turned over");
	f = logfile_open(path, LOG_LOCAL, -1);
	wrong = place;
	wrong.time++;
	ok(!logfile_seek(f, &wrong), "another file that has its number now is not taken for it");
	wrong = place;
	wrong.offset = 1 << 30;
	ok(!logfile_seek(f, &wrong), "nor is a place behind the end");
	ok(logfile_seek(f, &place), "it is found");
	is_int(slurp(f, &got, NULL), 43, "all that came since");
	ok(got.size && str_has_prefix(got.data, "line 7\n"), "from the right one on");
	logfile_free(f);
	logger_close(l);
}

int main(void)
{
	ok(mkdtemp(top) != NULL, "scratch");
	test_formats();
	test_dockers();
	test_gzip();
	test_rotation();
	test_age();
	test_buffer();
	test_buffered();
	test_place();
	fs_remove_tree(AT_FDCWD, top, NULL);
	return tap_done();
}
