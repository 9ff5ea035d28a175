/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals: blocked in every thread, read by the main thread from a signalfd. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/reserve.h"
#include "daemon.h"

#define SIGNALS_TO_FORCE 3
#define IDLE_MS 60000

int daemon_signals_block(struct daemon *d, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	/* With DEBUG set, SIGQUIT keeps its core dump. */
	if (str_empty(getenv("DEBUG")))
		sigaddset(&set, SIGQUIT);
	/* Both come back as errors of the write. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return d->signal_fd < 0 ? err_errno(err, errno, "signalfd") : 0;
}

/* The next signal, or 0. */
static int next(struct daemon *d)
{
	struct signalfd_siginfo info;

	return read(d->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static bool asks_for_end(int sig) { return sig == SIGINT || sig == SIGTERM || sig == SIGQUIT; }

/* During the end: the first signal began it. */
static void count_end(struct daemon *d, int sig)
{
	if (++d->ends < SIGNALS_TO_FORCE) {
		log_info("Stopping already; %d more will force the end", SIGNALS_TO_FORCE - d->ends);
		return;
	}
	log_warn("Forcing the end at the third signal; what still runs is left behind");
	_exit(128 + sig);
}

int daemon_signals_wait(struct daemon *d, int ms)
{
	struct pollfd p = { d->signal_fd, POLLIN, 0 };
	int64_t end = clock_mono() + (int64_t)ms * 1000000;

	for (;;) {
		int64_t left = (end - clock_mono()) / 1000000;
		int sig;

		if (poll(&p, 1, left > 0 ? (int)left : 0) <= 0 && left <= 0)
			return 0;
		while ((sig = next(d)))
			if (asks_for_end(sig)) {
				d->ends++;
				return sig;
			}
	}
}

int daemon_signals_loop(struct daemon *d)
{
	struct pollfd p = { d->signal_fd, POLLIN, 0 };
	uint64_t trimmed = UINT64_MAX; /* jobs that had ended by then */

	for (;;) {
		int n = poll(&p, 1, IDLE_MS), sig;

		/* What requests have freed goes back to the kernel: those that ended within the minute, and long ones. */
		if (n == 0) {
			uint64_t ended = engine_ended(d->engine);

			if (ended != trimmed || engine_running(d->engine) > 0) {
				malloc_trim(0);
				reserve_retake();
			}
			trimmed = ended;
			continue;
		}
		while ((sig = next(d))) {
			if (asks_for_end(sig)) {
				d->ends++;
				return sig;
			}
			if (sig == SIGHUP)
				daemon_reload(d);
			else if (sig == SIGUSR1)
				daemon_dump(d);
		}
	}
}

struct during { struct daemon *d; void (*fn)(struct daemon *d); int done_fd; };

static void *during_main(void *arg)
{
	struct during *w = arg;

	w->fn(w->d);
	eventfd_write(w->done_fd, 1);
	return NULL;
}

void daemon_signals_during(struct daemon *d, void (*fn)(struct daemon *d))
{
	struct during w = { d, fn, eventfd(0, EFD_CLOEXEC) };
	struct pollfd p[2] = { { w.done_fd, POLLIN, 0 }, { d->signal_fd, POLLIN, 0 } };
	pthread_t thread;
	int sig;

	if (w.done_fd < 0 || d->signal_fd < 0 || pthread_create(&thread, NULL, during_main, &w) != 0) {
		fn(d);
		fd_close(&w.done_fd);
		return;
	}
	while (!(p[0].revents & POLLIN)) {
		if (poll(p, 2, -1) < 0)
			continue;
		while ((sig = next(d)))
			if (asks_for_end(sig))
				count_end(d, sig);
	}
	pthread_join(thread, NULL);
	close(w.done_fd);
}
