/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's side of registries: whom to ask, credentials, manifests, progress, blobs on their way. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "registry/manifest.h"
#include "registry/partial.h"
#include "registry/slots.h"
#include "registry/progress.h"
#include "registry/session.h"

#include "tap.h"

#define OCI "application/vnd.oci.image."
#define X64 "0000000000000000000000000000000000000000000000000000000000000000"
#define ENTRY(type) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" X64 "\",\"size\":5}"
#define CONFIG ENTRY(OCI "config.v1+json")
#define LAYER ENTRY(OCI "layer.v1.tar+gzip")

static void auth(const char *header, const char *user, const char *password, const char *token)
{
	OWN_REGISTRY_AUTH struct registry_auth a = { 0 };

	registry_auth_read(header, &a);
	is_str(a.username, user, "name in %s", header ? header : "nothing");
	is_str(a.password, password, "password");
	is_str(a.identity_token, token, "token");
}

static void test_auth(void)
{
	/* {"username":"u","password":"p?>"} in three spellings */
	auth("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA/PiJ9", "u", "p?>", NULL);
	auth("eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_PiJ9", "u", "p?>", NULL);
	auth("eyJpZGVudGl0eXRva2VuIjoidCJ9", NULL, NULL, "t");
	auth("eyJ1c2VybmFtZSI6InV1In0", "uu", NULL, NULL);
	auth("eyJ1c2VybmFtZSI6InV1In0=", "uu", NULL, NULL);
	auth("e30=", NULL, NULL, NULL);
	auth("", NULL, NULL, NULL);
	auth(NULL, NULL, NULL, NULL);
	auth("!!!", NULL, NULL, NULL);
	auth("anVuaw==", NULL, NULL, NULL);
	auth("eyJ1c2VybmFtZSI6NX0=", NULL, NULL, NULL);
}

static char *sites(const struct registry_config *cfg, const char *domain, struct err *err)
{
	int fds[8];
	size_t n;
	OWN_JSON json_t *js = sites_of(cfg, domain, fds, 8, &n, err);
	char *text = js ? json_dumps(js, JSON_COMPACT) : NULL;

	while (n)
		close(fds[--n]);
	return text;
}

static void put(const char *dir, const char *name)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ok(fd >= 0 && write(fd, "pem", 3) == 3, "%s", name);
}

static void test_sites(void)
{
	OWN_STRV struct strv mirrors = { 0 }, others = { 0 }, insecure = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	char dir[] = "/tmp/test-registry-XXXXXX";
	const struct registry_config cfg = { .mirrors = &mirrors, .mirrors_of = &others, .insecure = &insecure, .certs = mkdtemp(dir) };
	OWN_FREE char *host = xasprintf("%s/r.example:5000", dir), *a = NULL, *b = NULL, *c = NULL, *d = NULL, *e = NULL, *f = NULL;
	OWN_FREE char *n = xasprintf("%s/n.example", dir), *auth = xasprintf("%s/auth.json", n), *g = NULL, *h = NULL, *i = NULL;
	OWN_JSON json_t *cidrs = NULL;

	strv_add(&mirrors, "https://m.example/");
	strv_add(&insecure, "r.example:5000");
	strv_add(&insecure, "10.0.0.0/8");
	a = sites(&cfg, "docker.io", &err);
	is_str(a, "[{\"url\":\"https://m.example\",\"mirror\":true,\"insecure\":false},{\"url\":\"https://registry-1.docker.io\"}]", "Docker's: its mirrors, and itself");
	b = sites(&cfg, "q.example", &err);
	is_str(b, "[{\"host\":\"q.example\",\"insecure\":false}]", "any other: itself");
	c = sites(&cfg, "R.example:5000", &err);
	is_str(c, "[{\"host\":\"R.example:5000\",\"insecure\":true}]", "an insecure one");
	cidrs = sites_cidrs(&cfg);
	is_int(json_array_size(cidrs), 3, "networks: the loopback's, and those that are named");
	ok(mkdir(host, 0700) == 0, "certificates");
	put(host, "b.crt");
	put(host, "z.cert");
	d = sites(&cfg, "r.example:5000", &err);
	is_str(d, NULL, "a certificate without key is refused");
	is_str(err_text(&err), "missing key z.key for client certificate z.cert. CA certificates must use the extension .crt", "in Docker's words");
	put(host, "z.key");
	e = sites(&cfg, "r.example:5000", &err);
	is_str(e, "[{\"host\":\"r.example:5000\",\"insecure\":true,\"ca\":0,\"cert\":1,\"key\":2}]", "they are handed on");
	f = sites(&cfg, "..", &err);
	is_str(f, "[{\"host\":\"..\",\"insecure\":false}]", "no name of a folder");
	strv_add(&others, "s.example=https://m.example/proxy/s/");
	strv_add(&others, "s.example:1=https://n.example");
	strv_add(&others, "s.example=http://n.example");
	strv_add(&others, "docker.io=https://o.example");
	ok(mkdir(n, 0700) == 0, "a mirror's folder");
	ok(fs_write_atomic(AT_FDCWD, auth, "{\"username\":\"u\",\"password\":\"p\",\"more\":1}", strlen("{\"username\":\"u\",\"password\":\"p\",\"more\":1}"), 0644, 0, NULL) == 0, "with credentials");
	g = sites(&cfg, "s.example", &err);
	ok(!g && strstr(err_text(&err), "must be a file that nobody else can read"), "that everybody can read: %s", err_text(&err));
	chmod(auth, 0600);
	h = sites(&cfg, "s.example", &err);
	is_str(h, "[{\"url\":\"https://m.example\",\"mirror\":true,\"insecure\":false,\"prefix\":\"proxy/s\"},"
		"{\"url\":\"http://n.example\",\"mirror\":true,\"insecure\":false,\"username\":\"u\",\"password\":\"p\"},"
		"{\"host\":\"s.example\",\"insecure\":false}]", "another registry's mirrors: a path, and credentials of their own");
	i = sites(&cfg, "docker.io", &err);
	is_str(i, "[{\"url\":\"https://m.example\",\"mirror\":true,\"insecure\":false},{\"url\":\"https://o.example\",\"mirror\":true,\"insecure\":false},"
		"{\"url\":\"https://registry-1.docker.io\"}]", "Docker's, from both lists");
	ok(fs_remove_tree(AT_FDCWD, dir, &err) == 0, "clean-up");
}

static void manifest(const char *json, const char *type, const char *why)
{
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int rc = manifest_read(json, strlen(json), type, NULL, &m, &err);

	if (why)
		ok(rc < 0 && strstr(err_text(&err), why), "refused: %s: %s", why, err_text(&err));
	else
		ok(rc == 0 && m.media_type, "taken: %.90s %s", json, err_text(&err));
}

static void class_of(const char *type, const char *class)
{
	OWN_FREE char *json = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"%s\",\"digest\":\"sha256:" X64 "\",\"size\":1},\"layers\":[]}", type);
	OWN_FREE char *why = xasprintf("Encountered remote \"%s\"(%s) when fetching", type, class);
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int rc = manifest_read(json, strlen(json), NULL, NULL, &m, &err);

	is_str(rc == 0 ? manifest_class(&m) : err_text(&err), class, "%s", type);
	rc = manifest_check_image(&m, &err);
	if (streq(class, "image"))
		ok(rc == 0, "which is an image's");
	else
		is_str(err_text(&err), why, "which is none of an image");
}

static void layers(const char *config, const char *layer, const char *why)
{
	OWN_FREE char *json = xasprintf("{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}", config, layer);
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(manifest_read(json, strlen(json), NULL, NULL, &m, &err) == 0, "a manifest with a layer %.60s", layer);
	is_str(manifest_check_image(&m, &err) < 0 ? err_text(&err) : NULL, why, "as an image's");
}

static void test_manifests(void)
{
	manifest("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "]}", NULL, NULL);
	manifest("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", OCI "manifest.v1+json; charset=utf-8", NULL);
	manifest("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", "application/json", NULL);
	manifest("{\"schemaVersion\":2,\"manifests\":[" ENTRY("x") "]}", NULL, NULL);
	manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[]}", OCI "index.v1+json", NULL);
	manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":[]}", OCI "manifest.v1+json", "the registry says");
	manifest("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}", NULL, "both");
	manifest("{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"config\":" CONFIG "}", NULL, "no manifests");
	manifest("{\"schemaVersion\":2,\"layers\":[]}", NULL, "no configuration");
	manifest("{\"schemaVersion\":1}", NULL, "schema 1 support has been removed. More");
	manifest("{}", "application/vnd.docker.distribution.manifest.v1+prettyjws", "schema 1");
	manifest("{\"schemaVersion\":3}", NULL, "version 3");
	manifest("{\"schemaVersion\":2,\"mediaType\":\"x/y\"}", NULL, "unsupported media type x/y");
	class_of("helm", "unknown");
	class_of("application/vnd.docker.plugin.v1+json", "plugin");
	class_of("application/vnd.docker.container.image.v1+json", "image");
	class_of("application/octet-stream", "image");
	class_of("", "image");
	layers(CONFIG, LAYER, NULL);
	layers(CONFIG, ENTRY("x"), "layers of media type x are not supported");
	layers(ENTRY("helm"), ENTRY("x"), "Encountered remote \"helm\"(unknown) when fetching");
	manifest("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:../x\",\"size\":1},\"layers\":[]}", NULL, "invalid digest");
	manifest("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:" X64 "\",\"size\":-1},\"layers\":[]}", NULL, "invalid size");
	manifest("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:" X64 "\",\"size\":9000000},\"layers\":[]}", NULL, "larger than");
	manifest("", NULL, "invalid manifest");
	manifest("[]", NULL, "invalid manifest");
}

static void chooses(const struct manifest *m, const char *platform, const char *first)
{
	OWN_PLATFORM struct platform p = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	const struct manifest_entry *e;

	ok(platform_parse(platform, &p, &err) == 0, "%s", platform);
	e = manifest_choose(m, &p, &err);
	ok(first ? e && e->digest[7] == *first : !e && strstr(err_text(&err), "no matching manifest for"), "its entry: %s", err_text(&err));
}

static void test_choice(void)
{
#define AT(digit, platform) "{\"mediaType\":\"x\",\"digest\":\"sha256:" digit "000000000000000000000000000000000000000000000000000000000000000\",\"size\":1" platform "}"
	static const char json[] = "{\"schemaVersion\":2,\"manifests\":["
		AT("0", ",\"platform\":{\"os\":\"windows\"}") "," AT("1", ",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}") ","
		AT("2", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\"}") ","
		AT("3", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}") ","
		AT("4", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}") "," AT("5", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}") "]}";
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(manifest_read(json, strlen(json), NULL, NULL, &m, &err) == 0, "an index %s", err_text(&err));
	chooses(&m, "linux/amd64", "4");
	chooses(&m, "linux/arm/v7", "2");
	chooses(&m, "linux/arm/v6", NULL);
	chooses(&m, "amd64", "4");
	chooses(&m, "linux/arm", "2");
	chooses(&m, "linux/arm/v8", "2");
	chooses(&m, "linux/amd64/v2", "4");
	chooses(&m, "unknown/unknown", NULL);
	chooses(&m, "windows/amd64", NULL);
}

static void test_choice_without_platforms(void)
{
	static const char json[] = "{\"schemaVersion\":2,\"manifests\":["
		AT("1", ",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}") "," AT("2", "") ","
		AT("3", ",\"platform\":{\"os\":\"\",\"architecture\":\"\"}") ","
		AT("4", ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}") "]}";
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ok(manifest_read(json, strlen(json), NULL, NULL, &m, &err) == 0, "an index with entries of no platform %s", err_text(&err));
	chooses(&m, "linux/arm64", "4");
	chooses(&m, "linux/amd64", "2");
}

static void ranks(const char *platform, const char *architecture, const char *variant, int want)
{
	OWN_PLATFORM struct platform p = { 0 };

	ok(platform_parse(platform, &p, NULL) == 0, "%s", platform);
	is_int(platform_rank(&p, "linux", architecture, variant), want, "%s: %s %s", platform, architecture, variant ? variant : "-");
}

/* What runs there, and the best of it. */
static void test_ranks(void)
{
	OWN_PLATFORM struct platform p = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	ranks("linux/amd64", "amd64", NULL, 2);
	ranks("linux/amd64", "amd64", "v1", 2);
	ranks("linux/amd64", "x86_64", "", 2);
	ranks("linux/amd64", "amd64", "v3", 0);
	ranks("linux/amd64/v3", "amd64", "v3", 4);
	ranks("linux/amd64/v3", "amd64", "v4", 0);
	ranks("linux/amd64", "386", NULL, 0);
	ranks("linux/arm", "arm", "v7", 8);
	ranks("linux/arm", "arm", "v6", 7);
	ranks("linux/arm/v6", "arm", "v7", 0);
	ranks("linux/arm/v6", "arm", NULL, 1);
	ranks("linux/arm64", "arm64", "v8", 9);
	ranks("linux/arm64", "aarch64", NULL, 9);
	ranks("linux/arm64/v8", "arm64", NULL, 9);
	ranks("linux/arm64/v8.1", "arm64", "v8.1", 1);
	ranks("linux/s390x", "s390x", NULL, 1);
	ranks("linux/ppc64le/a", "ppc64le", "b", 0);
	ranks("linux/ppc64le/a", "ppc64le", "", 1);
	ranks("x86_64", "amd64", NULL, 2);
	ok(platform_parse("nonsense", &p, &err) < 0 && strstr(err_text(&err), "unknown operating system or architecture"), "%s", err_text(&err));
	ok(platform_parse("windows", &p, NULL) == 0 && streq(p.os, "windows"), "a system alone");
}

static char *said;

static void hear(void *ctx, const char *json)
{
	str_set(&said, json);
}

static void test_progress(void)
{
	const struct progress p = { hear, NULL, NULL };

	progress_at(&p, "i", "Downloading", 36445, 1087746);
	is_str(said, "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":36445,\"total\":1087746},\"progress\":\"[=\\u003e                                                 ]  36.45kB/1.088MB\",\"id\":\"i\"}",
		"as Docker draws it");
	progress_at(&p, "i", "Extracting", 1087746, 1087746);
	is_str(said, "{\"status\":\"Extracting\",\"progressDetail\":{\"current\":1087746,\"total\":1087746},\"progress\":\"[==================================================\\u003e]  1.088MB/1.088MB\",\"id\":\"i\"}",
		"at the end");
	progress_at(&p, "i", "Downloading", 5, 0);
	is_str(said, "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5},\"progress\":\"      5B\",\"id\":\"i\"}", "without an end");
	progress_step(&p, "i", "Waiting");
	is_str(said, "{\"status\":\"Waiting\",\"progressDetail\":{},\"id\":\"i\"}", "a step");
	progress_say(&p, NULL, "Digest: %s", "d");
	is_str(said, "{\"status\":\"Digest: d\"}", "a line");
	free(STEAL(said));
}

static void test_slots(void)
{
	struct slots *s = slots_new();
	struct slot one = { 0 }, two = { 0 }, three = { 0 }, four = { 0 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t n;

	ok(slots_take(s, &one, 2, fd) && slots_take(s, &two, 2, fd), "two at once");
	ok(read(fd, &n, sizeof(n)) > 0, "told");
	ok(!slots_take(s, &three, 2, fd) && !slots_take(s, &four, 2, fd), "the others wait");
	ok(read(fd, &n, sizeof(n)) < 0, "without a word");
	slots_give(s, &one);
	ok(read(fd, &n, sizeof(n)) > 0 && slots_take(s, &three, 2, fd) && !slots_take(s, &four, 2, fd), "the first in line goes on");
	ok(!slots_take(s, &one, 2, fd), "behind it comes who was there before");
	slots_give(s, &four);
	slots_give(s, &two);
	ok(slots_take(s, &one, 2, fd), "one leaves the line");
	ok(slots_take(s, &two, 0, fd), "no bound");
	slots_give(s, &one);
	slots_give(s, &two);
	slots_give(s, &three);
	slots_give(s, &three);
	slots_free(s);
	close(fd);
}

/* A client that reads when it is let. */
static struct { pthread_mutex_t may; struct buf all; } reader = { .may = PTHREAD_MUTEX_INITIALIZER };

static void read_slowly(void *ctx, const char *json)
{
	OWN_JSON json_t *js = json_read(json, strlen(json), NULL);
	const char *status = json_string_value(json_object_get(js, "status"));

	pthread_mutex_lock(&reader.may);
	buf_addf(&reader.all, "%.1s%lld ", status ? status : "-", (long long)json_integer_value(json_object_get(json_object_get(js, "progressDetail"), "current")));
	pthread_mutex_unlock(&reader.may);
}

static void test_teller(void)
{
	struct progress p;

	pthread_mutex_lock(&reader.may);
	progress_open(&p, read_slowly, NULL);
	progress_say(&p, NULL, "First");
	for (int i = 1; i <= 9; i++) {
		progress_at(&p, "a", "Loading", i, 9);
		progress_at(&p, "b", "Loading", 10 * i, 90);
	}
	progress_step(&p, "a", "Complete");
	progress_at(&p, "a", "Extracting", 1, 9);
	progress_retry(&p, "a", 5);
	progress_pushed(&p, "t", "d", 7);
	pthread_mutex_unlock(&reader.may);
	progress_close(&p);
	is_str(reader.all.data, "F0 L9 L90 C0 R0 -0 ", "a client that does not read is told what is new, when it reads");
	buf_done(&reader.all);
	progress_open(&p, NULL, NULL);
	progress_say(&p, NULL, "Nobody");
	progress_close(&p);
}

static void test_partials(void)
{
	char dir[] = "/tmp/test-partial-XXXXXX";
	OWN_ERR struct err err = ERR_INIT;
	struct partials *p = mkdtemp(dir) ? partials_open(dir, &err) : NULL;
	OWN_FREE char *file = xasprintf("%s/" X64, dir);
	struct partial *a, *b;
	int64_t at = -1;
	struct stat st;
	int fd;

	if (!ok(p, "a folder %s", err_text(&err)))
		return;
	a = partial_join(p, "sha256:" X64);
	b = partial_join(p, "sha256:" X64);
	ok(a == b, "both want one thing");
	ok(partial_take(p, a, &at) == PARTIAL_MINE && partial_take(p, b, &at) == PARTIAL_OTHERS, "one of them fetches");
	partial_at(a, 5);
	ok(partial_take(p, b, &at) == PARTIAL_OTHERS && at == 5, "the other sees how far it is");
	fd = partial_file(p, a, &err);
	ok(fd >= 0 && write(fd, "12345", 5) == 5, "into a file");
	close(fd);
	is_int(partial_size(p, a), 5, "of which so much is there");
	partial_fetched(p, a, false);
	partial_leave(p, a, true);
	ok(partial_take(p, b, &at) == PARTIAL_MINE, "and goes on when that one fails");
	partial_fetched(p, b, false);
	partial_leave(p, b, false);
	ok(stat(file, &st) == 0 && st.st_size == 5, "what is there of it is kept");
	a = partial_join(p, "sha256:" X64);
	ok(partial_take(p, a, &at) == PARTIAL_MINE, "for the next one");
	partial_fetched(p, a, true);
	ok(partial_take(p, a, &at) == PARTIAL_WHOLE, "which makes it whole");
	b = partial_join(p, "sha256:" X64);
	partial_leave(p, b, false);
	partial_leave(p, a, false);
	ok(stat(file, &st) == 0, "a whole one that nobody used is kept, too");
	a = partial_join(p, "sha256:" X64);
	ok(partial_look(p, a, &at) == PARTIAL_MINE && partial_take(p, a, &at) == PARTIAL_MINE, "for the next one, who looks at it anew");
	partials_sweep(p, true);
	ok(stat(file, &st) == 0, "nobody takes it away from him");
	partial_fetched(p, a, true);
	partial_leave(p, a, true);
	ok(stat(file, &st) < 0, "and takes it along");
	ok(partials_claim(p, "c") && !partials_claim(p, "c") && partials_claim(p, "d"), "a layer is unpacked by one");
	a = partial_join(p, "sha256:" X64);
	fd = partial_file(p, a, &err);
	ok(fd >= 0 && write(fd, "1", 1) == 1, "one for which there is no room");
	close(fd);
	partial_spare(p, a);
	partial_leave(p, a, false);
	ok(stat(file, &st) < 0, "goes as it is");
	partials_release(p, "c");
	ok(partials_claim(p, "c"), "at a time");
	partials_close(p);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ok(fd >= 0 && futimens(fd, (struct timespec[]){ { 5, 0 }, { 5, 0 } }) == 0, "something old");
	close(fd);
	p = partials_open(dir, &err);
	ok(p && stat(file, &st) < 0, "is removed at the start");
	partials_close(p);
	ok(rmdir(dir) == 0, "nothing is left");
}

int main(void)
{
	test_auth();
	test_sites();
	test_manifests();
	test_choice();
	test_choice_without_platforms();
	test_ranks();
	test_progress();
	test_teller();
	test_partials();
	test_slots();
	return tap_done();
}
