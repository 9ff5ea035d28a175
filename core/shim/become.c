/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the container, before the program: session, keyring, terminal, filter, user, capabilities, in the runtime's order. Nothing of
 * the container is trusted: no library, name service or locale is asked, what is opened is looked at before it is used.
 */
#include "shim/join.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef KEYCTL_JOIN_SESSION_KEYRING
#define KEYCTL_JOIN_SESSION_KEYRING 1
#endif
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* As open(2) has it, which the C library does not say where long files need no flag. */
#if defined(__arm__) || defined(__aarch64__)
#define LARGE_FILE 0400000
#elif defined(__powerpc__)
#define LARGE_FILE 0200000
#else
#define LARGE_FILE 0100000
#endif

static int to_parent = -1;

static _Noreturn void fail(const char *what)
{
	char text[300];
	int n = snprintf(text, sizeof(text), "%s: %s", what, errno ? strerror(errno) : "no");

	(void)!write(to_parent, text, (size_t)n);
	_exit(1);
}

static void must(bool good, const char *what)
{
	if (!good)
		fail(what);
}

/* The container's own multiplexer, on its own file system; the slave comes from it, by no name. */
static void take_terminal(const struct join_plan *p)
{
	struct winsize size = { .ws_row = p->rows, .ws_col = p->cols };
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK), slave, unlock = 0;
	struct statfs fs;
	struct stat st;

	must(master >= 0 && fstat(master, &st) == 0 && fstatfs(master, &fs) == 0, "open the container's terminals");
	errno = 0;
	must(S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2) && (unsigned long)fs.f_type == DEVPTS_SUPER_MAGIC, "/dev/ptmx is a terminal");
	must(fcntl(master, F_SETFL, O_RDWR) == 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0, "unlock a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | LARGE_FILE);
	must(slave >= 0, "open a terminal");
	if (p->rows && p->cols)
		must(ioctl(master, TIOCSWINSZ, &size) == 0, "set the terminal's size");
	must(join_send_master(master) == 0, "hand on the terminal");
	for (int i = 0; i < 3; i++)
		must(dup2(slave, i) == i, "use the terminal");
	must(ioctl(0, TIOCSCTTY, 0) == 0, "control the terminal");
	close(slave);
	close(master);
}

static void set_rlimits(const struct join_plan *p)
{
	for (size_t i = 0; i < p->n_rlimits; i++) {
		struct rlimit r = { .rlim_cur = p->rlimits[i].soft, .rlim_max = p->rlimits[i].hard };

		must(prlimit(0, (__rlimit_resource_t)p->rlimits[i].resource, &r, NULL) == 0, "set a limit");
	}
}

static void set_filter(const struct join_plan *p)
{
	struct sock_fprog prog = { .len = (unsigned short)p->filter_len, .filter = (struct sock_filter *)p->filter };

	must(!p->filter || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, p->filter_flags, &prog) == 0, "set the filter of system calls");
}

/* Those of files that are not the user's; as the runtime does not /dev/null, which is everybody's. */
static void own_stdio(uid_t uid)
{
	struct stat st;

	for (int i = 0; i < 3; i++) {
		must(fstat(i, &st) == 0, "look at the streams");
		if (st.st_uid == uid || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
			continue;
		must(fchown(i, uid, (gid_t)-1) == 0, "own the streams");
	}
}

/* Bits that the kernel does not know are none. */
static uint64_t known_caps(void)
{
	uint64_t known = 0;

	for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		known |= UINT64_C(1) << i;
	return known;
}

static void bound(uint64_t known, uint64_t keep)
{
	for (int i = 0; i < 64; i++)
		if ((known & ~keep) >> i & 1)
			must(prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0, "bound the capabilities");
}

static void set_caps(const uint64_t caps[PLAN_CAP_SETS], uint64_t known)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){ .effective = (uint32_t)((caps[PLAN_EFFECTIVE] & known) >> 32 * i),
			.permitted = (uint32_t)((caps[PLAN_PERMITTED] & known) >> 32 * i),
			.inheritable = (uint32_t)((caps[PLAN_INHERITABLE] & known) >> 32 * i) };
	must(syscall(SYS_capset, &head, data) == 0, "set the capabilities");
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0, "clear the ambient capabilities");
	for (int i = 0; i < 64; i++)
		if ((caps[PLAN_AMBIENT] & known) >> i & 1)
			must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) == 0, "raise an ambient capability");
}

/* A working folder that the kernel cannot name from the root is outside of the container. */
static void check_cwd(void)
{
	static char cwd[4097];

	must(syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0 && cwd[0] == '/', "be in a folder of the container");
}

static void become_user(const struct join_plan *p)
{
	uint64_t known = known_caps();
	bool there = chdir(p->cwd) == 0;

	must(there || errno == EACCES || errno == EPERM, "enter the working folder");
	bound(known, p->caps[PLAN_BOUNDING]);
	must(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0, "keep the capabilities");
	own_stdio(p->uid);
	must(setgroups(p->n_groups, p->groups) == 0 && setgid(p->gid) == 0 && setuid(p->uid) == 0, "become the user");
	/* a change of user may have undone it */
	must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, "stay hidden");
	must(there || chdir(p->cwd) == 0, "enter the working folder");
	check_cwd();
	must(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) == 0, "drop the capabilities");
	set_caps(p->caps, known);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISDIR(st.st_mode) && st.st_mode & 0111;
}

/* Absolute, and nothing in it that the runtime would tidy up before it uses it. */
static bool is_tidy(const char *dir, size_t len)
{
	if (len < 2 || dir[0] != '/')
		return false;
	for (size_t i = 0, n; i < len; i += n + 1) {
		n = strcspn(dir + i + 1, "/:");
		if (!n || (n == 1 && dir[i + 1] == '.') || (n == 2 && dir[i + 1] == '.' && dir[i + 2] == '.'))
			return false;
	}
	return true;
}

/* By the process's own PATH; what is not simply found is the runtime's to explain. */
static const char *find_program(const struct join_plan *p)
{
	static char path[4200];
	const char *name = p->argv[0], *dirs = NULL;

	errno = 0;
	if (strchr(name, '/')) {
		must(is_program(name), "find the program");
		return name;
	}
	for (size_t i = 0; p->env[i]; i++)
		if (str_has_prefix(p->env[i], "PATH="))
			dirs = p->env[i] + 5;
	for (size_t len; dirs && *dirs; dirs += len + (dirs[len] == ':')) {
		len = strcspn(dirs, ":");
		must(is_tidy(dirs, len) && len + strlen(name) + 2 < sizeof(path), "understand PATH");
		snprintf(path, sizeof(path), "%.*s/%s", (int)len, dirs, name);
		if (is_program(path))
			return path;
	}
	errno = ENOENT;
	fail("find the program");
}

/* For the program to come. By the host's own /proc: the container's may be anything. */
static void set_profile(const struct join_plan *p)
{
	char word[600];
	int n, fd;

	if (!p->apparmor)
		return;
	fd = openat(p->proc, "self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fd = openat(p->proc, "self/attr/exec", O_WRONLY | O_CLOEXEC);
	n = snprintf(word, sizeof(word), "exec %s", p->apparmor);
	must(n < (int)sizeof(word) && fd >= 0 && write(fd, word, (size_t)n) == n, "take on the profile of AppArmor");
	close(fd);
}

void join_become(const struct join_plan *p, int report)
{
	const char *program;

	/* behind the pipe of reports, which the exec closes, there is nothing open but the three streams */
	to_parent = report;
	must(setsid() >= 0, "begin a session");
	must(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, p->keyring) >= 0 || errno == ENOSYS, "join the session's keyring");
	set_profile(p);
	if (p->tty)
		take_terminal(p);
	must(syscall(SYS_close_range, 3, report - 1, 0) == 0 && syscall(SYS_close_range, report + 1, ~0U, 0) == 0, "close the rest");
	set_rlimits(p);
	must(!p->no_new_privs || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "give up new privileges");
	/* with new privileges to come a filter is a matter of rights, which go next */
	if (!p->no_new_privs)
		set_filter(p);
	become_user(p);
	program = find_program(p);
	if (p->no_new_privs)
		set_filter(p);
	execve(program, p->argv, p->env);
	fail("run the program");
}
