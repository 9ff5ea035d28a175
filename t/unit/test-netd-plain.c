/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sandbox where nftables do not work: the resolver takes port 53 of its address. The loop of dockerd-netd runs in the test itself. */
#include "netd-box.h"

#include "netd/box.h"
#include "netd/enter.h"
#include "base/loop.h"

static int redirects;

/* Instead of core/netd/redirect.c's. */
int redirect_write(uint16_t udp, uint16_t tcp)
{
	redirects++;
	ok(udp && tcp, "both have ports (%u, %u)", udp, tcp);
	errno = EOPNOTSUPP;
	return -1;
}

bool redirect_stands(void)
{
	return false;
}

static void stop(struct timer *t)
{
	loop_end();
}

static int tell(const char *id, const char *path, struct err *err)
{
	OWN_NETD_MSG struct netd_msg m = { 0 };

	netd_msg_init(&m, NETD_BOX);
	netd_msg_str(&m, NTAG_BOX, id);
	netd_msg_str(&m, NTAG_NET, "net");
	netd_msg_str(&m, NTAG_NET_NAME, "front");
	netd_msg_str(&m, NTAG_IPV4, "172.30.0.2");
	netd_msg_str(&m, NTAG_NAME, "web");
	return box_put(&m, open(path, O_RDONLY | O_CLOEXEC), err);
}

int main(void)
{
	static const char query[] = "\x12\x34\1\0\0\1\0\0\0\0\0\0\3web\0\0\1\0\1";
	OWN_ERR struct err err = ERR_INIT;
	struct timer timer = { 0 };
	char answer[512], *ns;
	int fd, taken;
	ssize_t n;

	if (!nb_begin())
		return 0;
	ns = nb_netns("plain");
	ok(loop_init() == 0 && enter_init() == 0, "a loop");
	taken = nb_bind(ns, "0.0.0.0", 53, SOCK_DGRAM);
	ok(tell("one", ns, &err) < 0 && strstr(err_text(&err), "cannot make the resolver of one: Address already in use"), "the port is the container's: %s", err_text(&err));
	is_int(box_count(), 0, "nothing is left of that sandbox");
	close(taken);
	is_int(tell("one", ns, &err), 0, "the port is free");
	is_int(redirects, 2, "without nftables");
	fd = nb_connect(ns, "127.0.0.11", 53, SOCK_DGRAM);
	ok(send(fd, query, sizeof(query) - 1, 0) == sizeof(query) - 1, "a query");
	loop_timer_at(&timer, clock_mono() + NSEC_PER_SEC / 5, stop);
	loop_run();
	n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
	ok(n == (ssize_t)sizeof(query) - 1 + 16 && memcmp(answer + n - 4, "\xAC\x1E\0\2", 4) == 0, "is answered");
	close(fd);
	box_drop("one");
	is_int(box_count(), 0, "and dropped");
	nb_netns_drop(ns);
	nb_end();
	return tap_done();
}
