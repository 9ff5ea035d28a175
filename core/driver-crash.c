/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver-crash.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"

#define WINDOW_S 3600
#define RECORD_MAX (64 << 10)
#define LINE_MAX_SIZE (4096 + 24)

/* A line of the record: when, and which file, as it was then. */
struct crash { int64_t time; char *file; };

static struct crash *crashes; /* of the last hour; fixed behind driver_crash_init() */
static size_t crashes_len;
static int record = -1;
static _Thread_local const char *volatile within;

const char *driver_crash_within(const char *file)
{
	const char *before = within;

	within = file;
	return before;
}

/* In a handler: nothing but what is safe there. */
static size_t put_number(char *to, int64_t v)
{
	char digits[20];
	size_t n = 0, len = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while (v /= 10);
	while (n)
		to[len++] = digits[--n];
	return len;
}

static void on_fault(int sig)
{
	static const char said[] = "dockerd crashes in driver ";
	const char *file = within;
	struct timespec now = { 0 };
	char line[LINE_MAX_SIZE];
	int sys = errno;
	size_t n;

	if (file && record >= 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		n = put_number(line, now.tv_sec);
		line[n++] = ' ';
		for (const char *p = file; *p && n < sizeof(line) - 1; p++)
			line[n++] = *p;
		line[n++] = '\n';
		(void)!write(record, line, n);
		(void)!write(STDERR_FILENO, said, sizeof(said) - 1);
		(void)!write(STDERR_FILENO, file, strlen(file));
		(void)!write(STDERR_FILENO, "\n", 1);
	}
	/* the action is the default one again: the process ends of the same signal, where it stood */
	errno = sys;
	raise(sig);
}

static void watch(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction act = { .sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND };
	struct sigaction now;

	sigfillset(&act.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		/* a sanitizer reports faults itself */
		if (sigaction(faults[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
			sigaction(faults[i], &act, NULL);
}

/* Lines that are whole, of the last hour, and of files that are still the ones they were. */
static void take_line(const char *line, struct buf *keep)
{
	int64_t now = clock_now() / NSEC_PER_SEC;
	const char *space = strchr(line, ' ');
	OWN_FREE char *number = space ? xstrndup(line, (size_t)(space - line)) : NULL;
	struct stat st;
	int64_t t;

	if (!number || space[1] != '/' || !str_to_i64(number, &t) || t > now || now - t >= WINDOW_S)
		return;
	if (stat(space + 1, &st) < 0 || st.st_ctim.tv_sec > t)
		return;
	crashes = xrealloc(crashes, (crashes_len + 1) * sizeof(*crashes));
	crashes[crashes_len++] = (struct crash){ t, xstrdup(space + 1) };
	buf_addf(keep, "%s\n", line);
}

static size_t count(const char *file, int64_t *ret_first)
{
	size_t n = 0;

	for (size_t i = crashes_len; i > 0 && n < DRIVER_CRASHES_MAX; i--)
		if (streq(crashes[i - 1].file, file)) {
			*ret_first = crashes[i - 1].time;
			n++;
		}
	return n;
}

static void tell(void)
{
	int64_t first;

	for (size_t i = 0; i < crashes_len; i++)
		if (i + 1 == crashes_len || !streq(crashes[i].file, crashes[i + 1].file))
			log_warn("the daemon has crashed in driver %s (%zu of %d times within an hour, then it is refused)", crashes[i].file,
				count(crashes[i].file, &first), DRIVER_CRASHES_MAX);
}

void driver_crash_init(const char *dir)
{
	OWN_FREE char *path = xasprintf("%s/" DRIVER_CRASHES_FILE, dir);
	OWN_BUF struct buf text = { 0 };
	OWN_BUF struct buf keep = { 0 };
	OWN_STRV struct strv lines = { 0 };

	if (fs_read(AT_FDCWD, path, RECORD_MAX, &text, NULL) == 0) {
		strv_split(&lines, text.data, "\n");
		for (size_t i = 0; i < lines.len; i++)
			take_line(lines.v[i], &keep);
	}
	tell();
	record = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	if (record < 0 || (keep.size != text.size && ftruncate(record, 0) < 0) ||
	    (keep.size != text.size && keep.size && fs_write_all(record, keep.data, keep.size) < 0))
		log_warn("crashes of drivers will not be counted: %s: %s", path, strerror(errno));
	watch();
}

bool driver_crash_allows(const char *file, struct err *err)
{
	int64_t first = 0;
	char until[CLOCK_TEXT];

	if (count(file, &first) < DRIVER_CRASHES_MAX)
		return true;
	clock_rfc3339nano((first + WINDOW_S) * NSEC_PER_SEC, until);
	err_set(err, ERR_INVALID, "driver %s is refused: the daemon has crashed in it %d times; another file of it, or a start after %s, tries it again",
		file, DRIVER_CRASHES_MAX, until);
	return false;
}
