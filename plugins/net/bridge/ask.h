/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sockets to netfilter, of which the process keeps one for questions. */
#ifndef NET_BRIDGE_ASK_H
#define NET_BRIDGE_ASK_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <sys/types.h>

struct nf_socket {
	struct mnl_socket *nl; /* NULL: none */
	ino_t ns;              /* the network namespace that it asks of */
};
/* 0, or -1 with errno. */
int nf_open(struct nf_socket *s);
/* errno stays. */
void nf_close(struct nf_socket *s);
/* Whether it asks of the caller's namespace. */
int nf_is_here(const struct nf_socket *s);
/* One for the caller alone. */
int nf_take(struct nf_socket *ret);
/* Back again. answered: all that was asked has been read; else it is closed. errno stays. */
void nf_give(struct nf_socket *s, int answered);

#endif
