/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/str.h"

#define CHUNK       (32 * 1024)            /* one read of output, and so the most an attacher is owed */
#define ATTACH_ROOM (1024 * 1024)          /* the socket holds as much as Docker holds before output waits for a reader */
#define STDIN_CHUNK (16 * 1024)
#define EXIT_QUIET  (NSEC_PER_SEC / 4)     /* a pipe that others hold open is given up after this silence */
#define EXIT_MOST   (2 * NSEC_PER_SEC)     /* ... and after this while without it, unless somebody is attached */
#define LINGER      (60 * NSEC_PER_SEC)    /* an attacher that takes nothing for so long after the exit is dropped */
#define STALL       (2 * NSEC_PER_SEC)     /* output waits so long for one that came to a running process */
#define TRIM_AFTER  (2 * NSEC_PER_SEC)
#define STDIN_GRACE (NSEC_PER_SEC / 2)

struct attacher {
	struct source src;
	struct attacher *next;
	struct streams *owner;
	unsigned mask;
	bool in_open;        /* its stdin has not ended */
	bool gone;           /* it reads no more; only what it had written is still taken */
	struct buf pending;
	int64_t progress;    /* when it last took something */
	int64_t since;       /* when pending stopped being empty */
	bool early;          /* it was here before the process: it must see every byte, and output waits for it */
	uint64_t skipped;    /* bytes it did not get; while there are any, output does not wait for it */
};

/* Shared by all: used within one callback only. Aligned, so that all of it can be given back. */
static char chunk[CHUNK + 4096] __attribute__((aligned(4096)));
#define CHUNK_DATA (chunk + 8)

/* A while after output began: memory that a burst took goes back to the machine. */
static struct timer trim_timer;
static struct logger *trim_log;

static void update(struct streams *s);
static void output_ready(struct source *src, uint32_t events);
static void attacher_ready(struct source *src, uint32_t events);
static void stdin_ready(struct source *src, uint32_t events);

static int make_pipe(int *ret_ours, int *ret_childs, bool to_child, struct err *err)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(err, errno, "make a pipe");
	*ret_ours = p[to_child ? 1 : 0];
	*ret_childs = p[to_child ? 0 : 1];
	fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
	return 0;
}

int streams_init(struct streams *s, bool tty, bool open_stdin, bool stdin_once, struct logger *log, struct err *err)
{
	*s = (struct streams){ .tty = tty, .open_stdin = open_stdin, .stdin_once = stdin_once, .child = { -1, -1, -1 }, .log = log };
	s->in = (struct source){ .fd = -1, .fn = stdin_ready };
	for (int i = 0; i < 2; i++)
		s->out[i] = (struct output){ .src = { .fd = -1, .fn = output_ready }, .owner = s, .stream = i + 1 };
	s->child[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (s->child[0] < 0)
		return err_errno(err, errno, "open /dev/null");
	if (tty)
		return 0;
	if (open_stdin) {
		fd_close(&s->child[0]);
		if (make_pipe(&s->in.fd, &s->child[0], true, err) < 0)
			return -1;
	}
	for (int i = 0; i < 2; i++)
		if (make_pipe(&s->out[i].src.fd, &s->child[1 + i], false, err) < 0)
			return -1;
	return 0;
}

static void close_child_ends(struct streams *s)
{
	for (int i = 0; i < 3; i++)
		fd_close(&s->child[i]);
}

static bool is_waited_for(const struct attacher *a)
{
	return a->pending.size && (a->early || (!a->skipped && clock_mono() - a->since < STALL));
}

/* Whether output waits for an attacher (that came late). */
static bool is_blocked(const struct streams *s, bool by_late)
{
	for (const struct attacher *a = s->attachers; a; a = a->next)
		if (is_waited_for(a) && !(by_late && a->early))
			return true;
	return false;
}

static bool can_take_stdin(const struct streams *s)
{
	return s->in.fd >= 0 && !s->in_eof && s->in_pending.size == 0;
}

static void attacher_update(struct attacher *a)
{
	uint32_t events = 0;
	bool take = a->in_open && can_take_stdin(a->owner);

	if (take)
		events |= EPOLLIN | EPOLLRDHUP;
	if (a->pending.size && !a->gone)
		events |= EPOLLOUT;
	/* a hang-up is reported whether asked for or not: one that was seen already would spin */
	if (a->gone && !take)
		loop_unwatch(&a->src);
	else
		loop_must_watch(&a->src, events);
}

static void attacher_free(struct attacher *a)
{
	struct streams *s = a->owner;
	char rest[512];

	for (struct attacher **p = &s->attachers; *p; p = &(*p)->next) {
		if (*p != a)
			continue;
		*p = a->next;
		break;
	}
	/* unread input would turn the peer's end of file into a reset */
	for (int i = 0; i < 64 && recv(a->src.fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
	loop_close(&a->src);
	buf_done(&a->pending);
	free(a);
}

static void stall_over(struct timer *t)
{
	update(CONTAINER_OF(t, struct streams, stall_timer));
}

/* Brings everything in line with what is blocked and what not; ends what is over. */
static void update(struct streams *s)
{
	bool blocked = is_blocked(s, false), open = false;
	struct attacher *next;

	for (int i = 0; i < 2; i++) {
		struct source *src = &s->out[i].src;

		if (src->fd < 0)
			continue;
		open = true;
		if (s->reading && !s->stall_timer.at && is_blocked(s, true))
			loop_timer(&s->stall_timer, STALL, stall_over);
		if (s->reading && !blocked)
			loop_must_watch(src, EPOLLIN);
		else
			loop_unwatch(src);
	}
	for (struct attacher *a = s->attachers; a; a = next) {
		next = a->next;
		if ((a->gone && !a->in_open) || (s->drained && s->ended && (!a->pending.size || a->gone)))
			attacher_free(a);
		else
			attacher_update(a);
	}
	if (s->reading && !open && !s->drained) {
		s->drained = true;
		loop_timer_off(&s->exit_timer);
		update(s);
		if (s->on_drained)
			s->on_drained(s);
	}
}

static void stdin_close(struct streams *s)
{
	loop_close(&s->in);
	buf_done(&s->in_pending);
	s->in_eof = false;
}

static void stdin_end(struct streams *s)
{
	if (s->in.fd < 0)
		return;
	if (s->in_pending.size)
		s->in_eof = true;
	else
		stdin_close(s);
}

static void stdin_put(struct streams *s, const char *data, size_t size)
{
	ssize_t n = write(s->in.fd, data, size);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stdin_close(s);
		return;
	}
	if (n < 0)
		n = 0;
	if ((size_t)n < size) {
		buf_add(&s->in_pending, data + n, size - (size_t)n);
		loop_must_watch(&s->in, EPOLLOUT);
	}
}

static void stdin_ready(struct source *src, uint32_t events)
{
	struct streams *s = CONTAINER_OF(src, struct streams, in);
	ssize_t n = write(src->fd, s->in_pending.data, s->in_pending.size);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		stdin_close(s);
	} else if (n > 0) {
		buf_shift(&s->in_pending, (size_t)n);
		if (s->in_pending.size == 0) {
			loop_unwatch(src);
			buf_done(&s->in_pending);
			if (s->in_eof)
				stdin_close(s);
		}
	}
	update(s);
}

static void owe(struct attacher *a, const char *data, size_t size)
{
	a->progress = a->since = clock_mono();
	buf_add(&a->pending, data, size);
}

/* It reads again: it is told what it missed, in a frame of its own. */
static void tell_skipped(struct attacher *a)
{
	char text[128];
	int n = snprintf(text + 8, sizeof(text) - 8, "\r\n[%llu bytes of output were skipped: nobody read them]\r\n",
		(unsigned long long)a->skipped);
	unsigned char head[8] = { a->mask & STREAM_STDERR ? 2 : 1, 0, 0, 0, 0, 0, 0, (unsigned char)n };

	a->skipped = 0;
	memcpy(text, head, sizeof(head));
	owe(a, a->owner->tty ? text + 8 : text, (size_t)n + (a->owner->tty ? 0 : 8));
}

static void send_pending(struct attacher *a)
{
	ssize_t n = send(a->src.fd, a->pending.data, a->pending.size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0) {
		buf_shift(&a->pending, (size_t)n);
		a->progress = clock_mono();
		if (a->pending.size == 0)
			buf_done(&a->pending);
		if (a->pending.size == 0 && a->skipped)
			tell_skipped(a);
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		a->gone = true;
		buf_done(&a->pending);
	}
}

static void stdin_grace_over(struct timer *t)
{
	struct streams *s = CONTAINER_OF(t, struct streams, stdin_timer);

	if (control_has_daemon())
		stdin_end(s);
	update(s);
}

/* The attacher's stdin is over: by shutdown, or because it vanished. */
static void attacher_stdin_end(struct attacher *a, bool vanished)
{
	struct streams *s = a->owner;

	a->in_open = false;
	if (s->tty)
		return;
	if (!s->stdin_once)
		return;
	/* when the daemon is killed its attachments vanish with it, and the container must not be told that stdin ended */
	if (vanished)
		loop_timer(&s->stdin_timer, STDIN_GRACE, stdin_grace_over);
	else
		stdin_end(s);
}

static void attacher_input(struct attacher *a)
{
	struct streams *s = a->owner;
	char data[STDIN_CHUNK];
	ssize_t n = recv(a->src.fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		stdin_put(s, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		attacher_stdin_end(a, a->gone);
}

static void attacher_ready(struct source *src, uint32_t events)
{
	struct attacher *a = CONTAINER_OF(src, struct attacher, src);

	if (events & (EPOLLHUP | EPOLLERR)) {
		a->gone = true;
		buf_done(&a->pending);
	}
	if ((events & EPOLLOUT) && a->pending.size)
		send_pending(a);
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && a->in_open && can_take_stdin(a->owner))
		attacher_input(a);
	/* stdin that the process no longer takes is of no use; a terminal comes only with the start */
	if (a->gone && a->owner->in.fd < 0 && (!a->owner->tty || a->owner->reading))
		a->in_open = false;
	update(a->owner);
}

/* data has room for Docker's frame head in the 8 bytes before it. */
static void send_output(struct streams *s, int stream, char *data, size_t size)
{
	unsigned mask = stream == 2 ? STREAM_STDERR : STREAM_STDOUT;

	if (!s->tty) {
		unsigned char head[8] = { (unsigned char)stream, 0, 0, 0, (unsigned char)(size >> 24), (unsigned char)(size >> 16),
			(unsigned char)(size >> 8), (unsigned char)size };

		data -= sizeof(head);
		size += sizeof(head);
		memcpy(data, head, sizeof(head));
	}
	for (struct attacher *a = s->attachers; a; a = a->next) {
		ssize_t n;

		if (a->gone || !(a->mask & mask))
			continue;
		if (a->pending.size) {
			a->skipped += size - (s->tty ? 0 : 8);
			continue;
		}
		n = send(a->src.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			a->gone = true;
			continue;
		}
		if (n < 0)
			n = 0;
		if ((size_t)n < size)
			owe(a, data + n, size - (size_t)n);
	}
}

static void trim(struct timer *t)
{
	if (trim_log)
		logger_trim(trim_log);
	madvise(chunk, sizeof(chunk), MADV_DONTNEED);
	malloc_trim(0);
}

static void output_ready(struct source *src, uint32_t events)
{
	struct output *o = CONTAINER_OF(src, struct output, src);
	struct streams *s = o->owner;
	ssize_t n = read(src->fd, CHUNK_DATA, CHUNK);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		s->seen_output = true;
		trim_log = s->log ? s->log : trim_log;
		if (!trim_timer.at)
			loop_timer(&trim_timer, TRIM_AFTER, trim);
		if (s->log)
			logger_write(s->log, o->stream, CHUNK_DATA, (size_t)n);
		if (s->attachers)
			send_output(s, o->stream, CHUNK_DATA, (size_t)n);
	} else { /* a terminal without a slave gives EIO */
		loop_close(src);
		if (s->log)
			logger_end(s->log, o->stream);
	}
	if (n <= 0 || s->attachers)
		update(s);
}

static void close_outputs(struct streams *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->out[i].src.fd >= 0 && s->log)
			logger_end(s->log, s->out[i].stream);
		loop_close(&s->out[i].src);
	}
}

static bool has_unread(const struct streams *s)
{
	for (int i = 0; i < 2; i++) {
		int n = 0;

		if (s->out[i].src.fd >= 0 && ioctl(s->out[i].src.fd, FIONREAD, &n) == 0 && n > 0)
			return true;
	}
	return false;
}

/* Comes again and again between the exit and the end of all output. */
static void exit_timer_fired(struct timer *t)
{
	struct streams *s = CONTAINER_OF(t, struct streams, exit_timer);
	int64_t now = clock_mono();
	bool more;

	for (struct attacher *a = s->attachers; a; a = a->next) {
		if (!a->pending.size)
			continue;
		if (now - a->progress > LINGER) {
			a->gone = true;
			a->in_open = false;
			buf_done(&a->pending);
		}
	}
	more = is_blocked(s, false) || has_unread(s) || s->seen_output;
	s->seen_output = false;
	if (more && (s->attachers || now < s->exit_by))
		loop_timer(t, EXIT_QUIET, exit_timer_fired);
	else
		close_outputs(s);
	update(s);
}

void streams_terminal(struct streams *s, int fd)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	s->out[0].src.fd = fd;
	if (s->open_stdin)
		s->in.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->rows && s->cols)
		streams_resize(s, s->rows, s->cols);
	update(s);
}

void streams_start(struct streams *s)
{
	close_child_ends(s);
	s->reading = true;
	update(s);
}

void streams_abort(struct streams *s, char *ret_text, size_t size)
{
	ssize_t n = -1;

	close_child_ends(s);
	if (!s->tty && s->out[1].src.fd >= 0)
		n = read(s->out[1].src.fd, ret_text, size - 1);
	ret_text[n > 0 ? n : 0] = '\0';
	streams_done(s);
}

void streams_exited(struct streams *s)
{
	stdin_close(s);
	s->ended = true;
	if (s->drained) {
		update(s);
		return;
	}
	s->exit_by = clock_mono() + EXIT_MOST;
	loop_timer(&s->exit_timer, EXIT_QUIET, exit_timer_fired);
	update(s);
}

void streams_attach(struct streams *s, int fd, unsigned mask)
{
	int room = ATTACH_ROOM;
	struct attacher *a = xcalloc(1, sizeof(*a));

	*a = (struct attacher){ .src = { .fd = fd, .fn = attacher_ready }, .owner = s, .mask = mask, .next = s->attachers };
	a->in_open = (mask & STREAM_STDIN) && s->open_stdin;
	a->early = !s->reading;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	s->attachers = a;
	update(s);
}

bool streams_attached(const struct streams *s)
{
	return s->attachers;
}

void streams_orphaned(struct streams *s)
{
	if (s->tty || s->attachers)
		return;
	stdin_end(s);
	update(s);
}

int streams_resize(struct streams *s, uint16_t rows, uint16_t cols)
{
	struct winsize ws = { .ws_row = rows, .ws_col = cols };

	s->rows = rows;
	s->cols = cols;
	return s->tty && s->out[0].src.fd >= 0 ? ioctl(s->out[0].src.fd, TIOCSWINSZ, &ws) : 0;
}

void streams_done(struct streams *s)
{
	close_child_ends(s);
	loop_timer_off(&s->exit_timer);
	loop_timer_off(&s->stdin_timer);
	loop_timer_off(&s->stall_timer);
	stdin_close(s);
	while (s->attachers)
		attacher_free(s->attachers);
	for (int i = 0; i < 2; i++)
		loop_close(&s->out[i].src);
}
