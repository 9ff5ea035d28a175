/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/image.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "fake-layers.h"
#include "tap.h"

#define D(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define A D("a")
#define B D("b")

static char dir[] = "/tmp/test-image-XXXXXX";

static struct image_store *open_store(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct image_store *s = image_store_open((struct layer_store *)1, dir, &err);

	if (!ok(s != NULL, "the store opens"))
		printf("# %s\n", err_text(&err));
	return s;
}

static char *config_text(const char *comment, const char *diffs)
{
	return xasprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"comment\":\"%s\",\"created\":\"2020-01-02T03:04:05.6Z\","
			 "\"config\":{\"Cmd\":[\"sh\"],\"Labels\":{\"k\":\"v\"},\"Volumes\":{\"/v\":{}}},"
			 "\"history\":[{\"created_by\":\"x\"},{\"empty_layer\":true}],\"unknown\":1,"
			 "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}", comment, diffs);
}

static void make(struct image_store *s, const char *comment, const char *diffs, const char *parent, char id[72])
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *text = config_text(comment, diffs);

	if (!ok(image_create(s, text, strlen(text), parent, id, &err) == 0, "image %s is created", comment))
		printf("# %s\n", err_text(&err));
}

static int tag(struct image_store *s, const char *id, const char *name, char **old, struct err *err)
{
	OWN_REFERENCE struct reference r = { 0 };

	if (reference_parse(name, &r, err) < 0)
		return -1;
	return image_tag(s, id, &r, old, err);
}

static int untag(struct image_store *s, const char *name, struct err *err)
{
	OWN_REFERENCE struct reference r = { 0 };

	return reference_parse(name, &r, err) < 0 ? -1 : image_untag(s, &r, err);
}

static void finds(struct image_store *s, const char *name, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;
	CLEANUP(image_unrefp) struct image *img = image_get(s, name, &err);

	is_str(img ? img->id : NULL, id, "%.20s finds it", name);
}

static void misses(struct image_store *s, const char *name, enum err_class class, const char *msg)
{
	OWN_ERR struct err err = ERR_INIT;
	CLEANUP(image_unrefp) struct image *img = image_get(s, name, &err);

	ok(!img, "%.20s finds nothing", name);
	is_str(err_text(&err), msg, "and says so");
	is_int(err.class, class, "in the right class");
}

static char *slurp(const char *rel)
{
	OWN_FREE char *path = xasprintf("%s/image/fake/%s", dir, rel);
	OWN_BUF struct buf b = { 0 };

	return fs_read(AT_FDCWD, path, 1 << 20, &b, NULL) < 0 ? NULL : buf_steal(&b);
}

static void spill(const char *rel, const char *text)
{
	OWN_FREE char *path = xasprintf("%s/image/fake/%s", dir, rel);

	fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, NULL);
}

static void test_create_and_find(char id1[72])
{
	struct image_store *s = open_store();
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_FREE char *want = config_text("one", "\"" A "\",\"" B "\""), *path = NULL, *got = NULL;
	OWN_BUF struct buf raw = { 0 };
	char again[72];

	fake_add(NULL, A, "12345", 5);
	fake_add(A, B, "123", 3);
	make(s, "one", "\"" A "\",\"" B "\"", NULL, id1);
	img = image_by_id(s, id1);
	ok(img != NULL, "it is there");
	is_int(img->size, 8, "its size is the sum of its layers");
	is_str(img->chain, fake[1].chain, "its chain is the top layer's");
	is_str(img->config.cmd.v[0], "sh", "its command is parsed");
	is_int(img->history.len, 2, "its history is parsed");
	is_int(fake[1].refs, 2, "it holds its top layer");
	make(s, "one", "\"" A "\",\"" B "\"", NULL, again);
	is_str(again, id1, "the same configuration is the same image");
	is_int(fake[1].refs, 2, "and holds no more");
	ok(image_raw(s, id1, &raw, NULL) == 0 && streq(raw.data, want), "its bytes are kept as they came");
	path = xasprintf("imagedb/content/sha256/%s", id1 + 7);
	got = slurp(path);
	is_str(got, want, "in Docker's place");
	finds(s, id1, id1);
	finds(s, id1 + 7, id1);
	again[12] = '\0';
	finds(s, again, id1);
	finds(s, again + 7, id1);
	misses(s, "nosuch", ERR_NOT_FOUND, "No such image: nosuch:latest");
	misses(s, "a/b:c", ERR_NOT_FOUND, "No such image: a/b:c");
	misses(s, A, ERR_NOT_FOUND, "No such image: " A);
	misses(s, &A[7], ERR_NOT_FOUND, "No such image: " A);
	misses(s, "NOSUCH", ERR_INVALID, "invalid reference format: repository name (library/NOSUCH) must be lowercase");
	image_store_close(s);
}

static void test_tags(const char *id1, char id2[72])
{
	struct image_store *s = open_store();
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv tags = { 0 }, digests = { 0 };
	OWN_FREE char *old = NULL, *file = NULL, *want = NULL;

	finds(s, id1, id1);
	is_int(fake[1].refs, 3, "a store opened again holds the layer");
	make(s, "two", "\"" A "\"", id1, id2);
	ok(tag(s, id1, "busybox", &old, &err) == 0 && !old, "a first tag");
	ok(tag(s, id1, "busybox-x:1", NULL, &err) == 0 && tag(s, id1, "busybox@" A, NULL, &err) == 0, "more of them");
	finds(s, "busybox", id1);
	finds(s, "docker.io/library/busybox:latest", id1);
	finds(s, "busybox@" A, id1);
	finds(s, "busybox:nope@" A, id1);
	file = slurp("repositories.json");
	want = xasprintf("{\"Repositories\":{\"busybox\":{\"busybox:latest\":\"%s\",\"busybox@" A "\":\"%s\"},"
			 "\"busybox-x\":{\"busybox-x:1\":\"%s\"}}}", id1, id1, id1);
	is_str(file, want, "repositories.json is Docker's");
	ok(tag(s, id2, "busybox", &old, &err) == 0, "the tag moves");
	is_str(old, id1, "and tells where from");
	finds(s, "busybox", id2);
	image_refs(s, id1, &tags, &digests);
	ok(tags.len == 1 && streq(tags.v[0], "busybox-x:1"), "the tags of an image");
	ok(digests.len == 1 && streq(digests.v[0], "busybox@" A), "and its digests");
	ok(tag(s, A, "x", NULL, &err) < 0 && err.class == ERR_NOT_FOUND, "no image, no tag");
	err_done(&err);
	ok(tag(s, id1, "sha256:x", NULL, &err) < 0 && err.class == ERR_INVALID, "sha256 is no name");
	err_done(&err);
	ok(untag(s, "busybox-x:1", &err) == 0, "a tag goes");
	misses(s, "busybox-x:1", ERR_NOT_FOUND, "No such image: busybox-x:1");
	ok(untag(s, "busybox-x:1", &err) < 0 && err.class == ERR_NOT_FOUND, "once");
	is_int(image_children(s, id1, NULL), 1, "the child is known");
	image_store_close(s);
	s = open_store();
	finds(s, "busybox", id2);
	is_int(image_children(s, id1, NULL), 1, "after a restart, too");
	{
		CLEANUP(image_unrefp) struct image *img = image_by_id(s, id2);

		ok(image_last_tag(img) > clock_now() - 60 * NSEC_PER_SEC, "and when it was tagged");
		is_str(img->parent, id1, "and the child's parent");
	}
	image_store_close(s);
}

static void test_usage(struct image_store *s)
{
	struct image **v;
	size_t n = image_list(s, &v);
	int64_t shared[2];

	is_int(n, 2, "two images");
	is_int(image_usage(s, v, n, shared), 8, "their layers count once");
	ok(shared[0] == 5 && shared[1] == 5, "they share the lower layer");
	image_list_free(v, n);
}

static bool has(struct image_store *s, const char *id)
{
	CLEANUP(image_unrefp) struct image *img = image_by_id(s, id);

	return img != NULL;
}

static void test_delete(const char *id1, const char *id2)
{
	struct image_store *s = open_store();
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv removed = { 0 };
	OWN_FREE char *content = xasprintf("imagedb/content/sha256/%s", id1 + 7), *gone = NULL, *text = NULL;

	test_usage(s);
	while (fake[1].refs > 1)
		layer_unref(NULL, fake[1].chain, NULL, NULL);
	ok(image_take_back(s, id1, NULL, &err) == 0 && has(s, id1), "what has a tag is not taken back");
	ok(image_take_back(s, A, NULL, &err) == 0, "nor what is not there");
	ok(image_delete(s, id1, &removed, &err) == 0, "an image is deleted");
	is_int(removed.len, 1, "with the layer that nothing else has");
	text = xasprintf("No such image: %s", id1);
	misses(s, id1, ERR_NOT_FOUND, text);
	misses(s, "busybox@" A, ERR_NOT_FOUND, "No such image: busybox@" A);
	gone = slurp(content);
	ok(!gone, "its file is gone");
	{
		CLEANUP(image_unrefp) struct image *img = image_by_id(s, id2);

		ok(img && !img->parent, "its child forgot it");
	}
	ok(image_delete(s, id1, NULL, &err) < 0 && err.class == ERR_NOT_FOUND, "once");
	image_store_close(s);
	s = open_store();
	finds(s, "busybox", id2);
	{
		CLEANUP(image_unrefp) struct image *img = image_by_id(s, id2);

		ok(img && !img->parent, "for good");
	}
	image_store_close(s);
}

static void test_refused(void)
{
	static const struct { const char *config, *msg; } bad[] = {
		{ "{}", "invalid image JSON, no RootFS key" },
		{ "null", NULL }, { "", NULL }, { "[]", NULL }, { "{", NULL },
		{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../../etc\"]}}", "invalid image JSON: bad layer digest" },
		{ "{\"rootfs\":{\"type\":\"squash\"}}", "invalid image JSON: unknown rootfs type" },
		{ "{\"rootfs\":{\"diff_ids\":[\"" D("f") "\"]}}", NULL },
		{ "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Env\":\"x\"}}", NULL },
		{ "{\"rootfs\":{\"diff_ids\":[]},\"created\":\"yesterday\"}", NULL },
	};
	struct image_store *s = open_store();
	OWN_BUF struct buf many = { 0 };
	size_t before = fake_count();
	char id[72];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_ERR struct err err = ERR_INIT;

		ok(image_create(s, bad[i].config, strlen(bad[i].config), NULL, id, &err) < 0, "%.50s is refused", bad[i].config);
		if (bad[i].msg)
			is_str(err_text(&err), bad[i].msg, "with its reason");
	}
	buf_adds(&many, "{\"rootfs\":{\"diff_ids\":[");
	for (int i = 0; i < 126; i++)
		buf_adds(&many, i ? ",\"" A "\"" : "\"" A "\"");
	buf_adds(&many, "]}}");
	ok(image_create(s, many.data, many.size, NULL, id, NULL) < 0, "126 layers are too many");
	is_int(fake_count(), before, "nothing is left");
	image_store_close(s);
}

static void test_damage(const char *id2)
{
	OWN_FREE char *content = xasprintf("imagedb/content/sha256/%s", id2 + 7), *good = slurp(content), *aside = NULL, *file = NULL;
	struct image_store *s;
	struct image *img;
	OWN_ERR struct err err = ERR_INIT;
	char id[72];

	spill(content, "{\"rootfs\":{\"diff_ids\":[]}}");
	spill("imagedb/content/sha256/" "0000000000000000000000000000000000000000000000000000000000000000", "");
	spill("imagedb/content/sha256/../../x", "");
	s = open_store();
	is_int(damage_count(DAMAGE_LOST), 2, "damaged configurations are noted");
	img = image_get(s, "busybox", NULL);
	ok(img && streq(img->id, id2) && img->damaged && strmap_get(&img->config.labels, IMAGE_DAMAGED_LABEL),
		"the image stays listed, with the reason");
	image_unref(img);
	ok(image_create(s, good, strlen(good), NULL, id, &err) == 0 && streq(id, id2), "the same image can come again");
	img = image_get(s, "busybox", NULL);
	ok(img && !img->damaged && img->chain, "and is whole");
	image_unref(img);
	is_int(damage_count(DAMAGE_LOST), 1, "and not among the damaged any more");
	ok(image_delete(s, "sha256:" "0000000000000000000000000000000000000000000000000000000000000000", NULL, &err) == 0 &&
		damage_count(DAMAGE_LOST) == 0, "a damaged one can be removed: %s", err_text(&err));
	finds(s, "busybox", id2);
	image_store_close(s);
	spill("repositories.json", "{\"Repositories\":{\"busybox\":{\"busybox:la");
	s = open_store();
	aside = slurp("repositories.json.damaged");
	ok(aside && strlen(aside) == 39, "damaged tags are set aside");
	finds(s, "busybox", id2);
	is_int(damage_count(DAMAGE_REPAIRED), 1, "and come from the copy");
	image_store_close(s);
	spill("repositories.json", "");
	spill("repositories.json.copy", "{");
	s = open_store();
	file = slurp("repositories.json");
	is_str(file, "{\"Repositories\":{}}", "without a copy empty ones are written");
	is_int(damage_count(DAMAGE_LOST), 1, "and that is noted");
	finds(s, id2, id2);
	image_store_close(s);
	s = open_store();
	finds(s, id2, id2);
	image_store_close(s);
	damage_forget("image", "tags");
	spill("repositories.json", "{\"Repositories\":{\"busybox\":{\"busybox:latest\":\"sha256:../x\",\"Bad Name:x\":\"" A "\",\"y:1\":\"" A "\"},\"z\":3}}");
	s = open_store();
	is_int(damage_count(DAMAGE_LOST), 1 + 1, "single bad entries are left out, and that is noted");
	img = image_get(s, "y:1", NULL);
	ok(img && img->damaged, "a tag without an image is listed");
	image_unref(img);
	image_store_close(s);
}

static void test_many(void)
{
	struct image_store *s = open_store();
	struct image **v;
	size_t n;
	int64_t t;
	char id[72], id_last[72];

	for (int i = 0; i < 1000; i++) {
		OWN_FREE char *text = xasprintf("{\"rootfs\":{\"diff_ids\":[]},\"comment\":\"%d\"}", i);

		image_create(s, text, strlen(text), NULL, i == 999 ? id_last : id, NULL);
	}
	ok(tag(s, id, "many", NULL, NULL) == 0, "a tag among many");
	ok(fake_syncs >= 1000, "layers are settled before each configuration");
	image_store_close(s);
	t = clock_mono();
	s = open_store();
	ok(clock_mono() - t < 3 * NSEC_PER_SEC, "1000 images open fast (%lld ms)", (long long)(clock_mono() - t) / 1000000);
	t = clock_mono();
	n = image_list(s, &v);
	for (size_t i = 0; i < n; i++) {
		OWN_STRV struct strv tags = { 0 };

		image_refs(s, v[i]->id, &tags, NULL);
	}
	ok(n > 1000 - 1 && clock_mono() - t < NSEC_PER_SEC / 4, "and list fast (%lld us)", (long long)(clock_mono() - t) / 1000);
	image_list_free(v, n);
	id_last[7 + 20] = '\0';
	ok(image_by_id(s, id_last) == NULL, "a prefix is no id");
	image_store_close(s);
}

int main(void)
{
	char id1[72], id2[72];

	log_set_level(LOG_FATAL);
	BUG_ON(!mkdtemp(dir));
	test_create_and_find(id1);
	test_tags(id1, id2);
	test_delete(id1, id2);
	test_refused();
	test_damage(id2);
	test_many();
	fs_remove_tree(AT_FDCWD, dir, NULL);
	return tap_done();
}
