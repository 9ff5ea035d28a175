/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/restrict.h"
#include "base/sanitized.h"
#include "base/str.h"

#define BIT(cap) (1u << (cap))
#define CAPS (BIT(CAP_SYS_ADMIN) | BIT(CAP_NET_ADMIN) | BIT(CAP_NET_BIND_SERVICE))

static const int calls[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_close, SYS_fstat, SYS_newfstatat, SYS_lseek, SYS_getdents64, SYS_fcntl, SYS_unlinkat,
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_restart_syscall,
	SYS_getpid, SYS_gettid, SYS_geteuid, SYS_getrandom, SYS_clock_gettime, SYS_futex, SYS_exit, SYS_exit_group, SYS_ioctl,
	SYS_bind, SYS_listen, SYS_accept4, SYS_connect, SYS_shutdown, SYS_getsockname, SYS_setsockopt, SYS_getsockopt,
	SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_splice, SYS_pipe2, SYS_epoll_ctl, SYS_epoll_pwait,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_unlink
	SYS_unlink,
#endif
};

static int filter(void)
{
	const uint32_t families[] = { AF_INET, AF_INET6, AF_NETLINK }, spaces[] = { CLONE_NEWNET }, refused = SECCOMP_RET_ERRNO | EPERM;
	struct call_rules r;

	/* the arguments that decide are int: their lower half is all that the kernel looks at */
	call_rules_init(&r);
	call_rules_add(&r, calls, ARRAY_LEN(calls), SECCOMP_RET_ALLOW);
	call_rules_without(&r, SYS_mmap, 2, PROT_EXEC, refused);
	call_rules_without(&r, SYS_mprotect, 2, PROT_EXEC, refused);
	call_rules_without(&r, SYS_openat, 2, O_WRONLY | O_RDWR | O_CREAT, refused);
	call_rules_with(&r, SYS_socket, 0, families, ARRAY_LEN(families), refused);
	call_rules_with(&r, SYS_setns, 1, spaces, ARRAY_LEN(spaces), refused);
	return call_rules_enforce(&r, refused);
}

int confine(void)
{
	if (caps_keep(CAPS, CAPS) < 0)
		return -1;
	/* sanitizers take calls of their own, whenever they report */
	return SANITIZED ? prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) : filter();
}
