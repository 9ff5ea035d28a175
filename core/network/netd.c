/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests go one at a time, each within the operation (busy), so that whoever has it owns the connection and reads its answer
 * itself. A thread watches the connection in between: it logs what dockerd-netd has to say, and starts it anew when it ended.
 */
#include "network/netd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "network/netd-wire.h"

#define ANSWER_MS     30000
#define TAKE_OVER_MS  20000
#define CALM_MS       2000  /* one that ends sooner after its start is started again a little later */
#define MIN_PAUSE_MS  250
#define MAX_PAUSE_MS  30000
#define BACKLOG       64

/* What dockerd-netd was told and has to be told again when it starts anew. */
struct kept {
	enum netd_type type; /* NETD_PUBLISH or NETD_BOX */
	char *id, *netns_path;
	struct netd_msg msg;
	struct kept *next;
};

struct netd {
	char *exec_root, *program;
	struct spawner *spawner;
	struct lock lock;        /* LOCK_LEAF: busy, stopping, has_thread */
	pthread_cond_t cond;
	bool busy, stopping, has_thread;
	pthread_t thread;
	int wake;                /* eventfd: look at the connection anew */
	/* the operation's */
	int dirfd, fd;           /* exec-root; the connection, -1 for none */
	struct buf in;
	struct kept *kept;
	int64_t started;         /* clock_mono() of the last start */
	int quick;               /* so many in a row ended soon after their start */
	int pause_ms;            /* before the next one */
	int64_t not_before;
	bool told;               /* that it cannot be started */
};

static void kept_free(struct kept *k)
{
	free(k->id);
	free(k->netns_path);
	netd_msg_done(&k->msg);
	free(k);
}

static void op_begin(struct netd *n)
{
	WITH_LOCK(&n->lock);

	while (n->busy)
		lock_wait(&n->lock, &n->cond, -1);
	n->busy = true;
}

static void op_end(struct netd **n)
{
	WITH_LOCK(&(*n)->lock);

	(*n)->busy = false;
	pthread_cond_broadcast(&(*n)->cond);
}
/* Has the operation to the end of the scope. */
#define WITH_OP(n) op_begin(n); __attribute__((cleanup(op_end), unused)) struct netd *op_held = (n)

static void disconnect(struct netd *n)
{
	fd_close(&n->fd);
	buf_reset(&n->in);
}

/* It ended, or is as good as that. One that does so soon after its start, again and again, is started later and later. */
static void died(struct netd *n)
{
	int64_t now = clock_mono();

	disconnect(n);
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

/* One request and its answer on the connection. -1 with err; *ret_lost: it is not its answer, the connection is gone. */
static int transact(struct netd *n, struct netd_msg *m, const int *fds, size_t nfds, struct netd_msg *ret, bool *ret_lost, struct err *err)
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
	if (transact(n, &m, NULL, 0, &a, &lost, err) < 0) {
		disconnect(n);
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
	disconnect(n);
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
	return transact(n, &k->msg, &netns, netns >= 0 ? 1 : 0, ret, ret_lost, err);
}

/* Connected, by whatever it takes, and dockerd-netd knows all that is kept. */
static int ensure(struct netd *n, bool may_start, struct err *err)
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
	if (ensure(n, true, &err) == 0) {
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

/* From the first connection on. */
static void watched(struct netd *n)
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

/* Within the operation: connects, asks, and once more when the connection turns out to be dead. */
static int ask(struct netd *n, struct kept *k, struct netd_msg *ret, struct err *err)
{
	bool lost = false;

	for (int tries = 0; tries < 2; tries++) {
		OWN_ERR struct err why = ERR_INIT;
		int before = n->fd;

		if (ensure(n, true, err) < 0)
			return -1;
		if (n->fd != before)
			watched(n);
		if (say_again(n, k, ret, &lost, &why) == 0)
			return 0;
		if (!lost || tries > 0)
			return err_move(err, &why);
	}
	return -1;
}

static struct kept **kept_find(struct netd *n, enum netd_type type, const char *id)
{
	struct kept **at = &n->kept;

	while (*at && ((*at)->type != type || !streq((*at)->id, id)))
		at = &(*at)->next;
	return at;
}

static void kept_drop(struct netd *n, enum netd_type type, const char *id)
{
	struct kept **at = kept_find(n, type, id), *k = *at;

	if (!k)
		return;
	*at = k->next;
	kept_free(k);
}

/* Takes k. */
static void kept_put(struct netd *n, struct kept *k)
{
	kept_drop(n, k->type, k->id);
	k->next = n->kept;
	n->kept = k;
}

struct netd *netd_new(const char *exec_root, const char *program, struct spawner *sp)
{
	struct netd *n = xcalloc(1, sizeof(*n));

	n->exec_root = xstrdup(exec_root);
	n->program = xstrdup(program);
	n->spawner = sp;
	n->fd = -1;
	n->dirfd = open(exec_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	n->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	lock_init(&n->lock, LOCK_LEAF);
	lock_cond_init(&n->cond);
	return n;
}

void netd_free(struct netd *n)
{
	const uint64_t one = 1;
	bool has;

	if (!n)
		return;
	{
		WITH_LOCK(&n->lock);

		n->stopping = true;
		has = n->has_thread;
	}
	(void)!write(n->wake, &one, sizeof(one));
	if (has)
		pthread_join(n->thread, NULL);
	while (n->kept) {
		struct kept *k = n->kept;

		n->kept = k->next;
		kept_free(k);
	}
	disconnect(n);
	fd_close(&n->wake);
	fd_close(&n->dirfd);
	buf_done(&n->in);
	lock_done(&n->lock);
	pthread_cond_destroy(&n->cond);
	free(n->exec_root);
	free(n->program);
	free(n);
}

static int add_port(struct netd_msg *m, const struct netd_port *p, struct err *err)
{
	struct netd_wire_port w = { .proto = (uint32_t)p->proto, .host_port = p->host_port, .count = p->count ? p->count : 1, .port = p->port,
		.host_port_end = p->host_port_end ? p->host_port_end : p->host_port, .flags = p->proxy ? NETD_PORT_PROXY : 0 };

	if (p->proto < 0 || p->host_port > 65535 || w.host_port_end > 65535 || w.host_port_end < p->host_port || p->port == 0 ||
	    p->port > 65535 || w.count > 65535 || p->port + w.count > 65536 ||
	    (w.count > 1 && (p->host_port == 0 || w.host_port_end != p->host_port || p->host_port + w.count > 65536)))
		return err_set(err, ERR_INVALID, "invalid port: %u-%u:%u", p->host_port, p->host_port_end, p->port);
	memcpy(w.host_ip, p->host_ip, strnlen(p->host_ip, sizeof(p->host_ip) - 1));
	memcpy(w.target, p->target, strnlen(p->target, sizeof(p->target) - 1));
	netd_msg_bytes(m, NTAG_PORT, &w, sizeof(w));
	return 0;
}

/* What was chosen, into the caller's ports and a request that asks for the same again. */
static int take_chosen(const struct netd_msg *a, struct netd_port *ports, size_t len, struct netd_msg *again, struct err *err)
{
	struct netd_field f;
	size_t i = 0;

	for (size_t pos = 0; i < len && netd_msg_next(a, &pos, &f);) {
		struct netd_wire_port w;

		if (f.tag != NTAG_PORT || f.size < sizeof(w))
			continue;
		memcpy(&w, f.data, sizeof(w));
		ports[i].host_port = ports[i].host_port_end = w.host_port;
		if (add_port(again, &ports[i], err) < 0)
			return -1;
		i++;
	}
	return i == len ? 0 : err_set(err, ERR_INTERNAL, "dockerd-netd answered for %zu of %zu ports", i, len);
}

static struct kept *kept_new(enum netd_type type, const char *id)
{
	struct kept *k = xcalloc(1, sizeof(*k));

	k->type = type;
	k->id = xstrdup(id);
	netd_msg_init(&k->msg, type);
	netd_msg_str(&k->msg, type == NETD_BOX ? NTAG_BOX : NTAG_ENDPOINT, id);
	return k;
}

int netd_publish(struct netd *n, const char *endpoint, struct netd_port *ports, size_t len, struct err *err)
{
	struct kept *k, *again;
	OWN_NETD_MSG struct netd_msg a = { 0 };
	int rc = 0;

	if (!len)
		return netd_revoke(n, endpoint, err);
	k = kept_new(NETD_PUBLISH, endpoint);
	again = kept_new(NETD_PUBLISH, endpoint);
	for (size_t i = 0; rc == 0 && i < len; i++)
		rc = add_port(&k->msg, &ports[i], err);
	if (rc == 0) {
		WITH_OP(n);

		rc = ask(n, k, &a, err);
		if (rc == 0)
			rc = take_chosen(&a, ports, len, &again->msg, err);
		if (rc == 0)
			kept_put(n, STEAL(again));
	}
	kept_free(k);
	if (again)
		kept_free(again);
	return rc;
}

/* What is taken back is forgotten, whatever dockerd-netd says; without one there is nothing to say. */
static int take_back(struct netd *n, enum netd_type type, enum netd_type kept, const char *id, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m;
	bool lost;

	netd_msg_init(&m, type);
	netd_msg_str(&m, kept == NETD_BOX ? NTAG_BOX : NTAG_ENDPOINT, id);
	WITH_OP(n);

	kept_drop(n, kept, id);
	if (ensure(n, n->kept, NULL) < 0 || n->fd < 0)
		return 0;
	return transact(n, &m, NULL, 0, NULL, &lost, err) < 0 && !lost ? -1 : 0;
}

int netd_revoke(struct netd *n, const char *endpoint, struct err *err)
{
	return take_back(n, NETD_REVOKE, NETD_PUBLISH, endpoint, err);
}

int netd_sandbox_drop(struct netd *n, const char *id, struct err *err)
{
	return take_back(n, NETD_BOX_DROP, NETD_BOX, id, err);
}

static void add_strv(struct netd_msg *m, enum netd_tag tag, const struct strv *sv)
{
	for (size_t i = 0; sv && i < sv->len; i++)
		netd_msg_str(m, tag, sv->v[i]);
}

int netd_sandbox(struct netd *n, const struct netd_sandbox *sb, struct err *err)
{
	struct kept *k = kept_new(NETD_BOX, sb->id);

	str_set(&k->netns_path, sb->netns_path);
	for (size_t i = 0; i < sb->nets_len; i++) {
		netd_msg_str(&k->msg, NTAG_NET, sb->nets[i].id);
		netd_msg_str(&k->msg, NTAG_NET_NAME, sb->nets[i].name);
		netd_msg_str(&k->msg, NTAG_IPV4, sb->nets[i].ipv4);
		netd_msg_str(&k->msg, NTAG_IPV6, sb->nets[i].ipv6);
		add_strv(&k->msg, NTAG_NAME, sb->nets[i].names);
		netd_msg_int(&k->msg, NTAG_INTERNAL, sb->nets[i].internal);
	}
	for (size_t i = 0; sb->links && i < sb->links->len; i++) {
		netd_msg_str(&k->msg, NTAG_ALIAS, sb->links->v[i].key);
		netd_msg_str(&k->msg, NTAG_ALIAS_OF, sb->links->v[i].value);
	}
	add_strv(&k->msg, NTAG_SERVER, sb->servers);
	add_strv(&k->msg, NTAG_SEARCH, sb->search);
	WITH_OP(n);

	if (ask(n, k, NULL, err) < 0) {
		kept_free(k);
		return -1;
	}
	kept_put(n, k);
	return 0;
}

int netd_keep(struct netd *n, const struct strv *sandboxes, const struct strv *endpoints, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m;
	bool lost;

	netd_msg_init(&m, NETD_KEEP);
	add_strv(&m, NTAG_BOX, sandboxes);
	add_strv(&m, NTAG_ENDPOINT, endpoints);
	WITH_OP(n);

	for (struct kept **at = &n->kept; *at;) {
		struct kept *k = *at;
		const struct strv *list = k->type == NETD_BOX ? sandboxes : endpoints;

		if (list && strv_contains(list, k->id)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		kept_free(k);
	}
	if (ensure(n, n->kept, err) < 0)
		return -1;
	if (n->fd < 0)
		return 0;
	watched(n);
	return transact(n, &m, NULL, 0, NULL, &lost, err);
}

int netd_status(struct netd *n, struct netd_status *ret, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m, a = { 0 };
	bool lost;

	*ret = (struct netd_status){ 0 };
	netd_msg_init(&m, NETD_STATUS);
	WITH_OP(n);

	if (ensure(n, n->kept, err) < 0)
		return -1;
	if (n->fd < 0)
		return err_set(err, ERR_NOT_FOUND, "dockerd-netd does not run");
	if (transact(n, &m, NULL, 0, &a, &lost, err) < 0)
		return -1;
	*ret = (struct netd_status){ .pid = (int)netd_msg_get_int(&a, NTAG_PID, 0),
		.endpoints = (size_t)netd_msg_get_int(&a, NTAG_COUNT_ENDPOINTS, 0), .ports = (size_t)netd_msg_get_int(&a, NTAG_COUNT_PORTS, 0),
		.sandboxes = (size_t)netd_msg_get_int(&a, NTAG_COUNT_BOXES, 0), .streams = (size_t)netd_msg_get_int(&a, NTAG_COUNT_STREAMS, 0),
		.flows = (size_t)netd_msg_get_int(&a, NTAG_COUNT_FLOWS, 0), .queries = (size_t)netd_msg_get_int(&a, NTAG_COUNT_QUERIES, 0),
		.fds = (size_t)netd_msg_get_int(&a, NTAG_COUNT_FDS, 0) };
	return 0;
}
