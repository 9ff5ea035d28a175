/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/str.h"

#define KEPT_S (24 * 3600)
#define WAIT_NS (100 * 1000000LL)

struct partial {
	struct partial *next;
	char hex[ID_HEX + 1];
	int users;
	bool busy, whole, done, spared;
	int64_t at;           /* atomic */
};

struct partials {
	char *dir;
	int fd;
	struct lock lock;     /* LEAF: everything below */
	pthread_cond_t released;
	struct partial *all;
	struct strv claims;
};

/* The lock is held. */
static bool is_joined(const struct partials *p, const char *hex)
{
	for (const struct partial *b = p->all; b; b = b->next)
		if (streq(b->hex, hex))
			return true;
	return false;
}

void partials_sweep(struct partials *p, bool all)
{
	WITH_LOCK(&p->lock);
	OWN_DIR DIR *d = opendir(p->dir);
	struct stat st;

	for (struct dirent *e; d && (e = readdir(d));)
		if (*e->d_name != '.' && !is_joined(p, e->d_name) && fstatat(p->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    (all || st.st_mtime < time(NULL) - KEPT_S))
			unlinkat(p->fd, e->d_name, 0);
}

struct partials *partials_open(const char *dir, struct err *err)
{
	struct partials *p = xcalloc(1, sizeof(*p));

	p->dir = xstrdup(dir);
	p->fd = fs_mkdir_anew(dir, 0700, err) < 0 ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lock_init(&p->lock, LOCK_LEAF);
	lock_cond_init(&p->released);
	if (p->fd >= 0) {
		partials_sweep(p, false);
		return p;
	}
	if (err && !err->msg)
		err_errno(err, errno, "open %s", dir);
	partials_close(p);
	return NULL;
}

void partials_close(struct partials *p)
{
	BUG_ON(p->all != NULL);
	fd_close(&p->fd);
	lock_done(&p->lock);
	pthread_cond_destroy(&p->released);
	strv_done(&p->claims);
	free(p->dir);
	free(p);
}

struct partial *partial_join(struct partials *p, const char *digest)
{
	const char *hex = id_digest_hex(digest);
	WITH_LOCK(&p->lock);
	struct partial *b = p->all;

	BUG_ON(!hex);
	while (b && !streq(b->hex, hex))
		b = b->next;
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		snprintf(b->hex, sizeof(b->hex), "%s", hex);
		b->next = p->all;
		p->all = b;
	}
	b->users++;
	return b;
}

/* The lock is held, and nobody has it. */
static void forget(struct partials *p, struct partial *b)
{
	struct partial **at = &p->all;
	struct stat st;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	if ((b->whole && b->done) || b->spared || (fstatat(p->fd, b->hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == 0))
		unlinkat(p->fd, b->hex, 0);
	free(b);
}

int64_t partial_size(struct partials *p, const struct partial *b)
{
	struct stat st;

	return fstatat(p->fd, b->hex, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
}

void partial_leave(struct partials *p, struct partial *b, bool done)
{
	WITH_LOCK(&p->lock);

	b->done |= done;
	if (--b->users == 0)
		forget(p, b);
}

void partial_spare(struct partials *p, struct partial *b)
{
	WITH_LOCK(&p->lock);

	b->spared = true;
}

static enum partial_state state_of(const struct partial *b, int64_t *ret_at)
{
	*ret_at = __atomic_load_n(&b->at, __ATOMIC_RELAXED);
	return b->whole ? PARTIAL_WHOLE : b->busy ? PARTIAL_OTHERS : PARTIAL_MINE;
}

enum partial_state partial_look(struct partials *p, struct partial *b, int64_t *ret_at)
{
	WITH_LOCK(&p->lock);

	return state_of(b, ret_at);
}

enum partial_state partial_take(struct partials *p, struct partial *b, int64_t *ret_at)
{
	WITH_LOCK(&p->lock);
	enum partial_state state = state_of(b, ret_at);

	b->busy |= state == PARTIAL_MINE;
	return state;
}

void partial_at(struct partial *b, int64_t at)
{
	__atomic_store_n(&b->at, at, __ATOMIC_RELAXED);
}

void partial_fetched(struct partials *p, struct partial *b, bool whole)
{
	WITH_LOCK(&p->lock);

	b->busy = false;
	b->whole = whole;
}

int partial_file(struct partials *p, const struct partial *b, struct err *err)
{
	int fd = openat(p->fd, b->hex, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(err, errno, "open %s/%.12s", p->dir, b->hex) : fd;
}

int partials_temporary(struct partials *p, struct err *err)
{
	char name[2 * ID_HEX];
	int fd = openat(p->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	strcpy(name, ".send-");
	id_random_hex(name + strlen(name), 32);
	fd = openat(p->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "make a file in %s", p->dir);
	unlinkat(p->fd, name, 0);
	return fd;
}

int64_t partials_room(struct partials *p)
{
	struct statvfs v;

	return fstatvfs(p->fd, &v) < 0 ? -1 : (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

bool partials_claim(struct partials *p, const char *chain)
{
	WITH_LOCK(&p->lock);

	if (strv_contains(&p->claims, chain))
		return false;
	strv_add(&p->claims, chain);
	return true;
}

void partials_release(struct partials *p, const char *chain)
{
	WITH_LOCK(&p->lock);

	strv_del(&p->claims, chain);
	pthread_cond_broadcast(&p->released);
}

void partials_wait(struct partials *p)
{
	WITH_LOCK(&p->lock);

	lock_wait(&p->lock, &p->released, WAIT_NS);
}
