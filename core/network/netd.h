/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's side of dockerd-netd, the one helper process of user networks and published ports: it holds the sockets of
 * published ports (so that nobody else takes a port, and what the kernel does not route is spliced), answers DNS at 127.0.0.11 in
 * the sandboxes, and goes on while the daemon is down. There is one for an exec-root, started through the spawner when it is
 * first needed, found again at EXEC-ROOT/netd.sock. What it was told is kept here, too: one that died is started anew and fed
 * anew; one that runs another program than the installed one hands everything over to the installed one, and no port is closed.
 * Thread-safe; no lock of the caller is held over a call.
 */
#ifndef NETWORK_NETD_H
#define NETWORK_NETD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/spawner.h"
#include "base/str.h"
#include "network/cidr.h"

struct netd;

/* Nothing is started yet. program: the path of dockerd-netd. */
struct netd *netd_new(const char *exec_root, const char *program, struct spawner *sp);
/* The process stays while it has something to do. */
void netd_free(struct netd *n);
DEFINE_CLEANUP(struct netd, netd_free)

struct netd_port {
	int proto;            /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	char host_ip[IP_TEXT]; /* "0.0.0.0", "::", or one address */
	/*
	 * 0: any free one of the kernel's local port range; begin..end: the first free one of these, end 0 for begin alone. In the
	 * answer both are the one chosen. What was chosen for the endpoint before is chosen again.
	 */
	unsigned host_port, host_port_end;
	unsigned count;       /* a run: host_port + i -> port + i; only with one fixed host_port; 0 is 1 */
	unsigned port;        /* of the container */
	bool proxy;           /* connections that reach the socket go to target; else it only holds the port */
	char target[IP_TEXT];  /* the container's address; of another family than host_ip's is fine */
	/*
	 * The caller's own, which dockerd-netd does not hear of: the address asked for where rootlesskit listens there, and host_ip is the place in
	 * here ("" without it); and whether nobody asked for that family.
	 */
	char outside[IP_TEXT];
	bool maybe;
};
/*
 * The ports of an endpoint, all or none (of no ports: as netd_revoke()); replaces what it had (of equal ones nothing changes, no connection is cut). Of two
 * entries in a row that differ in the family of host_ip only and leave the choice, both get the same port. err is what Docker
 * says behind "driver failed programming external connectivity on endpoint NAME (ID): ": "Bind for 0.0.0.0:80 failed: port is
 * already allocated" (another endpoint of ours has it), "failed to bind host port 0.0.0.0:80/tcp: address already in use" (a
 * process of the host has it), "all ports are allocated".
 */
int netd_publish(struct netd *n, const char *endpoint, struct netd_port *ports, size_t len, struct err *err);
int netd_revoke(struct netd *n, const char *endpoint, struct err *err);

/* One network of a sandbox. Borrowed. */
struct netd_net {
	const char *id, *name;
	const char *ipv4, *ipv6;   /* the sandbox's addresses there, without prefix length; NULL or "" for none */
	const struct strv *names;  /* what it is called there; the first one is what a reverse lookup tells */
	bool internal;             /* queries do not leave by it */
};
struct netd_sandbox {
	const char *id;            /* the container's */
	const char *netns_path;    /* NULL: no resolver, only its names for the others */
	const struct netd_net *nets; /* in the order in which a name is looked for */
	size_t nets_len;
	const struct strmap *links;  /* alias -> name, for this sandbox; may be NULL, as the vectors */
	const struct strv *servers;  /* upstream: "1.2.3.4", "1.2.3.4:53", "::1", "[::1]:53", "fe80::1%eth0"; "host:1.2.3.4" is asked from the host's namespace */
	const struct strv *search;   /* the search domains of its resolv.conf */
};
/* A sandbox's resolver and names, whole; replaces what was told before. */
int netd_sandbox(struct netd *n, const struct netd_sandbox *sb, struct err *err);
int netd_sandbox_drop(struct netd *n, const char *id, struct err *err);
/* After the daemon's start, when all is adopted: what dockerd-netd has beyond these ids goes. It is not started for this. */
int netd_keep(struct netd *n, const struct strv *sandboxes, const struct strv *endpoints, struct err *err);
/* One that runs in namespaces which are not the daemon's: all that it has goes, so that it ends, and the next request starts another. */
void netd_leave(struct netd *n);

/* Numbers for tests and diagnosis. */
struct netd_status { int pid; size_t endpoints, ports, sandboxes, streams, flows, queries, fds; };
int netd_status(struct netd *n, struct netd_status *ret, struct err *err);

#endif
