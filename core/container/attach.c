/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attachments: made before or while the container runs; those that came early are connected by the start, before the first byte.
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "container/internal.h"

struct attachment {
	struct container *container;
	unsigned streams;
	int event;          /* readable once it is decided */
	int fd;             /* the stream, or -1; guarded by the container's lock */
	bool decided;
	struct attachment *next;
};

/* Under the lock; takes the fd. */
static void decide(struct attachment *a, int fd)
{
	uint64_t one = 1;

	a->fd = fd;
	a->decided = true;
	if (write(a->event, &one, sizeof(one)) < 0)
		log_error("cannot wake an attachment");
}

struct attachment *container_attach(struct container *c, const char *called, unsigned streams, struct err *err)
{
	struct attachment *a = xcalloc(1, sizeof(*a));
	CLEANUP(run_putp) struct run *run = NULL;
	int fd = -1;

	a->fd = -1;
	a->streams = streams;
	a->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->container = container_ref(c);
	if (a->event < 0) {
		err_set(err, ERR_UNAVAILABLE, "cannot attach: no file descriptor left");
		goto fail;
	}
	lock_take(&c->lock);
	if (c->rec.state.running && !c->starting && (c->rec.state.paused || c->rec.state.restarting)) {
		err_set(err, ERR_CONFLICT, c->rec.state.paused ? "container %s is paused, unpause the container before attach" :
			"container %s is restarting, wait until the container is running", called);
		lock_drop(&c->lock);
		goto fail;
	}
	run = c->starting ? c->starting : c->rec.state.running ? c->run : NULL;
	if (run) {
		atomic_fetch_add(&run->refs, 1);
	} else {
		a->next = c->attachments;
		c->attachments = a;
	}
	lock_drop(&c->lock);
	if (run) {
		if (shim_attach(run->shim, NULL, streams, &fd, err) < 0) {
			if ((err && err->class == ERR_NOT_FOUND) || shim_has_ended(run->shim)) /* it has ended, its shim with it or about to */
				err_set(err, ERR_CONFLICT, "Container %s is not running", c->id);
			goto fail;
		}
		decide(a, fd);
	}
	container_event(c, "attach", NULL);
	return a;
fail:
	attachment_free(a);
	return NULL;
}

int attachment_event(const struct attachment *a)
{
	return a->event;
}

int attachment_take(struct attachment *a)
{
	WITH_LOCK(&a->container->lock);

	return a->decided ? STEAL_FD(a->fd) : -1;
}

void attachment_free(struct attachment *a)
{
	struct container *c = a->container;

	lock_take(&c->lock);
	for (struct attachment **at = &c->attachments; *at; at = &(*at)->next)
		if (*at == a) {
			*at = a->next;
			break;
		}
	lock_drop(&c->lock);
	if (a->fd >= 0)
		close(a->fd);
	if (a->event >= 0)
		close(a->event);
	container_unref(c);
	free(a);
}

static struct attachment *first_undecided(struct container *c, unsigned *ret_streams)
{
	WITH_LOCK(&c->lock);
	struct attachment *a = c->attachments;

	if (a)
		*ret_streams = a->streams;
	return a;
}

/* a may have been freed meanwhile: it is looked for first. */
static bool decide_listed(struct container *c, struct attachment *a, int fd)
{
	WITH_LOCK(&c->lock);

	for (struct attachment **at = &c->attachments; *at; at = &(*at)->next)
		if (*at == a) {
			*at = a->next;
			decide(a, fd);
			return true;
		}
	return false;
}

void attachments_connect(struct container *c, struct run *r)
{
	struct attachment *a;
	unsigned streams;

	while ((a = first_undecided(c, &streams))) {
		OWN_ERR struct err err = ERR_INIT;
		int fd = -1;

		if (shim_attach(r->shim, NULL, streams, &fd, &err) < 0) {
			log_warn("container %s: cannot attach: %s", c->id, err_text(&err));
			fd = -1;
		}
		if (!decide_listed(c, a, fd) && fd >= 0)
			close(fd);
	}
}

void attachments_drop(struct container *c)
{
	struct attachment *a;
	unsigned streams;

	while ((a = first_undecided(c, &streams)))
		decide_listed(c, a, -1);
}

bool container_is_tty(const struct container *c)
{
	return c->rec.config.tty;
}

bool container_is_running(struct container *c)
{
	WITH_LOCK(&c->lock);

	return c->rec.state.running && !c->rec.state.restarting;
}

bool container_stdin_once(const struct container *c)
{
	return c->rec.config.stdin_once;
}

bool container_open_stdin(const struct container *c)
{
	return c->rec.config.open_stdin;
}
