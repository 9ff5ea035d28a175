/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/restrict.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "name this architecture's AUDIT_ARCH"
#endif

static void emit(struct call_rules *r, struct sock_filter f)
{
	BUG_ON(r->len == CALL_RULES_ROOM);
	r->v[r->len++] = f;
}

static void load(struct call_rules *r, size_t offset)
{
	emit(r, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void load_argument(struct call_rules *r, unsigned int arg)
{
	size_t upper_first = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(uint32_t) : 0;

	load(r, offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) + upper_first);
}

static void answer(struct call_rules *r, uint32_t action)
{
	emit(r, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on behind that many instructions when the accumulator is something else. */
static void unless(struct call_rules *r, int call, unsigned int skip)
{
	emit(r, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, (uint8_t)skip));
}

/* The number of the call is in the accumulator between rules: one that loads something else always answers. */
void call_rules_init(struct call_rules *r)
{
	r->len = 0;
	load(r, offsetof(struct seccomp_data, arch));
	emit(r, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	answer(r, SECCOMP_RET_KILL_PROCESS);
	load(r, offsetof(struct seccomp_data, nr));
}

void call_rules_add(struct call_rules *r, const int *calls, size_t n, uint32_t action)
{
	for (size_t i = 0; i < n; i++) {
		unless(r, calls[i], 1);
		answer(r, action);
	}
}

void call_rules_without(struct call_rules *r, int call, unsigned int arg, uint32_t bits, uint32_t otherwise)
{
	unless(r, call, 4);
	load_argument(r, arg);
	emit(r, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0));
	answer(r, SECCOMP_RET_ALLOW);
	answer(r, otherwise);
}

void call_rules_with(struct call_rules *r, int call, unsigned int arg, const uint32_t *values, size_t n, uint32_t otherwise)
{
	unless(r, call, (unsigned int)(2 * n + 2));
	load_argument(r, arg);
	for (size_t i = 0; i < n; i++) {
		emit(r, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, values[i], 0, 1));
		answer(r, SECCOMP_RET_ALLOW);
	}
	answer(r, otherwise);
}

int call_rules_enforce(struct call_rules *r, uint32_t otherwise)
{
	struct sock_fprog prog;

	answer(r, otherwise);
	prog = (struct sock_fprog){ r->len, r->v };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0);
}

int caps_keep(uint32_t caps, uint32_t bounding)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = caps, .permitted = caps } };

	for (int cap = 0; cap < 64; cap++)
		if ((cap >= 32 || !(bounding & (1u << cap))) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return -1;
	return (int)syscall(SYS_capset, &head, data);
}
