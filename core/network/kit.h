/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other half of a published port where the daemon is in rootlesskit's network namespace: rootlesskit listens on the host, in its parent
 * namespace, and leads what comes to a port in here. It is asked over the socket in its state folder. What it was asked for it keeps as
 * long as it runs, also while the daemon is down: a list in the exec-root says which of its ports are the daemon's. Thread-safe; waits
 * for an answer, so no lock of the caller's is held.
 */
#ifndef NETWORK_KIT_H
#define NETWORK_KIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "network/cidr.h"

struct kit;

/* state: rootlesskit's folder. */
struct kit *kit_open(const char *state, const char *exec_root, struct err *err);
void kit_close(struct kit *k);
/*
 * The exec-root was last that of a daemon under another rootlesskit, in other namespaces. What that one may have left, as a daemon does that is
 * killed together with it, runs on where no port leads and no network is: it is to be ended. True until the process ends.
 */
bool kit_is_new(const struct kit *k);

/* What /version tells of it; NULL for what it did not say. */
struct kit_about { const char *version, *api_version, *state, *net_driver, *port_driver; };
void kit_about(const struct kit *k, struct kit_about *ret);

/* Where in here a port is bound that is published at that address of the host. */
void kit_inside(const struct kit *k, const char *host_ip, bool ipv6, char ret[IP_TEXT]);
/* Whether such ports can be led at all. */
bool kit_leads(const struct kit *k, int proto, bool ipv6);

/* A run: port + i at host_ip leads to port + i at inside. */
struct kit_port {
	int proto;
	char host_ip[IP_TEXT], inside[IP_TEXT];
	unsigned port, count;
	bool maybe;  /* only where the host has that family: nobody asked for it by name */
};
/*
 * All ports of an endpoint, all or none, in place of those that it had; equal ones are not touched. *ret_failed: the number of the one that rootlesskit
 * could not bind since somebody of the host has it, or len.
 */
int kit_publish(struct kit *k, const char *endpoint, const struct kit_port *ports, size_t len, size_t *ret_failed, struct err *err);
void kit_revoke(struct kit *k, const char *endpoint);
/* After the daemon's start, when all is adopted or ended: what an earlier daemon had beyond that goes, and the exec-root is this run's. */
void kit_sweep(struct kit *k);

/* kit-call.c: one request; body NULL for none. The answer's text goes to ret, its status is returned; -1 without one. */
int kit_call(const char *socket, const char *method, const char *path, const char *body, struct buf *ret, struct err *err);

#endif
