/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/reference.h"

#include "base/clock.h"
#include "base/str.h"
#include "tap.h"

#define HEX "1306f1a639f458029ebaf41ce4da553aac646a6a9035360c24150076edc4334e"
#define BAD "invalid reference format"

static void good(const char *in, const char *full, const char *familiar)
{
	OWN_REFERENCE struct reference r = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *f = NULL, *t = NULL;

	if (!ok(reference_parse(in, &r, &err) == 0, "%s parses", in)) {
		printf("# %s\n", err_text(&err));
		return;
	}
	t = reference_text(&r);
	f = reference_familiar(&r);
	is_str(t, full, "%s in full", in);
	is_str(f, familiar, "%s as people write it", in);
}

static void bad(const char *in, const char *msg)
{
	OWN_REFERENCE struct reference r = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(reference_parse(in, &r, &err) < 0 && !r.domain && !r.path, "%.80s is refused", in);
	is_str(err_text(&err), msg, "%.80s: the text", in);
	is_int(err.class, ERR_INVALID, "%.80s: the class", in);
}

static void test_long(void)
{
	OWN_FREE char *name = xmalloc(400), *tag = xmalloc(200), *in = NULL, *familiar = NULL, *full = NULL;

	memset(name, 'a', 400);
	name[255 - strlen("docker.io/library/")] = '\0';
	in = xasprintf("docker.io/library/%s", name);
	familiar = xasprintf("%s:latest", name);
	good(name, in, familiar);
	name[255 - strlen("docker.io/library/")] = 'a';
	name[256 - strlen("docker.io/library/")] = '\0';
	bad(name, "repository name must not be more than 255 characters");
	memset(tag, 't', 200);
	memcpy(tag, "a:", 2);
	tag[2 + 128] = '\0';
	full = xasprintf("docker.io/library/%s", tag);
	good(tag, full, tag);
	tag[2 + 128] = 't';
	tag[2 + 129] = '\0';
	bad(tag, BAD);
}

static void test_linear(void)
{
	size_t n = 4u << 20;
	OWN_FREE char *s = xmalloc(n + 1);
	int64_t t = clock_mono();
	struct reference r = { 0 };

	for (size_t i = 0; i < n; i++)
		s[i] = "a-"[i & 1];
	s[n] = '\0';
	ok(reference_parse(s, &r, NULL) < 0, "4 MiB of a-a-a- is refused");
	ok(clock_mono() - t < 2 * NSEC_PER_SEC, "in linear time");
}

static void test_tag_argument(void)
{
	OWN_REFERENCE struct reference r = { 0 }, c = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *t = NULL;

	ok(reference_parse_tag("a/b:x", "y", &r, &err) == 0, "a tag beside the repository");
	reference_copy(&c, &r);
	t = reference_text(&c);
	is_str(t, "docker.io/a/b:y", "replaces its own");
	reference_done(&r);
	ok(reference_parse_tag("a/b", "", &r, &err) == 0 && streq(r.tag, "latest"), "latest when none is given");
	reference_done(&r);
	ok(reference_parse_tag("a", "b:", &r, &err) < 0, "a bad tag");
	is_str(err_text(&err), "invalid tag format", "has its own text");
	ok(reference_parse_tag("a@sha256:" HEX, "", &r, &err) < 0, "a digest cannot be tagged");
	ok(reference_parse_tag(NULL, NULL, &r, &err) < 0, "no repository at all");
	is_str(err_text(&err), BAD, "is a bad reference");
}

static void matches(const char *pattern, const char *name, int want)
{
	OWN_REFERENCE struct reference r = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	bool got = false;

	reference_parse(name, &r, NULL);
	is_int(reference_match(pattern, &r, &got, &err) < 0 ? -1 : got, want, "%s against %s", pattern, name);
}

static void test_match(void)
{
	matches("busybox", "busybox:1", 1);
	matches("busybox:1", "busybox:1", 1);
	matches("busybox:2", "busybox:1", 0);
	matches("b*", "busybox", 1);
	matches("*x", "busybox", 1);
	matches("*:1.*", "busybox:1.2", 1);
	matches("*", "a/b", 0);
	matches("*/*", "a/b", 1);
	matches("*", "localhost/a/b", 0);
	matches("b?sybo[x-z]", "busybox", 1);
	matches("b?sybo[^x]", "busybox", 0);
	matches("a?b", "a/b", 0);
	matches("busy\\box", "busybox", 1);
	matches("*b*b*b*b*b*b*b*b*b*b*b*b*b*b*b*c", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", 0);
	matches("busybo[", "busybox", -1);
	matches("busybo[x-", "busybox", -1);
	matches("busybox\\", "busybox", -1);
	matches("", "busybox", 0);
}

int main(void)
{
	test_match();
	good("busybox", "docker.io/library/busybox", "busybox:latest");
	good("busybox:1.0", "docker.io/library/busybox:1.0", "busybox:1.0");
	good("docker.io/busybox", "docker.io/library/busybox", "busybox:latest");
	good("index.docker.io/busybox", "docker.io/library/busybox", "busybox:latest");
	good("library/x", "docker.io/library/x", "x:latest");
	good("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b:latest");
	good("a/b:c", "docker.io/a/b:c", "a/b:c");
	good("localhost/x", "localhost/x", "localhost/x:latest");
	good("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c");
	good("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000");
	good("a:5/b", "a:5/b", "a:5/b:latest");
	good("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x:latest");
	good("[fe80::1]/x", "[fe80::1]/x", "[fe80::1]/x:latest");
	good("A.B/c", "A.B/c", "A.B/c:latest");
	good("Foo/bar", "Foo/bar", "Foo/bar:latest");
	good("foo_bar.com/x", "foo_bar.com/x", "foo_bar.com/x:latest");
	good("a__b", "docker.io/library/a__b", "a__b:latest");
	good("a---b.c_d", "docker.io/library/a---b.c_d", "a---b.c_d:latest");
	good("x@sha256:" HEX, "docker.io/library/x@sha256:" HEX, "x@sha256:" HEX);
	good("x:1@sha256:" HEX, "docker.io/library/x:1@sha256:" HEX, "x:1@sha256:" HEX);
	good("a/" HEX, "docker.io/a/" HEX, "a/" HEX ":latest");
	good("x:_y.-Z", "docker.io/library/x:_y.-Z", "x:_y.-Z");

	bad("", BAD);
	bad(":x", BAD);
	bad("@sha256:" HEX, BAD);
	bad("a:", BAD);
	bad("a:-x", BAD);
	bad("a:x:y", BAD);
	bad("a//b", BAD);
	bad("/a", BAD);
	bad("a/", BAD);
	bad("-a", BAD);
	bad("a-", BAD);
	bad("a..b", BAD);
	bad("a___b", BAD);
	bad("a b", BAD);
	bad("a\nb", BAD);
	bad("../a", BAD);
	bad("a.-b/x", BAD);
	bad("a:x/b", BAD);
	bad("[::1/x", BAD);
	bad("x@sha256:12", BAD);
	bad("x@sha512:" HEX, "unsupported digest algorithm");
	bad("x@sha256:" HEX "00", "invalid checksum digest length");
	bad("x@sha256:1306F1a639f458029ebaf41ce4da553aac646a6a9035360c24150076edc4334e", "invalid checksum digest format");
	bad("ABC", BAD ": repository name (library/ABC) must be lowercase");
	bad("docker.io/Library/x", BAD ": repository name (Library/x) must be lowercase");
	bad(HEX, "invalid repository name (" HEX "), cannot specify 64-byte hexadecimal strings");
	test_long();
	test_linear();
	test_tag_argument();
	return tap_done();
}
