/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filters of system calls and sets of capabilities, each tried in a child. */
#include "base/restrict.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitized.h"
#include "base/str.h"
#include "tap.h"

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)

static const int some[] = { SYS_write, SYS_munmap, SYS_exit_group };

static void rules(uint32_t otherwise)
{
	const uint32_t families[] = { AF_INET, AF_UNIX };
	struct call_rules r;

	call_rules_init(&r);
	call_rules_add(&r, some, ARRAY_LEN(some), SECCOMP_RET_ALLOW);
	call_rules_without(&r, SYS_mmap, 2, PROT_EXEC, REFUSED);
	call_rules_with(&r, SYS_socket, 0, families, ARRAY_LEN(families), REFUSED);
	if (call_rules_enforce(&r, otherwise) < 0)
		_exit(90);
}

/* The number of the case that a child tries, by its exit status: 0 is what was wanted. */
static int tried(int which)
{
	if (which < 8)
		rules(which == 7 ? SECCOMP_RET_KILL_PROCESS : REFUSED);
	switch (which) {
	case 0:
		return syscall(SYS_write, 2, "", 0) != 0;
	case 1:
		return !(syscall(SYS_getpid) == -1 && errno == EPERM);
	case 2:
		return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
	case 3:
		return !(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EPERM);
	case 4:
		return socket(AF_INET, SOCK_STREAM, 0) < 0;
	case 5:
		return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
	case 6:
		return !(socket(AF_NETLINK, SOCK_RAW, 0) < 0 && errno == EPERM);
	case 7:
		return (int)syscall(SYS_getpid);
	case 8:
		if (caps_keep(1u << CAP_CHOWN, 1u << CAP_CHOWN | 1u << CAP_KILL) < 0)
			return 1;
		return prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0) != 1 || prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0 ||
			prctl(PR_CAPBSET_READ, CAP_BPF, 0, 0, 0) != 0;
	default:
		if (caps_keep(1u << CAP_CHOWN, 0) < 0 || fchown(memfd_create("file", 0), 1, 1) < 0)
			return 1;
		return !(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM) || prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) != 0;
	}
}

static int in_child(int which)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(tried(which));
	waitpid(pid, &status, 0);
	return status;
}

int main(void)
{
	const char *const names[] = { "a call of the list", "another is refused", "memory", "that is no code", "one value of three", "the second",
		"no other", NULL, "the bounding set", "what is held" };

	fflush(stdout);
	for (int i = 0; i < (int)ARRAY_LEN(names); i++)
		if (i < 8 && SANITIZED)
			skip(names[i] ? names[i] : "or it ends the process", "a sanitizer takes calls of its own");
		else if (names[i])
			is_int(in_child(i), 0, "%s", names[i]);
		else
			ok(WIFSIGNALED(in_child(i)), "or it ends the process");
	return tap_done();
}
