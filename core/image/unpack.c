/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/unpack.h"

#include "base/tar.h"
#include "image/inflate.h"
#include "image/tarsplit.h"
#include "image/untar.h"

/* The plain archive on its way to the tar reader: counted into the digest, stopped when the client goes. */
struct hashed {
	struct reader reader; /* first */
	struct reader *in;
	struct digest digest;
	const struct cancel *cancel;
};

static ssize_t hashed_read(struct reader *reader, void *data, size_t size, struct err *err)
{
	struct hashed *h = (struct hashed *)reader;
	ssize_t n;

	if (cancel_fired(h->cancel))
		return err_set(err, ERR_CANCELLED, "cancelled");
	n = h->in->read(h->in, data, size, err);
	if (n > 0)
		digest_add(&h->digest, data, (size_t)n);
	return n;
}

/* One pass: plain bytes -> digest, tree, tar-split lines. */
static int unpack(struct hashed *h, const struct graph_tree *tree, struct writer *split, int64_t *ret_size, struct err *err)
{
	__attribute__((cleanup(tarsplit_freep))) struct tarsplit *lines = tarsplit_new(split, true);
	OWN_TAR_READER struct tar_reader *tar = tar_reader_new(&h->reader, tarsplit_tap(lines));
	struct untar_opts opts = { .flags = UNTAR_LAYER, .whiteout = tree->whiteout };

	if (untar(tree->fd, tar, &opts, ret_size, err) < 0 || tar_drain(tar, err) < 0)
		return -1;
	return tarsplit_end(lines, err);
}

int unpack_layer(struct reader *in, const struct graph_tree *tree, int split_fd, const struct cancel *c,
	char ret_diffid[DIGEST_TEXT], int64_t *ret_size, struct err *err)
{
	OWN_READER struct reader *plain = inflate_new(in, NULL, err);
	struct hashed h = { .reader = { .read = hashed_read }, .in = plain, .cancel = c };
	__attribute__((cleanup(gzip_writer_freep))) struct gzip_writer *gz = NULL;
	struct fd_writer out;

	if (!plain)
		return -1;
	digest_init(&h.digest);
	fd_writer_init(&out, split_fd);
	gz = gzip_writer_new(&out.writer);
	if (unpack(&h, tree, gzip_writer_sink(gz), ret_size, err) < 0 || gzip_writer_end(gz, err) < 0)
		return -1;
	digest_text(&h.digest, ret_diffid);
	return 0;
}

int unpack_files(struct reader *in, int dirfd, unsigned flags, struct err *err)
{
	const struct untar_opts opts = { .flags = flags };
	OWN_READER struct reader *plain = inflate_new(in, NULL, err);
	OWN_TAR_READER struct tar_reader *tar = plain ? tar_reader_new(plain, NULL) : NULL;

	return plain ? untar(dirfd, tar, &opts, NULL, err) : -1;
}
