/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sdnotify.h"

#define BACKLOG 4096

struct opening {
	struct listeners *ls;
	const char *group, *default_group;
	struct err *err;
	const char *policy; /* of the host at hand */
	int activated;   /* sockets of the service manager, -1 before they were asked for */
};

static int open_unix(struct opening *o, const char *path);
static int open_tcp(struct opening *o, const char *host);
static int open_fds(struct opening *o, const char *which);
static bool have_fd(const struct opening *o, int fd);

/* "HOST?policy=NAME" is cut: the name, or NULL. config_check_host() has looked at it. */
static const char *take_policy(char *host)
{
	char *ask = strstr(host, "?policy=");

	if (!ask)
		return NULL;
	*ask = '\0';
	return ask + strlen("?policy=");
}

int listeners_open(struct listeners *ls, const struct strv *hosts, const char *group, const char *default_group,
	struct err *err)
{
	struct opening o = { .ls = ls, .group = group, .default_group = default_group, .err = err, .activated = -1 };

	*ls = (struct listeners){ 0 };
	for (size_t i = 0; i < hosts->len; i++) {
		OWN_FREE char *host = xstrdup(hosts->v[i]);
		int rc;

		o.policy = take_policy(host);

		if (str_has_prefix(host, "unix://"))
			rc = open_unix(&o, host + 7);
		else if (str_has_prefix(host, "tcp://"))
			rc = open_tcp(&o, host + 6);
		else if (str_has_prefix(host, "fd://"))
			rc = open_fds(&o, host + 5);
		else
			rc = err_set(err, ERR_INVALID, "invalid protocol in %s", host);
		if (rc < 0) {
			listeners_close(ls);
			return err_wrap(err, "failed to load listeners");
		}
	}
	/* Activated sockets that no host names: closed, as nobody will serve them. */
	for (int fd = SDNOTIFY_FIRST_FD; fd < SDNOTIFY_FIRST_FD + o.activated; fd++)
		if (!have_fd(&o, fd))
			close(fd);
	return 0;
}

void listeners_close(struct listeners *ls)
{
	for (size_t i = 0; i < ls->len; i++) {
		struct listener *l = &ls->v[i];

		fd_close(&l->fd);
		if (l->unlink)
			unlink(l->unlink);
		free(l->unlink);
		free(l->host);
		free(l->policy);
	}
	free(ls->v);
	*ls = (struct listeners){ 0 };
}

bool listen_is_public(const char *host)
{
	if (!str_has_prefix(host, "tcp://"))
		return false;
	host += 6;
	return !str_has_prefix(host, "127.") && !str_has_prefix(host, "localhost:") && !str_has_prefix(host, "[::1]:");
}

static void add(struct opening *o, int fd, char *host, char *unlink_path)
{
	struct listeners *ls = o->ls;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	ls->v = xrealloc(ls->v, (ls->len + 1) * sizeof(*ls->v));
	ls->v[ls->len++] = (struct listener){ fd, host, xstrdup(o->policy), unlink_path };
}

/* /etc/group alone: name services would load foreign code into the daemon for one look-up. */
static int group_id(const char *name, gid_t *ret)
{
	OWN_FILE FILE *f = fopen("/etc/group", "re");
	struct group *g;
	uint64_t n;

	while (f && (g = fgetgrent(f))) {
		if (streq(g->gr_name, name)) {
			*ret = g->gr_gid;
			return 0;
		}
	}
	if (str_to_u64(name, &n) && n < UINT32_MAX) {
		*ret = (gid_t)n;
		return 0;
	}
	return -1;
}

static int socket_group(struct opening *o, const char *path, gid_t *ret)
{
	*ret = 0;
	if (str_empty(o->group) || group_id(o->group, ret) == 0)
		return 0;
	if (!streq(o->group, o->default_group))
		return err_set(o->err, ERR_INVALID, "can't create unix socket %s: group %s not found", path, o->group);
	log_warn("could not change group %s to %s: group %s not found", path, o->group, o->group);
	return 0;
}

/* A socket left by a dead daemon is removed; one that somebody serves, or something else of that name, is not. */
static int clear_path(struct opening *o, const char *path, const struct sockaddr_un *addr)
{
	OWN_FD int fd = -1;
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(o->err, ERR_CONFLICT, "can't create unix socket %s: a file that is no socket has this "
			"name", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN))
		return err_set(o->err, ERR_CONFLICT, "can't create unix socket %s: another process serves it", path);
	if (unlink(path) < 0 && errno != ENOENT)
		return err_errno(o->err, errno, "can't create unix socket %s", path);
	return 0;
}

static int open_unix(struct opening *o, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	OWN_FD int fd = -1;
	mode_t mask;
	gid_t gid;
	int rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(o->err, ERR_INVALID, "can't create unix socket %s: the path is too long", path);
	strcpy(addr.sun_path, path);
	if (socket_group(o, path, &gid) < 0 || clear_path(o, path, &addr) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(o->err, errno, "can't create unix socket %s", path);
	/* Owner only until the group is set. */
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(mask);
	if (rc < 0)
		return err_errno(o->err, errno, "can't create unix socket %s", path);
	if (chown(path, 0, gid) < 0 || chmod(path, 0660) < 0 || listen(fd, BACKLOG) < 0) {
		err_errno(o->err, errno, "can't create unix socket %s", path);
		unlink(path);
		return -1;
	}
	add(o, STEAL_FD(fd), xasprintf("unix://%s", path), xstrdup(path));
	return 0;
}

/* "host:port", "[v6]:port". */
static int resolve(struct opening *o, const char *host, struct addrinfo **ret)
{
	const char *colon = strrchr(host, ':');
	bool bracket = *host == '[';
	OWN_FREE char *name = xstrndup(bracket ? host + 1 : host, (size_t)(colon - host) - (bracket ? 2 : 0));
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST };
	const char *node = streq(name, "localhost") ? "127.0.0.1" : name;
	int rc;

	rc = getaddrinfo(node, colon + 1, &hints, ret);
	if (rc == EAI_NONAME) {
		hints.ai_flags &= ~AI_NUMERICHOST;
		rc = getaddrinfo(node, colon + 1, &hints, ret);
	}
	if (rc)
		return err_set(o->err, ERR_INVALID, "cannot listen on tcp://%s: %s", host, gai_strerror(rc));
	return 0;
}

static int open_tcp(struct opening *o, const char *host)
{
	struct addrinfo *list = NULL;
	OWN_FD int fd = -1;
	int one = 1, rc;

	if (resolve(o, host, &list) < 0)
		return -1;
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -1 : setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (rc == 0)
		rc = bind(fd, list->ai_addr, list->ai_addrlen);
	if (rc == 0)
		rc = listen(fd, BACKLOG);
	freeaddrinfo(list);
	if (rc < 0)
		return err_errno(o->err, errno, "listen tcp %s", host);
	add(o, STEAL_FD(fd), xasprintf("tcp://%s", host), NULL);
	return 0;
}

static bool is_listening(int fd)
{
	int on = 0;
	socklen_t size = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0 && on;
}

static bool have_fd(const struct opening *o, int fd)
{
	for (size_t i = 0; i < o->ls->len; i++)
		if (o->ls->v[i].fd == fd)
			return true;
	return false;
}

/* All of them, or the one numbered. */
static int open_fds(struct opening *o, const char *which)
{
	int64_t only = -1;
	bool all = !*which || streq(which, "*");

	if (o->activated < 0)
		o->activated = sdnotify_sockets();
	if (!o->activated)
		return err_set(o->err, ERR_INVALID, "no sockets found via socket activation: make sure the service "
			"was started by systemd");
	if (!all && !str_to_i64(which, &only))
		return err_set(o->err, ERR_INVALID, "failed to parse systemd fd address: should be a number: %s", which);
	if (!all && (only < SDNOTIFY_FIRST_FD || only >= SDNOTIFY_FIRST_FD + o->activated))
		return err_set(o->err, ERR_INVALID, "too few socket activated files passed in by systemd");
	for (int fd = SDNOTIFY_FIRST_FD; fd < SDNOTIFY_FIRST_FD + o->activated; fd++) {
		if (have_fd(o, fd))
			continue;
		if (!all && fd != only)
			continue;
		if (!is_listening(fd))
			return err_set(o->err, ERR_INVALID, "failed to listen on systemd activated file: fd %d", fd);
		add(o, fd, xasprintf("fd://%d", fd), NULL);
	}
	return 0;
}
