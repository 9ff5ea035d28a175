/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * filters PID PID: whether the seccomp filters of two processes decide alike, as the kernel has them (ptrace), for every system call
 * number of every architecture they name, and for arguments around every constant in them. Prints what differs; 77: cannot tell here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 4096

struct program { struct sock_filter f[MOST]; int len; };

static int take(pid_t pid, struct program *p)
{
	int status;

	if (syscall(SYS_ptrace, PTRACE_SEIZE, pid, 0, 0) < 0 || syscall(SYS_ptrace, PTRACE_INTERRUPT, pid, 0, 0) < 0 || waitpid(pid, &status, __WALL) < 0)
		return -1;
	p->len = (int)syscall(SYS_ptrace, PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL);
	if (p->len > 0 && p->len <= MOST)
		p->len = (int)syscall(SYS_ptrace, PTRACE_SECCOMP_GET_FILTER, pid, 0, p->f);
	status = errno;
	syscall(SYS_ptrace, PTRACE_DETACH, pid, 0, 0);
	errno = status;
	return p->len > 0 && p->len <= MOST ? 0 : -1;
}

static int reads_arguments; /* run() has looked at one */

static uint32_t run(const struct program *p, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (int i = 0; i < p->len; i++) {
		const struct sock_filter *f = &p->f[i];
		int yes;

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *)d + f->k, 4);
			reads_arguments |= f->k >= offsetof(struct seccomp_data, args);
			continue;
		case BPF_ALU | BPF_AND | BPF_K: a &= f->k; continue;
		case BPF_RET | BPF_K: return f->k;
		case BPF_JMP | BPF_JA: i += (int)f->k; continue;
		case BPF_JMP | BPF_JEQ | BPF_K: yes = a == f->k; break;
		case BPF_JMP | BPF_JGT | BPF_K: yes = a > f->k; break;
		case BPF_JMP | BPF_JGE | BPF_K: yes = a >= f->k; break;
		case BPF_JMP | BPF_JSET | BPF_K: yes = (a & f->k) != 0; break;
		default: printf("an instruction that this program does not know: %#x\n", f->code); exit(77);
		}
		i += yes ? f->jt : f->jf;
	}
	return 0xdeadbeef;
}

static struct program a, b;
static uint64_t values[3 * 2 * MOST + 8];
static size_t n_values;

static void add_value(uint64_t v)
{
	for (size_t i = 0; i < n_values; i++)
		if (values[i] == v)
			return;
	values[n_values++] = v;
}

static void add_constants(const struct program *p)
{
	for (int i = 0; i < p->len; i++) {
		if (BPF_CLASS(p->f[i].code) != BPF_JMP || BPF_OP(p->f[i].code) == BPF_JA || p->f[i].k > 0x7fffffff)
			continue;
		add_value(p->f[i].k);
		add_value(p->f[i].k + 1u);
		add_value(p->f[i].k | (UINT64_C(1) << 40));
	}
}

static int compare(uint32_t arch, uint32_t nr, uint64_t v)
{
	struct seccomp_data d = { .arch = arch, .nr = (int)nr };
	uint32_t x, y;

	for (int i = 0; i < 6; i++)
		d.args[i] = v;
	x = run(&a, &d);
	y = run(&b, &d);
	if (x != y)
		printf("arch %#x call %#x argument %#llx: %#x, %#x\n", arch, nr, (unsigned long long)v, x, y);
	return x != y;
}

int main(int argc, char **argv)
{
	static const uint32_t arches[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0 };
	static const uint32_t bits[] = { 0, 0x40000000, 0x80000000 };
	int differ = 0;

	if (argc != 3 || take(atoi(argv[1]), &a) < 0 || take(atoi(argv[2]), &b) < 0) {
		printf("cannot read the filters: %s\n", strerror(errno));
		return 77;
	}
	add_value(0);
	add_value(UINT64_MAX);
	add_constants(&a);
	add_constants(&b);
	for (size_t i = 0; i < sizeof(arches) / sizeof(*arches); i++)
		for (size_t k = 0; k < 3; k++)
			for (uint32_t nr = 0; nr < 600 && differ < 20; nr++)
				for (size_t v = 0, more = 1; v < n_values && more; v++) {
					reads_arguments = 0;
					differ += compare(arches[i], nr | bits[k], values[v]);
					more = (size_t)reads_arguments;
				}
	printf("%d and %d instructions, %zu values: %d differences\n", a.len, b.len, n_values, differ);
	return differ != 0;
}
