/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layers of one image to a repository. Each goes through steps, all side by side: is it there already, in this repository or another one of the
 * registry; else it is packed, looked for once more by the digest that it has now, and sent. Two threads: this one talks to dockerd-fetch and the client,
 * the other packs, at most as far ahead as is sent.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/lock.h"
#include "image/inflate.h"
#include "registry/registry-priv.h"

#define SHORT_ID 12
#define PLACES_MAX 5          /* that are asked for a layer */
#define STACK (256 * 1024)
#define REQUESTS_MAX 16

enum step { STEP_KNOWN, STEP_PACK, STEP_PACKING, STEP_PACKED, STEP_CHECK, STEP_SEND, STEP_DONE };

struct load {
	const char *diffid;
	char *chain, id[SHORT_ID + 1];
	struct known_places places;
	size_t place;             /* the next one to ask for */
	enum step step;           /* lock */
	bool mounted;
	uint32_t request;         /* under way, or 0 */
	struct slot slot;         /* to send it */
	size_t like;              /* the same layer further down, or its own number */
	int fd;                   /* packed */
	struct sent *out;
};

struct packer {
	const struct sending *s;
	struct load *v;
	size_t len, running;
	struct lock lock;         /* LEAF */
	pthread_cond_t more;
	bool stop;
	size_t packed;            /* and not sent yet */
	int wake;
	struct err failure;
};

/* --- the thread that packs --- */

/* Where the packed bytes go: a file, and their digest. */
struct pack { struct writer writer; struct packer *p; struct fd_writer file; struct digest digest; int64_t size; };

static int pack_write(struct writer *writer, const void *data, size_t size, struct err *err)
{
	struct pack *k = (struct pack *)writer;

	if (__atomic_load_n(&k->p->stop, __ATOMIC_RELAXED))
		return err_set(err, ERR_CANCELLED, "cancelled");
	digest_add(&k->digest, data, size);
	k->size += (int64_t)size;
	return k->file.writer.write(&k->file.writer, data, size, err);
}

static int pack_layer(struct packer *p, struct load *l, struct err *err)
{
	struct pack k = { .writer = { pack_write }, .p = p };
	__attribute__((cleanup(gzip_writer_freep))) struct gzip_writer *z = NULL;
	OWN_FD int fd = partials_temporary(p->s->r->partials, err);

	if (fd < 0)
		return -1;
	fd_writer_init(&k.file, fd);
	digest_init(&k.digest);
	z = gzip_writer_new(&k.writer);
	if (layer_tar(image_store_layers(p->s->r->images), l->chain, gzip_writer_sink(z), p->s->push->cancel, err) < 0 || gzip_writer_end(z, err) < 0)
		return -1;
	digest_text(&k.digest, l->out->digest);
	l->out->size = k.size;
	l->fd = STEAL_FD(fd);
	return 0;
}

/* The next one to pack, when there is room for it; NULL at the end. */
static struct load *next_load(struct packer *p)
{
	WITH_LOCK(&p->lock);

	while (!p->stop) {
		for (size_t i = 0; i < p->len && p->packed <= (size_t)p->s->push->config->uploads; i++)
			if (p->v[i].step == STEP_PACK) {
				p->v[i].step = STEP_PACKING;
				p->packed++;
				return &p->v[i];
			}
		lock_wait(&p->lock, &p->more, -1);
	}
	return NULL;
}

static void *pack_all(void *arg)
{
	struct packer *p = arg;
	uint64_t one = 1;
	int rc = 0;

	for (struct load *l; rc == 0 && (l = next_load(p));) {
		OWN_ERR struct err err = ERR_INIT;

		rc = pack_layer(p, l, &err);
		lock_take(&p->lock);
		if (rc < 0)
			err_move(&p->failure, &err);
		l->step = STEP_PACKED;
		lock_drop(&p->lock);
		if (write(p->wake, &one, sizeof(one)) < 0)
			break;
	}
	return NULL;
}

/* --- the thread that sends --- */

static void say(struct packer *p, const struct load *l, const char *status)
{
	progress_step(p->s->progress, l->id, status);
}

static void set_step(struct packer *p, struct load *l, enum step step)
{
	WITH_LOCK(&p->lock);

	l->step = step;
	pthread_cond_signal(&p->more);
}

static enum step get_step(struct packer *p, const struct load *l)
{
	WITH_LOCK(&p->lock);

	return l->step;
}

static int request(struct packer *p, struct load *l, json_t *rq, int fd, struct err *err)
{
	l->request = session_ask(p->s->s, rq, fd, err);
	p->running += l->request != 0;
	return l->request ? 0 : -1;
}

static void ended(struct packer *p, struct load *l, const char *status)
{
	known_add(p->s->r->known, l->diffid, l->out->digest, p->s->ref);
	if (!l->mounted)
		say(p, l, status);
	lock_take(&p->lock);
	p->packed -= l->fd >= 0;
	lock_drop(&p->lock);
	fd_close(&l->fd);
	set_step(p, l, STEP_DONE);
}

/* Asks for the next place where it may lie, or lets it be packed. */
static int ask_known(struct packer *p, struct load *l, struct err *err)
{
	const struct known_place *at = &l->places.v[l->place];

	if (l->place < l->places.len && l->place < PLACES_MAX) {
		snprintf(l->out->digest, sizeof(l->out->digest), "%s", at->digest);
		if (streq(at->path, p->s->ref->path))
			return request(p, l, json_pack("{s:s, s:s, s:s}", "op", "have", "repo", at->path, "digest", at->digest), -1, err);
		return request(p, l, json_pack("{s:s, s:s, s:s, s:s}", "op", "mount", "repo", p->s->ref->path, "digest", at->digest, "from", at->path), -1, err);
	}
	set_step(p, l, STEP_PACK);
	return 0;
}

static int begin_step(struct packer *p, struct load *l, struct err *err)
{
	switch (get_step(p, l)) {
	case STEP_KNOWN:
		return ask_known(p, l, err);
	case STEP_PACKED:
		set_step(p, l, STEP_CHECK);
		return request(p, l, json_pack("{s:s, s:s, s:s}", "op", "have", "repo", p->s->ref->path, "digest", l->out->digest), -1, err);
	case STEP_SEND:
		return request(p, l, json_pack("{s:s, s:s, s:s, s:I}", "op", "upload", "repo", p->s->ref->path, "digest", l->out->digest, "size",
			(json_int_t)l->out->size), l->fd, err);
	default:
		return 0;
	}
}

/* A place was asked for: it has the layer, and then how large it is there is asked as well. */
static void on_known(struct packer *p, struct load *l, const struct session_reply *r)
{
	const struct known_place *at = &l->places.v[l->place];

	if (r->kind == SESSION_DONE && r->yes && streq(at->path, p->s->ref->path) && r->n > 0) {
		l->out->size = r->n;
		ended(p, l, "Layer already exists");
	} else if (r->kind == SESSION_DONE && r->yes && !streq(at->path, p->s->ref->path)) {
		OWN_FREE char *text = xasprintf("Mounted from %s", at->path);

		say(p, l, text);
		l->mounted = true;
		str_set(&l->places.v[l->place].path, p->s->ref->path);
	} else {
		l->place++;
		l->mounted = false;
	}
}

static int on_reply(struct packer *p, const struct session_reply *r, struct err *err)
{
	struct load *l = NULL;
	enum step step;

	for (size_t i = 0; i < p->len; i++)
		if (p->v[i].request == r->id)
			l = &p->v[i];
	if (!l || !r->id)
		return 0;
	step = get_step(p, l);
	if (r->kind == SESSION_AT) {
		progress_at(p->s->progress, l->id, "Pushing", r->n, l->out->size);
		return 0;
	}
	if (r->kind == SESSION_RETRY) {
		progress_retry(p->s->progress, l->id, r->n);
		return 0;
	}
	l->request = 0;
	p->running--;
	slots_give(p->s->r->uploads, &l->slot);
	if (step == STEP_KNOWN && !(r->kind == SESSION_FAILED && r->status == 401)) {
		on_known(p, l, r);
		return 0;
	}
	if (r->kind == SESSION_FAILED)
		return registry_failed(r, p->s->ref, err);
	if (step == STEP_CHECK && !(r->yes && r->n == l->out->size))
		set_step(p, l, STEP_SEND);
	else
		ended(p, l, step == STEP_CHECK ? "Layer already exists" : "Pushed");
	return 0;
}

/* One that is the same as another further down has nothing to do, and waits for that one. */
static bool settle_likes(struct packer *p)
{
	bool all = true;

	for (size_t i = 0; i < p->len; i++) {
		struct load *l = &p->v[i];

		if (l->like != i && get_step(p, l) != STEP_DONE && get_step(p, &p->v[l->like]) == STEP_DONE) {
			*l->out = *p->v[l->like].out;
			set_step(p, l, STEP_DONE);
			say(p, l, "Layer already exists");
		}
		all &= get_step(p, l) == STEP_DONE;
	}
	return all;
}

static int begin_steps(struct packer *p, struct err *err)
{
	for (size_t i = 0; i < p->len && p->running < REQUESTS_MAX; i++) {
		struct load *l = &p->v[i];

		if (l->request || l->like != i)
			continue;
		if (get_step(p, l) == STEP_SEND && !slots_take(p->s->r->uploads, &l->slot, p->s->push->config->uploads, p->wake))
			continue;
		if (begin_step(p, l, err) < 0)
			return -1;
	}
	return 0;
}

static int packing_failed(struct packer *p, struct err *err)
{
	WITH_LOCK(&p->lock);

	return p->failure.msg ? err_move(err, &p->failure) : 0;
}

static int serve(struct packer *p, int events, struct err *err)
{
	while (!settle_likes(p)) {
		OWN_REPLY struct session_reply reply = { 0 };
		uint64_t n;

		if (packing_failed(p, err) < 0 || begin_steps(p, err) < 0)
			return -1;
		if (settle_likes(p))
			break;
		if (cancel_fired(p->s->push->cancel) || cancel_wait(p->s->push->cancel, events, POLLIN, -1) < 0)
			return err_set(err, ERR_CANCELLED, "the client is gone");
		if (read(p->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
			return err_errno(err, errno, "wait for the thread that packs");
		if (session_next(p->s->s, 0, &reply, err) < 0 || on_reply(p, &reply, err) < 0)
			return -1;
	}
	return 0;
}

static int run(struct packer *p, struct err *err)
{
	OWN_FD int events = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event a = { .events = EPOLLIN }, b = { .events = EPOLLIN };
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, p->s->s->fd, &a) < 0 || epoll_ctl(events, EPOLL_CTL_ADD, p->wake, &b) < 0)
		return err_errno(err, errno, "wait for an upload");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	rc = pthread_create(&thread, &attr, pack_all, p);
	pthread_attr_destroy(&attr);
	if (rc)
		return err_errno(err, rc, "start the thread that packs");
	rc = serve(p, events, err);
	lock_take(&p->lock);
	__atomic_store_n(&p->stop, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&p->more);
	lock_drop(&p->lock);
	pthread_join(thread, NULL);
	return rc;
}

static void plan(struct packer *p, struct sent *out)
{
	const struct strv *ids = &p->s->img->diff_ids;

	p->len = ids->len;
	p->v = xcalloc(ids->len + 1, sizeof(*p->v));
	for (size_t i = 0; i < ids->len; i++) {
		struct load *l = &p->v[i];

		*l = (struct load){ .diffid = ids->v[i], .fd = -1, .like = i, .out = &out[i] };
		l->chain = layer_chain_id(i ? p->v[i - 1].chain : NULL, ids->v[i]);
		snprintf(l->id, sizeof(l->id), "%s", id_digest_hex(ids->v[i]));
		for (size_t k = 0; k < i && l->like == i; k++)
			if (streq(ids->v[k], ids->v[i]))
				l->like = k;
		known_list(p->s->r->known, l->diffid, p->s->ref, &l->places);
	}
	for (size_t i = ids->len; i-- > 0;)
		say(p, &p->v[i], "Preparing");
}

int layers_send(const struct sending *s, struct sent *ret, struct err *err)
{
	struct packer p = { .s = s, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	int rc;

	lock_init(&p.lock, LOCK_LEAF);
	lock_cond_init(&p.more);
	plan(&p, ret);
	rc = p.wake < 0 ? err_errno(err, errno, "make an event") : p.len ? run(&p, err) : 0;
	for (size_t i = 0; i < p.len; i++) {
		slots_give(s->r->uploads, &p.v[i].slot);
		free(p.v[i].chain);
		known_places_done(&p.v[i].places);
		fd_close(&p.v[i].fd);
	}
	free(p.v);
	fd_close(&p.wake);
	err_done(&p.failure);
	lock_done(&p.lock);
	pthread_cond_destroy(&p.more);
	return rc;
}
