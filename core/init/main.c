/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-init [--] PROGRAM [ARGUMENT...]: process 1 of a container with --init where the host has no docker-init. It runs
 * PROGRAM, passes signals on to it, reaps whatever ends, and ends as PROGRAM does. Static, of libc alone: it runs on the
 * container's file system.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_NOT_INVOKED 126
#define EXIT_NOT_FOUND 127

/* Faults of this program itself stay what they are. */
static void blocked_signals(sigset_t *set)
{
	static const int own[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU };

	sigfillset(set);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(set, own[i]);
}

/* In the child, in a group of its own that has the terminal, so that what is typed there reaches it alone. */
static _Noreturn void run(char *argv[], const sigset_t *before)
{
	setpgid(0, 0);
	if (tcsetpgrp(STDIN_FILENO, getpgrp()) < 0 && errno != ENOTTY && errno != ENXIO && errno != EBADF && errno != EINVAL)
		fprintf(stderr, "dockerd-init: the terminal cannot be given to %s: %s\n", argv[0], strerror(errno));
	signal(SIGTTIN, SIG_DFL);
	signal(SIGTTOU, SIG_DFL);
	sigprocmask(SIG_SETMASK, before, NULL);
	execvp(argv[0], argv);
	fprintf(stderr, "[FATAL dockerd-init] exec %s failed: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_INVOKED);
}

/* Reaps all that has ended; the child's exit code once it is among them, else -1. */
static int reap(pid_t child)
{
	int status, code = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return code;
}

int main(int argc, char *argv[])
{
	int first = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1, code = -1;
	sigset_t set, before;
	pid_t child;

	if (argc <= first) {
		fputs("usage: dockerd-init [--] PROGRAM [ARGUMENT...]\n", stderr);
		return EXIT_FAILURE;
	}
	blocked_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	child = fork();
	if (child < 0) {
		perror("dockerd-init: fork");
		return EXIT_FAILURE;
	}
	if (child == 0)
		run(argv + first, &before);
	while (code < 0) {
		int sig = sigwaitinfo(&set, NULL);

		if (sig == SIGCHLD)
			code = reap(child);
		else if (sig > 0)
			kill(child, sig);
	}
	return code;
}
