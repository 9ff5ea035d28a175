/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets of the API: they listen early and are accepted from late, so that an early client waits instead of being refused. */
#ifndef CORE_LISTEN_H
#define CORE_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

struct listener {
	int fd;          /* listening, close-on-exec, non-blocking */
	char *host;      /* unix:///run/docker.sock, tcp://127.0.0.1:2375, fd://3 */
	char *policy;    /* of ?policy=; NULL without one */
	char *unlink;    /* path of a unix socket made here, removed at the end; or NULL */
};
struct listeners { struct listener *v; size_t len; };

/*
 * hosts: full forms, each perhaps with "?policy=NAME" (config_full_host()). group: owner of unix sockets; default_group (may be missing, with a warning) is the
 * one nobody asked for. Runs before there are threads: the umask changes meanwhile, so that no socket is ever open to all.
 */
int listeners_open(struct listeners *ls, const struct strv *hosts, const char *group, const char *default_group, struct err *err);
/* Closes and removes what was made. */
void listeners_close(struct listeners *ls);
/* Some host is a TCP address that is not the loopback's. */
bool listen_is_public(const char *host);

#endif
