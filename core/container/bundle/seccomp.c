/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "base/json.h"
#include "container/bundle/caps.h"

#if defined(__x86_64__)
#define ARCH "amd64"
static const char *const arches[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
#elif defined(__aarch64__)
#define ARCH "arm64"
static const char *const arches[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" };
#elif defined(__s390x__)
#define ARCH "s390x"
static const char *const arches[] = { "SCMP_ARCH_S390X", "SCMP_ARCH_S390" };
#elif defined(__riscv)
#define ARCH "riscv64"
static const char *const arches[] = { "SCMP_ARCH_RISCV64" };
#elif defined(__powerpc64__)
#define ARCH "ppc64le"
static const char *const arches[] = { "SCMP_ARCH_PPC64LE" };
#else
#define ARCH "other"
static const char *const arches[] = { "SCMP_ARCH_NATIVE" };
#endif

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

static void put_default(struct jw *w)
{
	jw_kstr(w, "defaultAction", "SCMP_ACT_ERRNO");
	jw_kint(w, "defaultErrnoRet", EPERM);
	jw_karr(w, "architectures");
	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		jw_str(w, arches[i]);
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

void seccomp_builtin(uint64_t caps, struct jw *w)
{
	jw_obj(w);
	put_default(w);
	jw_karr(w, "syscalls");
#define SECCOMP_ALLOW(cap, arch, names) \
	if (has_cap(caps, cap) && (!*(arch) || has_word(arch, ARCH))) { \
		jw_obj(w); \
		put_names(w, names); \
		jw_kstr(w, "action", "SCMP_ACT_ALLOW"); \
		jw_obj_end(w); \
	}
#include "container/bundle/seccomp.tbl"
#undef SECCOMP_ALLOW
	put_sockets(w);
	put_personalities(w);
	if (!has_cap(caps, CAP_SYS_ADMIN)) {
		put_arg_rule(w, "clone", streq(ARCH, "s390x") ? 1 : 0, CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ");
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

struct condition { struct strv caps, arches; char *min_kernel; };
JDESC_STATIC(condition_desc, condition,
	JFIELD(condition, caps, "caps", J_STRV, 0),
	JFIELD(condition, arches, "arches", J_STRV, 0),
	JFIELD(condition, min_kernel, "minKernel", J_STR, 0));
struct rule { struct strv names; char *name, *action, *args; struct opt_i64 errno_ret; struct condition includes, excludes; };
JDESC_STATIC(rule_desc, rule,
	JFIELD(rule, names, "names", J_STRV, J_OMITEMPTY),
	JFIELD(rule, name, "name", J_STR, J_OMITEMPTY),
	JFIELD(rule, action, "action", J_STR, J_REQUIRED),
	JFIELD(rule, errno_ret, "errnoRet", J_OPT_I64, J_OMITEMPTY),
	JFIELD(rule, args, "args", J_RAW, J_OMITEMPTY),
	JFIELD_SUB(rule, includes, "includes", J_OBJ, J_NOPRINT, condition_desc),
	JFIELD_SUB(rule, excludes, "excludes", J_OBJ, J_NOPRINT, condition_desc));
struct profile { char *action; struct opt_i64 errno_ret; struct strv arches, flags; char *arch_map; struct jlist rules; };
JDESC_STATIC(profile_desc, profile,
	JFIELD(profile, action, "defaultAction", J_STR, J_REQUIRED),
	JFIELD(profile, errno_ret, "defaultErrnoRet", J_OPT_I64, J_OMITEMPTY),
	JFIELD(profile, arches, "architectures", J_STRV, J_OMITEMPTY),
	JFIELD(profile, flags, "flags", J_STRV, J_OMITEMPTY),
	JFIELD(profile, arch_map, "archMap", J_RAW, J_NOPRINT),
	JFIELD_SUB(profile, rules, "syscalls", J_LIST, 0, rule_desc));

static bool all_caps(const struct strv *list, uint64_t caps)
{
	for (size_t i = 0; i < list->len; i++) {
		int n = caps_number(list->v[i]);

		if (n < 0 || n == CAPS_ALL || !has_cap(caps, n))
			return false;
	}
	return true;
}

static bool kernel_at_least(const char *want)
{
	struct utsname u;
	int a = 0, b = 0, wa = 0, wb = 0;

	uname(&u);
	return sscanf(u.release, "%d.%d", &a, &b) == 2 && sscanf(want, "%6d.%6d", &wa, &wb) == 2 && (a > wa || (a == wa && b >= wb));
}

static bool applies(const struct rule *r, uint64_t caps)
{
	if (r->excludes.arches.len && strv_contains(&r->excludes.arches, ARCH))
		return false;
	for (size_t i = 0; i < r->excludes.caps.len; i++) {
		int n = caps_number(r->excludes.caps.v[i]);

		if (n >= 0 && n != CAPS_ALL && has_cap(caps, n))
			return false;
	}
	if (!str_empty(r->excludes.min_kernel) && kernel_at_least(r->excludes.min_kernel))
		return false;
	if (r->includes.arches.len && !strv_contains(&r->includes.arches, ARCH))
		return false;
	if (!str_empty(r->includes.min_kernel) && !kernel_at_least(r->includes.min_kernel))
		return false;
	return all_caps(&r->includes.caps, caps);
}

static int put_profile(struct profile *p, uint64_t caps, struct jw *w, struct err *err)
{
	size_t kept = 0;

	if (p->arch_map && p->arches.len)
		return err_set(err, ERR_INVALID, "'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or 'archMap'");
	if (p->arches.len == 0)
		for (size_t i = 0; i < ARRAY_LEN(arches); i++)
			strv_add(&p->arches, arches[i]);
	for (size_t i = 0; i < p->rules.len; i++) {
		struct rule *r = jlist_at(&p->rules, i, &rule_desc), *to = jlist_at(&p->rules, kept, &rule_desc);

		if (!str_empty(r->name)) {
			if (r->names.len)
				return err_set(err, ERR_INVALID, "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'");
			strv_add(&r->names, r->name);
			str_set(&r->name, NULL);
		}
		if (!applies(r, caps))
			continue;
		if (r != to) {
			struct rule swap = *to;

			*to = *r;
			*r = swap;
		}
		kept++;
	}
	for (size_t i = kept; i < p->rules.len; i++)
		jdesc_clear(&rule_desc, jlist_at(&p->rules, i, &rule_desc));
	p->rules.len = kept;
	jdesc_encode(&profile_desc, p, w);
	return 0;
}

int seccomp_custom(const char *text, size_t size, uint64_t caps, struct jw *w, struct err *err)
{
	struct profile p = { 0 };
	int r = jdesc_parse(&profile_desc, text, size, &p, err);

	if (r == 0)
		r = put_profile(&p, caps, w, err);
	else
		err_wrap(err, "Decoding seccomp profile failed");
	jdesc_clear(&profile_desc, &p);
	return r;
}
