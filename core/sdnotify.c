/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sdnotify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"

#define MAX_FDS 256

void sdnotify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	OWN_FD int fd = -1;
	size_t len;

	if (str_empty(path) || (*path != '/' && *path != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn("cannot notify the service manager at %s", path);
}

void sdnotify_reloading(void)
{
	OWN_FREE char *text = xasprintf("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_mono() / 1000));

	sdnotify(text);
}

int sdnotify_sockets(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	int64_t n = 0, p = 0;

	if (!pid || !count || !str_to_i64(pid, &p) || p != getpid() || !str_to_i64(count, &n) || n < 0 || n > MAX_FDS)
		n = 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int fd = SDNOTIFY_FIRST_FD; fd < SDNOTIFY_FIRST_FD + n; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return (int)n;
}
