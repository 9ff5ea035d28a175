/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/json-exact.h"
#include "base/json.h"
#include "container/bundle/caps.h"

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__i386__)
#define ARCH "x86"
#elif defined(__aarch64__)
#define ARCH "arm64"
#elif defined(__arm__)
#define ARCH "arm"
#elif defined(__s390x__)
#define ARCH "s390x"
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH "riscv64"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCH "ppc64le"
#elif defined(__mips64) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCH "mipsel64"
#elif defined(__loongarch64)
#define ARCH "loongarch64"
#else
#define ARCH ""
#endif

/* Architectures by the word that profiles have for them, and what the built-in one takes along with each. */
static const struct arch { const char *word, *name, *subs[2]; } known[] = {
	{ "amd64", "SCMP_ARCH_X86_64", { "SCMP_ARCH_X86", "SCMP_ARCH_X32" } },
	{ "arm64", "SCMP_ARCH_AARCH64", { "SCMP_ARCH_ARM" } },
	{ "mips64", "SCMP_ARCH_MIPS64", { "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32" } },
	{ "mips64n32", "SCMP_ARCH_MIPS64N32", { "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64" } },
	{ "mipsel64", "SCMP_ARCH_MIPSEL64", { "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32" } },
	{ "mips3l64n32", "SCMP_ARCH_MIPSEL64N32", { "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64" } },
	{ "s390x", "SCMP_ARCH_S390X", { "SCMP_ARCH_S390" } },
	{ "riscv64", "SCMP_ARCH_RISCV64", { NULL } },
	{ "loongarch64", "SCMP_ARCH_LOONGARCH64", { NULL } },
	{ "ppc64le", "SCMP_ARCH_PPC64LE", { NULL } },
	{ "arm", "SCMP_ARCH_ARM", { NULL } },
	{ "x86", "SCMP_ARCH_X86", { NULL } },
};

/* clone() flags that make namespaces: NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET. */
#define CLONE_NAMESPACES 0x7e020000u

static bool has_cap(uint64_t caps, int cap)
{
	return cap < 0 || (caps >> cap & 1);
}

static bool has_word(const char *list, const char *word)
{
	OWN_STRV struct strv words = { 0 };

	strv_split(&words, list, " ");
	return strv_contains(&words, word);
}

static void put_names(struct jw *w, const char *names)
{
	jw_karr(w, "names");
	while (*names) {
		size_t n = strcspn(names, " ");

		jw_strn(w, names, n);
		names += n + (names[n] == ' ');
	}
	jw_arr_end(w);
}

static void put_arg_rule(struct jw *w, const char *name, unsigned index, uint64_t value, uint64_t value_two, const char *op)
{
	jw_obj(w);
	put_names(w, name);
	jw_kstr(w, "action", "SCMP_ACT_ALLOW");
	jw_karr(w, "args");
	jw_obj(w);
	jw_kint(w, "index", index);
	jw_key(w, "value");
	jw_uint(w, value);
	jw_key(w, "valueTwo");
	jw_uint(w, value_two);
	jw_kstr(w, "op", op);
	jw_obj_end(w);
	jw_arr_end(w);
	jw_obj_end(w);
}

static const struct arch *find_arch(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(known[i].word, word))
			return &known[i];
	return NULL;
}

/* None is the runtime's own architecture alone. */
static void put_default(const char *word, struct jw *w)
{
	const struct arch *arch = find_arch(word);

	jw_kstr(w, "defaultAction", "SCMP_ACT_ERRNO");
	jw_kint(w, "defaultErrnoRet", EPERM);
	jw_karr(w, "architectures");
	if (arch)
		jw_str(w, arch->name);
	for (size_t i = 0; arch && i < ARRAY_LEN(arch->subs) && arch->subs[i]; i++)
		jw_str(w, arch->subs[i]);
	jw_arr_end(w);
}

/*
 * Values of one argument as cubes: "value", with any of the bits of "free" besides. libseccomp compiles the filter at every
 * start of a container, in time that grows with the square of the rules, so a rule should cover as many values as it can.
 */
struct cube { uint32_t value, free; };

static void put_cubes(struct jw *w, const char *name, const struct cube *v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		put_arg_rule(w, name, 0, ~(uint64_t)v[i].free, v[i].value, "SCMP_CMP_MASKED_EQ");
}

/*
 * socket(): the families that are harmless to the host: 0-11, 13-18, 21, 22, 24, 26-33, 35, 36, 39, 41-45; AF_ALG (38), AF_VSOCK
 * (40) and others are not among them. Cubes may overlap.
 */
static void put_sockets(struct jw *w)
{
	static const struct cube families[] = {
		{ 0, 7 },   /* 0-7 */
		{ 0, 26 },  /* 0 2 8 10 16 18 24 26 */
		{ 0, 33 },  /* 0 1 32 33 */
		{ 1, 20 },  /* 1 5 17 21 */
		{ 2, 28 },  /* 2 6 10 14 18 22 26 30 */
		{ 3, 36 },  /* 3 7 35 39 */
		{ 9, 36 },  /* 9 13 41 45 */
		{ 10, 21 }, /* 10 11 14 15 26 27 30 31 */
		{ 10, 33 }, /* 10 11 42 43 */
		{ 28, 3 },  /* 28-31 */
		{ 36, 8 },  /* 36 44 */
	};

	put_cubes(w, "socket", families, ARRAY_LEN(families));
}

static void put_personalities(struct jw *w)
{
	static const struct cube personalities[] = { { PER_LINUX, UNAME26 | PER_LINUX32 }, { 0xffffffff, 0 } };

	put_cubes(w, "personality", personalities, ARRAY_LEN(personalities));
}

struct seccomp_on seccomp_here(uint64_t caps)
{
	struct seccomp_on on = { .arch = ARCH, .caps = caps };
	struct utsname u;

	uname(&u);
	if (sscanf(u.release, "%u.%u", &on.kernel, &on.major) != 2)
		on.kernel = on.major = 0;
	return on;
}

void seccomp_builtin(const struct seccomp_on *on, struct jw *w)
{
	jw_obj(w);
	put_default(on->arch, w);
	jw_karr(w, "syscalls");
#define SECCOMP_ALLOW(cap, arches, names) \
	if (has_cap(on->caps, cap) && (!*(arches) || has_word(arches, on->arch))) { \
		jw_obj(w); \
		put_names(w, names); \
		jw_kstr(w, "action", "SCMP_ACT_ALLOW"); \
		jw_obj_end(w); \
	}
#include "container/bundle/seccomp.tbl"
#undef SECCOMP_ALLOW
	put_sockets(w);
	put_personalities(w);
	if (!has_cap(on->caps, CAP_SYS_ADMIN)) {
		/* the flags are its second argument there */
		put_arg_rule(w, "clone", streq(on->arch, "s390x") ? 1 : 0, CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ");
		/* its flags are behind a pointer: programs fall back to clone on ENOSYS */
		jw_obj(w);
		put_names(w, "clone3");
		jw_kstr(w, "action", "SCMP_ACT_ERRNO");
		jw_kint(w, "errnoRet", ENOSYS);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

/* Docker's form of a profile; what it has beyond that of the runtimes is resolved here and not printed. */
struct condition { struct strv caps, arches; char *min_kernel; };
JDESC_STATIC(condition_desc, condition,
	JFIELD(condition, caps, "caps", J_STRV, 0),
	JFIELD(condition, arches, "arches", J_STRV, 0),
	JFIELD(condition, min_kernel, "minKernel", J_STR, 0));
struct arg { int64_t index; char *value, *two, *op; };
JDESC_STATIC(arg_desc, arg,
	JFIELD(arg, index, "index", J_I64, 0),
	JFIELD(arg, value, "value", J_RAW, 0),
	JFIELD(arg, two, "valueTwo", J_RAW, J_OMITEMPTY),
	JFIELD(arg, op, "op", J_STR, 0));
struct rule { struct strv names; struct jlist args; char *name, *action; struct opt_i64 errno_ret; struct condition includes, excludes; };
JDESC_STATIC(rule_desc, rule,
	JFIELD(rule, names, "names", J_STRV, J_OMITEMPTY),
	JFIELD(rule, name, "name", J_STR, J_NOPRINT),
	JFIELD(rule, action, "action", J_STR, 0),
	JFIELD(rule, errno_ret, "errnoRet", J_OPT_I64, J_OMITEMPTY),
	JFIELD_SUB(rule, args, "args", J_LIST, J_OMITEMPTY, arg_desc),
	JFIELD_SUB(rule, includes, "includes", J_OBJ, J_NOPRINT, condition_desc),
	JFIELD_SUB(rule, excludes, "excludes", J_OBJ, J_NOPRINT, condition_desc));
struct arch_rule { char *arch; struct strv subs; };
JDESC_STATIC(arch_rule_desc, arch_rule,
	JFIELD(arch_rule, arch, "architecture", J_STR, 0),
	JFIELD(arch_rule, subs, "subArchitectures", J_STRV, 0));
struct profile { char *action, *listener_path, *listener_metadata; struct opt_i64 errno_ret; struct strv arches, flags; struct jlist arch_map, rules; };
JDESC_STATIC(profile_desc, profile,
	JFIELD(profile, action, "defaultAction", J_STR, 0),
	JFIELD(profile, errno_ret, "defaultErrnoRet", J_OPT_I64, J_OMITEMPTY),
	JFIELD(profile, arches, "architectures", J_STRV, J_OMITEMPTY),
	JFIELD(profile, flags, "flags", J_STRV, J_OMITEMPTY),
	JFIELD(profile, listener_path, "listenerPath", J_STR, J_OMITEMPTY),
	JFIELD(profile, listener_metadata, "listenerMetadata", J_STR, J_OMITEMPTY),
	JFIELD_SUB(profile, arch_map, "archMap", J_LIST, J_NOPRINT, arch_rule_desc),
	JFIELD_SUB(profile, rules, "syscalls", J_LIST, 0, rule_desc));

/* Names of capabilities are compared as they are written. */
static bool names_cap(const char *name, uint64_t caps)
{
	int n = caps_number(name);

	return n >= 0 && n != CAPS_ALL && streq(caps_name(n), name) && has_cap(caps, n);
}

static int at_least(const struct seccomp_on *on, const char *want, bool *ret, struct err *err)
{
	unsigned kernel = 0, major = 0;
	char end;

	if (strspn(want, "0123456789.") != strlen(want) || *want == '.' || sscanf(want, "%3u.%3u%c", &kernel, &major, &end) != 2 || kernel > 255 ||
	    major > 255)
		return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: invalid kernel version: \"%.100s\", expected \"<kernel>.<major>\"", want);
	if (!kernel && !major)
		return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: invalid kernel version: \"%.100s\", expected "
			"\"<kernel>.<major>\": version cannot be 0.0", want);
	*ret = on->kernel > kernel || (on->kernel == kernel && on->major >= major);
	return 0;
}

/* Each condition of "excludes" rules it out alone; those of "includes" must all be met. */
static int applies(const struct seccomp_on *on, const struct rule *r, bool *ret, struct err *err)
{
	const struct condition *in = &r->includes, *ex = &r->excludes;
	bool newer = true, excluded = strv_contains(&ex->arches, on->arch);

	*ret = !in->arches.len || strv_contains(&in->arches, on->arch);
	for (size_t i = 0; i < ex->caps.len; i++)
		excluded |= names_cap(ex->caps.v[i], on->caps);
	for (size_t i = 0; i < in->caps.len; i++)
		*ret &= names_cap(in->caps.v[i], on->caps);
	if (!str_empty(in->min_kernel) && at_least(on, in->min_kernel, &newer, err) < 0)
		return -1;
	*ret &= newer;
	newer = false;
	if (!str_empty(ex->min_kernel) && at_least(on, ex->min_kernel, &newer, err) < 0)
		return -1;
	*ret &= !excluded && !newer;
	return 0;
}

/* The digits of an unsigned number of 64 bits; large ones were quoted for jansson. */
static int bare_number(char **raw, struct err *err)
{
	size_t len = *raw ? strlen(*raw) : 0;
	uint64_t n;

	if (len > 2 && **raw == '"') {
		OWN_FREE char *digits = xstrndup(*raw + 1, len - 2);

		if (!str_to_u64(digits, &n) || n <= INT64_MAX)
			return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: an argument's value is no number: %.100s", *raw);
		str_set(raw, digits);
		return 0;
	}
	if (len && !str_to_u64(*raw, &n))
		return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: an argument's value is no unsigned number: %.100s", *raw);
	if (!len)
		str_set(raw, "0");
	return 0;
}

static int take_args(struct rule *r, struct err *err)
{
	for (size_t i = 0; i < r->args.len; i++) {
		struct arg *a = jlist_at(&r->args, i, &arg_desc);

		if (bare_number(&a->value, err) < 0 || (a->two && bare_number(&a->two, err) < 0))
			return -1;
	}
	return 0;
}

static void take_arch_map(const struct seccomp_on *on, struct profile *p)
{
	const struct arch *arch = find_arch(on->arch);

	for (size_t i = 0; arch && i < p->arch_map.len; i++) {
		const struct arch_rule *a = jlist_at(&p->arch_map, i, &arch_rule_desc);

		if (!a->arch || !streq(a->arch, arch->name))
			continue;
		strv_add(&p->arches, a->arch);
		for (size_t k = 0; k < a->subs.len; k++)
			strv_add(&p->arches, a->subs.v[k]);
		return;
	}
}

/* The rules that apply move to the front, in their order. */
static int take_rules(const struct seccomp_on *on, struct profile *p, struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->rules.len; i++) {
		struct rule *r = jlist_at(&p->rules, i, &rule_desc), *to = jlist_at(&p->rules, kept, &rule_desc), swap;
		bool keep;

		if (!str_empty(r->name)) {
			if (r->names.len)
				return err_set(err, ERR_INVALID, "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
			strv_add(&r->names, r->name);
		}
		if (take_args(r, err) < 0 || applies(on, r, &keep, err) < 0)
			return -1;
		if (!keep)
			continue;
		swap = *to;
		*to = *r;
		*r = swap;
		kept++;
	}
	for (size_t i = kept; i < p->rules.len; i++)
		jdesc_clear(&rule_desc, jlist_at(&p->rules, i, &rule_desc));
	p->rules.len = kept;
	return 0;
}

static int put_profile(const struct seccomp_on *on, struct profile *p, struct jw *w, struct err *err)
{
	if (str_empty(p->action) && !p->rules.len)
		return 0;
	if (p->arch_map.len && p->arches.len)
		return err_set(err, ERR_INVALID, "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or "
			"'archMap'");
	take_arch_map(on, p);
	if (take_rules(on, p, err) < 0)
		return -1;
	jdesc_encode(&profile_desc, p, w);
	return 0;
}

int seccomp_custom(const struct seccomp_on *on, const char *text, size_t size, struct jw *w, struct err *err)
{
	OWN_BUF struct buf quoted = { 0 };
	struct profile p = { 0 };
	int r;

	json_exact_quote_big(text, size, &quoted);
	r = jdesc_parse(&profile_desc, quoted.data ? quoted.data : "", quoted.size, &p, err);
	if (r == 0)
		r = put_profile(on, &p, w, err);
	else
		err_wrap(err, "Decoding seccomp profile failed");
	jdesc_clear(&profile_desc, &p);
	return r;
}
