/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "untar/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/sanitized.h"
#include "base/str.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "name this architecture's AUDIT_ARCH"
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

/* Memory that is never code. */
static const int without_exec[] = { SYS_mmap, SYS_mprotect };

#define ROOM 180

struct program { struct sock_filter v[ROOM]; unsigned short len; };

static void emit(struct program *p, struct sock_filter f)
{
	BUG_ON(p->len == ROOM);
	p->v[p->len++] = f;
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct program *p, const int *calls, size_t n, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1));
		emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
	}
}

static void allow(struct program *p, const int *calls, size_t n)
{
	answer(p, calls, n, SECCOMP_RET_ALLOW);
}

/* The number is in the accumulator, here and behind. The third argument's upper half means nothing to these calls. */
static void allow_without_exec(struct program *p, int call)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 4));
	load(p, offsetof(struct seccomp_data, args[2]));
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0));
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

static int filter(bool with_files, struct err *err)
{
	struct program p = { .len = 0 };
	struct sock_fprog prog;

	load(&p, offsetof(struct seccomp_data, arch));
	emit(&p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	load(&p, offsetof(struct seccomp_data, nr));
	allow(&p, always, ARRAY_LEN(always));
	if (with_files)
		allow(&p, files, ARRAY_LEN(files));
	for (size_t i = 0; i < ARRAY_LEN(without_exec); i++)
		allow_without_exec(&p, without_exec[i]);
#if SANITIZED
	/* what the sanitizers take; what they only try while they write a report fails, and they go on without */
	static const int sanitizer[] = { SYS_getpid, SYS_gettid, SYS_sigaltstack, SYS_rt_sigaction, SYS_sched_yield, SYS_getrlimit,
		SYS_prctl, SYS_readlinkat, SYS_tgkill };
	static const int tried[] = { SYS_ioctl, SYS_pipe2,
#ifdef SYS_open
		SYS_open, SYS_readlink, SYS_stat, SYS_pipe,
#endif
	};

	allow(&p, sanitizer, ARRAY_LEN(sanitizer));
	answer(&p, tried, ARRAY_LEN(tried), SECCOMP_RET_ERRNO | ENOENT);
#endif
	emit(&p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	prog = (struct sock_fprog){ p.len, p.v };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		return err_errno(err, errno, "restrict system calls");
	return 0;
}

static int drop_caps(uint32_t keep, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = keep, .permitted = keep } };

	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return err_errno(err, errno, "drop capabilities");
	if (syscall(SYS_capset, &head, data) < 0)
		return err_errno(err, errno, "drop capabilities");
	return 0;
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
	if (drop_caps(tree >= 0 ? TREE_CAPS : 0, err) < 0)
		return -1;
	return filter(tree >= 0, err);
}
