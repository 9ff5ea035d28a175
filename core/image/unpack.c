/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "base/str.h"
#include "image/inflate.h"
#include "image/unpack-worker.h"
#include "image/untar-work.h"

/* Set before threads, constant afterwards. */
static struct { struct spawner *spawner; int program; } setup = { NULL, -1 };

/* A stream whose first bytes were looked at. */
struct head { struct reader reader; struct reader *in; uint8_t v[INFLATE_MAGIC]; size_t pos, len; enum inflate_kind kind; };

int unpack_setup(struct spawner *s, const char *program, struct err *err)
{
	setup.program = open(program, O_PATH | O_CLOEXEC);
	if (setup.program < 0 || faccessat(AT_FDCWD, program, X_OK, AT_EACCESS) < 0)
		return err_errno(err, errno, "the program %s is needed", program);
	setup.spawner = s;
	return 0;
}

void unpack_done(void)
{
	setup.spawner = NULL;
	fd_close(&setup.program);
}

static ssize_t head_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct head *h = (struct head *)reader;

	if (h->pos == h->len)
		return h->in->read(h->in, data, size, err);
	if (size > h->len - h->pos)
		size = h->len - h->pos;
	memcpy(data, h->v + h->pos, size);
	h->pos += size;
	return (ssize_t)size;
}

static int head_init(struct head *h, struct reader *in, struct err *err)
{
	ssize_t n = reader_read_all(in, h->v, sizeof(h->v), err);

	if (n < 0)
		return -1;
	h->reader = (struct reader){ head_read, NULL };
	h->in = in;
	h->len = (size_t)n;
	h->kind = inflate_kind_of(h->v, h->len);
	return 0;
}

/* All of size bytes: 0; 1 when the process reads no more; -1. */
static int send_all(struct worker *w, const char *data, size_t size, struct err *err)
{
	while (size) {
		ssize_t n = worker_send(w, data, size);

		if (n < 0 || worker_over(w))
			return 1;
		data += n;
		size -= (size_t)n;
		if (n == 0 && worker_wait(w, true, -1, err) < 0)
			return -1;
	}
	return 0;
}

/* Everything that in gives; d (or NULL) counts it while the process works on it. *ret_whole: it took all. */
static int feed(struct worker *w, struct reader *in, struct digest *d, bool *ret_whole, struct err *err)
{
	OWN_FREE char *chunk = xmalloc(WORKER_CHUNK);
	ssize_t n = 0;
	int over = 0;

	while (!over && (n = in->read(in, chunk, WORKER_CHUNK, err)) > 0) {
		over = send_all(w, chunk, (size_t)n, err);
		if (over == 0 && d)
			digest_add(d, chunk, (size_t)n);
	}
	if (over < 0 || n < 0)
		return -1;
	*ret_whole = !over;
	fd_close(&w->pipe);
	return worker_finish(w, err);
}

static int layer_here(struct reader *in, const struct graph_tree *tree, int split_fd, const struct cancel *c,
	char ret_diffid[DIGEST_TEXT], int64_t *ret_size, struct err *err)
{
	struct untar_work w = { .cancel = c, .ids = idmaps_root(), .hash = true };

	if (untar_work_layer(&w, in, tree->fd, tree->whiteout, split_fd, err) < 0)
		return -1;
	memcpy(ret_diffid, w.digest, DIGEST_TEXT);
	*ret_size = w.size;
	return 0;
}

static char *maps_word(const struct idmaps *ids)
{
	return idmaps_none(ids) ? xstrdup("") : idmaps_format(ids);
}

/* What is plain is hashed here, beside the process; else that must do it, as it alone sees the plain bytes. */
static int layer_there(struct worker *w, struct head *h, const struct graph_tree *tree, int split_fd,
	char ret_diffid[DIGEST_TEXT], struct err *err)
{
	bool plain = h->kind == INFLATE_PLAIN, whole = false;
	char whiteout[12];
	OWN_FREE char *maps = maps_word(idmaps_root());
	const char *const argv[] = { "dockerd-untar", "layer", whiteout, plain ? "0" : "1", maps, NULL };
	struct digest d;

	snprintf(whiteout, sizeof(whiteout), "%d", (int)tree->whiteout);
	digest_init(&d);
	if (worker_start(w, setup.spawner, setup.program, argv, tree->fd, split_fd, err) < 0 ||
		feed(w, &h->reader, plain ? &d : NULL, &whole, err) < 0)
		return -1;
	if (plain && whole)
		digest_text(&d, ret_diffid);
	else if (!plain && id_digest_hex(w->result.digest))
		memcpy(ret_diffid, w->result.digest, DIGEST_TEXT);
	else
		return err_set(err, ERR_INTERNAL, "the process that unpacks did not read all");
	return 0;
}

int unpack_layer(struct reader *in, const struct graph_tree *tree, int split_fd, const struct cancel *c,
	char ret_diffid[DIGEST_TEXT], int64_t *ret_size, struct err *err)
{
	CLEANUP(worker_drop) struct worker w = WORKER_INIT;
	struct head h = { .kind = INFLATE_PLAIN };
	struct stat st;

	if (!setup.spawner)
		return layer_here(in, tree, split_fd, c, ret_diffid, ret_size, err);
	if (fstat(tree->fd, &st) < 0)
		return err_errno(err, errno, "stat a layer's folder");
	w.cancel = c;
	w.layer = true;
	w.overlay = tree->whiteout == GRAPH_WHITEOUT_OVERLAY;
	w.dev = st.st_dev;
	if (head_init(&h, in, err) < 0 || layer_there(&w, &h, tree, split_fd, ret_diffid, err) < 0)
		return -1;
	*ret_size = w.result.size;
	return 0;
}

int unpack_files(struct reader *in, int rootfd, const char *base, unsigned flags, const struct untar_owner *owner,
	const struct idmaps *ids, struct err *err)
{
	char clean[TAR_NAME_MAX + 1];
	CLEANUP(worker_drop) struct worker w = WORKER_INIT;
	OWN_FREE char *maps = maps_word(ids);
	char flag[12], whose[24] = "";
	const char *const argv[] = { "dockerd-untar", "files", flag, clean, whose, maps, NULL };
	struct untar_work here = { .ids = ids };
	struct head h = { .kind = INFLATE_PLAIN };
	bool whole;

	if (strlen(base) > TAR_NAME_MAX || !untar_clean(base, clean))
		return err_set(err, ERR_INVALID, "bad path: %.100s", base);
	if (!setup.spawner)
		return untar_work_files(&here, in, rootfd, clean, flags, owner, err);
	snprintf(flag, sizeof(flag), "%u", flags);
	if (owner)
		snprintf(whose, sizeof(whose), "%llu", (unsigned long long)owner->uid << 32 | owner->gid);
	if (head_init(&h, in, err) < 0 || worker_start(&w, setup.spawner, setup.program, argv, rootfd, -1, err) < 0)
		return -1;
	return feed(&w, &h.reader, NULL, &whole, err);
}

/* The plain bytes come back while the others go out: one thread, which sends only when nothing has come. */
struct pump {
	struct reader reader; /* first */
	struct head head;
	struct worker worker;
	int out;              /* what the process writes, non-blocking */
	bool eof;             /* of head */
	char *chunk;
	size_t pos, len;      /* of chunk, not sent yet */
};

/* Sends on. 1: some went; 0: there is no room, or nothing left. */
static int pump_send(struct pump *p, struct err *err)
{
	ssize_t n;

	if (p->pos == p->len && !p->eof) {
		n = p->head.reader.read(&p->head.reader, p->chunk, WORKER_CHUNK, err);
		if (n < 0)
			return -1;
		p->eof = n == 0;
		p->pos = 0;
		p->len = (size_t)n;
	}
	n = p->pos < p->len ? worker_send(&p->worker, p->chunk + p->pos, p->len - p->pos) : 0;
	if (n < 0)
		p->pos = p->len, p->eof = true;
	if (p->eof && p->pos == p->len)
		fd_close(&p->worker.pipe);
	p->pos += n > 0 ? (size_t)n : 0;
	return n > 0;
}

static ssize_t pump_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct pump *p = (struct pump *)reader;

	if (p->out < 0)
		return p->head.reader.read(&p->head.reader, data, size, err);
	for (;;) {
		ssize_t n = read(p->out, data, size);
		int sent;

		if (n > 0)
			return n;
		if (n == 0)
			return worker_finish(&p->worker, err);
		if (errno != EAGAIN && errno != EINTR)
			return err_errno(err, errno, "read plain bytes");
		/* once it has answered, what it wrote before is left, and the end of that */
		if (worker_over(&p->worker)) {
			if (worker_finish(&p->worker, err) < 0)
				return -1;
			continue;
		}
		sent = pump_send(p, err);
		if (sent < 0 || (sent == 0 && worker_wait(&p->worker, p->pos < p->len, p->out, err) < 0))
			return -1;
	}
}

static void pump_close(struct reader *reader)
{
	struct pump *p = (struct pump *)reader;

	worker_drop(&p->worker);
	fd_close(&p->out);
	free(p->chunk);
	free(p);
}

static int pump_start(struct pump *p, struct err *err)
{
	const char *const argv[] = { "dockerd-untar", "plain", NULL };
	OWN_FD int theirs = -1;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, errno, "make a pipe");
	p->out = fds[0], theirs = fds[1];
	fcntl(p->out, F_SETFL, O_NONBLOCK);
	p->chunk = xmalloc(WORKER_CHUNK);
	return worker_start(&p->worker, setup.spawner, setup.program, argv, theirs, -1, err);
}

struct reader *unpack_plain(struct reader *in, const struct cancel *c, struct err *err)
{
	struct pump *p;

	if (!setup.spawner)
		return inflate_new(in, NULL, err);
	p = xcalloc(1, sizeof(*p));
	p->reader = (struct reader){ pump_read, pump_close };
	p->worker = (struct worker)WORKER_INIT;
	p->worker.cancel = c;
	p->out = -1;
	if (head_init(&p->head, in, err) == 0 && (p->head.kind == INFLATE_PLAIN || pump_start(p, err) == 0))
		return &p->reader;
	pump_close(&p->reader);
	return NULL;
}
