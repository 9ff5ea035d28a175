/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dockerd-netd as a process: starting it, handing over to a newer program, the connection, and the thread that watches it in between. */
#include "network/netd_i.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"

#define ANSWER_MS     30000
#define TAKE_OVER_MS  20000
#define CALM_MS       2000  /* one that ends sooner after its start is started again a little later */
#define MIN_PAUSE_MS  250
#define MAX_PAUSE_MS  30000
#define BACKLOG       64

void netd_op_begin(struct netd *n)
{
	WITH_LOCK(&n->lock);

	while (n->busy)
		lock_wait(&n->lock, &n->cond, -1);
	n->busy = true;
}

void netd_op_end(struct netd **n)
{
	WITH_LOCK(&(*n)->lock);

	(*n)->busy = false;
	pthread_cond_broadcast(&(*n)->cond);
}

void netd_disconnect(struct netd *n)
{
	fd_close(&n->fd);
	buf_reset(&n->in);
}

/* It ended, or is as good as that. One that does so soon after its start, again and again, is started later and later. */
static void died(struct netd *n)
{
	int64_t now = clock_mono();

	netd_disconnect(n);
	n->quick = now - n->started > CALM_MS * NSEC_PER_MSEC ? 0 : n->quick + 1;
	n->pause_ms = n->quick < 2 ? 0 : n->quick < 9 ? MIN_PAUSE_MS << (n->quick - 2) : MAX_PAUSE_MS;
	n->not_before = now + n->pause_ms * NSEC_PER_MSEC;
}

static enum err_class class_of(int64_t status)
{
	static const enum err_class classes[] = { ERR_INVALID, ERR_NOT_FOUND, ERR_CONFLICT, ERR_NOT_IMPLEMENTED, ERR_UNAVAILABLE };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (err_status(classes[i]) == status)
			return classes[i];
	return ERR_INTERNAL;
}

static void tell_log(const struct netd_msg *m)
{
	int64_t level = netd_msg_get_int(m, NTAG_LEVEL, LOG_INFO);
	const char *text = netd_msg_get_str(m, NTAG_TEXT);

	log_write(level < LOG_ERROR || level > LOG_TRACE ? LOG_INFO : (enum log_level)level, "dockerd-netd: %s", text ? text : "");
}

/* The next message that is no record of its log. 1, 0 after timeout_ms, -1 with errno (0 for the end). */
static int next_message(struct netd *n, int timeout_ms, struct netd_msg *ret)
{
	int64_t until = clock_mono() + timeout_ms * NSEC_PER_MSEC;
	struct netd_fds none = { .len = 0 };

	for (;;) {
		OWN_NETD_MSG struct netd_msg m = { 0 };
		struct pollfd p = { .fd = n->fd, .events = POLLIN };
		int64_t left = (until - clock_mono()) / NSEC_PER_MSEC;
		int r = netd_msg_parse(&n->in, &m);
		long got;

		if (r < 0) {
			errno = EPROTO;
			return -1;
		}
		if (r > 0 && m.head.type == NETD_LOG) {
			tell_log(&m);
			continue;
		}
		if (r > 0) {
			*ret = m;
			m = (struct netd_msg){ 0 };
			return 1;
		}
		r = poll(&p, 1, left > 0 ? (int)left : 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r;
		got = netd_read(n->fd, &n->in, &none, MSG_DONTWAIT);
		netd_fds_done(&none);
		if (got == 0)
			errno = 0;
		if (got == 0 || (got < 0 && errno != EAGAIN))
			return -1;
	}
}

int netd_transact(struct netd *n, struct netd_msg *m, const int *fds, size_t nfds, struct netd_msg *ret, bool *ret_lost, struct err *err)
{
	OWN_NETD_MSG struct netd_msg a = { 0 };
	int r;

	*ret_lost = true;
	lock_none_held();
	if (netd_msg_send(n->fd, m, fds, nfds) < 0) {
		err_errno(err, errno, "dockerd-netd does not listen");
		died(n);
		return -1;
	}
	r = next_message(n, ANSWER_MS, &a);
	if (r <= 0) {
		if (r == 0)
			err_set(err, ERR_UNAVAILABLE, "dockerd-netd does not answer");
		else
			err_errno(err, errno ? errno : ECONNRESET, "dockerd-netd has ended");
		died(n);
		return -1;
	}
	*ret_lost = false;
	if (a.head.type == NETD_ERROR) {
		const char *text = netd_msg_get_str(&a, NTAG_TEXT);

		return err_set(err, class_of(netd_msg_get_int(&a, NTAG_STATUS, 500)), "%s", text ? text : "dockerd-netd refused");
	}
	if (ret) {
		*ret = a;
		a = (struct netd_msg){ 0 };
	}
	return 0;
}

/* What tells one build of the program from the next. */
static char *identity(const struct netd *n)
{
	struct stat st;

	if (stat(n->program, &st) < 0)
		return xstrdup("none");
	return xasprintf("%llx:%llx:%lld.%09ld:%lld", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size);
}

/* ret_pidfd: NULL when its end is of no interest. */
static int spawn(struct netd *n, const char *word, int fd, int *ret_pidfd, struct err *err)
{
	OWN_FREE char *id = identity(n);
	char *const argv[] = { n->program, (char *)word, id, n->exec_root, NULL };
	OWN_FD int pidfd = -1;
	pid_t pid;

	if (spawner_spawn(n->spawner, argv, NULL, &fd, 1, &pid, &pidfd, err) < 0)
		return err_wrap(err, "cannot start dockerd-netd");
	if (ret_pidfd)
		*ret_pidfd = STEAL_FD(pidfd);
	return 0;
}

/* A new connection: fd, or -1 with errno (ENOENT and ECONNREFUSED: there is none). */
static int dial(struct netd *n)
{
	const struct timeval patience = { .tv_sec = ANSWER_MS / 1000 };
	struct sockaddr_un sa;
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	netd_address(n->exec_root, n->dirfd, &sa);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return STEAL_FD(fd);
}

/* The socket listens before the process is there, so that nobody has to wait for it. */
static int start(struct netd *n, struct err *err)
{
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;

	if (clock_mono() < n->not_before)
		return err_set(err, ERR_UNAVAILABLE, "dockerd-netd ends soon after each start");
	netd_address(n->exec_root, n->dirfd, &sa);
	unlinkat(n->dirfd, NETD_SOCKET, 0);
	if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, BACKLOG) < 0)
		return err_errno(err, errno, "cannot make %s/" NETD_SOCKET, n->exec_root);
	if (spawn(n, "listen", fd, NULL, err) < 0) {
		unlinkat(n->dirfd, NETD_SOCKET, 0);
		return -1;
	}
	n->started = clock_mono();
	n->fd = dial(n);
	return n->fd < 0 ? err_errno(err, errno, "cannot reach dockerd-netd") : 0;
}

/* Says hello; whether it runs the installed program. */
static int hello(struct netd *n, bool *ret_same, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m, a = { 0 };
	OWN_FREE char *id = identity(n);
	const char *theirs;
	bool lost;

	netd_msg_init(&m, NETD_HELLO);
	netd_msg_int(&m, NTAG_VERSION, NETD_VERSION);
	netd_msg_int(&m, NTAG_LEVEL, log_get_level());
	if (netd_transact(n, &m, NULL, 0, &a, &lost, err) < 0) {
		netd_disconnect(n);
		return -1;
	}
	theirs = netd_msg_get_str(&a, NTAG_IDENTITY);
	*ret_same = theirs && streq(theirs, id);
	return 0;
}

/* The old process ended, and not the new one. */
static bool handed_over(struct netd *n, int successor)
{
	int64_t until = clock_mono() + TAKE_OVER_MS * NSEC_PER_MSEC;

	for (;;) {
		OWN_NETD_MSG struct netd_msg m = { 0 };
		struct pollfd p[2] = { { .fd = n->fd, .events = POLLIN }, { .fd = successor, .events = POLLIN } };
		int64_t left = (until - clock_mono()) / NSEC_PER_MSEC;

		if (left <= 0 || (poll(p, 2, (int)left) < 0 && errno != EINTR) || p[1].revents)
			return false;
		/* records of its log come, and then its end */
		if (p[0].revents && next_message(n, 0, &m) != 0)
			return true;
	}
}

/* A process of the installed program takes everything from the one that runs, which ends. Without success that one goes on. */
static void take_over(struct netd *n)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FD int fd = dial(n), successor = -1;
	bool same = false;

	log_info("dockerd-netd runs another program than the installed one: it hands over");
	if (fd < 0 || spawn(n, "take-over", fd, &successor, &err) < 0) {
		log_warn("dockerd-netd stays as it is: %s", fd < 0 ? strerror(errno) : err_text(&err));
		return;
	}
	fd_close(&fd);
	if (!handed_over(n, successor)) {
		log_warn("dockerd-netd goes on with its old program: the installed one, %s, did not take over", n->program);
		return;
	}
	netd_disconnect(n);
	n->fd = dial(n);
	if (n->fd >= 0 && hello(n, &same, &err) == 0 && !same)
		log_warn("dockerd-netd goes on with its old program");
}

static int say_again(struct netd *n, struct kept *k, struct netd_msg *ret, bool *ret_lost, struct err *err)
{
	OWN_FD int netns = k->netns_path ? open(k->netns_path, O_RDONLY | O_CLOEXEC) : -1;

	*ret_lost = false;
	if (k->netns_path && netns < 0)
		return err_errno(err, errno, "cannot open the network namespace %s", k->netns_path);
	return netd_transact(n, &k->msg, &netns, netns >= 0 ? 1 : 0, ret, ret_lost, err);
}

int netd_ensure(struct netd *n, bool may_start, struct err *err)
{
	bool same, lost;

	if (n->fd >= 0)
		return 0;
	for (int tries = 0; n->fd < 0; tries++) {
		n->fd = dial(n);
		if (n->fd < 0 && errno != ENOENT && errno != ECONNREFUSED)
			return err_errno(err, errno, "cannot reach dockerd-netd");
		if (n->fd < 0 && !may_start)
			return 0;
		if (n->fd < 0 && start(n, err) < 0)
			return -1;
		/* one that has nothing to do may end just now */
		if (hello(n, &same, tries == 0 ? NULL : err) < 0 && tries > 0)
			return -1;
	}
	if (!same)
		take_over(n);
	for (struct kept *k = n->kept; k && n->fd >= 0; k = k->next) {
		OWN_ERR struct err why = ERR_INIT;

		if (say_again(n, k, NULL, &lost, &why) == 0)
			continue;
		if (lost)
			return err_move(err, &why);
		log_error("%s of %.12s is lost: %s", k->type == NETD_BOX ? "the resolver" : "a published port", k->id, err_text(&why));
	}
	if (n->fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "dockerd-netd has ended");
	n->told = false;
	return 0;
}

/* It has ended; what it did is still wanted. */
static void revive(struct netd *n)
{
	OWN_ERR struct err err = ERR_INIT;

	if (!n->kept)
		return;
	if (netd_ensure(n, true, &err) == 0) {
		log_warn("dockerd-netd had ended and was started anew");
		return;
	}
	if (!n->told)
		log_error("dockerd-netd has ended: published ports and names are not served: %s", err_text(&err));
	n->told = true;
}

/* Nobody else reads the connection now. */
static void look(struct netd *n)
{
	OWN_NETD_MSG struct netd_msg m = { 0 };
	struct pollfd p = { .fd = n->fd, .events = POLLIN };

	if (n->fd >= 0 && poll(&p, 1, 0) == 1 && next_message(n, 0, &m) != 0)
		died(n);
	if (n->fd < 0)
		revive(n);
}

static void *watch(void *arg)
{
	struct netd *n = arg;
	struct pollfd p[2] = { { .fd = n->wake, .events = POLLIN } };

	for (;;) {
		int wait_ms = -1;
		uint64_t count;

		{
			WITH_OP(n);

			look(n);
			p[1] = (struct pollfd){ .fd = n->fd, .events = POLLIN };
			if (n->fd < 0 && n->kept)
				wait_ms = n->pause_ms > MIN_PAUSE_MS ? n->pause_ms : MIN_PAUSE_MS;
		}
		poll(p, 2, wait_ms);
		(void)!read(n->wake, &count, sizeof(count));
		WITH_LOCK(&n->lock);

		if (n->stopping)
			return NULL;
	}
}

void netd_watched(struct netd *n)
{
	const uint64_t one = 1;
	pthread_attr_t attr;
	bool has;

	{
		WITH_LOCK(&n->lock);

		has = n->has_thread;
	}
	if (has) {
		(void)!write(n->wake, &one, sizeof(one));
		return;
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	has = pthread_create(&n->thread, &attr, watch, n) == 0;
	pthread_attr_destroy(&attr);
	if (!has)
		log_warn("no thread to watch dockerd-netd");
	WITH_LOCK(&n->lock);

	n->has_thread = has;
}

int netd_ask(struct netd *n, struct kept *k, struct netd_msg *ret, struct err *err)
{
	bool lost = false;

	for (int tries = 0; tries < 2; tries++) {
		OWN_ERR struct err why = ERR_INIT;
		int before = n->fd;

		if (netd_ensure(n, true, err) < 0)
			return -1;
		if (n->fd != before)
			netd_watched(n);
		if (say_again(n, k, ret, &lost, &why) == 0)
			return 0;
		if (!lost || tries > 0)
			return err_move(err, &why);
	}
	return -1;
}
