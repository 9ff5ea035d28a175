/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plugins are made of, as registries have it: DATA-ROOT/plugins/storage/blobs/sha256/HEX, a file each, which appears whole by one rename and never
 * changes. Docker keeps them there, too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/id.h"
#include "plugin/managed_i.h"

#define CHUNK (128u << 10)

static char *dir_of(const struct managed_store *s)
{
	return xasprintf("%s/plugins/storage/blobs/sha256", s->data_root);
}

static char *path_of(const struct managed_store *s, const char *digest)
{
	const char *hex = id_digest_hex(digest);

	return xasprintf("%s/plugins/storage/blobs/sha256/%s", s->data_root, hex ? hex : "none");
}

static char *ingest_of(const struct managed_store *s)
{
	return xasprintf("%s/plugins/storage/ingest", s->data_root);
}

int blobs_setup(const struct managed_store *s, struct err *err)
{
	OWN_FREE char *dir = dir_of(s), *ingest = ingest_of(s);

	fs_remove_tree(AT_FDCWD, ingest, NULL); /* what a daemon that was killed left */
	return fs_mkdirs(dir, 0700, err) < 0 || fs_mkdirs(ingest, 0700, err) < 0 ? -1 : 0;
}

bool blobs_have(const struct managed_store *s, const char *digest)
{
	OWN_FREE char *path = path_of(s, digest);

	return fs_exists(path);
}

int blobs_open(const struct managed_store *s, const char *digest, int64_t *ret_size, struct err *err)
{
	OWN_FREE char *path = path_of(s, digest);
	OWN_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, errno, "the plugin's part %s", digest);
	if (ret_size)
		*ret_size = st.st_size;
	return STEAL_FD(fd);
}

int blobs_read(const struct managed_store *s, const char *digest, size_t max, struct buf *ret, struct err *err)
{
	OWN_FREE char *path = path_of(s, digest);

	return fs_read(AT_FDCWD, path, max, ret, err);
}

static int draft_write(struct writer *w, const void *data, size_t size, struct err *err)
{
	struct blob_draft *b = (struct blob_draft *)w;

	if (fs_write_all(b->fd, data, size) < 0)
		return err_errno(err, errno, "write a plugin's part");
	digest_add(&b->sum, data, size);
	b->size += (int64_t)size;
	return 0;
}

int blobs_begin(const struct managed_store *s, struct blob_draft *b, struct err *err)
{
	OWN_FREE char *dir = ingest_of(s);

	*b = (struct blob_draft){ .writer = { draft_write }, .path = xasprintf("%s/XXXXXX", dir) };
	digest_init(&b->sum);
	b->fd = mkostemp(b->path, O_CLOEXEC);
	return b->fd < 0 ? err_errno(err, errno, "make a file in %s", dir) : 0;
}

int blobs_end(const struct managed_store *s, struct blob_draft *b, const char *want, char ret_digest[DIGEST_TEXT], struct err *err)
{
	OWN_FREE char *dir = dir_of(s), *path = NULL;

	digest_text(&b->sum, ret_digest);
	if (want && !streq(ret_digest, want))
		return err_set(err, ERR_INVALID, "the plugin's part %s has the digest %s", want, ret_digest);
	path = path_of(s, ret_digest);
	if (fchmod(b->fd, 0444) < 0 || fsync(b->fd) < 0 || rename(b->path, path) < 0)
		return err_errno(err, errno, "keep %s", path);
	free(STEAL(b->path));
	return fs_sync_dir(dir, err);
}

void blobs_drop(struct blob_draft *b)
{
	if (b->path && b->fd >= 0)
		unlink(b->path);
	free(b->path);
	fd_close(&b->fd);
}

int blobs_put(const struct managed_store *s, const void *data, size_t size, char ret_digest[DIGEST_TEXT], struct err *err)
{
	CLEANUP(blobs_drop) struct blob_draft b;

	return blobs_begin(s, &b, err) < 0 || draft_write(&b.writer, data, size, err) < 0 || blobs_end(s, &b, NULL, ret_digest, err) < 0 ? -1 : 0;
}

int blobs_take(const struct managed_store *s, int fd, const char *digest, struct err *err)
{
	CLEANUP(blobs_drop) struct blob_draft b;
	OWN_FREE char *chunk = xmalloc(CHUNK);
	char got[DIGEST_TEXT];
	ssize_t n;

	if (blobs_begin(s, &b, err) < 0)
		return -1;
	for (off_t at = 0; (n = pread(fd, chunk, CHUNK, at)) != 0; at += n)
		if (n < 0 || draft_write(&b.writer, chunk, (size_t)n, err) < 0)
			return n < 0 ? err_errno(err, errno, "read a plugin's part") : -1;
	return blobs_end(s, &b, digest, got, err);
}

void blobs_sweep(const struct managed_store *s, bool (*used)(const struct managed_store *s, const char *digest))
{
	OWN_FREE char *dir = dir_of(s);
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_FREE char *digest = xasprintf("sha256:%s", e->d_name);

		if (*e->d_name != '.' && (!id_digest_hex(digest) || !used(s, digest)))
			unlinkat(dirfd(d), e->d_name, 0);
	}
}
