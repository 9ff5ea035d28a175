/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/rights.h"
#include "base/str.h"

struct field {
	uint16_t tag, zero;
	uint32_t size;
};

void shim_msg_init(struct shim_msg *m, enum shim_type type)
{
	*m = (struct shim_msg){ .head = { .type = (uint16_t)type, .version = SHIM_VERSION } };
}

void shim_msg_done(struct shim_msg *m)
{
	buf_done(&m->body);
}

static void add_field(struct shim_msg *m, enum shim_tag tag, const void *data, size_t size)
{
	struct field f = { .tag = (uint16_t)tag, .size = (uint32_t)size };

	buf_add(&m->body, &f, sizeof(f));
	buf_add(&m->body, data, size);
	m->head.size = (uint32_t)m->body.size;
}

void shim_msg_int(struct shim_msg *m, enum shim_tag tag, int64_t n)
{
	add_field(m, tag, &n, sizeof(n));
}

void shim_msg_str(struct shim_msg *m, enum shim_tag tag, const char *s)
{
	if (s)
		add_field(m, tag, s, strlen(s) + 1);
}

void shim_msg_bytes(struct shim_msg *m, enum shim_tag tag, const void *data, size_t size)
{
	add_field(m, tag, data, size);
}

/* The next field of that tag from *pos on; false at the end or where the body makes no sense. */
static bool next_field(const struct shim_msg *m, enum shim_tag tag, size_t *pos, const char **ret, size_t *ret_size)
{
	struct field f;

	while (m->body.size - *pos >= sizeof(f)) {
		memcpy(&f, m->body.data + *pos, sizeof(f));
		*pos += sizeof(f);
		if (f.size > m->body.size - *pos)
			return false;
		*ret = m->body.data + *pos;
		*ret_size = f.size;
		*pos += f.size;
		if (f.tag == tag)
			return true;
	}
	return false;
}

int64_t shim_msg_get_int(const struct shim_msg *m, enum shim_tag tag, int64_t fallback)
{
	size_t pos = 0, size;
	const char *data;
	int64_t n;

	if (!next_field(m, tag, &pos, &data, &size) || size != sizeof(n))
		return fallback;
	memcpy(&n, data, sizeof(n));
	return n;
}

const char *shim_msg_get_str(const struct shim_msg *m, enum shim_tag tag)
{
	size_t pos = 0;

	return shim_msg_next_str(m, tag, &pos);
}

const char *shim_msg_next_str(const struct shim_msg *m, enum shim_tag tag, size_t *pos)
{
	const char *data;
	size_t size;

	if (!next_field(m, tag, pos, &data, &size) || size == 0 || data[size - 1] != '\0')
		return NULL;
	return data;
}

const void *shim_msg_next_bytes(const struct shim_msg *m, enum shim_tag tag, size_t size, size_t *pos, size_t *ret_size)
{
	const char *data;

	while (next_field(m, tag, pos, &data, ret_size))
		if (!size || *ret_size == size)
			return data;
	return NULL;
}

int shim_msg_send(int fd, const struct shim_msg *m, int with_fd, int flags)
{
	struct iovec iov[2] = { { (void *)&m->head, sizeof(m->head) }, { m->body.data, m->body.size } };
	ssize_t n = rights_send(fd, iov, 2, &with_fd, with_fd >= 0, flags);

	if (n < 0)
		return -1;
	for (size_t i = 0; i < 2; i++) {
		size_t done = (size_t)n < iov[i].iov_len ? (size_t)n : iov[i].iov_len;
		const char *at = (const char *)iov[i].iov_base + done;
		size_t left = iov[i].iov_len - done;

		n -= (ssize_t)done;
		while (left) {
			ssize_t k = send(fd, at, left, MSG_NOSIGNAL | flags);

			if (k < 0 && errno == EINTR)
				continue;
			if (k < 0)
				return -1;
			at += k;
			left -= (size_t)k;
		}
	}
	return 0;
}

int shim_msg_parse(struct buf *in, struct shim_msg *ret)
{
	struct shim_head head;

	if (in->size < sizeof(head))
		return 0;
	memcpy(&head, in->data, sizeof(head));
	if (head.size > SHIM_MAX_BODY || head.version == 0)
		return -1;
	if (in->size - sizeof(head) < head.size)
		return 0;
	*ret = (struct shim_msg){ .head = head };
	buf_add(&ret->body, in->data + sizeof(head), head.size);
	buf_shift(in, sizeof(head) + head.size);
	return 1;
}

int64_t shim_pid_start(pid_t pid)
{
	char text[1024], *at;
	ssize_t n;
	OWN_FD int fd = -1;

	snprintf(text, sizeof(text), "/proc/%d/stat", (int)pid);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = fs_read_all(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* the name in parentheses may hold anything; the start is the 20th field behind it */
	at = strrchr(text, ')');
	for (int i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	return at ? strtoll(at + 1, NULL, 10) : 0;
}

bool shim_runtime_readable(const char *root, const char *id)
{
	static const char *const files[] = { "", "/state.json", "/status" }; /* runc's and crun's */

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_FREE char *path = xasprintf("%s/%s%s", root, id, files[i]);
		struct stat st;

		if (lstat(path, &st) == 0 && !(*files[i] ? S_ISREG(st.st_mode) : S_ISDIR(st.st_mode)))
			return false;
	}
	return true;
}

void shim_address(const char *dir, int dirfd, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", dir, name) >= sizeof(ret->sun_path))
		snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/%d/fd/%d/%s", (int)getpid(), dirfd, name);
}
