/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets to netfilter, kept open. The kernel lets nobody close one before it has cleaned up after the last transaction of nf_tables,
 * whoever's that was: 10 to 20 ms after each change of rules.
 */
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "ask.h"

#define ANSWER_S 20

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nf_socket idle; /* under lock; one that nobody uses */

/* The number of the namespace that the caller is in. */
static ino_t here(void)
{
	struct stat st;

	return stat("/proc/thread-self/ns/net", &st) == 0 ? st.st_ino : 0;
}

int nf_open(struct nf_socket *s)
{
	struct timeval timeout = { .tv_sec = ANSWER_S };

	s->ns = here();
	s->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (s->nl && mnl_socket_bind(s->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		nf_close(s);
	if (!s->nl)
		return -1;
	setsockopt(mnl_socket_get_fd(s->nl), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return 0;
}

void nf_close(struct nf_socket *s)
{
	int sys = errno;

	if (s->nl)
		mnl_socket_close(s->nl);
	s->nl = NULL;
	errno = sys;
}

int nf_is_here(const struct nf_socket *s)
{
	return s->nl && s->ns == here();
}

int nf_take(struct nf_socket *ret)
{
	pthread_mutex_lock(&lock);
	*ret = idle;
	idle.nl = NULL;
	pthread_mutex_unlock(&lock);
	if (nf_is_here(ret))
		return 0;
	nf_close(ret);
	return nf_open(ret);
}

void nf_give(struct nf_socket *s, int answered)
{
	struct nf_socket extra = *s;

	if (answered) {
		pthread_mutex_lock(&lock);
		extra = idle;
		idle = *s;
		pthread_mutex_unlock(&lock);
	}
	s->nl = NULL;
	nf_close(&extra);
}
