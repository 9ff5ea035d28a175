/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a default container must not get: one line a door, "denied NAME" or "OPEN NAME: why"; "known NAME: why" for what no filter can tell
 * apart and Docker leaves open, too. Static, runs inside. Arguments are such that a call which gets through fails otherwise, or harms nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct { const char *name; long nr, a, b, c; } calls[] = {
#define CALL(name, ...) { #name, SYS_##name, __VA_ARGS__ }
	CALL(acct, 0), CALL(add_key, 0), CALL(bpf, 0, 0, 0), CALL(clock_settime, 0, 0), CALL(delete_module, 0, 0), CALL(fanotify_init, 0, 0),
	CALL(finit_module, -1, 0, 0), CALL(init_module, 0, 0, 0), CALL(ioperm, 0, 1, 1), CALL(iopl, 3), CALL(kcmp, 1, 1, 0), CALL(kexec_file_load, -1, -1, 0),
	CALL(kexec_load, 0, 0, 0), CALL(keyctl, KEYCTL_GET_KEYRING_ID, -3, 0), CALL(lookup_dcookie, 0, 0, 0), CALL(mbind, 0, 0, 0), CALL(migrate_pages, 0, 0, 0),
	CALL(mount, 0, 0, 0), CALL(move_pages, 0, 0, 0), CALL(nfsservctl, 0, 0, 0), CALL(open_by_handle_at, -1, 0, 0), CALL(perf_event_open, 0, 0, 0),
	CALL(pivot_root, 0, 0), CALL(quotactl, 0, 0, 0), CALL(reboot, 0, 0, 0), CALL(request_key, 0, 0, 0), CALL(set_mempolicy, 0, 0, 0), CALL(get_mempolicy, 0, 0, 0),
	CALL(setdomainname, 0, 0), CALL(sethostname, 0, 0), CALL(setns, -1, 0), CALL(settimeofday, 0, 0), CALL(swapoff, 0), CALL(swapon, 0, 0),
	CALL(syslog, 3, 0, 0), CALL(umount2, 0, 0), CALL(unshare, CLONE_NEWUSER), CALL(userfaultfd, 0), CALL(vhangup, 0),
#ifdef __x86_64__
	CALL(sysfs, 3), CALL(_sysctl, 0), CALL(uselib, 0), CALL(ustat, 0, 0), CALL(create_module, 0, 0), CALL(get_kernel_syms, 0), CALL(query_module, 0),
#endif
	CALL(io_uring_setup, 1, 0), CALL(io_uring_enter, -1, 0, 0), CALL(io_uring_register, -1, 0, 0),
	CALL(fsopen, 0, 0), CALL(fsconfig, -1, 0, 0), CALL(fsmount, -1, 0, 0), CALL(fspick, -1, 0, 0), CALL(move_mount, -1, 0, -1), CALL(open_tree, -1, 0, 0),
	CALL(mount_setattr, -1, 0, 0),
	CALL(personality, 0x0040000 /* no randomization */),
	{ "unshare a mount namespace", SYS_unshare, CLONE_NEWNS },
	{ "socket AF_ALG", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0 },
	{ "socket AF_VSOCK", SYS_socket, AF_VSOCK, SOCK_STREAM, 0 },
	{ "socket AF_ALG with high bits", SYS_socket, (long)0x100000026, SOCK_SEQPACKET, 0 },
	{ "socket AF_VSOCK with high bits", SYS_socket, (long)0x100000028, SOCK_STREAM, 0 },
};

static const char *const masked[] = { "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap",
	"/sys/devices/system/cpu/cpu0/thermal_throttle" };
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/sys",
	"/sys/kernel", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cgroup.procs" };

static void say(const char *name, int denied, const char *why)
{
	if (denied)
		printf("denied %s\n", name);
	else
		printf("OPEN %s: %s\n", name, why);
	fflush(stdout);
}

#ifdef __x86_64__
/* A call of the 32-bit interface, from this 64-bit program. The result is the kernel's: -EPERM and the like. */
static long call32(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "0"(nr), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0) : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void old_abi(void)
{
	static const struct { const char *name; long nr, a, b, c; } old[] = {
		{ "32-bit socket AF_ALG", 359, AF_ALG, SOCK_SEQPACKET, 0 }, { "32-bit socket AF_VSOCK", 359, AF_VSOCK, SOCK_STREAM, 0 },
		{ "32-bit io_uring_setup", 425, 1, 0, 0 }, { "32-bit keyctl", 288, KEYCTL_GET_KEYRING_ID, -3, 0 }, { "32-bit bpf", 357, 0, 0, 0 },
		{ "32-bit mount", 21, 0, 0, 0 }, { "32-bit unshare", 310, CLONE_NEWUSER, 0, 0 }, { "32-bit init_module", 128, 0, 0, 0 },
		{ "32-bit add_key", 286, 0, 0, 0 }, { "32-bit personality", 136, 0x0040000, 0, 0 },
	};
	unsigned *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	pid_t pid = fork();
	int status = 0;

	/* without that interface it is killed */
	if (pid == 0) {
		call32(20, 0, 0, 0);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		long r = status ? -EPERM : call32(old[i].nr, old[i].a, old[i].b, old[i].c);

		say(old[i].name, r == -EPERM, strerror(r < 0 ? (int)-r : 0));
	}
	/* x32: a kernel that has it not says ENOSYS where the filter lets it pass */
	say("x32 socket AF_VSOCK", syscall(0x40000000 | SYS_socket, AF_VSOCK, SOCK_STREAM, 0) < 0 && errno == EPERM, strerror(errno));
	if (status || args == MAP_FAILED)
		return;
	args[0] = AF_VSOCK;
	args[1] = SOCK_STREAM;
	args[2] = 0;
	if (call32(102, 1, (long)args, 0) >= 0)
		printf("known socketcall AF_VSOCK: behind a pointer\n");
	else
		say("socketcall AF_VSOCK", 1, "");
}
#else
static void old_abi(void)
{
}
#endif

static int is_empty(const char *path)
{
	struct stat st;
	char byte;
	DIR *d;
	int fd, n = 0;

	if (stat(path, &st) < 0)
		return 1;
	if (S_ISDIR(st.st_mode)) {
		d = opendir(path);
		while (d && readdir(d))
			n++;
		return n <= 2;
	}
	fd = open(path, O_RDONLY | O_NONBLOCK);
	return fd < 0 || read(fd, &byte, 1) <= 0;
}

static void clones(void)
{
	struct { unsigned long long v[11]; } args = { { CLONE_NEWUSER, 0, 0, 0, SIGCHLD } };
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	say("clone with a user namespace", pid < 0 && errno == EPERM, strerror(errno));
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(0);
	say("clone3", pid < 0 && errno == ENOSYS, strerror(errno));
	while (wait(NULL) > 0)
		;
}

static void devices(void)
{
	static const struct { const char *name; mode_t mode; unsigned major, minor; } nodes[] = {
		{ "/dev/mem", S_IFCHR, 1, 1 }, { "/dev/kmsg", S_IFCHR, 1, 11 }, { "a disk", S_IFBLK, 8, 0 }, { "a loop device", S_IFBLK, 7, 0 }, { "fuse", S_IFCHR, 10, 229 } };

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		int fd = -1;

		unlink("/node");
		if (mknod("/node", nodes[i].mode | 0600, makedev(nodes[i].major, nodes[i].minor)) == 0)
			fd = open("/node", O_RDONLY | O_NONBLOCK);
		say(nodes[i].name, fd < 0 && errno == EPERM, strerror(errno));
		unlink("/node");
	}
}

int main(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		long r = syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, 0L, 0L, 0L);

		say(calls[i].name, r < 0 && (errno == EPERM || errno == ENOSYS || errno == EAFNOSUPPORT), r < 0 ? strerror(errno) : "it worked");
	}
	clones();
	old_abi();
	devices();
	for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++)
		say(masked[i], is_empty(masked[i]), "has content");
	for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++) {
		errno = 0;
		say(read_only[i], access(read_only[i], W_OK) < 0 && (errno == EROFS || errno == ENOENT || errno == EACCES), "can be written");
	}
	return 0;
}
