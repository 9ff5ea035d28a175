/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiled seccomp profiles: in memory while a container has one, in files for the next daemon. A file is what its name says (the digest
 * of profile and compiler) and begins with the digest of the rest: what is damaged is compiled again.
 */
#include "container/join.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/digest.h"
#include "base/fs.h"
#include "base/lock.h"

#define COMPILER   "1" /* raised where dockerd-seccomp makes other filters */
#define COMPILE_MS 20000
#define CODE_MAX   (BPF_MAXINSNS * sizeof(struct sock_filter))

static struct lock lock = LOCK_INIT(LOCK_LEAF); /* guards all and their refs */
static struct filter *all;

static struct filter *find(const char *key)
{
	for (struct filter *f = all; f; f = f->next)
		if (streq(f->key, key)) {
			f->refs++;
			return f;
		}
	return NULL;
}

static bool is_code(const char *data, size_t size)
{
	return data && size && size <= CODE_MAX && size % sizeof(struct sock_filter) == 0;
}

static bool read_file(const char *path, struct buf *ret)
{
	OWN_BUF struct buf b = { 0 };
	char digest[DIGEST_TEXT];
	size_t head = strlen("sha256:") + 64;

	if (fs_read(AT_FDCWD, path, CODE_MAX + DIGEST_TEXT, &b, NULL) < 0 || b.size <= head || !is_code(b.data + head, b.size - head))
		return false;
	digest_of(b.data + head, b.size - head, digest);
	if (memcmp(b.data, digest, head) != 0)
		return false;
	buf_add(ret, b.data + head, b.size - head);
	return true;
}

/* Failing is fine: the next daemon compiles. */
static void write_file(const char *dir, const char *path, const struct buf *code)
{
	OWN_BUF struct buf b = { 0 };
	char digest[DIGEST_TEXT];

	digest_of(code->data, code->size, digest);
	buf_adds(&b, digest);
	buf_add(&b, code->data, code->size);
	if (fs_mkdir_anew(dir, 0700, NULL) == 0)
		fs_write_atomic(AT_FDCWD, path, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static int compile(struct spawner *sp, const char *program, const char *text, struct buf *ret, struct err *err)
{
	OWN_FD int in = memfd_create("profile", MFD_CLOEXEC);
	char *const argv[] = { (char *)program, NULL };
	int status = 0;

	if (in < 0 || fs_write_all(in, text, strlen(text)) < 0 || lseek(in, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "hand on the seccomp profile");
	if (spawner_run(sp, argv, NULL, in, COMPILE_MS, NULL, &status, ret, err) < 0)
		return -1;
	if (status != 0)
		return err_set(err, ERR_INTERNAL, "compile the seccomp profile: %.*s", (int)(ret->size < 200 ? ret->size : 200), ret->data ? ret->data : "");
	return is_code(ret->data, ret->size) ? 0 : err_set(err, ERR_INTERNAL, "the compiled seccomp profile is no filter");
}

static struct filter *publish(const char *key, struct buf *code)
{
	WITH_LOCK(&lock);
	struct filter *f = find(key);

	if (f)
		return f;
	f = xcalloc(1, sizeof(*f));
	memcpy(f->key, key, sizeof(f->key));
	f->refs = 1;
	f->code = *code;
	*code = (struct buf){ 0 };
	f->next = all;
	all = f;
	return f;
}

struct filter *filter_get(struct spawner *sp, const char *program, const char *dir, const json_t *profile, struct err *err)
{
	char *text = json_dumps(profile, JSON_COMPACT | JSON_SORT_KEYS);
	OWN_FREE char *own = text, *keyed = xasprintf("%s %s", COMPILER, text ? text : ""), *path = NULL;
	OWN_BUF struct buf code = { 0 };
	char key[DIGEST_TEXT];
	struct filter *f;

	if (!text) {
		err_set(err, ERR_INTERNAL, "the seccomp profile is none");
		return NULL;
	}
	digest_of(keyed, strlen(keyed), key);
	lock_take(&lock);
	f = find(key);
	lock_drop(&lock);
	if (f)
		return f;
	path = xasprintf("%s/%s", dir, key + strlen("sha256:"));
	if (!read_file(path, &code)) {
		buf_reset(&code);
		if (compile(sp, program, text, &code, err) < 0)
			return NULL;
		write_file(dir, path, &code);
	}
	return publish(key, &code);
}

void filter_put(struct filter *f)
{
	WITH_LOCK(&lock);

	if (!f || --f->refs)
		return;
	for (struct filter **at = &all; *at; at = &(*at)->next)
		if (*at == f) {
			*at = f->next;
			break;
		}
	buf_done(&f->code);
	free(f);
}
