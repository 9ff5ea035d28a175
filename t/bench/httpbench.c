/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keep-alive HTTP/1.1 requests on a Unix socket, as fast as the other side answers:
 *   httpbench SOCKET CONNECTIONS SECONDS PATH   the same GET on every connection, for so long
 *   httpbench SOCKET CONNECTIONS - < LIST       "METHOD PATH [BODY]" a line, each once
 * Prints "requests seconds per-second median-us worst-us failed"; failed counts answers of 400 and above. A connection that
 * the server closes is opened anew. Exits with 1 when a connection breaks within an answer.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 64
#define SAMPLES_MAX (1 << 20)

struct connection {
	int fd;
	char *buf;               /* what has been received and not yet used */
	size_t len, pos, cap;
	bool closing;
};

struct worker {
	pthread_t thread;
	struct connection c;
	unsigned long requests, failed;
	unsigned *us;            /* one sample a request, SAMPLES_MAX at most */
	bool broken;
};

static const char *socket_path, *get_path;
static double deadline;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* stdin */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connection_open(struct connection *c)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(socket_path) >= sizeof(a.sun_path))
		return -1;
	strcpy(a.sun_path, socket_path);
	c->len = c->pos = 0;
	c->closing = false;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	perror(socket_path);
	return -1;
}

static int connection_fill(struct connection *c)
{
	ssize_t n;

	if (c->pos > 0 && c->pos == c->len)
		c->pos = c->len = 0;
	if (c->cap - c->len < 65536) {
		c->cap = c->cap * 2 + 131072;
		c->buf = realloc(c->buf, c->cap);
		if (!c->buf)
			abort();
	}
	do
		n = read(c->fd, c->buf + c->len, c->cap - c->len - 1);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -1;
	c->len += (size_t)n;
	c->buf[c->len] = 0;
	return 0;
}

/* The line at pos, its end cut off; NULL when the peer is gone. */
static char *connection_line(struct connection *c)
{
	char *end, *line;

	while (c->pos >= c->len || !(end = strstr(c->buf + c->pos, "\r\n")))
		if (connection_fill(c) != 0)
			return NULL;
	*end = 0;
	line = c->buf + c->pos;
	c->pos = (size_t)(end - c->buf) + 2;
	return line;
}

static int connection_skip(struct connection *c, size_t size)
{
	while (c->len - c->pos < size) {
		size -= c->len - c->pos;
		c->pos = c->len;
		if (connection_fill(c) != 0)
			return -1;
	}
	c->pos += size;
	return 0;
}

static int connection_skip_chunks(struct connection *c)
{
	for (;;) {
		char *line = connection_line(c);
		size_t size = line ? strtoul(line, NULL, 16) : 0;

		if (!line || connection_skip(c, size) != 0 || !connection_line(c))
			return -1;
		if (size == 0)
			return 0;
	}
}

/* One answer: its status, -1 when the connection broke. */
static int connection_answer(struct connection *c)
{
	char *line = connection_line(c);
	int status = line && strlen(line) > 9 ? atoi(line + 9) : -1;
	size_t size = 0;
	bool chunked = false;

	while (line && *line) {
		line = connection_line(c);
		if (line && strncasecmp(line, "Content-Length:", 15) == 0)
			size = strtoul(line + 15, NULL, 10);
		else if (line && strncasecmp(line, "Transfer-Encoding:", 18) == 0)
			chunked = true;
		else if (line && strncasecmp(line, "Connection: close", 17) == 0)
			c->closing = true;
	}
	if (!line || status < 0)
		return -1;
	if (status == 204 || status == 304)
		return status;
	if ((chunked ? connection_skip_chunks(c) : connection_skip(c, size)) != 0)
		return -1;
	return status;
}

static int worker_request(struct worker *w, const char *method, const char *path, const char *body)
{
	char head[4096];
	double begin = now();
	int len, status;

	if (w->c.fd < 0 && connection_open(&w->c) != 0)
		return -1;
	len = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		method, path, strlen(body), body);
	if (len < 0 || (size_t)len >= sizeof(head) || send(w->c.fd, head, (size_t)len, MSG_NOSIGNAL) != len)
		return -1;
	status = connection_answer(&w->c);
	if (status < 0)
		return -1;
	if (w->requests < SAMPLES_MAX)
		w->us[w->requests] = (unsigned)((now() - begin) * 1e6);
	w->requests++;
	w->failed += status >= 400;
	if (w->c.closing) {
		close(w->c.fd);
		w->c.fd = -1;
	}
	return 0;
}

static bool next_of_list(char **line, size_t *cap)
{
	ssize_t n;

	pthread_mutex_lock(&list_lock);
	n = getline(line, cap, stdin);
	pthread_mutex_unlock(&list_lock);
	if (n > 0 && (*line)[n - 1] == '\n')
		(*line)[n - 1] = 0;
	return n > 0;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char *line = NULL, *rest = NULL;
	size_t cap = 0;

	if (get_path) {
		while (!w->broken && now() < deadline)
			w->broken = worker_request(w, "GET", get_path, "") != 0;
		return NULL;
	}
	while (!w->broken && next_of_list(&line, &cap)) {
		const char *method = strtok_r(line, " ", &rest), *path = strtok_r(NULL, " ", &rest);

		w->broken = !method || !path || worker_request(w, method, path, rest ? rest : "") != 0;
	}
	free(line);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

static int report(struct worker *w, int n, double seconds)
{
	unsigned long requests = 0, failed = 0, kept = 0;
	bool broken = false;
	unsigned *us = malloc((size_t)n * SAMPLES_MAX * sizeof(*us));

	if (!us)
		abort();
	for (int i = 0; i < n; i++) {
		unsigned long own = w[i].requests < SAMPLES_MAX ? w[i].requests : SAMPLES_MAX;

		memcpy(us + kept, w[i].us, own * sizeof(*us));
		kept += own;
		requests += w[i].requests;
		failed += w[i].failed;
		broken |= w[i].broken;
	}
	qsort(us, kept, sizeof(*us), by_size);
	printf("%lu %.4f %.1f %u %u %lu\n", requests, seconds, (double)requests / seconds, kept ? us[kept / 2] : 0,
		kept ? us[kept - 1] : 0, failed);
	free(us);
	if (broken)
		fprintf(stderr, "httpbench: a connection broke\n");
	return broken;
}

int main(int argc, char **argv)
{
	static struct worker workers[CONNECTIONS_MAX];
	int n = argc >= 4 ? atoi(argv[2]) : 0;
	double begin;

	if (n < 1 || n > CONNECTIONS_MAX || (strcmp(argv[3], "-") != 0) != (argc == 5)) {
		fprintf(stderr, "usage: httpbench SOCKET CONNECTIONS SECONDS PATH | SOCKET CONNECTIONS - < LIST\n");
		return 2;
	}
	socket_path = argv[1];
	get_path = argv[4]; /* NULL with a list: argv ends there */
	for (int i = 0; i < n; i++) {
		workers[i].us = calloc(SAMPLES_MAX, sizeof(unsigned));
		if (!workers[i].us || connection_open(&workers[i].c) != 0)
			return 1;
	}
	begin = now();
	deadline = begin + atof(argv[3]);
	for (int i = 0; i < n; i++)
		if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0)
			abort();
	for (int i = 0; i < n; i++)
		pthread_join(workers[i].thread, NULL);
	return report(workers, n, now() - begin);
}
