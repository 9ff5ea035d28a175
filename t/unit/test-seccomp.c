/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seccomp profiles: the built-in one decides as Docker's newest for every call, architecture and capability; custom ones and their errors. */
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>

#include "base/json-exact.h"
#include "base/json.h"
#include "container/bundle/caps.h"
#include "container/bundle/seccomp.h"

#include "tap.h"

enum op { LT, EQ, MASKED };
static const char *const op_names[] = { [LT] = "SCMP_CMP_LT", [EQ] = "SCMP_CMP_EQ", [MASKED] = "SCMP_CMP_MASKED_EQ" };

struct fact {
	int cap, not_cap;
	const char *arches, *not_arches;
	unsigned kernel;
	int error;
	const char *names;
	int index, op;
	uint64_t value;
};
static const struct fact facts[] = {
#define MAP(arch, others)
#define RULE(cap, not_cap, arches, not_arches, kernel, error, names) { cap, not_cap, arches, not_arches, kernel, error, names, -1, 0, 0 },
#define ARG(cap, not_cap, arches, not_arches, name, index, op, value) { cap, not_cap, arches, not_arches, 0, 0, name, index, op, value },
#include "seccomp-facts.tbl"
#undef MAP
#undef RULE
#undef ARG
};
static const struct { const char *arch, *others; } maps[] = {
#define MAP(arch, others) { arch, others },
#define RULE(...)
#define ARG(...)
#include "seccomp-facts.tbl"
#undef MAP
#undef RULE
#undef ARG
};


struct rule {
	char *name;
	int error, index, op; /* errno, 0 to allow; index -1: without a condition */
	uint64_t value, two;
};
struct table { struct rule v[1024]; size_t len; };

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct rule *)a)->name, ((const struct rule *)b)->name);
}

static void add(struct table *t, const char *name, struct rule r)
{
	BUG_ON(t->len == ARRAY_LEN(t->v));
	r.name = xstrdup(name);
	t->v[t->len++] = r;
}

static void clear(struct table *t)
{
	for (size_t i = 0; i < t->len; i++)
		free(t->v[i].name);
	t->len = 0;
}

static bool has_word(const char *list, const char *word)
{
	OWN_STRV struct strv words = { 0 };

	strv_split(&words, list, " ");
	return *list && strv_contains(&words, word);
}

static void take_facts(const struct seccomp_on *on, struct table *t)
{
	clear(t);
	for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
		const struct fact *f = &facts[i];
		OWN_STRV struct strv names = { 0 };

		if ((f->cap >= 0 && !(on->caps >> f->cap & 1)) || (f->not_cap >= 0 && on->caps >> f->not_cap & 1) ||
		    (*f->arches && !has_word(f->arches, on->arch)) || has_word(f->not_arches, on->arch) || f->kernel > (on->kernel << 8 | on->major))
			continue;
		strv_split(&names, f->names, " ");
		for (size_t k = 0; k < names.len; k++)
			add(t, names.v[k], (struct rule){ .error = f->error, .index = f->index, .op = f->op, .value = f->value });
	}
	qsort(t->v, t->len, sizeof(*t->v), by_name);
}

static uint64_t number(const json_t *js)
{
	uint64_t n = 0;

	BUG_ON(js && !json_exact_u64(js, &n));
	return n;
}

static int op_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(op_names); i++)
		if (streq(op_names[i], name))
			return (int)i;
	abort();
}

static void take_written(const json_t *profile, struct table *t)
{
	const json_t *js, *name;
	size_t i, k;

	clear(t);
	json_array_foreach(json_object_get(profile, "syscalls"), i, js) {
		const json_t *args = json_object_get(js, "args"), *arg = json_array_get(args, 0);
		bool allow = streq(json_string_value(json_object_get(js, "action")), "SCMP_ACT_ALLOW");
		struct rule r = { .error = allow ? 0 : (int)number(json_object_get(js, "errnoRet")), .index = -1 };

		BUG_ON(json_array_size(args) > 1);
		if (arg)
			r = (struct rule){ .error = r.error, .index = (int)number(json_object_get(arg, "index")),
				.op = op_of(json_string_value(json_object_get(arg, "op"))), .value = number(json_object_get(arg, "value")),
				.two = number(json_object_get(arg, "valueTwo")) };
		json_array_foreach(json_object_get(js, "names"), k, name)
			add(t, json_string_value(name), r);
	}
	qsort(t->v, t->len, sizeof(*t->v), by_name);
}

static bool matches(const struct rule *r, const uint64_t args[2])
{
	uint64_t v;

	if (r->index < 0)
		return true;
	v = args[r->index];
	return r->op == LT ? v < r->value : r->op == EQ ? v == r->value : (v & r->value) == r->two;
}

/* The errno, 0 for a call that is allowed. Rules of one profile never disagree. */
static int verdict(const struct table *t, const char *name, const uint64_t args[2])
{
	struct rule key = { .name = (char *)name };
	const struct rule *r = bsearch(&key, t->v, t->len, sizeof(*t->v), by_name);

	if (!r)
		return EPERM;
	while (r > t->v && by_name(r - 1, &key) == 0)
		r--;
	for (; r < t->v + t->len && by_name(r, &key) == 0; r++)
		if (matches(r, args))
			return r->error;
	return EPERM;
}

static size_t compare(const struct seccomp_on *on, const char *name, const struct table *want, const struct table *got, uint64_t a, uint64_t b)
{
	const uint64_t args[2] = { a, b };
	int w = verdict(want, name, args), g = verdict(got, name, args);

	if (w != g)
		printf("# %s, capabilities %llx: %s(%llu, %llu): errno %d, Docker %d\n", on->arch, (unsigned long long)on->caps, name, (unsigned long long)a,
			(unsigned long long)b, g, w);
	return w != g;
}

/* Numbers around every constant of a rule, with high bits as well: the arguments of the kernel have 32. */
static size_t compare_values(const struct seccomp_on *on, const struct table *want, const struct table *got)
{
	static const uint64_t high[] = { 0, UINT64_C(1) << 32, UINT64_C(1) << 63 };
	size_t wrong = 0;

	for (size_t h = 0; h < ARRAY_LEN(high); h++) {
		for (uint64_t v = 0; v < 300; v++)
			wrong += compare(on, "socket", want, got, v | high[h], 0);
		for (unsigned bit = 0; bit < 32; bit++) {
			uint64_t v = UINT64_C(1) << bit;

			wrong += compare(on, "socket", want, got, v | high[h], 0);
			wrong += compare(on, "personality", want, got, v | high[h], 0) + compare(on, "personality", want, got, v | 8 | high[h], 0);
			wrong += compare(on, "personality", want, got, (0xffffffff ^ v) | high[h], 0);
			wrong += compare(on, "clone", want, got, v | high[h], 0) + compare(on, "clone", want, got, 0, v | high[h]);
		}
		wrong += compare(on, "personality", want, got, high[h], 0) + compare(on, "personality", want, got, 0xffffffff | high[h], 0);
		wrong += compare(on, "personality", want, got, 0x20008 | high[h], 0);
	}
	return wrong;
}

static json_t *builtin(const struct seccomp_on *on)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;
	json_t *js;

	jw_init(&w, &b);
	seccomp_builtin(on, &w);
	js = json_exact_read(b.data, b.size);
	BUG_ON(!js);
	return js;
}

static size_t compare_all(const struct seccomp_on *on, bool values)
{
	static struct table want, got;
	OWN_JSON json_t *js = builtin(on);
	size_t wrong = 0;

	take_facts(on, &want);
	take_written(js, &got);
	for (size_t i = 0; i < want.len; i++)
		wrong += compare(on, want.v[i].name, &want, &got, 0, 0);
	for (size_t i = 0; i < got.len; i++)
		wrong += compare(on, got.v[i].name, &want, &got, 0, 0);
	if (values)
		wrong += compare_values(on, &want, &got);
	wrong += want.len < 350 || got.len < 350;
	clear(&want);
	clear(&got);
	return wrong;
}

static void test_builtin(void)
{
	static const char *const arches[] = { "amd64", "x86", "arm64", "arm", "mips64", "mips64n32", "mipsel64", "mips3l64n32", "ppc64le", "riscv64", "s390x",
		"loongarch64", "" };
	size_t wrong = 0, pairs = 0, last = 0;

	while (caps_name((int)last + 1))
		last++;
	for (size_t a = 0; a < ARRAY_LEN(arches); a++) {
		struct seccomp_on on = { .arch = arches[a], .kernel = 5, .major = 10 };

		wrong = compare_all(&on, true);
		for (size_t c = 0; c <= last; c++) {
			on.caps = UINT64_C(1) << c;
			wrong += compare_all(&on, c == CAP_SYS_ADMIN);
			on.caps = ~on.caps;
			wrong += compare_all(&on, false);
		}
		on.caps = UINT64_MAX;
		wrong += compare_all(&on, true);
		is_int(wrong, 0, "as Docker on %s, with no capability, each, all but each and all", arches[a]);
	}
	for (size_t c = 0; c <= last; c++)
		for (size_t d = 0; d < c; d++) {
			struct seccomp_on on = { .arch = "amd64", .kernel = 6, .major = 1, .caps = UINT64_C(1) << c | UINT64_C(1) << d };

			pairs += compare_all(&on, false);
		}
	is_int(pairs, 0, "and with each pair");
}

static void test_default_and_arches(void)
{
	static const struct { const char *word, *name; } words[] = { { "amd64", "SCMP_ARCH_X86_64" }, { "arm64", "SCMP_ARCH_AARCH64" },
		{ "mips64", "SCMP_ARCH_MIPS64" }, { "mips64n32", "SCMP_ARCH_MIPS64N32" }, { "mipsel64", "SCMP_ARCH_MIPSEL64" },
		{ "mips3l64n32", "SCMP_ARCH_MIPSEL64N32" }, { "s390x", "SCMP_ARCH_S390X" }, { "riscv64", "SCMP_ARCH_RISCV64" },
		{ "loongarch64", "SCMP_ARCH_LOONGARCH64" } };
	struct seccomp_on here = seccomp_here(5);
	size_t found = 0;

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct seccomp_on on = { .arch = words[i].word };
		OWN_JSON json_t *js = builtin(&on);
		OWN_BUF struct buf list = { 0 };
		const json_t *arch;
		size_t k;

		json_array_foreach(json_object_get(js, "architectures"), k, arch)
			buf_addf(&list, k ? " %s" : "%s", json_string_value(arch));
		buf_addc(&list, '\0');
		for (k = 0; k < ARRAY_LEN(maps); k++) {
			OWN_FREE char *want = xasprintf("%s%s%s", maps[k].arch, *maps[k].others ? " " : "", maps[k].others);

			found += streq(maps[k].arch, words[i].name) && streq(want, list.data);
		}
		is_str(json_string_value(json_object_get(js, "defaultAction")), "SCMP_ACT_ERRNO", "%s: what is not named fails", words[i].word);
		is_int(number(json_object_get(js, "defaultErrnoRet")), EPERM, "with EPERM");
	}
	is_int(found, ARRAY_LEN(maps), "each architecture brings along what Docker's map says");
	ok(here.kernel >= 4 && here.caps == 5, "this machine's kernel is %u.%u", here.kernel, here.major);
#ifdef __x86_64__
	is_str(here.arch, "amd64", "and its architecture");
#endif
}

static char *custom(const struct seccomp_on *on, const char *profile, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	if (seccomp_custom(on, profile, strlen(profile), &w, err) < 0)
		return NULL;
	buf_addc(&b, '\0');
	return buf_steal(&b);
}

static void gives(const char *profile, const char *want, const char *what)
{
	const struct seccomp_on on = { .arch = "amd64", .kernel = 6, .major = 1, .caps = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_KILL };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = custom(&on, profile, &err);

	is_str(got, want, "%s%s%s", what, err.msg ? ": " : "", err.msg ? err.msg : "");
}

static void refuses(const char *profile, const char *want)
{
	const struct seccomp_on on = { .arch = "amd64", .kernel = 6, .major = 1 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = custom(&on, profile, &err);

	ok(!got && strncmp(err_text(&err), want, strlen(want)) == 0, "%s: %s", profile, err_text(&err));
}

#define HEAD "{\"defaultAction\":\"SCMP_ACT_ALLOW\""
#define RULES(r) HEAD ",\"syscalls\":[" r "]}"
#define SYNC "\"names\":[\"sync\"],\"action\":\"SCMP_ACT_ERRNO\""
#define KEPT RULES("{" SYNC "}")
#define NONE RULES("")

static void test_conditions(void)
{
	gives(RULES("{" SYNC "}"), KEPT, "a rule without conditions");
	gives(RULES("{" SYNC ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_KILL\"]}}"), KEPT, "capabilities it needs");
	gives(RULES("{" SYNC ",\"includes\":{\"caps\":[\"CAP_SYS_ADMIN\",\"CAP_BPF\"]}}"), NONE, "it needs each of them");
	gives(RULES("{" SYNC ",\"includes\":{\"caps\":[\"SYS_ADMIN\"]}}"), NONE, "capabilities have their whole name");
	gives(RULES("{" SYNC ",\"includes\":{\"caps\":[\"ALL\"]}}"), NONE, "and no other");
	gives(RULES("{" SYNC ",\"excludes\":{\"caps\":[\"CAP_BPF\",\"CAP_KILL\"]}}"), NONE, "any of those that rule it out");
	gives(RULES("{" SYNC ",\"excludes\":{\"caps\":[\"CAP_BPF\",\"sys_admin\"]}}"), KEPT, "none of them");
	gives(RULES("{" SYNC ",\"includes\":{\"arches\":[\"amd64\",\"x32\"]}}"), KEPT, "the architecture");
	gives(RULES("{" SYNC ",\"includes\":{\"arches\":[\"arm64\",\"x86\"]}}"), NONE, "another one");
	gives(RULES("{" SYNC ",\"excludes\":{\"arches\":[\"amd64\"]}}"), NONE, "ruled out by the architecture");
	gives(RULES("{" SYNC ",\"excludes\":{\"arches\":[\"s390\"]}}"), KEPT, "or not");
	gives(RULES("{" SYNC ",\"includes\":{\"minKernel\":\"6.1\"}}"), KEPT, "the kernel's version");
	gives(RULES("{" SYNC ",\"includes\":{\"minKernel\":\"6.2\"}}"), NONE, "a newer one");
	gives(RULES("{" SYNC ",\"includes\":{\"minKernel\":\"5.19\"}}"), KEPT, "an older one with a greater minor number");
	gives(RULES("{" SYNC ",\"includes\":{\"minKernel\":\"\"}}"), KEPT, "an empty version");
	gives(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"4.8\"}}"), NONE, "ruled out by the kernel");
	gives(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"6.2\"}}"), KEPT, "or not yet");
	gives(RULES("{\"name\":\"sync\",\"action\":\"SCMP_ACT_ERRNO\"}"), KEPT, "the old form of a name");
	gives(RULES("{\"names\":[\"a\"],\"action\":\"SCMP_ACT_LOG\",\"includes\":{\"caps\":[\"CAP_BPF\"]}},{" SYNC ",\"comment\":\"x\"}"), KEPT, "the others keep their place");
	gives(RULES("{" SYNC ",\"errnoRet\":38,\"args\":[{\"value\":18446744073709551615,\"op\":\"SCMP_CMP_EQ\"}]}"),
		RULES("{" SYNC ",\"errnoRet\":38,\"args\":[{\"index\":0,\"value\":18446744073709551615,\"op\":\"SCMP_CMP_EQ\"}]}"), "arguments of 64 bits");
}

static void test_profiles(void)
{
	gives("{}", "", "an empty profile is none");
	gives("{\"syscalls\":null}", "", "so is one with empty members");
	gives(HEAD "}", HEAD ",\"syscalls\":null}", "an action alone");
	gives(HEAD ",\"archMap\":[{\"architecture\":\"SCMP_ARCH_AARCH64\",\"subArchitectures\":[\"SCMP_ARCH_ARM\"]},"
		"{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\"]}]}",
		HEAD ",\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"syscalls\":null}", "the map says which architectures");
	gives(HEAD ",\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":null}]}",
		HEAD ",\"architectures\":[\"SCMP_ARCH_X86_64\"],\"syscalls\":null}", "a map without others");
	gives(HEAD ",\"archMap\":[{\"architecture\":\"SCMP_ARCH_S390X\"}]}", HEAD ",\"syscalls\":null}", "a map without this architecture");
	gives(HEAD ",\"architectures\":[\"SCMP_ARCH_X32\"],\"archMap\":[]}", HEAD ",\"architectures\":[\"SCMP_ARCH_X32\"],\"syscalls\":null}", "architectures as they are");
	gives(HEAD ",\"defaultErrnoRet\":5,\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/run/x\",\"listenerMetadata\":\"m\"}",
		HEAD ",\"defaultErrnoRet\":5,\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],\"listenerPath\":\"/run/x\",\"listenerMetadata\":\"m\",\"syscalls\":null}",
		"flags and listeners are the runtime's");
	gives("{\"syscalls\":[{" SYNC "}]}", "{\"defaultAction\":\"\",\"syscalls\":[{" SYNC "}]}", "without an action: the runtime says what it thinks of it");
	refuses("", "Decoding seccomp profile failed: invalid JSON");
	refuses("{", "Decoding seccomp profile failed: invalid JSON");
	refuses("[]", "Decoding seccomp profile failed: invalid JSON");
	refuses(HEAD "} x", "Decoding seccomp profile failed: invalid JSON");
	refuses("{\"defaultAction\":5}", "Decoding seccomp profile failed: invalid JSON");
	refuses(HEAD ",\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\"}]}",
		"both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'");
	refuses(RULES("{" SYNC ",\"args\":[{\"value\":\"5\"}]}"), "Decoding seccomp profile failed: an argument's value is no number: \"5\"");
	refuses(RULES("{" SYNC ",\"args\":[{\"value\":-1}]}"), "Decoding seccomp profile failed: an argument's value is no unsigned number: -1");
	refuses("{\"defaultErrnoRet\":18446744073709551615}", "Decoding seccomp profile failed: invalid JSON");
	refuses(RULES("{" SYNC ",\"name\":\"x\"}"), "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
	refuses(RULES("{" SYNC ",\"includes\":{\"minKernel\":\"5\"}}"), "Decoding seccomp profile failed: invalid kernel version: \"5\", expected \"<kernel>.<major>\"");
	refuses(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"5.1.2\"}}"), "Decoding seccomp profile failed: invalid kernel version: \"5.1.2\"");
	refuses(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"5.256\"}}"), "Decoding seccomp profile failed: invalid kernel version: \"5.256\"");
	refuses(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"5.-1\"}}"), "Decoding seccomp profile failed: invalid kernel version: \"5.-1\"");
	refuses(RULES("{" SYNC ",\"excludes\":{\"minKernel\":\"0.0\"}}"), "Decoding seccomp profile failed: invalid kernel version: \"0.0\", expected "
		"\"<kernel>.<major>\": version cannot be 0.0");
}

int main(void)
{
	test_builtin();
	test_default_and_arches();
	test_conditions();
	test_profiles();
	return tap_done();
}
