/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "untar/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/restrict.h"
#include "base/sanitized.h"
#include "base/str.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* A zstd window of 128 MiB, the names of two million members, buffers, libraries; far from what a machine has. */
#define MEMORY_MAX ((rlim_t)512 << 20)

#define BIT(cap) (1u << (cap))
#define TREE_CAPS (BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) | BIT(CAP_MKNOD))

/* What any work takes: streams, memory, the end. */
static const int always[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_sendmsg, SYS_recvmsg, SYS_recvfrom, SYS_ppoll, SYS_close, SYS_lseek, SYS_fstat,
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_getrandom, SYS_clock_gettime, SYS_futex, SYS_rt_sigreturn,
	SYS_rt_sigprocmask, SYS_restart_syscall, SYS_exit, SYS_exit_group,
#ifdef SYS_poll
	SYS_poll,
#endif
};

/* What files take, each relative to an open folder. */
static const int files[] = {
	SYS_openat, SYS_openat2, SYS_newfstatat, SYS_statx, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_unlinkat,
	SYS_fchown, SYS_fchownat, SYS_fchmod, SYS_fchmodat, SYS_fchmodat2, SYS_utimensat, SYS_fsetxattr, SYS_lsetxattr,
	SYS_getdents64, SYS_fchdir, SYS_fcntl, SYS_ftruncate, SYS_fallocate,
};

static int filter(bool with_files, struct err *err)
{
	struct call_rules r;

	call_rules_init(&r);
	call_rules_add(&r, always, ARRAY_LEN(always), SECCOMP_RET_ALLOW);
	if (with_files)
		call_rules_add(&r, files, ARRAY_LEN(files), SECCOMP_RET_ALLOW);
	call_rules_without(&r, SYS_mmap, 2, PROT_EXEC, SECCOMP_RET_KILL_PROCESS);
	call_rules_without(&r, SYS_mprotect, 2, PROT_EXEC, SECCOMP_RET_KILL_PROCESS);
#if SANITIZED
	/* what the sanitizers take; what they only try while they write a report fails, and they go on without */
	static const int sanitizer[] = { SYS_getpid, SYS_gettid, SYS_sigaltstack, SYS_rt_sigaction, SYS_sched_yield, SYS_getrlimit,
		SYS_prctl, SYS_readlinkat, SYS_tgkill };
	static const int tried[] = { SYS_ioctl, SYS_pipe2,
#ifdef SYS_open
		SYS_open, SYS_readlink, SYS_stat, SYS_pipe,
#endif
	};

	call_rules_add(&r, sanitizer, ARRAY_LEN(sanitizer), SECCOMP_RET_ALLOW);
	call_rules_add(&r, tried, ARRAY_LEN(tried), SECCOMP_RET_ERRNO | ENOENT);
#endif
	return call_rules_enforce(&r, SECCOMP_RET_KILL_PROCESS) < 0 ? err_errno(err, errno, "restrict system calls") : 0;
}

/* Killed before others when memory is short, whatever protects the daemon. Best effort. */
static void be_expendable(void)
{
	OWN_FD int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "500", 3);
}

static int limit(struct err *err)
{
	const struct rlimit none = { 0, 0 }, memory = { MEMORY_MAX, MEMORY_MAX };

	/* a core file would go into the tree */
	if (setrlimit(RLIMIT_CORE, &none) < 0 || (!SANITIZED && setrlimit(RLIMIT_AS, &memory) < 0))
		return err_errno(err, errno, "limit memory");
	return 0;
}

int confine(int tree, struct err *err)
{
	be_expendable();
	if (limit(err) < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0)
		return err_errno(err, errno, "make an empty network namespace");
	if (tree >= 0 && (fchdir(tree) < 0 || chroot(".") < 0))
		return err_errno(err, errno, "enter the tree");
	umask(0);
	if (caps_keep(tree >= 0 ? TREE_CAPS : 0, 0) < 0)
		return err_errno(err, errno, "drop capabilities");
	return filter(tree >= 0, err);
}
