/* SPDX-License-Identifier: MIT */
/*
 * A log driver of one's own: the lines of all containers in one file, each behind its time and the container's tag.
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o append.so append.c
 *	docker run --log-driver append --log-opt path=/var/log/containers --log-opt tag={{.Name}} busybox echo hello
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <dockerd/log.h>

struct dkd_log {
	const struct dkd_host *host;
};

struct dkd_log_stream {
	const struct dkd_host *host;
	int fd; /* -1 until the first line */
	char path[1024], tag[256];
};

static int32_t append_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_log_open *open, struct dkd_log **ret)
{
	(void)open;
	if (!(*ret = calloc(1, sizeof(**ret))))
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	(*ret)->host = host;
	return 0;
}

static void append_close(struct dkd_log *l)
{
	free(l);
}

/* tag and what chooses attributes are the daemon's work; this driver writes no attributes and refuses those. */
static int32_t append_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t len)
{
	const char *path = dkd_pair_get(options, len, "path");

	for (uint32_t i = 0; i < len; i++)
		if (strcmp(options[i].key, "path") != 0 && strcmp(options[i].key, "tag") != 0)
			return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "unknown log opt '%s' for append log driver", options[i].key);
	if (path && path[0] == '/' && strlen(path) < sizeof(((struct dkd_log_stream *)0)->path))
		return 0;
	return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "the log opt path is the file's absolute path");
}

static int32_t append_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return dkd_failf(l->host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	s->host = l->host;
	s->fd = -1;
	snprintf(s->path, sizeof(s->path), "%s", dkd_pair_get(subject->options, subject->options_len, "path"));
	snprintf(s->tag, sizeof(s->tag), "%s", subject->tag);
	*ret = s;
	return 0;
}

static void append_stop(struct dkd_log_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

/* One write() a record, so that containers that share the file do not mix within a line. */
static int write_one(int fd, const char *tag, const struct dkd_log_record *r)
{
	char head[320], when[32];
	time_t seconds = (time_t)(r->time / 1000000000);
	struct tm tm;
	size_t size, head_size;
	char *line;
	ssize_t n;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	head_size = (size_t)snprintf(head, sizeof(head), "%s %s%s ", when, tag, r->flags & DKD_LOG_STDERR ? "!" : ":");
	size = head_size + r->text_size + 1;
	if (!(line = malloc(size)))
		return errno = ENOMEM, -1;
	memcpy(line, head, head_size);
	memcpy(line + head_size, r->text, r->text_size);
	line[size - 1] = '\n';
	n = write(fd, line, size);
	free(line);
	if (n >= 0 && (size_t)n < size)
		errno = ENOSPC;
	return n == (ssize_t)size ? 0 : -1;
}

static int32_t append_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	if (s->fd < 0)
		s->fd = open(s->path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (s->fd < 0)
		return dkd_failf(s->host, call, DKD_ERR_UNAVAILABLE, errno, "open %s", s->path);
	for (*taken = 0; *taken < len; ++*taken)
		if (write_one(s->fd, s->tag, &records[*taken]) < 0)
			return dkd_failf(s->host, call, DKD_ERR_UNAVAILABLE, errno, "write to %s", s->path);
	return 0;
}

static const struct dkd_log_ops ops = {
	.open = append_open,
	.close = append_close,
	.check = append_check,
	.start = append_start,
	.stop = append_stop,
	.write = append_write,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_LOG, .abi_major = DKD_LOG_MAJOR, .abi_minor = DKD_LOG_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT, .name = "append", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
