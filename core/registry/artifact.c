/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What registries keep beside images: found, fetched and sent, and used by others. Blobs share partial.c and the bounds of pulls and pushes. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "registry/registry-priv.h"

#define SHORT_ID 12
#define SHARED_MS 100 /* how often what others fetch is looked at */

/* What is told while one blob is on its way. */
struct about { const struct progress *to; char id[SHORT_ID + 1]; const char *doing; int64_t size; };

struct registry_artifact {
	struct registry *r;
	const struct registry_ask *ask;
	struct session s;
	struct progress progress;
	struct fetched f;
	struct buf config;
};

static void about_init(struct about *t, const struct progress *to, const char *digest, const char *doing, int64_t size)
{
	*t = (struct about){ .to = to, .doing = doing, .size = size };
	snprintf(t->id, sizeof(t->id), "%s", id_digest_hex(digest));
}

static void tell(const struct about *t, const struct session_reply *r)
{
	OWN_FREE char *pause = NULL;

	if (r->kind == SESSION_AT) {
		progress_at(t->to, t->id, t->doing, r->n, t->size);
	} else if (r->kind == SESSION_RETRY) {
		pause = xasprintf("Retrying in %lld second%s", (long long)r->n, r->n == 1 ? "" : "s");
		progress_step(t->to, t->id, pause);
	}
}

/* One request to its end. t (or NULL) is told how far it is. ret_yes (or NULL): what it is answered. */
static int request(struct session *s, const struct reference *ref, json_t *rq, int fd, const struct about *t, bool *ret_yes, struct err *err)
{
	uint32_t id = session_ask(s, rq, fd, err);

	while (id) {
		OWN_REPLY struct session_reply reply = { 0 };

		if (session_next(s, -1, &reply, err) < 0)
			return -1;
		if (reply.id != id)
			continue;
		if (reply.kind == SESSION_FAILED)
			return registry_failed(&reply, ref, err);
		if (reply.kind == SESSION_DONE) {
			if (ret_yes)
				*ret_yes = reply.yes;
			return 0;
		}
		if (t)
			tell(t, &reply);
	}
	return -1;
}

static int open_session(struct registry *r, const struct registry_ask *ask, struct session *s, struct err *err)
{
	return session_open_class(s, r->spawner, r->program, ask->config, ask->ref->domain, ask->class, ask->auth, ask->cancel, err);
}

static int find(struct registry_artifact *a, struct err *err)
{
	const struct reference *ref = a->ask->ref;

	if (open_session(a->r, a->ask, &a->s, err) < 0 ||
	    registry_manifest(&a->s, ref, ref->digest ? ref->digest : ref->tag, ref->digest, -1, &a->f, err) < 0)
		return -1;
	if (a->f.m.index || !streq(manifest_class(&a->f.m), a->ask->class))
		return 0;
	if (manifest_check_layers(&a->f.m, err) < 0)
		return -1;
	return registry_blob(&a->s, ref, a->f.m.config, &a->config, err);
}

struct registry_artifact *registry_artifact_find(struct registry *r, const struct registry_ask *ask, struct err *err)
{
	struct registry_artifact *a = xcalloc(1, sizeof(*a));

	a->r = r;
	a->ask = ask;
	a->s = (struct session)SESSION_INIT;
	progress_open(&a->progress, ask->emit, ask->ctx);
	partials_sweep(r->partials, false);
	if (find(a, err) == 0)
		return a;
	registry_artifact_free(a);
	return NULL;
}

void registry_artifact_free(struct registry_artifact *a)
{
	session_close(&a->s);
	progress_close(&a->progress);
	fetched_done(&a->f);
	buf_done(&a->config);
	free(a);
}

void registry_artifact_look(const struct registry_artifact *a, struct registry_artifact_view *ret)
{
	bool fits = a->config.size > 0;

	*ret = (struct registry_artifact_view){ .manifest = &a->f.text, .digest = a->f.digest, .config = fits ? &a->config : NULL,
		.config_digest = fits ? a->f.m.config->digest : NULL, .layers = fits ? a->f.m.layers.len : 0 };
}

void registry_artifact_head(const struct registry_artifact *a)
{
	const struct reference *ref = a->ask->ref;
	OWN_FREE char *name = reference_familiar_name(ref), *full = reference_familiar(ref);

	progress_say(&a->progress, ref->digest ? full : ref->tag, "Pulling from %s", name);
	progress_say(&a->progress, NULL, "Digest: %s", a->f.digest);
}

void registry_artifact_say(const struct registry_artifact *a, const char *digest, const char *action, int64_t at, int64_t size)
{
	struct about t;

	about_init(&t, &a->progress, digest, action, size);
	if (size > 0)
		progress_at(t.to, t.id, action, at, size);
	else
		progress_step(t.to, t.id, action);
}

const char *registry_artifact_layer(const struct registry_artifact *a, size_t i, int64_t *ret_size)
{
	const struct manifest_entry *e = manifest_layer(&a->f.m, i);

	*ret_size = e->size;
	return e->digest;
}

/* Waits in line for room. */
static int take_slot(struct registry_artifact *a, struct slot *slot, int wake, struct err *err)
{
	uint64_t n;

	while (!slots_take(a->r->downloads, slot, a->ask->config->downloads, wake)) {
		if (cancel_wait(a->ask->cancel, wake, POLLIN, -1) < 0)
			return err_set(err, ERR_CANCELLED, "the client is gone");
		if (read(wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
			return err_errno(err, errno, "wait for a download");
	}
	return 0;
}

/* It is ours to fetch. */
static int fetch(struct registry_artifact *a, struct partial *b, const struct manifest_entry *e, struct err *err)
{
	OWN_FD int fd = partial_file(a->r->partials, b, err), wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct slot slot = { 0 };
	struct about t;
	int rc = fd < 0 || wake < 0 ? -1 : take_slot(a, &slot, wake, err);

	about_init(&t, &a->progress, e->digest, "Downloading", e->size);
	if (rc == 0)
		rc = request(&a->s, a->ask->ref, json_pack("{s:s, s:s, s:s, s:I}", "op", "blob", "repo", a->ask->ref->path, "digest", e->digest, "size",
			(json_int_t)e->size), fd, &t, NULL, err);
	slots_give(a->r->downloads, &slot);
	/* the process may still write to the file: it ends before another one goes on with that */
	if (rc < 0)
		session_close(&a->s);
	partial_fetched(a->r->partials, b, rc == 0);
	return rc;
}

/* Until it is whole, whoever fetches it. */
static int bring(struct registry_artifact *a, struct partial *b, const struct manifest_entry *e, struct err *err)
{
	int64_t at;

	for (;;)
		switch (partial_take(a->r->partials, b, &at)) {
		case PARTIAL_WHOLE:
			return 0;
		case PARTIAL_MINE:
			if (fetch(a, b, e, err) < 0)
				return -1;
			break;
		case PARTIAL_OTHERS:
			if (cancel_wait(a->ask->cancel, -1, 0, SHARED_MS) < 0)
				return err_set(err, ERR_CANCELLED, "the client is gone");
		}
}

int registry_artifact_fetch(struct registry_artifact *a, size_t i, struct err *err)
{
	const struct manifest_entry *e = manifest_layer(&a->f.m, i);
	struct partial *b = partial_join(a->r->partials, e->digest);
	OWN_FD int fd = -1;

	if (bring(a, b, e, err) == 0)
		fd = partial_file(a->r->partials, b, err);
	partial_leave(a->r->partials, b, fd >= 0);
	return STEAL_FD(fd);
}

/* A blob that is not there yet. */
static int send_part(const struct registry_ask *ask, const struct progress *to, struct session *s, const struct registry_part *p, struct err *err)
{
	const char *repo = ask->ref->path;
	struct about t;
	bool there = false;

	about_init(&t, to, p->digest, "Pushing", p->size);
	if (request(s, ask->ref, json_pack("{s:s, s:s, s:s}", "op", "have", "repo", repo, "digest", p->digest), -1, NULL, &there, err) < 0)
		return -1;
	if (there)
		return 0;
	return request(s, ask->ref, json_pack("{s:s, s:s, s:s, s:I}", "op", "upload", "repo", repo, "digest", p->digest, "size", (json_int_t)p->size), p->fd, &t, NULL, err);
}

static void tell_all(const struct progress *to, const struct registry_part *v, size_t len, const char *text)
{
	struct about t;

	for (size_t i = 0; i < len; i++) {
		about_init(&t, to, v[i].digest, NULL, 0);
		progress_step(t.to, t.id, text);
	}
}

/* The manifest comes last: nobody sees one whose parts are missing. */
static int send_all(const struct registry_ask *ask, const struct progress *to, struct session *s, const struct registry_part *v, size_t len, const char *type, struct err *err)
{
	for (size_t i = 1; i < len; i++)
		if (send_part(ask, to, s, &v[i], err) < 0)
			return -1;
	return request(s, ask->ref, json_pack("{s:s, s:s, s:s, s:s, s:I}", "op", "put", "repo", ask->ref->path, "ref", ask->ref->tag, "type", type, "size",
		(json_int_t)v[0].size), v[0].fd, NULL, NULL, err);
}

int registry_artifact_send(struct registry *r, const struct registry_ask *ask, const struct registry_part *v, size_t len, const char *type, struct err *err)
{
	OWN_FREE char *shown = reference_familiar_name(ask->ref);
	struct session s = SESSION_INIT;
	struct progress to;
	int rc;

	progress_open(&to, ask->emit, ask->ctx);
	progress_say(&to, NULL, "The push refers to repository [%s]", shown);
	tell_all(&to, v, len, "Preparing");
	rc = open_session(r, ask, &s, err);
	if (rc == 0)
		rc = send_all(ask, &to, &s, v, len, type, err);
	session_close(&s);
	if (rc == 0) {
		tell_all(&to, v, len, "Upload complete");
		progress_pushed(&to, ask->ref->tag, v[0].digest, v[0].size);
	}
	progress_close(&to);
	return rc;
}
