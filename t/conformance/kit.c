/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"

#define THREADS_MAX 16
#define AT_ONCE_NS (10 * NSEC_PER_SEC) /* on a machine with other things to do */

struct kit kit = { .cancel_fd = -1 };
_Thread_local struct err why;
static struct strv keys; /* of the options */

void kit_begin(struct check *c)
{
	kit = (struct kit){ .c = c, .cancel_fd = -1 };
	for (size_t i = keys.len; i < c->options->len; i++)
		strv_take(&keys, xstrndup(c->options->v[i], strcspn(c->options->v[i], "=")));
}

void kit_call_begin(struct driver_call *call)
{
	driver_call_begin(call, kit.c->driver);
	call->abi.deadline = kit.deadline;
	call->abi.cancel_fd = kit.cancel_fd;
	call->abi.request_id = "check";
}

int kit_call_end(struct driver_call *call, int32_t rc)
{
	OWN_ERR struct err now = ERR_INIT;

	rc = driver_call_end(call, rc, &now);
	if (rc < 0)
		err_move(&why, &now);
	return rc;
}

bool refused(int rc, enum err_class class, const char *what)
{
	bool good = rc < 0 && why.class == class;

	check_ok(good, "%s", what);
	if (!good && rc >= 0)
		check_note("it is not refused");
	else if (!good)
		check_note("refused as class %d (HTTP %d), not %d: %s", (int)why.class, err_status(why.class), (int)class, err_text(&why));
	return good;
}

bool gave_up(int rc, int64_t began, const char *what)
{
	return check_ok((rc >= 0 || why.class == ERR_CANCELLED) && clock_mono() - began < AT_ONCE_NS, "%s", what);
}

struct dkd_pair *kit_options(const char *key, const char *value, uint32_t *ret_len)
{
	const struct strv *options = kit.c->options;
	struct dkd_pair *v = xcalloc(options->len + 1, sizeof(*v));
	uint32_t n = 0;

	for (; n < options->len; n++) {
		const char *eq = strchr(options->v[n], '=');

		v[n] = (struct dkd_pair){ keys.v[n], eq ? eq + 1 : "" };
	}
	if (key)
		v[n++] = (struct dkd_pair){ key, value };
	*ret_len = n;
	return v;
}

int32_t kit_keep(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

int32_t kit_add(void *to, const char *text)
{
	strv_add(to, text);
	return 0;
}

int32_t kit_pair(void *to, const char *key, const char *value)
{
	strmap_set(to, key, value);
	return 0;
}

struct thread { pthread_t id; unsigned number, ret; unsigned (*fn)(unsigned number); };

static void *run(void *arg)
{
	struct thread *t = arg;

	t->ret = t->fn(t->number);
	err_done(&why);
	return NULL;
}

unsigned kit_threads(unsigned threads, unsigned (*fn)(unsigned number))
{
	struct thread t[THREADS_MAX];
	unsigned sum = 0;

	BUG_ON(threads > THREADS_MAX);
	for (unsigned i = 0; i < threads; i++) {
		t[i] = (struct thread){ .number = i, .fn = fn };
		BUG_ON(pthread_create(&t[i].id, NULL, run, &t[i]) != 0);
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(t[i].id, NULL);
		sum += t[i].ret;
	}
	return sum;
}

int kit_probe(struct check *c, int32_t (*probe)(const struct dkd_call *, const struct dkd_host *, const char *), const char *root, char *reason, size_t size)
{
	OWN_ERR struct err err = ERR_INIT;
	struct driver_call call;
	int32_t rc;

	if (!probe)
		return DKD_PROBE_MINE;
	driver_call_begin(&call, c->driver);
	rc = probe(&call.abi, driver_host(c->driver), root);
	driver_call_end(&call, rc == DKD_PROBE_MINE ? 0 : -1, &err);
	snprintf(reason, size, "%s", err_text(&err));
	return rc;
}

static bool write_map(pid_t pid, const char *file, const struct dkd_idmap *map)
{
	OWN_FREE char *path = xasprintf("/proc/%d/%s", (int)pid, file);
	FILE *f = fopen(path, "we");
	bool good = f && fprintf(f, "%u %u %u\n", map->inside, map->outside, map->count) > 0;

	return f && fclose(f) == 0 && good;
}

int kit_userns(const struct dkd_idmap *map)
{
	OWN_FREE char *path = NULL;
	int ready[2], fd = -1;
	char c = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], "y", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	path = xasprintf("/proc/%d/ns/user", (int)pid);
	if (pid > 0 && read(ready[0], &c, 1) == 1 && write_map(pid, "uid_map", map) && write_map(pid, "gid_map", map))
		fd = open(path, O_RDONLY | O_CLOEXEC);
	close(ready[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		check_wait(pid);
	}
	return fd;
}

int kit_gone(void)
{
	return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}
