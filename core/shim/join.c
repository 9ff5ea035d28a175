/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shim/join.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/rights.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define MAX_PHDRS 64

/* The part of a program that is loaded; what lies behind it (debugging information) need not be copied. 0: cannot tell. */
static off_t loaded_size(int fd)
{
	ElfW(Ehdr) head;
	ElfW(Phdr) p;
	off_t end = 0;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) || memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_phentsize != sizeof(p) ||
		head.e_phnum > MAX_PHDRS)
		return 0;
	for (int i = 0; i < head.e_phnum; i++) {
		if (pread(fd, &p, sizeof(p), (off_t)(head.e_phoff + (size_t)i * sizeof(p))) != sizeof(p))
			return 0;
		if ((off_t)(p.p_offset + p.p_filesz) > end)
			end = (off_t)(p.p_offset + p.p_filesz);
	}
	return end;
}

static int own_copy(void)
{
	OWN_FD int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = -1;
	off_t size = from >= 0 ? loaded_size(from) : 0, done = 0;

	if (size <= 0)
		return -1;
	to = memfd_create("dockerd-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (to < 0 && errno == EINVAL)
		to = memfd_create("dockerd-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	while (to >= 0 && done < size) {
		ssize_t n = sendfile(to, from, &done, (size_t)(size - done));

		if (n <= 0)
			return -1;
	}
	return to >= 0 && fcntl(to, F_ADD_SEALS, SEALS) == 0 ? STEAL_FD(to) : -1;
}

int join_start(struct command *c, const struct buf *plan, pid_t init, int init_pidfd, const int stdio[3], int *ret_result,
	void (*on_end)(struct command *c, int status))
{
	OWN_FD int program = own_copy(), text = memfd_create("plan", MFD_CLOEXEC), ours = -1, theirs = -1;
	char pid[16], *const argv[] = { (char *)"dockerd-shim", (char *)JOIN_WORD, pid, NULL };
	int sv[2];

	snprintf(pid, sizeof(pid), "%d", (int)init);
	if (program < 0 || text < 0 || fs_write_all(text, plan->data, plan->size) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -1;
	ours = sv[0];
	theirs = sv[1];
	if (command_launch(c, &(struct launch){ .program = program, .argv = argv, .stdio = stdio,
			.more = { text, theirs, init_pidfd }, .n_more = JOIN_FDS - JOIN_PLAN_FD }, on_end) < 0)
		return -1;
	*ret_result = STEAL_FD(ours);
	return 0;
}

/* Who speaks may be a process that the container has taken over: its word is only believed for a child of this process. */
static bool is_child(pid_t pid)
{
	siginfo_t si;

	return pid > 0 && waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

pid_t join_result(int result, int *ret_master, char **ret_why)
{
	OWN_FD int master = -1;
	OWN_FREE char *why = NULL;
	pid_t pid = 0;

	for (;;) {
		char text[512];
		struct iovec iov = { text, sizeof(text) - 1 };
		size_t nfds = 1;
		int got;
		ssize_t n = rights_recv(result, &iov, 1, &got, &nfds, MSG_DONTWAIT);

		if (n <= 0)
			break;
		text[n] = '\0';
		if (nfds) {
			fd_close(&master);
			master = got;
		} else if (n == sizeof(pid)) {
			memcpy(&pid, text, sizeof(pid));
		} else {
			str_set(&why, text);
		}
	}
	if (!is_child(pid)) {
		*ret_why = why ? STEAL(why) : xstrdup("the process that joins the container died");
		return 0;
	}
	*ret_master = STEAL_FD(master);
	return pid;
}
