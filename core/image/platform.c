/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Platforms: os/architecture/variant in Go's words. */
#include "image/archive.h"

#include <sys/utsname.h>

static const struct { const char *machine, *architecture, *variant; } machines[] = {
	{ "x86_64", "amd64", NULL }, { "x86-64", "amd64", NULL }, { "aarch64", "arm64", NULL }, { "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" }, { "armv8l", "arm", "v7" }, { "armv7l", "arm", "v7" }, { "armv6l", "arm", "v6" }, { "i386", "386",
		NULL },
	{ "i486", "386", NULL }, { "i586", "386", NULL }, { "i686", "386", NULL }, { "loongarch64", "loong64", NULL },
	{ "mips64el", "mips64le", NULL }, { "powerpc64le", "ppc64le", NULL },
};

static void set_machine(struct platform *p, const char *machine)
{
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		if (!streq(machines[i].machine, machine))
			continue;
		str_set(&p->architecture, machines[i].architecture);
		str_set(&p->variant, machines[i].variant);
		return;
	}
	str_set(&p->architecture, machine);
}

/* "amd64": a system, or a machine of Linux. */
static bool set_single(struct platform *p, const char *word, const char *here)
{
	static const char *const systems[] = { "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9",
		"solaris", "windows", "zos", NULL };
	static const char *const architectures[] = { "386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc64", "ppc64le", "riscv64", "s390x",
		"wasm", NULL };

	for (const char *const *s = systems; *s; s++)
		if (streq(*s, word)) {
			p->os = xstrdup(word);
			set_machine(p, here);
			return true;
		}
	p->os = xstrdup("linux");
	set_machine(p, word);
	for (const char *const *s = architectures; *s; s++)
		if (streq(*s, p->architecture))
			return true;
	return false;
}

static void lower(char *s)
{
	for (; s && *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s - 'A' + 'a');
}

int platform_parse(const char *text, struct platform *ret, struct err *err)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	OWN_STRV struct strv parts = { 0 };
	OWN_PLATFORM struct platform p = { 0 };
	struct utsname u;

	BUG_ON(uname(&u) < 0);
	if (!str_empty(text))
		strv_split(&parts, text, "/");
	if (parts.len > 3)
		return err_set(err, ERR_INVALID, "\"%.100s\": cannot parse platform specifier: invalid argument", text);
	for (size_t i = 0; i < parts.len; i++) {
		if (!*parts.v[i] || strlen(parts.v[i]) > 64 || parts.v[i][strspn(parts.v[i], chars)])
			return err_set(err, ERR_INVALID, "\"%.64s\" is an invalid component of \"%.200s\": platform specifier component must match \"^[A-Za-z0-9_-]+$\": invalid argument",
				parts.v[i], text);
		lower(parts.v[i]);
	}
	if (parts.len == 1 && !set_single(&p, parts.v[0], u.machine))
		return err_set(err, ERR_INVALID, "\"%s\": unknown operating system or architecture: invalid argument", parts.v[0]);
	if (parts.len != 1) {
		p.os = xstrdup(parts.len ? parts.v[0] : "linux");
		set_machine(&p, parts.len ? parts.v[1] : u.machine);
	}
	if (parts.len > 2)
		str_set(&p.variant, parts.v[2]);
	*ret = p;
	p = (struct platform){ 0 };
	return 0;
}

void platform_done(struct platform *p)
{
	free(p->os);
	free(p->architecture);
	free(p->variant);
	*p = (struct platform){ 0 };
}

/* What runs a variant runs those below it. -1: no number; 0: this architecture has none. */
static int level_of(const char *architecture, const char *variant)
{
	static const struct { const char *architecture; int usual; } usual[] = { { "amd64", 1 }, { "arm", 7 }, { "arm64", 8 } };
	int64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (streq(usual[i].architecture, architecture)) {
			if (str_empty(variant))
				return usual[i].usual;
			return str_to_i64(variant + (*variant == 'v'), &n) && n > 0 && n < 100 ? (int)n : -1;
		}
	return 0;
}

int platform_rank(const struct platform *want, const char *os, const char *architecture, const char *variant)
{
	OWN_PLATFORM struct platform p = { 0 };
	int have, most;

	if (str_empty(os) || str_empty(architecture) || !streq(want->os, os))
		return 0;
	set_machine(&p, architecture);
	if (!streq(want->architecture, p.architecture))
		return 0;
	if (str_empty(variant))
		variant = p.variant;
	have = level_of(p.architecture, variant);
	most = level_of(p.architecture, want->variant);
	if (have > 0 && have <= most)
		return 1 + have;
	if (have == 0 && !str_empty(want->variant) && !str_empty(variant))
		return streq(want->variant, variant);
	return have == 0 || str_empty(variant) || (!str_empty(want->variant) && streq(want->variant, variant));
}

bool platform_fits(const struct platform *want, const char *os, const char *architecture, const char *variant)
{
	return platform_rank(want, os, architecture, variant) > 0;
}
