/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log driver "journald": to the host's journal, by its native protocol: a datagram for each record, or a sealed memory file where
 * a datagram has no room for it. The fields are those of Docker's driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "journald-fields.h"
#include "opened.h"
#include "pieces.h"
#include "wire.h"
#include "words.h"

#define JOURNAL "/run/systemd/journal/socket"

struct dkd_log_stream {
	struct dkd_log *log;
	struct wire wire;
	struct fields entry; /* begins with what is the same in all */
	size_t common;
	uint64_t ordinal;    /* how many were handed on */
	struct pieces pieces[2];
};

static struct wire to_journal(void)
{
	return (struct wire){ .kind = WIRE_UNIXGRAM, .host = JOURNAL, .port = "", .fd = -1 };
}

static int32_t journald_probe(const struct dkd_call *call, const struct dkd_host *host, const char *root)
{
	struct wire w = to_journal();
	int there = wire_reaches(&w, call);

	(void)root;
	wire_close(&w);
	if (there)
		return DKD_PROBE_MINE;
	host->fail(host, call, DKD_ERR_INTERNAL, 0, "journald is not enabled on this host");
	return DKD_PROBE_NOT_HERE;
}

static int32_t journald_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	static const char *const known[] = { "env", "env-regex", "labels", "labels-regex", "tag", NULL };

	return words_known(l->host, call, options, options_len, known, "journald");
}

static void journald_stop(struct dkd_log_stream *s)
{
	wire_close(&s->wire);
	fields_done(&s->entry);
	free(s);
}

static int32_t journald_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));
	char epoch[PIECES_ID + 1];

	if (!s)
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	s->log = l;
	s->wire = to_journal();
	if (pieces_make_id(epoch))
		fields_put_subject(&s->entry, subject, epoch);
	s->common = s->entry.size;
	if (!s->common || s->entry.failed) {
		journald_stop(s);
		return l->host->fail(l->host, call, DKD_ERR_INTERNAL, 0, "no memory, or no random numbers");
	}
	*ret = s;
	return 0;
}

/* "2006-01-02T15:04:05.123456789Z", without the zeros at the end of the fraction. */
static void put_time(struct fields *f, int64_t time)
{
	time_t seconds = (time_t)(time / 1000000000);
	char day[32], text[64];
	size_t n;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	n = (size_t)snprintf(text, sizeof(text) - 1, "%s.%09d", day, (int)(time % 1000000000));
	while (text[n - 1] == '0')
		n--;
	n -= text[n - 1] == '.';
	strcpy(text + n, "Z");
	fields_puts(f, "SYSLOG_TIMESTAMP", text);
}

static void put_number(struct fields *f, const char *name, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	fields_puts(f, name, text);
}

static void put_pieces(struct fields *f, struct pieces *p, int last)
{
	if (!pieces_begin(p))
		return;
	fields_puts(f, "CONTAINER_PARTIAL_ID", p->id);
	put_number(f, "CONTAINER_PARTIAL_ORDINAL", p->ordinal + 1);
	fields_puts(f, "CONTAINER_PARTIAL_LAST", last ? "true" : "false");
	if (!last)
		fields_puts(f, "CONTAINER_PARTIAL_MESSAGE", "true");
}

/* The journal reads an entry from a file that nobody can change any more. */
static int sealed(const struct fields *f)
{
	int fd = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	while (fd >= 0 && done < f->size) {
		ssize_t n = write(fd, f->data + done, f->size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (fd < 0 || (done == f->size && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0))
		return fd;
	close(fd);
	return -1;
}

static int send_sealed(const struct dkd_call *call, struct dkd_log_stream *s)
{
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = { 0 };
	struct msghdr m = { .msg_control = &control, .msg_controllen = sizeof(control.room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	const struct dkd_host *host = s->log->host;
	int fd = sealed(&s->entry), sys = errno, r;

	if (fd < 0)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, sys, "make a file for a log record: %s", strerror(sys));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	r = wire_send_message(&s->wire, host, call, &m);
	close(fd);
	return r > 0 ? dkd_failf(host, call, DKD_ERR_UNAVAILABLE, 0, "the journal takes no files") : r;
}

static int send_record(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *r)
{
	const struct dkd_host *host = s->log->host;
	int from_stderr = r->flags & DKD_LOG_STDERR ? 1 : 0, last = r->flags & DKD_LOG_LAST ? 1 : 0, sent;
	struct pieces *pieces = &s->pieces[from_stderr];
	struct iovec all;

	s->entry.size = s->common;
	fields_puts(&s->entry, "PRIORITY", from_stderr ? "3" : "6");
	put_time(&s->entry, r->time);
	put_number(&s->entry, "CONTAINER_LOG_ORDINAL", s->ordinal + 1);
	if (r->flags & DKD_LOG_PARTIAL)
		put_pieces(&s->entry, pieces, last);
	fields_put(&s->entry, "MESSAGE", r->text, (size_t)r->text_size);
	if (s->entry.failed) {
		s->entry.failed = 0;
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	}
	all = (struct iovec){ s->entry.data, s->entry.size };
	sent = wire_send_message(&s->wire, host, call, &(struct msghdr){ .msg_iov = &all, .msg_iovlen = 1 });
	if (sent < 0 || (sent > 0 && send_sealed(call, s) < 0))
		return -1;
	s->ordinal++;
	pieces_end(pieces, r);
	return 0;
}

static int32_t journald_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	for (*taken = 0; *taken < len; ++*taken)
		if (send_record(call, s, &records[*taken]) < 0)
			return -1;
	return 0;
}

static const struct dkd_log_ops ops = { .probe = journald_probe, .open = opened_open, .close = opened_close, .check = journald_check,
	.start = journald_start, .stop = journald_stop, .write = journald_write };

static const struct dkd_driver driver = { .magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops), .thread_model = DKD_THREADS_OBJECT, .name = "journald", .version = PACKAGE_VERSION,
	.ops = &ops };

DKD_EXPORT const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
