/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/untar-work.h"

#include "image/inflate.h"
#include "image/tarsplit.h"

#define PLAIN_CHUNK (128 * 1024)

/* The plain archive on its way to the tar reader: counted into the digest, stopped when the client goes. */
struct hashed {
	struct reader reader; /* first */
	struct reader *in;
	struct untar_work *work;
	struct digest digest;
};

static ssize_t hashed_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct hashed *h = (struct hashed *)reader;
	ssize_t n;

	if (cancel_fired(h->work->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	n = h->in->read(h->in, data, size, err);
	if (n > 0 && h->work->hash)
		digest_add(&h->digest, data, (size_t)n);
	return n;
}

/* One pass: plain bytes -> digest, tree, tar-split lines. */
static int unpack(struct hashed *h, int rootfd, enum graph_whiteout whiteout, struct writer *split, struct err *err)
{
	__attribute__((cleanup(tarsplit_freep))) struct tarsplit *lines = tarsplit_new(split, true);
	OWN_TAR_READER struct tar_reader *tar = tar_reader_new(&h->reader, tarsplit_tap(lines));
	const struct untar_opts opts = { .flags = UNTAR_LAYER, .whiteout = whiteout, .ids = h->work->ids, .host = h->work->host };

	if (untar(rootfd, tar, &opts, &h->work->size, err) < 0 || tar_drain(tar, err) < 0)
		return -1;
	return tarsplit_end(lines, err);
}

int untar_work_layer(struct untar_work *w, struct reader *in, int rootfd, enum graph_whiteout whiteout, int split_fd, struct err *err)
{
	OWN_READER struct reader *plain = inflate_new(in, NULL, err);
	struct hashed h = { .reader = { .read = hashed_read }, .in = plain, .work = w };
	__attribute__((cleanup(gzip_writer_freep))) struct gzip_writer *gz = NULL;
	struct fd_writer out;

	if (!plain)
		return -1;
	digest_init(&h.digest);
	fd_writer_init(&out, split_fd);
	gz = gzip_writer_new(&out.writer);
	if (unpack(&h, rootfd, whiteout, gzip_writer_sink(gz), err) < 0 || gzip_writer_end(gz, err) < 0)
		return -1;
	if (w->hash)
		digest_text(&h.digest, w->digest);
	return 0;
}

int untar_work_files(struct untar_work *w, struct reader *in, int rootfd, const char *base, unsigned flags,
	const struct untar_owner *owner, struct err *err)
{
	const struct untar_opts opts = { .flags = flags, .owner = owner, .ids = w->ids, .base = *base ? base : NULL, .host = w->host };
	OWN_READER struct reader *plain = inflate_new(in, NULL, err);
	OWN_TAR_READER struct tar_reader *tar = plain ? tar_reader_new(plain, NULL) : NULL;

	return plain ? untar(rootfd, tar, &opts, &w->size, err) : -1;
}

int untar_work_plain(struct reader *in, struct writer *out, struct err *err)
{
	OWN_READER struct reader *plain = inflate_new(in, NULL, err);
	OWN_FREE char *chunk = xmalloc(PLAIN_CHUNK);
	ssize_t n = -1;

	while (plain && (n = plain->read(plain, chunk, PLAIN_CHUNK, err)) > 0)
		if (out->write(out, chunk, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}
