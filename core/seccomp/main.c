/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dockerd-seccomp: the filter that an OCI runtime makes of a profile. Reads the "seccomp" object of an OCI configuration on stdin, writes
 * a struct sock_filter[] to stdout. The daemon runs it once a profile, so that neither the library nor its memory is the daemon's, and
 * no exec has to compile again. Ends with 1 and a sentence where it is not certain to make what runc makes.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/json-exact.h"
#include "base/str.h"

#define MAX_TEXT (8u << 20)
#define MAX_ARCHES 8
#define X32_BIT 0x40000000u

static _Noreturn void give_up(const char *what, const char *name)
{
	printf("%s%s%s\n", what, name ? ": " : "", name ? name : "");
	exit(1);
}

static void must(int r, const char *what)
{
	if (r < 0)
		give_up(what, strerror(-r));
}

struct arch { const char *name; uint32_t token, audit; };

/* Those whose numbers of system calls are one range, or two (x32). */
static const struct arch known[] = {
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386 },
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64 },
	{ "SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE, AUDIT_ARCH_PPC64LE },
	{ "SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64, AUDIT_ARCH_RISCV64 },
};

static const struct arch *arch_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(known[i].name, name))
			return &known[i];
	return NULL;
}

static const struct arch *arch_native(void)
{
	uint32_t token = seccomp_arch_native();

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (known[i].token == token)
			return &known[i];
	give_up("an architecture that this program leaves to the runtime", "this machine's");
}

struct arches { const struct arch *v[MAX_ARCHES]; uint32_t last[MAX_ARCHES]; size_t len; };

static uint32_t action_of(const json_t *name, const json_t *value, bool *ret_permits)
{
	const char *s = json_string_value(name);
	uint64_t n = EPERM;

	if (!s || (value && !json_is_null(value) && (!json_exact_u64(value, &n) || n > INT16_MAX)))
		give_up("an action is none", s);
	*ret_permits = true;
	if (streq(s, "SCMP_ACT_ALLOW"))
		return SCMP_ACT_ALLOW;
	if (streq(s, "SCMP_ACT_LOG"))
		return SCMP_ACT_LOG;
	if (streq(s, "SCMP_ACT_TRACE"))
		return SCMP_ACT_TRACE((uint16_t)n);
	*ret_permits = false;
	if (streq(s, "SCMP_ACT_ERRNO"))
		return SCMP_ACT_ERRNO((uint16_t)n);
	if (streq(s, "SCMP_ACT_KILL") || streq(s, "SCMP_ACT_KILL_THREAD"))
		return SCMP_ACT_KILL_THREAD;
	if (streq(s, "SCMP_ACT_KILL_PROCESS"))
		return SCMP_ACT_KILL_PROCESS;
	if (streq(s, "SCMP_ACT_TRAP"))
		return SCMP_ACT_TRAP;
	give_up("an action that this program leaves to the runtime", s);
}

static enum scmp_compare op_of(const json_t *js)
{
	static const struct { const char *name; enum scmp_compare op; } ops[] = {
		{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE }, { "SCMP_CMP_EQ", SCMP_CMP_EQ },
		{ "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT }, { "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	};
	const char *s = json_string_value(js);

	for (size_t i = 0; s && i < ARRAY_LEN(ops); i++)
		if (streq(ops[i].name, s))
			return ops[i].op;
	give_up("a comparison is none", s);
}

static uint64_t value_of(const json_t *js)
{
	uint64_t n = 0;

	if (!json_exact_empty(js) && !json_exact_u64(js, &n))
		give_up("a value is none", NULL);
	return n;
}

static struct scmp_arg_cmp condition_of(const json_t *arg)
{
	uint64_t index = value_of(json_object_get(arg, "index")), a = value_of(json_object_get(arg, "value"));
	enum scmp_compare op = op_of(json_object_get(arg, "op"));

	if (index > 5)
		give_up("an argument's index is out of range", NULL);
	return (struct scmp_arg_cmp){ .arg = (unsigned)index, .op = op, .datum_a = a,
		.datum_b = op == SCMP_CMP_MASKED_EQ ? value_of(json_object_get(arg, "valueTwo")) : 0 };
}

/* Conditions hold together, unless two are of one argument: then each is a rule. */
static void add_rule(scmp_filter_ctx ctx, int number, uint32_t action, const json_t *args)
{
	struct scmp_arg_cmp all[6];
	size_t n = json_array_size(args), seen = 0;
	bool apart = n > ARRAY_LEN(all);

	for (size_t i = 0; i < n; i++) {
		struct scmp_arg_cmp c = condition_of(json_array_get(args, i));

		apart = apart || seen >> c.arg & 1;
		seen |= (size_t)1 << c.arg;
		if (i < ARRAY_LEN(all))
			all[i] = c;
	}
	if (!apart)
		must(seccomp_rule_add_array(ctx, action, number, (unsigned)n, all), "add a rule");
	for (size_t i = 0; apart && i < n; i++) {
		struct scmp_arg_cmp c = condition_of(json_array_get(args, i));

		must(seccomp_rule_add_array(ctx, action, number, 1, &c), "add a rule");
	}
}

static void note_last(struct arches *a, const char *name)
{
	for (size_t i = 0; i < a->len; i++) {
		int number = seccomp_syscall_resolve_name_arch(a->v[i]->token, name);

		if (number > 0 && (uint32_t)number > a->last[i])
			a->last[i] = (uint32_t)number;
	}
}

static void add_rules(scmp_filter_ctx ctx, const json_t *calls, uint32_t def, struct arches *a)
{
	const json_t *call, *word;
	size_t i, k;

	json_array_foreach(calls, i, call) {
		bool permits;
		uint32_t action = action_of(json_object_get(call, "action"), json_object_get(call, "errnoRet"), &permits);

		json_array_foreach(json_object_get(call, "names"), k, word) {
			const char *name = json_string_value(word);
			int number = name ? seccomp_syscall_resolve_name(name) : __NR_SCMP_ERROR;

			if (name)
				note_last(a, name);
			if (number != __NR_SCMP_ERROR && action != def)
				add_rule(ctx, number, action, json_object_get(call, "args"));
		}
	}
}

static void add_arches(scmp_filter_ctx ctx, const json_t *list, struct arches *a)
{
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word) {
		const struct arch *arch = json_is_string(word) ? arch_named(json_string_value(word)) : NULL;
		int r;

		if (!arch || a->len == MAX_ARCHES)
			give_up("an architecture that this program leaves to the runtime", json_string_value(word));
		r = seccomp_arch_add(ctx, arch->token);
		if (r < 0 && r != -EEXIST)
			must(r, "add an architecture");
		a->v[a->len++] = arch;
	}
	if (!a->len) /* a new filter is of this machine's */
		a->v[a->len++] = arch_native();
}

static void emit(struct buf *b, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	struct sock_filter f = BPF_JUMP(code, k, jt, jf);

	buf_add(b, &f, sizeof(f));
}

#define EMIT_LOAD(b, field) emit(b, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field), 0, 0)
#define EMIT_ENOSYS(b)      emit(b, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0)
#define EMIT_TO_FILTER(b)   emit(b, BPF_JMP | BPF_JA, 0, 0, 0) /* by settle_jumps() */

/* "jump over what follows unless the number is larger", ENOSYS, on to the filter */
static void emit_limit(struct buf *b, uint32_t last)
{
	emit(b, BPF_JMP | BPF_JGT | BPF_K, last, 0, 1);
	EMIT_ENOSYS(b);
	EMIT_TO_FILTER(b);
}

static void emit_arch(struct buf *b, const struct arches *a, uint32_t audit)
{
	OWN_BUF struct buf part = { 0 };
	uint32_t last = 0, last_x32 = 0;

	for (size_t i = 0; i < a->len; i++) {
		if (a->v[i]->audit != audit)
			continue;
		if (a->v[i]->token == SCMP_ARCH_X32)
			last_x32 = a->last[i];
		else
			last = a->last[i];
	}
	if (!last && !last_x32)
		return;
	EMIT_LOAD(&part, nr);
	if (audit == AUDIT_ARCH_X86_64)
		emit(&part, BPF_JMP | BPF_JSET | BPF_K, X32_BIT, last ? 3 : 1, 0);
	if (last)
		emit_limit(&part, last);
	else
		EMIT_TO_FILTER(&part);
	if (last_x32)
		emit_limit(&part, last_x32);
	else
		EMIT_TO_FILTER(&part);
	emit(b, BPF_JMP | BPF_JEQ | BPF_K, audit, 0, (uint8_t)(part.size / sizeof(struct sock_filter)));
	buf_add(b, part.data, part.size);
}

static void settle_jumps(struct buf *b)
{
	struct sock_filter *f = (void *)b->data;
	size_t n = b->size / sizeof(*f);

	for (size_t i = 0; i < n; i++)
		if (f[i].code == (BPF_JMP | BPF_JA))
			f[i].k = (uint32_t)(n - i - 1);
}

/* Calls that are newer than any the profile names do not exist, so that programs fall back to older ones; in front of the filter. */
static void emit_unknown(struct buf *b, const struct arches *a)
{
	EMIT_LOAD(b, arch);
	for (size_t i = 0; i < a->len; i++) {
		bool done = false;

		for (size_t k = 0; k < i; k++)
			done = done || a->v[k]->audit == a->v[i]->audit;
		if (!done)
			emit_arch(b, a, a->v[i]->audit);
	}
	settle_jumps(b);
}

static void write_filter(scmp_filter_ctx ctx, const struct buf *before)
{
	OWN_FD int fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	void *data;

	must(seccomp_export_bpf(ctx, fd), "compile the filter");
	if (fstat(fd, &st) < 0 || (data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED ||
		fs_write_all(1, before->data, before->size) < 0 || fs_write_all(1, data, (size_t)st.st_size) < 0)
		give_up("hand on the filter", strerror(errno));
}

int main(void)
{
	OWN_BUF struct buf text = { 0 }, before = { 0 };
	ssize_t n = fs_read_all(0, buf_reserve(&text, MAX_TEXT), MAX_TEXT);
	json_t *js = n > 0 ? json_exact_read(text.data, (size_t)n) : NULL, *errno_ret = json_object_get(js, "defaultErrnoRet");
	struct arches a = { 0 };
	scmp_filter_ctx ctx;
	bool permits;
	uint32_t def;

	if (!js || !json_exact_empty(json_object_get(js, "listenerPath")))
		give_up("the profile is none", NULL);
	def = action_of(json_object_get(js, "defaultAction"), errno_ret, &permits);
	ctx = seccomp_init(def);
	if (!ctx)
		give_up("begin a filter", NULL);
	add_arches(ctx, json_object_get(js, "architectures"), &a);
	must(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0), "leave new privileges alone");
	add_rules(ctx, json_object_get(js, "syscalls"), def, &a);
	if (!permits && def != SCMP_ACT_ERRNO(ENOSYS))
		emit_unknown(&before, &a);
	write_filter(ctx, &before);
	seccomp_release(ctx);
	json_decref(js);
	return 0;
}
