/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/netd-wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/rights.h"

#define READ_SIZE 65536

struct field {
	uint16_t tag, zero;
	uint32_t size;
};

void netd_msg_init(struct netd_msg *m, enum netd_type type)
{
	*m = (struct netd_msg){ .head = { .type = (uint16_t)type, .version = NETD_VERSION } };
}

void netd_msg_done(struct netd_msg *m)
{
	buf_done(&m->body);
}

void netd_msg_bytes(struct netd_msg *m, enum netd_tag tag, const void *data, size_t size)
{
	struct field f = { .tag = (uint16_t)tag, .size = (uint32_t)size };

	buf_add(&m->body, &f, sizeof(f));
	buf_add(&m->body, data, size);
	m->head.size = (uint32_t)m->body.size;
}

void netd_msg_int(struct netd_msg *m, enum netd_tag tag, int64_t n)
{
	netd_msg_bytes(m, tag, &n, sizeof(n));
}

void netd_msg_str(struct netd_msg *m, enum netd_tag tag, const char *s)
{
	if (s)
		netd_msg_bytes(m, tag, s, strlen(s) + 1);
}

bool netd_msg_next(const struct netd_msg *m, size_t *pos, struct netd_field *ret)
{
	struct field f;

	if (m->body.size < *pos || m->body.size - *pos < sizeof(f))
		return false;
	memcpy(&f, m->body.data + *pos, sizeof(f));
	if (f.size > m->body.size - *pos - sizeof(f))
		return false;
	*ret = (struct netd_field){ .tag = f.tag, .size = f.size, .data = m->body.data + *pos + sizeof(f) };
	*pos += sizeof(f) + f.size;
	return true;
}

const char *netd_field_str(const struct netd_field *f)
{
	return f->size && memchr(f->data, '\0', f->size) == f->data + f->size - 1 ? f->data : NULL;
}

bool netd_field_int(const struct netd_field *f, int64_t *ret)
{
	if (f->size != sizeof(*ret))
		return false;
	memcpy(ret, f->data, sizeof(*ret));
	return true;
}

int64_t netd_msg_get_int(const struct netd_msg *m, enum netd_tag tag, int64_t fallback)
{
	struct netd_field f;
	int64_t n;

	for (size_t pos = 0; netd_msg_next(m, &pos, &f);)
		if (f.tag == tag)
			return netd_field_int(&f, &n) ? n : fallback;
	return fallback;
}

const char *netd_msg_get_str(const struct netd_msg *m, enum netd_tag tag)
{
	struct netd_field f;

	for (size_t pos = 0; netd_msg_next(m, &pos, &f);)
		if (f.tag == tag)
			return netd_field_str(&f);
	return NULL;
}

void netd_msg_put(const struct netd_msg *m, struct buf *out)
{
	buf_add(out, &m->head, sizeof(m->head));
	buf_add(out, m->body.data, m->body.size);
}

int netd_msg_parse(struct buf *in, struct netd_msg *ret)
{
	struct netd_head head;

	if (in->size < sizeof(head))
		return 0;
	memcpy(&head, in->data, sizeof(head));
	if (head.size > NETD_MAX_BODY || head.version == 0 || head.fds > NETD_MAX_FDS)
		return -1;
	if (in->size - sizeof(head) < head.size)
		return 0;
	*ret = (struct netd_msg){ .head = head };
	buf_add(&ret->body, in->data + sizeof(head), head.size);
	buf_shift(in, sizeof(head) + head.size);
	return 1;
}

static int send_all(int fd, const char *at, size_t left)
{
	while (left) {
		ssize_t n = send(fd, at, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		left -= (size_t)n;
	}
	return 0;
}

int netd_msg_send(int fd, struct netd_msg *m, const int *fds, size_t nfds)
{
	struct iovec iov = { &m->head, sizeof(m->head) };
	ssize_t n;

	m->head.fds = (uint8_t)nfds;
	n = rights_send(fd, &iov, 1, fds, nfds, 0);
	if (n < 0 || send_all(fd, (const char *)&m->head + n, sizeof(m->head) - (size_t)n) < 0)
		return -1;
	return send_all(fd, m->body.data, m->body.size);
}

bool netd_fds_take(struct netd_fds *q, int *ret, size_t n)
{
	if (q->len < n)
		return false;
	memcpy(ret, q->v, n * sizeof(*ret));
	memmove(q->v, q->v + n, (q->len - n) * sizeof(*ret));
	q->len -= n;
	return true;
}

void netd_fds_done(struct netd_fds *q)
{
	for (size_t i = 0; i < q->len; i++)
		close(q->v[i]);
	q->len = 0;
}

long netd_read(int fd, struct buf *in, struct netd_fds *q, int flags)
{
	struct iovec iov = { buf_reserve(in, READ_SIZE), READ_SIZE };
	size_t nfds = NETD_MAX_FDS - q->len;
	ssize_t n = rights_recv(fd, &iov, 1, q->v + q->len, &nfds, flags);

	if (n < 0)
		return -1;
	in->size += (size_t)n;
	q->len += nfds;
	return n;
}

void netd_address(const char *exec_root, int dirfd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/" NETD_SOCKET, exec_root) >= sizeof(ret->sun_path))
		snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/%d/fd/%d/" NETD_SOCKET, (int)getpid(), dirfd);
}
