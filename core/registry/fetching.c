/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layers of one image. This thread talks to dockerd-fetch, to whoever shares the blobs, and to the client; those of unpacking.c unpack what is whole.
 * A layer that is in the store is not fetched; the same blob twice is fetched once.
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/log.h"
#include "registry/unpacking.h"

#define SHORT_ID 12
#define SHARED_MS 100         /* how often what others fetch is looked at */
#define ROOMY 4               /* times the size of all blobs, and there is room enough to keep them */
#define FETCHES_MAX 32        /* at once, whatever is configured */

enum blob_state { BLOB_UNTOUCHED, BLOB_MINE, BLOB_OTHERS, BLOB_WHOLE };

/* One blob of the image, for every layer that is made of it. */
struct blob {
	const struct manifest_entry *entry;
	char id[SHORT_ID + 1];
	struct partial *partial; /* of the threads that unpack, once it is whole */
	enum blob_state state;
	uint32_t request;        /* whose answer is awaited */
	struct slot slot;        /* to fetch it */
	bool waits;              /* for one, told to the client */
	int fd;
	int64_t told;
	size_t left;             /* layers that still need the file; of the threads that unpack */
};

struct fetching {
	const struct layers *l;
	struct unpacking u;
	struct blob **blob_of;   /* of each layer that is missing */
	struct blob *blobs;
	size_t blobs_len;
	size_t running;          /* requests */
	int64_t size;            /* of all blobs */
	bool useless;            /* what they hold cannot be unpacked */
};

/*
 * A layer less that needs the file: no two threads at once. The file stays to the pull's end, so that one that is broken off has all that it fetched; not where
 * room is short.
 */
static void used(void *ctx, size_t i)
{
	struct fetching *f = ctx;
	struct blob *b = f->blob_of[i];
	int64_t room = partials_room(f->l->r->partials);

	if (--b->left == 0 && room >= 0 && room / ROOMY < f->size)
		partial_leave(f->l->r->partials, STEAL(b->partial), true);
}

static void is_whole(struct fetching *f, struct blob *b)
{
	progress_step(f->l->progress, b->id, "Verifying Checksum");
	progress_step(f->l->progress, b->id, "Download complete");
	b->state = BLOB_WHOLE;
	for (size_t i = 0; i < f->u.len; i++)
		if (f->blob_of[i] == b)
			unpacking_whole(&f->u, i);
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

/* Nobody fetches it. */
static int begin(struct fetching *f, struct blob *b, struct err *err)
{
	int64_t at;

	if (f->running >= FETCHES_MAX)
		return 0;
	if (!slots_take(f->l->r->downloads, &b->slot, f->l->pull->config->downloads, f->u.wake)) {
		if (!b->waits)
			progress_step(f->l->progress, b->id, "Waiting");
		b->waits = true;
		return 0;
	}
	if (partial_take(f->l->r->partials, b->partial, &at) == PARTIAL_MINE) {
		b->state = BLOB_MINE;
		return ask(f, b, err);
	}
	b->state = BLOB_OTHERS;
	slots_give(f->l->r->downloads, &b->slot);
	return 0;
}

/* Begins what can be begun, and looks at what others fetch. */
static int push_on(struct fetching *f, struct err *err)
{
	int64_t at;

	for (size_t i = 0; i < f->blobs_len; i++) {
		struct blob *b = &f->blobs[i];

		if (b->state == BLOB_MINE || b->state == BLOB_WHOLE)
			continue;
		switch (partial_look(f->l->r->partials, b->partial, &at)) {
		case PARTIAL_WHOLE:
			slots_give(f->l->r->downloads, &b->slot);
			is_whole(f, b);
			break;
		case PARTIAL_OTHERS:
			slots_give(f->l->r->downloads, &b->slot);
			if (at != b->told)
				progress_at(f->l->progress, b->id, "Downloading", at, b->entry->size);
			b->told = at;
			b->state = BLOB_OTHERS;
			break;
		case PARTIAL_MINE:
			if (begin(f, b, err) < 0)
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
		progress_retry(f->l->progress, b->id, r->n);
		return 0;
	case SESSION_DONE:
		f->running--;
		slots_give(f->l->r->downloads, &b->slot);
		fd_close(&b->fd);
		partial_fetched(f->l->r->partials, b->partial, true);
		is_whole(f, b);
		return 0;
	default:
		return registry_failed(r, f->l->ref, err);
	}
}

/* What the other threads have done since. 1: they are through. */
static int tell_unpacked(struct fetching *f, size_t *told, struct err *err)
{
	struct unpack_at at[UNPACKERS_MAX];
	size_t settled, filling;
	uint64_t n;
	bool ended;

	if (read(f->u.wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return err_errno(err, errno, "wait for the threads that unpack");
	settled = unpacking_look(&f->u, at, &filling, &ended);
	for (; *told < settled; ++*told) {
		const struct blob *b = f->blob_of[*told];

		progress_at(f->l->progress, b->id, "Extracting", b->entry->size, b->entry->size);
		progress_step(f->l->progress, b->id, "Pull complete");
	}
	for (size_t i = 0; i < filling; i++)
		if (at[i].at)
			progress_at(f->l->progress, f->blob_of[at[i].i]->id, "Extracting", at[i].at, f->blob_of[at[i].i]->entry->size);
	return ended;
}

static bool waits_for_others(const struct fetching *f)
{
	for (size_t i = 0; i < f->blobs_len; i++)
		if (f->blobs[i].state == BLOB_OTHERS)
			return true;
	return false;
}

/* Until the other threads are through. */
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

			if (e.data.fd == f->u.wake)
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
	struct epoll_event a = { .events = EPOLLIN, .data.fd = f->l->s->fd }, b = { .events = EPOLLIN, .data.fd = f->u.wake };

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, f->l->s->fd, &a) < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, f->u.wake, &b) < 0)
		return err_errno(err, errno, "wait for a download");
	return STEAL_FD(fd);
}

static int run(struct fetching *f, struct err *err)
{
	OWN_ERR struct err mine = ERR_INIT;
	OWN_FD int events = -1;
	int rc = unpacking_start(&f->u, &mine);

	if (rc == 0)
		rc = events = open_events(f, &mine);
	if (rc >= 0)
		rc = serve(f, events, &mine);
	unpacking_stop(&f->u);
	if (f->u.failure.msg && (rc == 0 || f->u.failure.class != ERR_CANCELLED)) {
		f->useless = f->u.failure.class != ERR_CANCELLED;
		return err_move(err, &f->u.failure);
	}
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

static void add_layer(struct fetching *f, const struct manifest_entry *e, const char *diffid, const char *chain)
{
	struct blob *b = find_blob(f, e->digest);

	if (!b) {
		b = &f->blobs[f->blobs_len++];
		*b = (struct blob){ .entry = e, .fd = -1, .partial = partial_join(f->l->r->partials, e->digest) };
		short_id(e->digest, b->id);
	}
	b->left++;
	f->blob_of[f->u.len] = b;
	f->u.v[f->u.len++] = (struct unpack_layer){ .chain = xstrdup(chain), .diffid = diffid, .digest = e->digest, .partial = b->partial };
}

/* Finds the topmost layer that is there, holds it, and lists the others. */
static void plan(struct fetching *f)
{
	const struct strv *ids = &f->l->img->diff_ids;
	OWN_STRV struct strv chains = { 0 };
	size_t have = ids->len;

	for (size_t i = 0; i < ids->len; i++)
		strv_take(&chains, layer_chain_id(i ? chains.v[i - 1] : NULL, ids->v[i]));
	while (have && layer_ref(f->u.store, chains.v[have - 1], NULL) < 0)
		have--;
	if (have)
		f->u.below = xstrdup(chains.v[have - 1]);
	f->u.v = xcalloc(ids->len + 1, sizeof(*f->u.v));
	f->blob_of = xcalloc(ids->len + 1, sizeof(*f->blob_of));
	f->blobs = xcalloc(ids->len + 1, sizeof(*f->blobs));
	for (size_t i = 0; i < ids->len; i++) {
		const struct manifest_entry *e = manifest_layer(f->l->m, i);
		char id[SHORT_ID + 1];

		short_id(e->digest, id);
		progress_step(f->l->progress, id, i < have ? "Already exists" : "Pulling fs layer");
		if (i >= have)
			add_layer(f, e, ids->v[i], chains.v[i]);
	}
}

/* Before the first byte: what is certain not to fit. */
static int check_room(struct fetching *f, struct err *err)
{
	int64_t need, have = 0, room = partials_room(f->l->r->partials);

	for (size_t i = 0; i < f->blobs_len; i++) {
		f->size = f->blobs[i].entry->size > INT64_MAX - f->size ? INT64_MAX : f->size + f->blobs[i].entry->size;
		have += partial_size(f->l->r->partials, f->blobs[i].partial);
	}
	need = have < f->size ? f->size - have : 0;
	if (room >= 0 && need > room) {
		partials_sweep(f->l->r->partials, true);
		room = partials_room(f->l->r->partials);
	}
	if (room < 0 || need <= room)
		return 0;
	return err_set(err, ERR_NO_SPACE, "no space left on device: the layers have %lld bytes, and %lld are free", (long long)need, (long long)room);
}

void layers_done(struct fetching *f, bool used, bool no_room)
{
	for (size_t i = 0; i < f->blobs_len; i++) {
		struct blob *b = &f->blobs[i];

		fd_close(&b->fd);
		slots_give(f->l->r->downloads, &b->slot);
		if (b->partial && b->state == BLOB_MINE)
			partial_fetched(f->l->r->partials, b->partial, false);
		if (b->partial && no_room)
			partial_spare(f->l->r->partials, b->partial);
		if (b->partial)
			partial_leave(f->l->r->partials, b->partial, used || f->useless);
	}
	free(f->blob_of);
	free(f->blobs);
	unpacking_done(&f->u);
	free(f);
}

int layers_fetch(const struct layers *l, char **ret_chain, struct fetching **ret_blobs, struct err *err)
{
	struct fetching *f = xcalloc(1, sizeof(*f));
	int rc = 0;

	f->l = l;
	unpacking_init(&f->u, l, used, f);
	plan(f);
	if (f->u.len)
		rc = check_room(f, err) < 0 ? -1 : run(f, err);
	if (rc < 0) {
		/* the process may still write to a file: it ends before another pull goes on with that */
		session_close(l->s);
		if (f->u.below && layer_unref(f->u.store, f->u.below, NULL, NULL) < 0)
			log_warn("layer %s stays", f->u.below);
		free(STEAL(f->u.below));
	}
	*ret_chain = f->u.below;
	*ret_blobs = f;
	return rc;
}
