/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/logpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "shim/gzip.h"

#define STACK_SIZE 65536
#define FREE_WAIT  (NSEC_PER_SEC / 4)
#define FREE_STOP  (2 * NSEC_PER_SEC)

struct logpack {
	struct lock lock;     /* the names of rotated files, and running */
	pthread_cond_t ended;
	char *path, *temp;
	int max_file;
	bool running;
	atomic_bool stop;
};

static char *plain_name(const struct logpack *p, int n)
{
	return xasprintf("%s.%d", p->path, n);
}

/* The oldest file that is not compressed yet, and its descriptor; -1 when all are. */
static int next_plain(const struct logpack *p)
{
	for (int n = p->max_file - 1; n > 0; n--) {
		OWN_FREE char *name = plain_name(p, n);
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0)
			return fd;
	}
	return -1;
}

static bool pack(struct logpack *p, int from, const struct stat *st)
{
	OWN_FD int to = open(p->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	int64_t last = (int64_t)st->st_mtim.tv_sec * NSEC_PER_SEC + st->st_mtim.tv_nsec;
	struct timespec times[2] = { st->st_mtim, st->st_mtim };
	char stamp[CLOCK_TEXT];
	OWN_FREE char *extra = xasprintf("{\"lastTime\":\"%s\"}", clock_rfc3339nano(last, stamp));

	/* readers find the file that they were in the middle of by its time */
	return to >= 0 && gzip_write(to, from, extra, &p->stop) && futimens(to, times) == 0;
}

/* Puts the compressed file in the place that the other has by now; it may have been rotated away. */
static bool put_in_place(struct logpack *p, const struct stat *st)
{
	WITH_LOCK(&p->lock);

	for (int n = p->max_file - 1; n > 0; n--) {
		OWN_FREE char *name = plain_name(p, n);
		OWN_FREE char *packed = xasprintf("%s.gz", name);
		struct stat now;

		if (stat(name, &now) == 0 && now.st_ino == st->st_ino && now.st_dev == st->st_dev)
			return rename(p->temp, packed) == 0 && unlink(name) == 0;
	}
	return unlink(p->temp) == 0;
}

static bool pack_one(struct logpack *p, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pack(p, fd, &st) && put_in_place(p, &st))
		return true;
	unlink(p->temp);
	return false; /* the next rotation tries again */
}

static void *run(void *arg)
{
	struct logpack *p = arg;

	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 10);
	for (bool more = true;;) {
		OWN_FD int fd = -1;

		lock_take(&p->lock);
		fd = more && !p->stop ? next_plain(p) : -1;
		if (fd < 0) {
			/* in one hold with the last look, so that no rotation is missed; p may be freed behind it */
			p->running = false;
			pthread_cond_broadcast(&p->ended);
			lock_drop(&p->lock);
			return NULL;
		}
		lock_drop(&p->lock);
		more = pack_one(p, fd);
	}
}

struct logpack *logpack_new(const char *path, int max_file)
{
	struct logpack *p = xcalloc(1, sizeof(*p));

	lock_init(&p->lock, LOCK_LEAF);
	lock_cond_init(&p->ended);
	p->path = xstrdup(path);
	p->temp = xasprintf("%s.pack", path);
	p->max_file = max_file;
	unlink(p->temp);
	logpack_kick(p);
	return p;
}

void logpack_hold(struct logpack *p)
{
	lock_take(&p->lock);
}

void logpack_let_go(struct logpack *p)
{
	lock_drop(&p->lock);
}

void logpack_kick(struct logpack *p)
{
	pthread_attr_t attr;
	pthread_t thread;
	OWN_FD int fd = -1;
	WITH_LOCK(&p->lock);

	fd = p->running ? -1 : next_plain(p);
	if (fd < 0)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	p->running = pthread_create(&thread, &attr, run, p) == 0;
	pthread_attr_destroy(&attr);
}

void logpack_free(struct logpack *p)
{
	bool running;

	lock_take(&p->lock);
	if (p->running)
		lock_wait(&p->lock, &p->ended, FREE_WAIT);
	p->stop = true;
	if (p->running)
		lock_wait(&p->lock, &p->ended, FREE_STOP);
	running = p->running;
	lock_drop(&p->lock);
	if (running)
		return; /* stuck at the disk: it keeps what it uses */
	lock_done(&p->lock);
	pthread_cond_destroy(&p->ended);
	free(p->path);
	free(p->temp);
	free(p);
}
