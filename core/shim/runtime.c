/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "shim/proto.h"

#define LOG_MOST (256 * 1024)

static struct command *running;

static void make_argv(struct strv *v, const struct runtime *r, const char *log, const struct strv *words)
{
	strv_add(v, r->path);
	for (size_t i = 0; i < r->args.len; i++)
		strv_add(v, r->args.v[i]);
	strv_add(v, "--root");
	strv_add(v, r->root);
	strv_add(v, "--log");
	strv_addf(v, "%s/%s", r->dir, log);
	strv_add(v, "--log-format");
	strv_add(v, "json");
	if (r->systemd_cgroup)
		strv_add(v, "--systemd-cgroup");
	for (size_t i = 0; i < words->len; i++)
		strv_add(v, words->v[i]);
}

bool runtime_is_runc(const struct runtime *r)
{
	const char *slash = strrchr(r->path, '/');

	return streq(slash ? slash + 1 : r->path, "runc") && !r->args.len && !r->systemd_cgroup;
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

static _Noreturn void child(const struct launch *l, pid_t shim)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[3 + LAUNCH_MORE], program, n = 3 + (int)l->n_more;
	sigset_t none;

	/* a runtime that outlives its shim would start a container that nobody watches */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != shim)
		_exit(127);
	program = l->program >= 0 ? fcntl(l->program, F_DUPFD_CLOEXEC, 10) : -1;
	for (int i = 0; i < n; i++) {
		int fd = i < 3 ? l->stdio[i] : l->more[i - 3];

		fds[i] = fcntl(fd >= 0 ? fd : null, F_DUPFD_CLOEXEC, 10);
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], i);
	syscall(SYS_close_range, n, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
	put_file("/proc/self/oom_score_adj", "0");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (program >= 0)
		syscall(SYS_execveat, program, "", l->argv, environ, AT_EMPTY_PATH);
	else
		execv(l->argv[0], l->argv);
	dprintf(2, "%s: %s\n", l->argv[0], strerror(errno));
	_exit(127);
}

int command_launch(struct command *c, const struct launch *l, void (*on_end)(struct command *c, int status))
{
	pid_t self = getpid(), pid = fork();

	if (pid < 0)
		return -1;
	if (pid == 0)
		child(l, self);
	*c = (struct command){ .pid = pid, .on_end = on_end, .next = running };
	running = c;
	return 0;
}

int runtime_command(struct command *c, const struct runtime *r, const char *log, const struct strv *words, const int stdio[3],
	void (*on_end)(struct command *c, int status))
{
	OWN_STRV struct strv argv = { 0 };

	if (!shim_runtime_readable(r->root, r->id)) {
		errno = EUCLEAN;
		return -1;
	}
	make_argv(&argv, r, log, words);
	return command_launch(c, &(struct launch){ .program = -1, .argv = argv.v, .stdio = stdio }, on_end);
}

static unsigned hex4(const char *s)
{
	unsigned n = 0;

	for (int i = 0; i < 4; i++) {
		char c = s[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			return '?';
		n = n * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return n;
}

/* The JSON string behind "key":" in the text, unquoted; NULL when it is not there. */
static char *json_string(const char *text, const char *key)
{
	OWN_FREE char *quoted = xasprintf("\"%s\":", key);
	OWN_BUF struct buf b = { 0 };
	const char *s = strstr(text, quoted);

	if (!s)
		return NULL;
	s += strlen(quoted);
	while (*s == ' ')
		s++;
	if (*s++ != '"')
		return NULL;
	for (; *s && *s != '"'; s++) {
		unsigned c;

		if (*s != '\\') {
			buf_addc(&b, *s);
			continue;
		}
		switch (*++s) {
		case 'n': buf_addc(&b, '\n'); break;
		case 't': buf_addc(&b, '\t'); break;
		case 'r': buf_addc(&b, '\r'); break;
		case 'u':
			if (strlen(s) < 5)
				return buf_steal(&b);
			c = hex4(s + 1);
			buf_addc(&b, c < 0x80 ? (char)c : '?');
			s += 4;
			break;
		case '\0': return buf_steal(&b);
		default: buf_addc(&b, *s);
		}
	}
	return buf_steal(&b);
}

char *runtime_message(const struct runtime *r, const char *log, const char *fallback)
{
	OWN_FREE char *path = xasprintf("%s/%s", r->dir, log);
	OWN_BUF struct buf b = { 0 };
	char *line, *save = NULL, *found = NULL;

	if (fs_read(AT_FDCWD, path, LOG_MOST, &b, NULL) == 0 && b.data) {
		for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			OWN_FREE char *level = json_string(line, "level");

			if (!level || (!streq(level, "error") && !streq(level, "fatal")))
				continue;
			free(found);
			found = json_string(line, "msg");
		}
	}
	if (found)
		return found;
	found = xstrdup(fallback);
	found[strcspn(found, "\n")] = '\0';
	return found;
}

pid_t runtime_pid(const struct runtime *r, const char *file)
{
	OWN_FREE char *path = xasprintf("%s/%s", r->dir, file);
	OWN_BUF struct buf b = { 0 };
	int64_t n;

	if (fs_read(AT_FDCWD, path, 64, &b, NULL) < 0 || !b.data)
		return 0;
	b.data[strcspn(b.data, "\n")] = '\0';
	return str_to_i64(b.data, &n) && n > 0 && n <= INT32_MAX ? (pid_t)n : 0;
}

/* Reaps one command that has ended; its callback may start the next. */
static bool reap_command(void)
{
	for (struct command **p = &running; *p; p = &(*p)->next) {
		struct command *c = *p;
		int status;

		if (waitpid(c->pid, &status, WNOHANG) <= 0)
			continue;
		*p = c->next;
		c->pid = 0;
		c->on_end(c, status);
		return true;
	}
	return false;
}

void runtime_reap(void (*on_exit)(pid_t pid, int status), bool (*known)(size_t i, pid_t *ret))
{
	int status;
	pid_t pid;

	while (reap_command())
		;
	/* from the start again after each: the callback changes what is known */
	for (size_t i = 0; known(i, &pid); i++) {
		if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) {
			on_exit(pid, status);
			i = (size_t)-1;
		}
	}
	while (!running && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		on_exit(pid, status);
}
