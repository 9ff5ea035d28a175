/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define FAKE_REGISTER 1
#include "image/archive-spool.h"
#include "image/archive.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/tar.h"
#include "fake-layers.h"
#include "tap.h"

static char dir[] = "/tmp/test-archive-XXXXXX";
static char *tmp;
static struct image_store *store;

/* An archive in the making. */
struct archive { struct buf b; struct buf_writer bw; struct tar_writer tw; };

static void begin(struct archive *a)
{
	*a = (struct archive){ 0 };
	buf_writer_init(&a->bw, &a->b);
	tar_writer_init(&a->tw, &a->bw.writer);
}

static void put(struct archive *a, const char *name, const char *text)
{
	tar_write_file(&a->tw, name, text, strlen(text), 0, NULL);
}

static void put_link(struct archive *a, enum tar_type type, const char *name, const char *to)
{
	struct tar_entry e = { .type = type, .name = name, .link = to, .uname = "", .gname = "", .mode = 0777,
		.atime = { .tv_nsec = UTIME_OMIT } };

	tar_write_header(&a->tw, &e, NULL);
}

static char *digest(const char *text)
{
	char ret[DIGEST_TEXT];

	digest_of(text, strlen(text), ret);
	return xstrdup(ret);
}

/* A configuration over layers of these bytes. */
static char *config_of(const char *const *layers, const char *more)
{
	OWN_BUF struct buf b = { 0 };

	buf_addf(&b, "{%s\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", more);
	for (size_t i = 0; layers[i]; i++) {
		OWN_FREE char *d = digest(layers[i]);

		buf_addf(&b, "%s\"%s\"", i ? "," : "", d);
	}
	buf_adds(&b, "]}}");
	return buf_steal(&b);
}

static char *put_blob(struct archive *a, const char *text)
{
	char *d = digest(text);
	OWN_FREE char *name = xasprintf("blobs/sha256/%s", d + 7);

	put(a, name, text);
	return d;
}

static struct strv lines, ids;

static void catch_line(void *ctx, const char *json)
{
	strv_add(&lines, json);
}

static int load(struct archive *a, const char *platform, struct err *err)
{
	struct archive_load_opts o = { .tmp_dir = tmp, .quiet = true, .emit = catch_line, .platform = platform };
	struct mem_reader in;

	strv_done(&lines);
	strv_done(&ids);
	mem_reader_init(&in, a->b.data, a->b.size);
	return archive_load(store, &in.reader, &o, &ids, err);
}

static size_t images(void)
{
	struct image **v;
	size_t n = image_list(store, &v);

	image_list_free(v, n);
	return n;
}

static size_t files_in(const char *path)
{
	OWN_DIR DIR *d = opendir(path);
	struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	return n;
}

static void loads(struct archive *a, const char *what, const char *line)
{
	OWN_ERR struct err err = ERR_INIT;

	tar_write_end(&a->tw, NULL);
	if (!ok(load(a, NULL, &err) == 0, "%s loads", what))
		printf("# %s\n", err_text(&err));
	is_str(lines.len ? lines.v[lines.len - 1] : NULL, line, "%s: what it says", what);
	is_int(files_in(tmp), 0, "%s: no temporary file stays", what);
	buf_done(&a->b);
}

static void refused(struct archive *a, const char *what, const char *msg)
{
	OWN_ERR struct err err = ERR_INIT;
	size_t n = images(), layers = fake_count();

	tar_write_end(&a->tw, NULL);
	ok(load(a, NULL, &err) < 0, "%s is refused", what);
	ok(strstr(err_text(&err), msg), "%s: %s", what, err_text(&err));
	ok(err.class == ERR_INVALID || err.class == ERR_NOT_FOUND || err.class == ERR_TOO_LARGE, "%s: the client's fault", what);
	is_int(images(), n, "%s: no image stays", what);
	is_int(fake_count(), layers, "%s: no layer stays", what);
	is_int(files_in(tmp), 0, "%s: no temporary file stays", what);
	buf_done(&a->b);
}

static const char *const one[] = { "layer one", NULL }, *const two[] = { "layer one", "layer two", NULL };
static const char *const fresh[] = { "fresh one", "fresh two", NULL }; /* never loaded: a layer that is there is not read again */

static void put_manifest(struct archive *a, const char *config, const char *tags, const char *layers)
{
	OWN_FREE char *text = xasprintf("[{\"Config\":\"%s\",\"RepoTags\":[%s],\"Layers\":[%s]}]", config, tags, layers);

	put(a, "manifest.json", text);
}

static void test_docker(void)
{
	OWN_FREE char *config = config_of(two, ""), *config1 = config_of(one, "\"comment\":\"other\","), *old = NULL, *want = NULL;
	OWN_STRV struct strv tags = { 0 };
	struct archive a;

	/* links between layers are how Docker writes a layer that is there twice */
	begin(&a);
	put(&a, "x/layer.tar", "layer one");
	put(&a, "y/layer.tar", "layer two");
	put_link(&a, TAR_SYMLINK, "z/layer.tar", "../x/layer.tar");
	put(&a, "c.json", config);
	put_manifest(&a, "c.json", "\"a/b:c\",\"busybox:latest\"", "\"z/layer.tar\",\"y/layer.tar\"");
	loads(&a, "an archive with its manifest last", "{\"stream\":\"Loaded image: busybox:latest\\n\"}");
	is_int(ids.len, 1, "one image");
	image_refs(store, ids.v[0], &tags, NULL);
	is_int(tags.len, 2, "with its tags");
	is_int(fake_count(), 2, "with its layers");
	is_int(fake_syncs, 1, "and one sync");
	old = xstrdup(ids.v[0]);

	begin(&a);
	put_manifest(&a, "./c.json", "\"busybox:latest\"", "\"l\"");
	put(&a, "c.json", config1);
	put(&a, "l", "layer one");
	loads(&a, "another one of the same name", "{\"stream\":\"Loaded image: busybox:latest\\n\"}");
	want = xasprintf("{\"stream\":\"The image busybox:latest already exists, renaming the old one with ID %s to empty string\\n\"}", old);
	is_str(lines.v[0], want, "tells what becomes of the old one");
	is_int(fake_count(), 2, "and shares its layer");

	begin(&a);
	put(&a, "c.json", "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}");
	put_manifest(&a, "c.json", "", "");
	tar_write_end(&a.tw, NULL);
	ok(load(&a, NULL, NULL) == 0 && str_has_prefix(lines.v[0], "{\"stream\":\"Loaded image ID: sha256:"),
		"an image without layers and tags");
	buf_done(&a.b);
}

static void test_hostile(void)
{
	static const char *const lost[] = { "fresh three", NULL };
	OWN_FREE char *config = config_of(fresh, "\"comment\":\"h\","), *windows = config_of(fresh, "\"os\":\"windows\",");
	OWN_FREE char *config2 = config_of(lost, "");
	static const struct { const char *what, *manifest, *msg; } bad[] = {
		{ "a configuration outside", "[{\"Config\":\"../../etc/passwd\",\"Layers\":[\"l1\",\"l2\"]}]", "no file ../../etc/passwd" },
		{ "an absolute configuration", "[{\"Config\":\"/etc/passwd\",\"Layers\":[\"l1\",\"l2\"]}]", "no file /etc/passwd" },
		{ "a layer outside", "[{\"Config\":\"c\",\"Layers\":[\"l1\",\"../../../../etc/passwd\"]}]", "no file" },
		{ "a layer that is not there", "[{\"Config\":\"c\",\"Layers\":[\"l1\",\"l3\"]}]", "no file l3" },
		{ "too few layers", "[{\"Config\":\"c\",\"Layers\":[\"l1\"]}]", "layers length mismatch: expected 1, got 2" },
		{ "too many layers", "[{\"Config\":\"c\",\"Layers\":[\"l1\",\"l2\",\"l2\"]}]", "layers length mismatch: expected 3, got 2" },
		{ "layers in the wrong order", "[{\"Config\":\"c\",\"Layers\":[\"l2\",\"l1\"]}]", "wrong diff id" },
		{ "a wrong second layer", "[{\"Config\":\"c\",\"Layers\":[\"l1\",\"l1\"]}]", "wrong diff id" },
		{ "a configuration that is no JSON", "[{\"Config\":\"l1\",\"Layers\":[]}]", "invalid JSON" },
		{ "Windows", "[{\"Config\":\"w\",\"Layers\":[\"l1\",\"l2\"]}]", "cannot load windows image on linux" },
		{ "a bad tag", "[{\"Config\":\"c\",\"RepoTags\":[\"Bad Name\"],\"Layers\":[\"l1\",\"l2\"]}]", "invalid reference format" },
		{ "a name without tag", "[{\"Config\":\"c\",\"RepoTags\":[\"name\"],\"Layers\":[\"l1\",\"l2\"]}]", "invalid tag" },
		{ "an id as a name", "[{\"Config\":\"c\",\"RepoTags\":[\"1306f1a639f458029ebaf41ce4da553aac646a6a9035360c24150076edc4334e\"],\"Layers\":[\"l1\",\"l2\"]}]", "64-byte hexadecimal" },
		{ "a bad parent", "[{\"Config\":\"c\",\"Layers\":[\"l1\",\"l2\"],\"Parent\":\"../x\"}]", "bad parent" },
		{ "no JSON", "hello", "manifest.json" },
		{ "an object for a list", "{}", "manifest.json" },
		{ "a second object behind", "[]},{\"x\":[", "manifest.json" },
		{ "a configuration of the wrong type", "[{\"Config\":1}]", "manifest.json" },
		{ "a good image before a bad one", "[{\"Config\":\"c\",\"RepoTags\":[\"good:1\"],\"Layers\":[\"l1\",\"l2\"]},{\"Config\":\"c2\",\"Layers\":[\"l1\"]}]", "wrong diff id" },
		{ "a link in a circle", "[{\"Config\":\"loop\",\"Layers\":[]}]", "no file loop" },
		{ "a link to nowhere", "[{\"Config\":\"dangling\",\"Layers\":[]}]", "no file dangling" },
	};
	struct archive a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		begin(&a);
		put(&a, "l1", "fresh one");
		put(&a, "l2", "fresh two");
		put(&a, "c", config);
		put(&a, "w", windows);
		put(&a, "c2", config2);
		put_link(&a, TAR_SYMLINK, "loop", "loop");
		put_link(&a, TAR_SYMLINK, "dangling", "nowhere");
		put(&a, "manifest.json", bad[i].manifest);
		refused(&a, bad[i].what, bad[i].msg);
	}
}

static void test_members(void)
{
	static const struct { const char *what, *name, *link; enum tar_type type; const char *msg; } bad[] = {
		{ "a member above", "../x", "", TAR_FILE, "bad member name" },
		{ "a member above further down", "a/../../x", "", TAR_FILE, "bad member name" },
		{ "an absolute member", "/x", "", TAR_FILE, "bad member name" },
		{ "a link outside", "a/x", "../../etc/passwd", TAR_SYMLINK, "leads outside" },
		{ "an absolute link", "x", "/etc/passwd", TAR_SYMLINK, "leads outside" },
		{ "a hard link outside", "x", "../etc/passwd", TAR_HARDLINK, "leads outside" },
		{ "a device", "x", "", TAR_CHARDEV, "neither file nor folder" },
		{ "a pipe", "x", "", TAR_FIFO, "neither file nor folder" },
	};
	OWN_FREE char *config = config_of(one, "\"comment\":\"m\","), *junk = xmalloc(9001);
	struct archive a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		begin(&a);
		put(&a, "l", "layer one");
		put(&a, "c", config);
		put_manifest(&a, "c", "", "\"l\"");
		put_link(&a, bad[i].type, bad[i].name, bad[i].link);
		refused(&a, bad[i].what, bad[i].msg);
	}
	begin(&a);
	put(&a, "c", config);
	put(&a, "./c", config);
	refused(&a, "a member given twice", "twice");
	begin(&a);
	refused(&a, "an empty tar", "neither manifest.json nor index.json");
	begin(&a);
	put(&a, "x", "y");
	refused(&a, "some other tar", "neither manifest.json nor index.json");
	begin(&a);
	memset(junk, 'j', 9000);
	junk[9000] = '\0';
	put(&a, "l", junk);
	put(&a, "c", config);
	put_manifest(&a, "c", "", "\"l\"");
	a.b.size = 6000; /* in the middle of the layer */
	refused(&a, "a cut archive", "");
	begin(&a);
	buf_adds(&a.b, junk);
	refused(&a, "no archive at all", "");
}

static char *manifest_of(const char *config, const char *layer, size_t layer_size, const char *more)
{
	OWN_FREE char *cd = digest(config), *ld = digest(layer);

	return xasprintf("{\"schemaVersion\":2,%s\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
			 "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}]}",
		more, cd, strlen(config), ld, layer_size);
}

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX "application/vnd.oci.image.index.v1+json"

static char *entry_of(const char *text, const char *type, const char *more)
{
	OWN_FREE char *d = digest(text);

	return xasprintf("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", type, d, strlen(text), more);
}

static void begin_oci(struct archive *a, const char *config, const char *manifest)
{
	begin(a);
	put(a, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	free(put_blob(a, "layer one"));
	free(put_blob(a, config));
	if (manifest)
		free(put_blob(a, manifest));
}

static void put_index(struct archive *a, const char *entries)
{
	OWN_FREE char *text = xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", entries);

	put(a, "index.json", text);
}

static void test_oci(void)
{
	OWN_FREE char *config = config_of(one, "\"architecture\":\"amd64\",\"os\":\"linux\",\"comment\":\"oci\",");
	OWN_FREE char *m = manifest_of(config, "layer one", 9, "");
	OWN_FREE char *named = entry_of(m, OCI_MANIFEST,
		",\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/oci:1\",\"org.opencontainers.image.ref.name\":\"1\"}");
	OWN_FREE char *plain = entry_of(m, OCI_MANIFEST, ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"latest\"}");
	OWN_FREE char *here = entry_of(m, OCI_MANIFEST, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}");
	OWN_FREE char *other = entry_of(m, OCI_MANIFEST, ",\"platform\":{\"os\":\"linux\",\"architecture\":\"mips\"}"), *want = NULL;
	OWN_FREE char *inner = xasprintf("{\"schemaVersion\":2,\"mediaType\":\"" OCI_INDEX "\",\"manifests\":[%s,%s]}", other, here);
	OWN_FREE char *inner_other = xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", other);
	OWN_FREE char *nested = entry_of(inner, OCI_INDEX,
		",\"annotations\":{\"org.opencontainers.image.ref.name\":\"example.com/nested:2\"}");
	OWN_FREE char *nested_other = entry_of(inner_other, OCI_INDEX, "");
	struct archive a;

	begin_oci(&a, config, m);
	put_index(&a, named);
	loads(&a, "an OCI layout", "{\"stream\":\"Loaded image: oci:1\\n\"}");
	begin_oci(&a, config, m);
	put_index(&a, plain);
	want = xasprintf("{\"stream\":\"Loaded image ID: %s\\n\"}", ids.v[0]);
	loads(&a, "one without a full name", want);
	begin_oci(&a, config, m);
	free(put_blob(&a, inner));
	put_index(&a, nested);
	loads(&a, "an index within the index", "{\"stream\":\"Loaded image: example.com/nested:2\\n\"}");
	begin_oci(&a, config, m);
	free(put_blob(&a, inner_other));
	put_index(&a, nested_other);
	refused(&a, "an image for other platforms only", "no matching manifest for linux/");
	begin_oci(&a, config, m);
	put_index(&a, other);
	refused(&a, "an archive for other platforms only", "no image for linux/");
}

/* Large blobs are compared with their names only when they are used. */
static void test_promises(void)
{
	const size_t size = (1 << 20) + 1;
	OWN_FREE char *big = xmalloc(size + 1), *hex = NULL;
	OWN_SPOOL struct spool *sp = NULL;
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf got = { 0 };
	const struct spool_member *m;
	struct archive a;
	struct mem_reader in;

	memset(big, 'x', size);
	big[size] = '\0';
	begin(&a);
	hex = put_blob(&a, big);
	put(&a, "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000", big);
	put(&a, "big", big);
	tar_write_end(&a.tw, NULL);
	mem_reader_init(&in, a.b.data, a.b.size);
	sp = spool_read(&in.reader, tmp, NULL, &err);
	if (!ok(sp != NULL, "large blobs are spooled: %s", err_text(&err)))
		return;
	m = spool_find(sp, "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000");
	ok(m && m->promise && spool_check(sp, m, NULL, &err) < 0 && strstr(err_text(&err), "wrong digest"), "a lie is found when asked for");
	err_done(&err);
	ok(spool_bytes(sp, m, 2 * size, &got, &err) < 0 && strstr(err_text(&err), "wrong digest"), "and when read");
	m = spool_find(sp, "big");
	ok(m && !m->promise && spool_check(sp, m, NULL, NULL) == 0, "others promise nothing");
	OWN_FREE char *name = xasprintf("blobs/sha256/%s", hex + 7);

	m = spool_find(sp, name);
	ok(m && m->promise && spool_check(sp, m, NULL, NULL) == 0, "a promise that is kept");
	buf_done(&a.b);
}

static void test_oci_hostile(void)
{
	OWN_FREE char *config = config_of(one, "\"architecture\":\"amd64\",\"os\":\"linux\",\"comment\":\"evil\",");
	OWN_FREE char *good = manifest_of(config, "layer one", 9, ""), *size = manifest_of(config, "layer one", 10, "");
	OWN_FREE char *both = manifest_of(config, "layer one", 9, "\"manifests\":[],");
	OWN_FREE char *typed = manifest_of(config, "layer one", 9, "\"mediaType\":\"" OCI_INDEX "\",");
	OWN_FREE char *lost = manifest_of(config, "layer three", 11, ""), *entry = entry_of(good, OCI_MANIFEST, ""), *index = NULL;
	const struct { const char *what, *manifest, *type, *msg; } bad[] = {
		{ "a wrong size", size, OCI_MANIFEST, "9 bytes, not 10" },
		{ "both layers and manifests", both, OCI_MANIFEST, "both a manifest and an index" },
		{ "a manifest that calls itself an index", typed, OCI_MANIFEST, "was promised" },
		{ "a manifest as an index", good, OCI_INDEX, "" },
		{ "a missing layer", lost, OCI_MANIFEST, "no file blobs/sha256/" },
		{ "an unknown type", good, "text/plain", "neither an image manifest nor an index" },
		{ "a manifest that is no JSON", "hello", OCI_MANIFEST, "invalid JSON" },
		{ "an artifact", "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"x/y\",\"digest\":\"x\",\"size\":1},\"layers\":[]}",
			OCI_MANIFEST, "no container image" },
		{ "schema 1", "{\"schemaVersion\":1}", OCI_MANIFEST, "schema version 1" },
	};
	struct archive a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_FREE char *e = entry_of(bad[i].manifest, bad[i].type, "");

		begin_oci(&a, config, bad[i].manifest);
		put_index(&a, e);
		refused(&a, bad[i].what, bad[i].msg);
	}
	begin_oci(&a, config, good);
	put(&a, "blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000", "lie");
	put_index(&a, entry);
	refused(&a, "a blob of another digest", "wrong digest");
	begin_oci(&a, config, good);
	put_index(&a, "{\"mediaType\":\"" OCI_MANIFEST "\",\"digest\":\"sha256:../../x\",\"size\":1}");
	refused(&a, "a digest that is a path", "bad digest");
	begin(&a);
	put_index(&a, "");
	refused(&a, "no oci-layout", "no file oci-layout");
	/* an index that holds itself cannot be made with true digests; one that is deep can */
	index = xstrdup(good);
	begin_oci(&a, config, good);
	for (int i = 0; i < 6; i++) {
		OWN_FREE char *inner = entry_of(index, i ? OCI_INDEX : OCI_MANIFEST, "");
		char *outer = xasprintf("{\"schemaVersion\":2,\"manifests\":[%s]}", inner);

		free(index);
		index = outer;
		free(put_blob(&a, index));
	}
	free(entry);
	entry = entry_of(index, OCI_INDEX, "");
	put_index(&a, entry);
	refused(&a, "an index nested too deep", "nested too deep");
}

/* Before a layer is read: what does not fit is counted, each layer once, and not those that are there. */
static void test_room(void)
{
	static const char *const big[] = { "room one", "room two", NULL };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *config = config_of(big, "");
	size_t n = images(), layers = fake_count();
	struct archive a;

	for (int i = 0; i < 2; i++) {
		begin(&a);
		put(&a, "c.json", config);
		put(&a, "1", big[0]);
		put(&a, "2", big[1]);
		put_manifest(&a, "c.json", "\"room:1\"", "\"1\",\"2\"");
		tar_write_end(&a.tw, NULL);
		fake_room = i == 0 ? 15 : 16;
		ok((load(&a, NULL, &err) == 0) == (i == 1), "room for %lld of 16 bytes: %s", (long long)fake_room, err_text(&err));
		if (i == 0)
			ok(err.class == ERR_NO_SPACE && strstr(err_text(&err), "layers of 16 bytes"), "in words");
		is_int((int64_t)images(), (int64_t)(n + (size_t)i), "images");
		is_int((int64_t)fake_count(), (int64_t)(layers + 2 * (size_t)i), "layers");
		is_int(files_in(tmp), 0, "no temporary file stays");
		buf_done(&a.b);
		err_done(&err);
	}
	fake_room = -1;
}

static void test_save(void)
{
	OWN_BUF struct buf out = { 0 };
	struct buf_writer w;
	OWN_STRV struct strv names = { 0 }, again = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct archive a;
	size_t n = images(), layers = fake_count();
	OWN_FREE char *id = NULL;

	strv_add(&names, "a/b:c");
	strv_add(&names, "oci");
	strv_add(&names, "a/b");
	buf_writer_init(&w, &out);
	if (!ok(archive_save(store, &names, NULL, &w.writer, NULL, NULL, &err) == 0, "images are saved"))
		printf("# %s\n", err_text(&err));
	is_int(images(), n, "nothing changes");
	{
		CLEANUP(image_unrefp) struct image *img = image_get(store, "a/b:c", NULL);

		id = xstrdup(img->id);
	}
	ok(image_delete(store, id, NULL, NULL) == 0 && images() == n - 1, "the image goes");
	a = (struct archive){ .b = out };
	ok(load(&a, NULL, &err) == 0, "its archive loads");
	is_int(lines.len, 2, "two tags in it");
	is_str(lines.v[0], "{\"stream\":\"Loaded image: a/b:c\\n\"}", "the tag asked for");
	is_str(lines.v[1], "{\"stream\":\"Loaded image: oci:1\\n\"}", "all tags of a bare name");
	is_str(ids.v[0], id, "the same image");
	is_int(images(), n, "as before");
	is_int(fake_count(), layers, "with the same layers");

	strv_add(&again, "a/b:c");
	strv_add(&again, "nosuch");
	out.size = 0;
	ok(archive_save(store, &again, NULL, &w.writer, NULL, NULL, &err) < 0, "an unknown name");
	is_str(err_text(&err), "No such image: nosuch", "has its text");
	is_int(out.size, 0, "before the first byte");
}

static void test_import(void)
{
	OWN_STRV struct strv changes = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf raw = { 0 };
	struct mem_reader in;
	size_t n = images(), layers = fake_count();
	char id[72];

	strv_add(&changes, "CMD [\"sh\"]");
	strv_add(&changes, "ENV A=b C=\"$A\"");
	mem_reader_init(&in, "tar bytes", 9);
	ok(archive_import(store, &in.reader, "hello", &changes, "linux/arm64", NULL, id, &err) == 0, "an import");
	ok(image_raw(store, id, &raw, NULL) == 0, "has a configuration");
	ok(strstr(raw.data, "{\"architecture\":\"arm64\",\"comment\":\"hello\",\"config\":{\"Hostname\":\"\"") == raw.data,
		"in Docker's form");
	ok(strstr(raw.data, "\"Env\":[\"A=b\",\"C=\"],\"Cmd\":[\"sh\"]"), "with the changes");
	is_int(images(), n + 1, "one image more");
	is_int(fake_count(), layers + 1, "one layer more");
	strv_add(&changes, "RUN x");
	mem_reader_init(&in, "tar bytes 2", 11);
	ok(archive_import(store, &in.reader, NULL, &changes, NULL, NULL, id, &err) < 0, "RUN is no change");
	is_str(err_text(&err), "run is not a valid change command", "says Docker's text");
	ok(archive_import(store, &in.reader, NULL, &(struct strv){ 0 }, "windows", NULL, id, &err) < 0, "Windows is not here");
	is_int(fake_count(), layers + 1, "and nothing stays");
}

/* The form of Docker before 1.10; that its images are Docker's is shown by t/clients/legacy.py. */
static void test_v1(void)
{
	struct archive a;
	char id[8];

	begin(&a);
	put(&a, "repositories", "{\"v1\":{\"a\":\"child\",\"b\":\"base\"}}");
	put(&a, "base/json", "{\"os\":\"linux\"}");
	put(&a, "base/layer.tar", "v1 base");
	put(&a, "child/json", "{\"parent\":\"middle\"}");
	put_link(&a, TAR_SYMLINK, "child/layer.tar", "../base/layer.tar");
	put(&a, "middle/json", "{\"parent\":\"base\"}");
	put(&a, "middle/layer.tar", "v1 middle");
	loads(&a, "Docker's oldest form", "{\"stream\":\"Loaded image: v1:a\\n\"}");
	is_int(lines.len, 2, "which says nothing of an image without a name that has children");
	is_int(ids.len, 2, "nor counts it");
	{
		CLEANUP(image_unrefp) struct image *child = image_get(store, "v1:a", NULL), *base = image_get(store, "v1:b", NULL);
		CLEANUP(image_unrefp) struct image *middle = child && child->parent ? image_by_id(store, child->parent) : NULL;

		if (ok(base && middle, "images with their parents")) {
			is_str(middle->parent, base->id, "down to the base");
			is_int(child->diff_ids.len, 3, "a layer each");
			is_str(child->diff_ids.v[2], base->diff_ids.v[0], "by links, too");
			is_int(child->history.len, 3, "and a line of history");
		}
	}
	begin(&a);
	put(&a, "repositories", "{}");
	for (int i = 0; i < 126; i++) {
		OWN_FREE char *json = xasprintf("%s/json", (snprintf(id, sizeof(id), "%03d", i), id));
		OWN_FREE char *layer = xasprintf("%s/layer.tar", id), *text = xasprintf("{\"parent\":\"%03d\"}", i - 1);

		put(&a, json, i ? text : "{}");
		put_link(&a, TAR_SYMLINK, layer, "../layer");
	}
	put(&a, "layer", "deep");
	refused(&a, "an image of too many layers", "max depth exceeded");
	begin(&a);
	put(&a, "repositories", "{}");
	put(&a, "x/json", "{}");
	put(&a, "x/layer.tar", "sixteen bytes...");
	fake_room = 15;
	tar_write_end(&a.tw, NULL);
	{
		OWN_ERR struct err err = ERR_INIT;

		ok(load(&a, NULL, &err) < 0 && err.class == ERR_NO_SPACE, "a layer that does not fit: %s", err_text(&err));
	}
	buf_done(&a.b);
	fake_room = -1;
}

/* One member named many times is read many times: what stays in memory is counted. */
static void test_bytes(void)
{
	static const char head[] = "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}";
	const size_t size = 7 << 20;
	OWN_FREE char *config = xmalloc(size + 1);
	struct archive a;

	memset(config, ' ', size);
	memcpy(config, head, sizeof(head) - 1);
	config[size - 1] = '}';
	config[size] = '\0';
	begin(&a);
	put(&a, "c", config);
	put(&a, "manifest.json",
		"[{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"},"
		"{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"},{\"Config\":\"c\"}]");
	refused(&a, "one large configuration for many images", "more than 67108864 bytes");
	begin(&a);
	put(&a, "repositories", "{}");
	for (int i = 0; i < 10; i++) {
		OWN_FREE char *json = xasprintf("x%d/json", i), *layer = xasprintf("x%d/layer.tar", i);

		if (i)
			put_link(&a, TAR_SYMLINK, json, "../x0/json");
		else
			put(&a, json, config);
		put(&a, layer, "l");
	}
	refused(&a, "the same in the oldest form", "more than 67108864 bytes");
}

int main(void)
{
	log_set_level(LOG_FATAL);
	BUG_ON(!mkdtemp(dir));
	tmp = xasprintf("%s/tmp", dir);
	store = image_store_open((struct layer_store *)1, dir, NULL);
	BUG_ON(!store);
	test_docker();
	test_hostile();
	test_members();
	test_oci();
	test_oci_hostile();
	test_promises();
	test_room();
	test_v1();
	test_bytes();
	test_save();
	test_import();
	image_store_close(store);
	strv_done(&lines);
	strv_done(&ids);
	fs_remove_tree(AT_FDCWD, dir, NULL);
	free(tmp);
	return tap_done();
}
