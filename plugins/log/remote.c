/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Log drivers that are processes of their own: Docker's plugin protocol, methods "LogDriver.*". A plugin reads a pipe, in which each record
 * is a message of protobuf, LogEntry, behind its size in four bytes. What "docker logs" shows comes from the daemon's own file: plugins
 * are not asked for what they have.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <dockerd/log.h>

#include "bytes.h"
#include "docker-plugin.h"
#include "pieces.h"

#define PIPES "/run/docker/logging"
#define LOOK_AGAIN_MS 20
#define STOP_MS 2000
#define DAEMON_NAME "docker"

struct dkd_log {
	DOCKER_PLUGIN_HANDLE;
};

struct dkd_log_stream {
	struct dkd_log *log;
	json_t *info;                 /* of StartLogging */
	char given[DOCKER_PLUGIN_PATH]; /* the pipe as the plugin knows it */
	char path[DOCKER_PLUGIN_PATH];  /* and as we do */
	int fd;                       /* of the pipe; -1: nobody reads it yet */
	int started;                  /* the plugin was told */
	struct bytes left;            /* of a record that is in the pipe with its beginning */
	struct pieces pieces;
};

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_log_open *open, struct dkd_log **ret)
{
	*ret = docker_plugin_handle(host, call, open->instance, "LogDriver", sizeof(**ret));
	return *ret ? 0 : -1;
}

static void remote_close(struct dkd_log *l)
{
	docker_plugin_close(l->plugin);
	free(l);
}

/* What its options mean is the plugin's to say, when logging starts. */
static int32_t remote_check(const struct dkd_call *call, struct dkd_log *l, const struct dkd_pair *options, uint32_t options_len)
{
	(void)call, (void)l, (void)options, (void)options_len;
	return 0;
}

static json_t *environment(const struct dkd_log_subject *s)
{
	json_t *list = json_array();
	char *word;

	for (uint32_t i = 0; i < s->env_len; i++) {
		size_t size = strlen(s->env[i].key) + strlen(s->env[i].value) + 2;

		word = malloc(size);
		if (word)
			snprintf(word, size, "%s=%s", s->env[i].key, s->env[i].value);
		json_array_append_new(list, json_string(word ? word : ""));
		free(word);
	}
	return list;
}

static json_t *info_of(const struct dkd_log_subject *s)
{
	json_t *args = json_array();
	time_t seconds = (time_t)(s->created / 1000000000);
	char created[64], day[32];
	struct tm tm;

	for (uint32_t i = 1; i < s->argv_len; i++)
		json_array_append_new(args, json_string(s->argv[i]));
	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(created, sizeof(created), "%s.%09dZ", day, (int)(s->created % 1000000000));
	return json_pack("{s:o, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:s, s:s}", "Config", docker_plugin_pairs(s->options, s->options_len),
		"ContainerID", s->id, "ContainerName", s->name, "ContainerEntrypoint", s->argv_len ? s->argv[0] : "", "ContainerArgs", args,
		"ContainerImageID", s->image_id, "ContainerImageName", s->image_name, "ContainerCreated", created, "ContainerEnv", environment(s),
		"ContainerLabels", docker_plugin_pairs(s->labels, s->labels_len), "LogPath", "", "DaemonName", DAEMON_NAME);
}

static void remote_stop(struct dkd_log_stream *s)
{
	if (s->fd >= 0)
		close(s->fd);
	if (s->started)
		docker_plugin_tell(s->log->plugin, "LogDriver.StopLogging", json_pack("{s:s}", "File", s->given), STOP_MS);
	unlink(s->path);
	json_decref(s->info);
	bytes_done(&s->left);
	free(s);
}

/* The folder of the pipes, as the plugin knows it and as we do. */
static int place(struct dkd_log *l, struct dkd_log_stream *s, const char *id)
{
	const char *dir = l->host->option(l->host, "pipes");

	return snprintf(s->given, sizeof(s->given), "%s/%s", dir && *dir ? dir : PIPES, id) < (int)sizeof(s->given) &&
		docker_plugin_path(l->plugin, s->given, s->path) == 0 ? 0 : -1;
}

static int32_t remote_start(const struct dkd_call *call, struct dkd_log *l, const struct dkd_log_subject *subject, struct dkd_log_stream **ret)
{
	struct dkd_log_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return dkd_failf(l->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	s->log = l;
	s->fd = -1;
	s->info = info_of(subject);
	if (!s->info || place(l, s, subject->id) < 0) {
		json_decref(s->info);
		free(s);
		return dkd_failf(l->host, call, DKD_ERR_INVALID, 0, "the container cannot be told to a log plugin: its configuration is not UTF-8");
	}
	*ret = s;
	return 0;
}

/* Every folder of the path of a file, and the pipe: a new one, so that no old reader takes what is meant for another. */
static int make_pipe(const char *path)
{
	char dir[DOCKER_PLUGIN_PATH];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *c = dir + 1; (c = strchr(c, '/')); *c++ = '/') {
		*c = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -1;
	}
	unlink(path);
	return mkfifo(path, 0700);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Waits for ms, or for events of fd. 0: it is too late, or the caller is gone. */
static int wait_some(const struct dkd_call *call, int fd, short events, int ms)
{
	struct pollfd p[2] = { { .fd = call->cancel_fd, .events = POLLIN }, { .fd = fd, .events = events } };
	int64_t left = call->deadline ? (call->deadline - now_ns()) / 1000000 : ms;

	if (left <= 0)
		return 0;
	if (ms < 0 || left < ms)
		ms = (int)(left < 3600000 ? left : 3600000);
	poll(p, 2, ms);
	return !p[0].revents;
}

static int32_t too_late(const struct dkd_call *call, const struct dkd_log_stream *s, const char *what)
{
	return dkd_failf(s->log->host, call, DKD_ERR_UNAVAILABLE, 0, "plugin %s: %s", docker_plugin_name(s->log->plugin), what);
}

/* Tells the plugin of the pipe, and waits until it reads it. */
static int32_t begin(const struct dkd_call *call, struct dkd_log_stream *s)
{
	json_t *answer;

	if (!s->started) {
		if (make_pipe(s->path) < 0)
			return dkd_failf(s->log->host, call, DKD_ERR_INTERNAL, errno, "make the pipe %.300s", s->path);
		if (docker_plugin_call(s->log->plugin, call, "LogDriver.StartLogging", 0, json_pack("{s:s, s:O}", "File", s->given, "Info", s->info),
		    &answer) < 0)
			return -1;
		json_decref(answer);
		s->started = 1;
		bytes_done(&s->left); /* it went to a reader that is gone */
	}
	while ((s->fd = open(s->path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)) < 0) {
		if (errno != ENXIO) {
			s->started = 0;
			return dkd_failf(s->log->host, call, DKD_ERR_INTERNAL, errno, "open the pipe %.300s", s->path);
		}
		if (!wait_some(call, -1, 0, LOOK_AGAIN_MS))
			return too_late(call, s, "it does not read the pipe");
	}
	return 0;
}

/* Sends what is left. -1: not all of it could be sent now. */
static int32_t flush(const struct dkd_call *call, struct dkd_log_stream *s)
{
	size_t done = 0;

	while (done < s->left.size) {
		ssize_t n = write(s->fd, s->left.data + done, s->left.size - done);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			close(s->fd);
			s->fd = -1;
			s->started = 0; /* who reads next gets a pipe of its own */
			return too_late(call, s, "it reads the pipe no more");
		}
		if (!wait_some(call, s->fd, POLLOUT, -1))
			break;
	}
	if (done)
		memmove(s->left.data, s->left.data + done, s->left.size - done);
	s->left.size -= done;
	return s->left.size ? too_late(call, s, "it does not take what it is given") : 0;
}

static void put_number(struct bytes *b, uint64_t v)
{
	char c;

	for (; v >= 0x80; v >>= 7) {
		c = (char)(v | 0x80);
		bytes_put(b, &c, 1);
	}
	c = (char)v;
	bytes_put(b, &c, 1);
}

/* A field that is a number: its key, then it. */
static void put_field(struct bytes *b, unsigned number, uint64_t v)
{
	put_number(b, number << 3);
	put_number(b, v);
}

static void put_text(struct bytes *b, unsigned number, const void *data, size_t size)
{
	put_number(b, number << 3 | 2);
	put_number(b, size);
	bytes_put(b, data, size);
}

enum { ENTRY_SOURCE = 1, ENTRY_TIME, ENTRY_LINE, ENTRY_PARTIAL, ENTRY_PIECE };
enum { PIECE_LAST = 1, PIECE_ID, PIECE_ORDINAL };

static void put_piece(struct bytes *b, struct pieces *p, const struct dkd_log_record *r)
{
	struct bytes piece = { 0 };

	if (!(r->flags & DKD_LOG_LAST))
		put_field(b, ENTRY_PARTIAL, 1);
	if (!pieces_begin(p))
		return;
	if (r->flags & DKD_LOG_LAST)
		put_field(&piece, PIECE_LAST, 1);
	put_text(&piece, PIECE_ID, p->id, strlen(p->id));
	put_field(&piece, PIECE_ORDINAL, p->ordinal + 1);
	put_text(b, ENTRY_PIECE, piece.data, piece.size);
	bytes_done(&piece);
	pieces_end(p, r);
}

static int pack(struct dkd_log_stream *s, const struct dkd_log_record *r)
{
	const char *source = r->flags & DKD_LOG_STDERR ? "stderr" : "stdout";
	struct bytes *b = &s->left;
	unsigned char size[4] = { 0 };
	uint32_t n;

	bytes_put(b, size, sizeof(size));
	put_text(b, ENTRY_SOURCE, source, 6);
	put_field(b, ENTRY_TIME, (uint64_t)r->time);
	put_text(b, ENTRY_LINE, r->text, (size_t)r->text_size);
	if (r->flags & DKD_LOG_PARTIAL)
		put_piece(b, &s->pieces, r);
	if (!bytes_ok(b))
		return -1;
	n = (uint32_t)b->size - sizeof(size);
	for (int i = 0; i < 4; i++)
		b->data[i] = (char)(n >> (24 - 8 * i));
	return 0;
}

static int32_t remote_write(const struct dkd_call *call, struct dkd_log_stream *s, const struct dkd_log_record *records, uint32_t len, uint32_t *taken)
{
	*taken = 0;
	if (s->fd < 0 && begin(call, s) < 0)
		return -1;
	if (flush(call, s) < 0)
		return -1;
	while (*taken < len) {
		if (pack(s, &records[*taken]) < 0) {
			bytes_done(&s->left);
			return dkd_failf(s->log->host, call, DKD_ERR_INTERNAL, 0, "out of memory");
		}
		/* From here on it is ours: what does not fit now goes first the next time. */
		++*taken;
		if (flush(call, s) < 0)
			return -1;
	}
	return 0;
}

static const struct dkd_log_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.check = remote_check,
	.start = remote_start,
	.stop = remote_stop,
	.write = remote_write,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_LOG,
	.abi_major = DKD_LOG_MAJOR,
	.abi_minor = DKD_LOG_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT,
	.name = "remote",
	.version = "1.0",
	.ops = &ops,
	.provider = &docker_plugin_provider,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
