/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layers of one image. Two threads: this one talks to dockerd-fetch, to whoever shares the blobs, and to the client; the other unpacks, from the bottom
 * up, what is whole. A layer that is in the store is not fetched; the same blob twice is fetched once.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/lock.h"
#include "base/log.h"
#include "registry/registry-priv.h"

#define SHORT_ID 12
#define TELL_NS (100 * 1000000LL)
#define STACK (256 * 1024)
#define SHARED_MS 100         /* how often what others fetch is looked at */
#define FETCHES_MAX 32        /* at once, whatever is configured */

enum blob_state { BLOB_UNTOUCHED, BLOB_MINE, BLOB_OTHERS, BLOB_WHOLE };

/* One blob of the image, for every layer that is made of it. */
struct blob {
	const struct manifest_entry *entry;
	char id[SHORT_ID + 1];
	struct partial *partial;
	enum blob_state state;   /* lock */
	uint32_t request;        /* main thread: whose answer is awaited */
	int fd;
	int64_t told;
	size_t left;             /* layers that still need the file; lock */
};

struct layer { char *chain; struct blob *blob; bool done; /* told to the client; main thread */ };

struct fetching {
	const struct layers *l;
	struct layer_store *store;
	struct layer *v;         /* the layers that are missing, from the bottom up */
	size_t len;
	struct blob *blobs;
	size_t blobs_len;
	char *base;              /* the layer below, referenced; NULL for none */
	size_t running;          /* requests */
	struct lock lock;        /* LEAF: everything below, and what says so above */
	pthread_cond_t whole;    /* a blob, or the end */
	bool stop;               /* give up */
	bool ended;              /* the thread that unpacks */
	int wake;                /* eventfd: it has something to tell */
	size_t unpacked;         /* layers */
	int64_t at;              /* of v[unpacked], atomic */
	bool working;            /* on v[unpacked] */
	struct err failure;      /* of it */
	char *top;               /* referenced, when it is through */
};

static void wake(struct fetching *f)
{
	uint64_t one = 1;

	if (write(f->wake, &one, sizeof(one)) < 0)
		return; /* it is awake already */
}

/* --- the thread that unpacks --- */

/* A file as a source, which says how far it is and ends when the others give up. */
struct source { struct reader reader; struct fetching *f; int fd; int64_t at, told; };

static ssize_t source_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct source *s = (struct source *)reader;
	ssize_t n;
	int64_t now = clock_mono();

	if (__atomic_load_n(&s->f->stop, __ATOMIC_RELAXED))
		return err_set(err, ERR_CANCELLED, "cancelled");
	n = pread(s->fd, data, size, s->at);
	if (n < 0)
		return err_errno(err, errno, "read a fetched layer");
	s->at += n;
	__atomic_store_n(&s->f->at, s->at, __ATOMIC_RELAXED);
	if (now - s->told > TELL_NS) {
		s->told = now;
		wake(s->f);
	}
	return n;
}

/* Waits for the file of v[i]. False: the others gave up. */
static bool await_blob(struct fetching *f, size_t i)
{
	WITH_LOCK(&f->lock);

	while (!f->stop && f->v[i].blob->state != BLOB_WHOLE)
		lock_wait(&f->lock, &f->whole, -1);
	if (!f->stop)
		f->working = true;
	return !f->stop;
}

static int unpack(struct fetching *f, size_t i, const char *below, struct err *err)
{
	const char *want = f->l->img->diff_ids.v[f->l->img->diff_ids.len - f->len + i];
	OWN_FD int fd = partial_file(f->l->r->partials, f->v[i].blob->partial, err);
	struct source s = { { source_read, NULL }, f, fd, 0, 0 };
	OWN_FREE char *chain = NULL;

	if (fd < 0 || layer_register(f->store, below, &s.reader, want, f->l->pull->cancel, &chain, NULL, err) < 0)
		return -1;
	BUG_ON(!streq(chain, f->v[i].chain));
	return 0;
}

/* The layer is there and referenced: by us, or because another pull unpacked it. */
static int settle_layer(struct fetching *f, size_t i, const char *below, struct err *err)
{
	int rc;

	while (!partials_claim(f->l->r->partials, f->v[i].chain)) {
		if (__atomic_load_n(&f->stop, __ATOMIC_RELAXED))
			return err_set(err, ERR_CANCELLED, "cancelled");
		partials_wait(f->l->r->partials);
	}
	rc = layer_ref(f->store, f->v[i].chain, NULL);
	if (rc < 0)
		rc = unpack(f, i, below, err);
	partials_release(f->l->r->partials, f->v[i].chain);
	return rc;
}

static void drop(struct fetching *f, const char *chain)
{
	OWN_ERR struct err err = ERR_INIT;

	if (chain && layer_unref(f->store, chain, NULL, &err) < 0)
		log_warn("layer %s: %s", chain, err_text(&err));
}

/* A layer less that needs the file. */
static void used(struct fetching *f, struct blob *b)
{
	struct partial *p = NULL;

	lock_take(&f->lock);
	if (--b->left == 0)
		p = STEAL(b->partial);
	lock_drop(&f->lock);
	if (p)
		partial_leave(f->l->r->partials, p);
}

static void *unpack_all(void *arg)
{
	struct fetching *f = arg;
	OWN_ERR struct err err = ERR_INIT;
	char *below = STEAL(f->base);
	int rc = 0;

	for (size_t i = 0; i < f->len && rc == 0 && await_blob(f, i); i++) {
		rc = settle_layer(f, i, below, &err);
		if (rc < 0)
			break;
		drop(f, below);
		free(below);
		below = xstrdup(f->v[i].chain);
		known_add(f->l->r->known, f->l->img->diff_ids.v[f->l->img->diff_ids.len - f->len + i], f->v[i].blob->entry->digest, f->l->ref);
		used(f, f->v[i].blob);
		lock_take(&f->lock);
		f->unpacked++;
		f->working = false;
		__atomic_store_n(&f->at, 0, __ATOMIC_RELAXED);
		lock_drop(&f->lock);
		wake(f);
	}
	lock_take(&f->lock);
	if (rc < 0)
		err_move(&f->failure, &err);
	f->top = below;
	f->ended = true;
	lock_drop(&f->lock);
	wake(f);
	return NULL;
}

/* --- the thread that fetches --- */

static void set_state(struct fetching *f, struct blob *b, enum blob_state state)
{
	WITH_LOCK(&f->lock);

	b->state = state;
	if (state == BLOB_WHOLE)
		pthread_cond_broadcast(&f->whole);
}

static void tell_whole(struct fetching *f, struct blob *b)
{
	progress_step(f->l->progress, b->id, "Verifying Checksum");
	progress_step(f->l->progress, b->id, "Download complete");
}

static int ask(struct fetching *f, struct blob *b, struct err *err)
{
	b->fd = partial_file(f->l->r->partials, b->partial, err);
	if (b->fd < 0)
		return -1;
	b->request = session_ask(f->l->s, json_pack("{s:s, s:s, s:s, s:I}", "op", "blob", "repo", f->l->ref->path, "digest", b->entry->digest, "size",
		(json_int_t)b->entry->size), b->fd, err);
	if (!b->request)
		return -1;
	f->running++;
	return 0;
}

/* Begins what can be begun, and looks at what others fetch. */
static int push_on(struct fetching *f, struct err *err)
{
	size_t most = (size_t)f->l->pull->config->downloads;
	int64_t at;

	for (size_t i = 0; i < f->blobs_len; i++) {
		struct blob *b = &f->blobs[i];

		if (b->state == BLOB_MINE || b->state == BLOB_WHOLE)
			continue;
		if (f->running >= most || f->running >= FETCHES_MAX)
			break;
		switch (partial_take(f->l->r->partials, b->partial, &at)) {
		case PARTIAL_WHOLE:
			tell_whole(f, b);
			set_state(f, b, BLOB_WHOLE);
			break;
		case PARTIAL_OTHERS:
			if (at != b->told)
				progress_at(f->l->progress, b->id, "Downloading", at, b->entry->size);
			b->told = at;
			set_state(f, b, BLOB_OTHERS);
			break;
		case PARTIAL_MINE:
			set_state(f, b, BLOB_MINE);
			if (ask(f, b, err) < 0)
				return -1;
		}
	}
	return 0;
}

static struct blob *blob_of(struct fetching *f, uint32_t request)
{
	for (size_t i = 0; i < f->blobs_len; i++)
		if (f->blobs[i].request == request && f->blobs[i].state == BLOB_MINE)
			return &f->blobs[i];
	return NULL;
}

static void tell_retry(struct fetching *f, struct blob *b, int64_t seconds)
{
	OWN_FREE char *text = xasprintf("Retrying in %lld second%s", (long long)seconds, seconds == 1 ? "" : "s");

	progress_step(f->l->progress, b->id, text);
}

static int on_reply(struct fetching *f, const struct session_reply *r, struct err *err)
{
	struct blob *b = blob_of(f, r->id);
	const struct progress *p = f->l->progress;

	if (!b)
		return 0;
	switch (r->kind) {
	case SESSION_AT:
		partial_at(b->partial, r->n);
		progress_at(p, b->id, "Downloading", r->n, b->entry->size);
		return 0;
	case SESSION_RETRY:
		tell_retry(f, b, r->n);
		return 0;
	case SESSION_DONE:
		f->running--;
		fd_close(&b->fd);
		partial_fetched(f->l->r->partials, b->partial, true);
		tell_whole(f, b);
		set_state(f, b, BLOB_WHOLE);
		return 0;
	default:
		return registry_failed(r, f->l->ref, err);
	}
}

/* What the other thread has done since. 1: it is through. */
static int tell_unpacked(struct fetching *f, size_t *told, struct err *err)
{
	uint64_t n;
	size_t unpacked;
	bool working, ended;
	int64_t at = __atomic_load_n(&f->at, __ATOMIC_RELAXED);

	if (read(f->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return err_errno(err, errno, "wait for the thread that unpacks");
	lock_take(&f->lock);
	unpacked = f->unpacked;
	working = f->working;
	ended = f->ended;
	lock_drop(&f->lock);
	for (; *told < unpacked; ++*told) {
		const struct blob *b = f->v[*told].blob;

		progress_at(f->l->progress, b->id, "Extracting", b->entry->size, b->entry->size);
		progress_step(f->l->progress, b->id, "Pull complete");
	}
	if (working && at && unpacked < f->len)
		progress_at(f->l->progress, f->v[unpacked].blob->id, "Extracting", at, f->v[unpacked].blob->entry->size);
	return ended;
}

static bool waits_for_others(const struct fetching *f)
{
	for (size_t i = 0; i < f->blobs_len; i++)
		if (f->blobs[i].state == BLOB_OTHERS)
			return true;
	return false;
}

/* Until the other thread is through. */
static int serve(struct fetching *f, int events, struct err *err)
{
	size_t told = 0;

	for (;;) {
		struct epoll_event e;
		int rc;

		if (push_on(f, err) < 0)
			return -1;
		if (cancel_fired(f->l->pull->cancel) || cancel_wait(f->l->pull->cancel, events, POLLIN, waits_for_others(f) ? SHARED_MS : -1) < 0)
			return err_set(err, ERR_CANCELLED, "the client is gone");
		while (epoll_wait(events, &e, 1, 0) > 0) {
			OWN_REPLY struct session_reply reply = { 0 };

			if (e.data.fd == f->wake)
				break;
			rc = session_next(f->l->s, 0, &reply, err);
			if (rc < 0 || (rc > 0 && on_reply(f, &reply, err) < 0))
				return -1;
			if (reply.kind != SESSION_AT)
				break;
		}
		rc = tell_unpacked(f, &told, err);
		if (rc != 0)
			return rc < 0 ? -1 : 0;
	}
}

static int open_events(const struct fetching *f, struct err *err)
{
	OWN_FD int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event a = { .events = EPOLLIN, .data.fd = f->l->s->fd }, b = { .events = EPOLLIN, .data.fd = f->wake };

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, f->l->s->fd, &a) < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, f->wake, &b) < 0)
		return err_errno(err, errno, "wait for a download");
	return STEAL_FD(fd);
}

static int start_thread(struct fetching *f, pthread_t *ret, struct err *err)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	rc = pthread_create(ret, &attr, unpack_all, f);
	pthread_attr_destroy(&attr);
	return rc ? err_errno(err, rc, "start the thread that unpacks") : 0;
}

static int run(struct fetching *f, struct err *err)
{
	OWN_FD int events = open_events(f, err);
	OWN_ERR struct err mine = ERR_INIT;
	pthread_t thread;
	int rc;

	if (events < 0 || start_thread(f, &thread, err) < 0)
		return -1;
	rc = serve(f, events, &mine);
	lock_take(&f->lock);
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	pthread_cond_broadcast(&f->whole);
	lock_drop(&f->lock);
	pthread_join(thread, NULL);
	f->base = STEAL(f->top); /* the highest that is held */
	if (f->failure.msg && (rc == 0 || f->failure.class != ERR_CANCELLED))
		return err_move(err, &f->failure);
	return rc < 0 ? err_move(err, &mine) : 0;
}

/* --- what is missing --- */

static struct blob *find_blob(struct fetching *f, const char *digest)
{
	for (size_t i = 0; i < f->blobs_len; i++)
		if (streq(f->blobs[i].entry->digest, digest))
			return &f->blobs[i];
	return NULL;
}

static void short_id(const char *digest, char ret[SHORT_ID + 1])
{
	snprintf(ret, SHORT_ID + 1, "%s", id_digest_hex(digest));
}

static void add_layer(struct fetching *f, const struct manifest_entry *e, const char *chain)
{
	struct blob *b = find_blob(f, e->digest);

	if (!b) {
		b = &f->blobs[f->blobs_len++];
		*b = (struct blob){ .entry = e, .fd = -1, .partial = partial_join(f->l->r->partials, e->digest) };
		short_id(e->digest, b->id);
	}
	b->left++;
	f->v[f->len++] = (struct layer){ .chain = xstrdup(chain), .blob = b };
}

/* Finds the topmost layer that is there, holds it, and lists the others. */
static void plan(struct fetching *f)
{
	const struct strv *ids = &f->l->img->diff_ids;
	OWN_STRV struct strv chains = { 0 };
	size_t have = ids->len;

	for (size_t i = 0; i < ids->len; i++)
		strv_take(&chains, layer_chain_id(i ? chains.v[i - 1] : NULL, ids->v[i]));
	while (have && layer_ref(f->store, chains.v[have - 1], NULL) < 0)
		have--;
	if (have)
		f->base = xstrdup(chains.v[have - 1]);
	f->v = xcalloc(ids->len + 1, sizeof(*f->v));
	f->blobs = xcalloc(ids->len + 1, sizeof(*f->blobs));
	for (size_t i = 0; i < ids->len; i++) {
		const struct manifest_entry *e = manifest_layer(f->l->m, i);
		char id[SHORT_ID + 1];

		short_id(e->digest, id);
		progress_step(f->l->progress, id, i < have ? "Already exists" : "Pulling fs layer");
		if (i >= have)
			add_layer(f, e, chains.v[i]);
	}
	for (size_t i = (size_t)f->l->pull->config->downloads; i < f->blobs_len; i++)
		progress_step(f->l->progress, f->blobs[i].id, "Waiting");
}

/* Before the first byte: what is certain not to fit. */
static int check_room(struct fetching *f, struct err *err)
{
	int64_t need = 0, room = partials_room(f->l->r->partials);

	for (size_t i = 0; i < f->blobs_len; i++)
		need = f->blobs[i].entry->size > INT64_MAX - need ? INT64_MAX : need + f->blobs[i].entry->size;
	if (room < 0 || need <= room)
		return 0;
	return err_set(err, ERR_NO_SPACE, "no space left on device: the layers have %lld bytes, and %lld are free", (long long)need, (long long)room);
}

static void done(struct fetching *f)
{
	for (size_t i = 0; i < f->blobs_len; i++) {
		struct blob *b = &f->blobs[i];

		fd_close(&b->fd);
		if (b->partial && b->state == BLOB_MINE)
			partial_fetched(f->l->r->partials, b->partial, false);
		if (b->partial)
			partial_leave(f->l->r->partials, b->partial);
	}
	for (size_t i = 0; i < f->len; i++)
		free(f->v[i].chain);
	free(f->v);
	free(f->blobs);
	fd_close(&f->wake);
	err_done(&f->failure);
	lock_done(&f->lock);
	pthread_cond_destroy(&f->whole);
}

int layers_fetch(const struct layers *l, char **ret_chain, struct err *err)
{
	struct fetching f = { .l = l, .store = image_store_layers(l->r->images), .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	int rc = f.wake < 0 ? err_errno(err, errno, "make an event") : 0;

	lock_init(&f.lock, LOCK_LEAF);
	lock_cond_init(&f.whole);
	if (rc == 0)
		plan(&f);
	if (rc == 0 && f.len)
		rc = check_room(&f, err) < 0 ? -1 : run(&f, err);
	if (rc < 0) {
		/* the process may still write to a file: it ends before another pull goes on with that */
		session_close(l->s);
		drop(&f, f.base);
		free(STEAL(f.base));
	}
	*ret_chain = f.base;
	done(&f);
	return rc;
}
