/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that go over a socket with bytes: as many as are wanted, and none too many stays open. */
#include "base/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "tap.h"

static int pair[2];

static ssize_t give(const char *text, const int *fds, size_t nfds)
{
	struct iovec iov = { (char *)text, strlen(text) };

	return rights_send(pair[0], &iov, 1, fds, nfds, 0);
}

static ssize_t take(char *text, size_t size, int *fds, size_t *nfds)
{
	struct iovec iov = { text, size };

	return rights_recv(pair[1], &iov, 1, fds, nfds, MSG_DONTWAIT);
}

/* The lowest number that is free: it rises when something was left open. */
static int lowest(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void test_counts(int null, int zero)
{
	int fds[RIGHTS_MAX], got[RIGHTS_MAX], before = lowest();
	char text[16];
	size_t n = 4;

	for (size_t i = 0; i < RIGHTS_MAX; i++)
		fds[i] = i % 2 ? zero : null;
	is_int(give("none", fds, 0), 4, "bytes alone");
	is_int(take(text, sizeof(text), got, &n), 4, "come");
	is_int(n, 0, "with nothing");
	is_int(give("two", fds, 2), 3, "two go along");
	n = 4;
	is_int(take(text, sizeof(text), got, &n), 3, "and come");
	ok(n == 2 && same_file(got[0], null) && same_file(got[1], zero), "in their order");
	ok(n == 2 && (fcntl(got[0], F_GETFD) & FD_CLOEXEC) && (fcntl(got[1], F_GETFD) & FD_CLOEXEC), "closed on exec");
	while (n)
		close(got[--n]);
	is_int(give("all", fds, RIGHTS_MAX), 3, "as many as may go");
	n = RIGHTS_MAX;
	is_int(take(text, sizeof(text), got, &n), 3, "come");
	is_int(n, RIGHTS_MAX, "all of them");
	while (n)
		close(got[--n]);
	is_int(lowest(), before, "nothing is left open");
}

static void test_too_many(int null)
{
	int fds[3] = { null, null, null }, got[2], before = lowest();
	char text[16];

	for (size_t room = 0; room < 3; room++) {
		size_t n = room;

		give("x", fds, room + 1);
		errno = 0;
		ok(take(text, sizeof(text), got, &n) < 0 && errno == EPROTO, "one more than %zu", room);
		ok(n == 0 && lowest() == before, "keeps none");
	}
	is_int(give("y", fds, 1), 1, "the next");
	ok(take(text, sizeof(text), got, &(size_t){ 1 }) == 1 && text[0] == 'y', "comes as ever");
	close(got[0]);
}

static void test_ends(void)
{
	char text[4];
	size_t n = 1;
	int got;

	ok(take(text, sizeof(text), &got, &n) < 0 && errno == EAGAIN && n == 0, "nothing yet");
	close(pair[0]);
	n = 1;
	is_int(take(text, sizeof(text), &got, &n), 0, "the end");
	pair[0] = pair[1];
	ok(give("x", NULL, 0) < 0 && errno == EPIPE, "nobody there: an error, no signal");
}

int main(void)
{
	OWN_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return 1;
	test_counts(null, zero);
	test_too_many(null);
	test_ends();
	return tap_done();
}
