/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The volume store with the real driver "local" of the build tree. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "tap.h"
#include "volume/volume.h"

static char root[] = "/tmp/test-volume.XXXXXX";

static char *in_root(const char *name)
{
	return xasprintf("%s/volumes/%s", root, name);
}

static void put(const char *name, const char *text)
{
	OWN_FREE char *path = in_root(name);

	fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0600, FS_RENAME_ONLY, NULL);
}

static bool there(const char *name)
{
	OWN_FREE char *path = in_root(name);

	return fs_exists(path);
}

static struct volume_store *reopen(struct volume_store *s)
{
	OWN_ERR struct err err = ERR_INIT;

	volume_store_close(s);
	s = volume_store_open(root, root, &err);
	if (!s)
		printf("# %s\n", err_text(&err));
	return s;
}

/* Makes a volume with options "k=v,k=v" (k and v up to = and ;) and tells how that ended. */
static const char *make(struct volume_store *s, const char *name, const char *driver, const char *opts, const char *labels)
{
	static char text[512];
	OWN_ERR struct err err = ERR_INIT;
	struct strmap maps[2] = {0};
	const char *given[2] = { opts, labels };
	struct volume *v;

	for (int i = 0; i < 2; i++) {
		OWN_STRV struct strv words = {0};

		if (!given[i])
			continue;
		maps[i].set = true;
		strv_split(&words, given[i], ";");
		for (size_t j = 0; j < words.len; j++) {
			char *eq = strchr(words.v[j], '=');

			if (eq) {
				*eq = '\0';
				strmap_set(&maps[i], words.v[j], eq + 1);
			}
		}
	}
	v = volume_create(s, name, driver, opts ? &maps[0] : NULL, labels ? &maps[1] : NULL, &err);
	snprintf(text, sizeof(text), "%s", v ? "fine" : err_text(&err));
	if (!v && err.class != ERR_INVALID)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " [%d]", err_status(err.class));
	volume_unref(v);
	strmap_done(&maps[0]);
	strmap_done(&maps[1]);
	return text;
}

static char *json_of(struct volume_store *s, const char *name)
{
	OWN_VOLUME struct volume *v = volume_get(s, name, NULL);
	struct buf b = {0};
	struct jw w;
	char *created;

	if (!v)
		return NULL;
	jw_init(&w, &b);
	volume_encode(v, &w);
	/* Without the date. */
	created = strstr(b.data, "\"CreatedAt\":\"");
	if (created)
		memmove(created, strchr(created + 13, ',') + 1, strlen(strchr(created + 13, ',') + 1) + 1);
	return b.data;
}

static void test_names(struct volume_store *s)
{
	OWN_FREE char *longest = xcalloc(1, 257), *too_long;

	memset(longest, 'n', 255);
	too_long = xasprintf("%sn", longest);
	is_str(make(s, "a", NULL, NULL, NULL), "create a: volume name is too short, names should be at least "
		"two alphanumeric characters", "short name");
	is_str(make(s, "../x", NULL, NULL, NULL), "create ../x: \"../x\" includes invalid characters for a "
		"local volume name, only "
		"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
			"absolute path", "traversal");
	is_str(make(s, "_ab", NULL, NULL, NULL), "create _ab: \"_ab\" includes invalid characters for a local volume name, only "
		"\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
			"absolute path", "first character");
	is_str(make(s, longest, NULL, NULL, NULL), "fine", "255 characters");
	ok(strstr(make(s, too_long, NULL, NULL, NULL), "too long"), "256 characters");
	is_int(volume_remove(s, longest, false, NULL), 0, "and away");
	ok(strstr(make(s, "dockerd.json", NULL, NULL, NULL), "is in the way"), "the name of a file of ours");
}

static void test_options(struct volume_store *s)
{
	is_str(make(s, "o1", NULL, "type=tmpfs", NULL), "create o1: missing required option: \"device\"", "type alone");
	is_str(make(s, "o1", NULL, "device=tmpfs", NULL), "create o1: missing required option: \"type\"", "device alone");
	is_str(make(s, "o1", NULL, "o=size=1m", NULL), "create o1: missing required option: \"device\"", "o alone");
	is_str(make(s, "o1", NULL, "foo=bar", NULL), "create o1: invalid option: \"foo\"", "unknown option");
	is_str(make(s, "o1", NULL, "size=1m", NULL), "create o1: quota size requested but no quota support", "size");
	is_str(make(s, "o1", NULL, "size=abc", NULL), "create o1: invalid size: 'abc'", "size that is none");
	is_str(make(s, "o1", "nope", NULL, NULL), "create o1: error looking up volume plugin nope: plugin "
		"\"nope\" not found [404]", "unknown driver");
	ok(!volume_get(s, "o1", NULL) && !there("o1"), "nothing is left of a refused volume");
	is_str(make(s, "o1", NULL, "type=tmpfs;device=tmpfs;o=size=1m,uid=7", NULL), "fine", "tmpfs");
	{
		OWN_FREE char *path = in_root("o1/opts.json");
		OWN_BUF struct buf text = {0};

		is_int(fs_read(AT_FDCWD, path, 4096, &text, NULL), 0, "opts.json is there");
		is_str(text.data,
			"{\"MountType\":\"tmpfs\",\"MountOpts\":\"size=1m,uid=7\",\"MountDevice\":\"tmpfs\",\"Quota\":{\"Size\":0}}",
			"in Docker's format");
	}
}

static void test_json(struct volume_store **s)
{
	OWN_FREE char *want1 = xasprintf("{\"Driver\":\"local\",\"Labels\":{\"a\":\"2\",\"b\":\"1\"},\"Mountpoint\":\"%s/volumes/v1/_data\","
		"\"Name\":\"v1\",\"Options\":{},\"Scope\":\"local\"}", root);
	OWN_FREE char *want2 = xasprintf("{\"Driver\":\"local\",\"Labels\":null,\"Mountpoint\":\"%s/volumes/v2/_data\","
		"\"Name\":\"v2\",\"Options\":null,\"Scope\":\"local\"}", root);
	OWN_FREE char *want3 = xasprintf("{\"Driver\":\"local\",\"Labels\":null,\"Mountpoint\":\"%s/volumes/o1/_data\","
		"\"Name\":\"o1\",\"Options\":{\"device\":\"tmpfs\",\"o\":\"size=1m,uid=7\",\"type\":\"tmpfs\"},\"Scope\":\"local\"}", root);
	OWN_FREE char *got = NULL;
	OWN_VOLUME struct volume *before = NULL, *after = NULL;

	is_str(make(*s, "v1", "local", "", "b=1;a=2"), "fine", "create with labels");
	is_str(make(*s, "v1", NULL, NULL, "c=3"), "fine", "create again");
	is_str(make(*s, "v2", NULL, NULL, NULL), "fine", "create with nothing");
	ok(there("v1/_data") && !there("v1/opts.json"), "a plain directory");
	before = volume_get(*s, "v1", NULL);
	for (int i = 0; i < 2; i++) {
		free(got);
		got = json_of(*s, "v1");
		is_str(got, want1, "labels and options as given%s", i ? ", after a restart" : "");
		free(got);
		got = json_of(*s, "v2");
		is_str(got, want2, "null as given%s", i ? ", after a restart" : "");
		free(got);
		got = json_of(*s, "o1");
		is_str(got, want3, "options%s", i ? ", after a restart" : "");
		*s = reopen(*s);
	}
	after = volume_get(*s, "v1", NULL);
	ok(before->created > 0 && after->created == before->created, "the date stays");
}

static void test_anonymous(struct volume_store *s)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_VOLUME struct volume *v = volume_create(s, "", NULL, NULL, NULL, &err);

	ok(v && strlen(v->name) == 64 && strspn(v->name, "0123456789abcdef") == 64, "64 hex digits");
	ok(v && v->anonymous && streq(strmap_get(&v->labels, "com.docker.volume.anonymous"), ""), "marked by its label");
	is_int(volume_remove(s, v->name, false, NULL), 0, "removed");
}

static void test_use(struct volume_store *s)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv users = {0};
	bool created = false;

	volume_use(s, "v1", "c1");
	volume_use(s, "v1", "c2");
	volume_use(s, "v1", "c1");
	is_int(volume_users(s, "v1", &users), 2, "users are a set");
	is_int(volume_remove(s, "v1", true, &err), -1, "in use, even with force");
	is_str(err.msg, "remove v1: volume is in use - [c1, c2]", "Docker's text");
	is_int(err.class, ERR_CONFLICT, "409");
	volume_unuse(s, "v1", "c1");
	volume_unuse(s, "v1", "c2");
	volume_unuse(s, "v1", "c2");
	is_int(volume_remove(s, "v1", false, &err), 0, "free again");
	ok(!there("v1"), "its directory is gone");
	is_int(volume_remove(s, "v1", false, &err), -1, "a second time");
	is_str(err.msg, "get v1: no such volume", "no such volume");
	is_int(volume_remove(s, "v1", true, &err), 0, "fine with force");

	volume_use(s, "later", "c9");
	ok(!volume_get(s, "later", NULL), "a use makes no volume");
	volume_unref(volume_create_for(s, "later", NULL, NULL, NULL, NULL, &created, NULL));
	ok(created, "created");
	is_int(volume_users(s, "later", NULL), 1, "its early user counts");
	volume_unref(volume_create_for(s, "later", NULL, NULL, NULL, "c10", &created, NULL));
	ok(!created, "not created again");
	is_int(volume_users(s, "later", NULL), 2, "created for a container: used by it");
	volume_unuse(s, "later", "c9");
	volume_unuse(s, "later", "c10");
	is_int(volume_remove(s, "later", false, NULL), 0, "removed");
}

static bool mounted(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, 0, STATX_TYPE, &st) == 0 && (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static void test_mounts(struct volume_store **s)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *data = in_root("o1/_data"), *file = xasprintf("%s/x", data), *a = NULL, *b = NULL, *c = NULL, *opt = NULL;
	OWN_FREE char *away = in_root("v2"), *gone = xasprintf("%s.away", away);

	a = volume_mount(*s, "v2", "c1", &err);
	ok(a && there("v2/_data") && !mounted(a), "a plain volume is mounted nowhere");
	is_int(volume_unmount(*s, "v2", "c1", &err), 0, "unmount");
	is_int(volume_unmount(*s, "v2", "c1", &err), 0, "once more than mounted");
	ok(!volume_mount(*s, "none-such", "c1", &err) && err.class == ERR_NOT_FOUND, "mount of none");
	rename(away, gone);
	ok(!volume_mount(*s, "v2", "c1", &err) && strstr(err.msg, "is missing"), "mount of one that somebody took away");
	rename(gone, away);
	if (geteuid() != 0) {
		skip("mounts", "not root");
		return;
	}
	b = volume_mount(*s, "o1", "c1", &err);
	is_str(b, data, "tmpfs mounts at its place");
	ok(mounted(data), "and is mounted");
	ok(creat(file, 0600) >= 0, "a file in it");
	free(volume_mount(*s, "o1", "c1", &err));
	c = volume_mount(*s, "o1", "c2", &err);
	is_int(volume_remove(*s, "o1", true, &err), -1, "mounted: in use");
	volume_unmount(*s, "o1", "c2", &err);
	volume_unmount(*s, "o1", "c1", &err);
	ok(mounted(data), "still one mount of a container that mounts it twice");
	*s = reopen(*s);
	free(c);
	c = volume_mount(*s, "o1", "c1", &err);
	ok(mounted(data) && fs_exists(file), "after a restart it is taken over with its content");
	volume_unmount(*s, "o1", "c1", &err);
	ok(!mounted(data), "unmounted after the last");

	opt = xasprintf("type=none;device=%s;o=bind,ro", root);
	is_str(make(*s, "bound", NULL, opt, NULL), "fine", "bind");
	free(c);
	c = volume_mount(*s, "bound", "c1", &err);
	ok(c && mounted(c), "bind mounts");
	free(opt);
	opt = xasprintf("%s/y", c ? c : "");
	ok(open(opt, O_CREAT | O_WRONLY, 0600) < 0, "and read-only too");
	volume_unmount(*s, "bound", "c1", &err);
	is_str(make(*s, "bad", NULL, "type=none;device=/nowhere/at/all;o=bind", NULL), "fine",
		"a device that is not there is no matter at first");
	ok(!volume_mount(*s, "bad", "c1", &err), "but at the mount");
	free(opt);
	opt = xasprintf("error while mounting volume '%s/volumes/bad/_data': failed to mount local volume: "
		"mount /nowhere/at/all:%s/volumes/bad/_data, flags: 0x1000: no such file or directory", root, root);
	is_str(err.msg, opt, "Docker's words");
	is_int(volume_remove(*s, "bad", false, &err), 0, "removed");
	is_int(volume_remove(*s, "bound", false, &err), 0, "removed");
}

/* What is not ours in volumes/ stops nothing. */
static void test_foreign(struct volume_store **s)
{
	OWN_FREE char *deep = NULL, *fifo = in_root("pipe");
	const char *dirs[] = { "foreign", "foreign/_data", "empty", ".hidden", ".hidden/_data", "bad opts",
		".new-1-1", ".new-1-1/_data",
		".old-9-9", "damaged", "damaged/_data", "blank", "blank/_data" };
	OWN_ERR struct err err = ERR_INIT;
	struct volume **v;
	size_t len;
	bool seen = false, odd = false;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		OWN_FREE char *path = in_root(dirs[i]);

		mkdir(path, 0755);
	}
	mkfifo(fifo, 0600);
	put("damaged/opts.json", "{\"MountType\":");
	put("blank/opts.json", "");
	put("foreign/opts.json", "{\"MountDevice\":\"/no-such-device\",\"MountOpts\":\"addr=x\"}");
	put("metadata.db", "bolt");
	*s = reopen(*s);
	ok(*s, "opens");
	len = volume_list(*s, &v);
	for (size_t i = 0; i < len; i++) {
		seen |= streq(v[i]->name, "foreign");
		odd |= streq(v[i]->name, "empty") || v[i]->name[0] == '.' || streq(v[i]->name, "pipe") ||
			streq(v[i]->name, "bad opts");
	}
	volume_list_free(v, len);
	ok(seen, "a directory of the other engine is a volume");
	ok(!odd, "what has no _data or no name is none");
	ok(!there(".new-1-1") && !there(".old-9-9"), "left-overs are gone");
	ok(!volume_mount(*s, "damaged", "c1", &err) && strstr(err.msg, "damaged"), "damaged options: listed, not mounted");
	ok(!volume_mount(*s, "blank", "c1", &err) && strstr(err.msg, "damaged"), "an empty file of options as well");
	ok(!volume_mount(*s, "foreign", "c1", &err) && strstr(err.msg, "failed to mount"),
		"options without a type fail at the mount");
	is_int(volume_remove(*s, "damaged", false, &err), 0, "but removed");
	is_int(volume_remove(*s, "blank", false, &err), 0, "but removed");

	put("dockerd.json", "{\"Version\":1,\"Volumes\":[{\"Na");
	*s = reopen(*s);
	ok(*s && there("dockerd.json.damaged"), "a damaged index is put aside");
	{
		OWN_VOLUME struct volume *one = volume_get(*s, "foreign", NULL);

		ok(one && one->labels.len == 0, "the volumes are there");
	}
	put("dockerd.json", "{\"Version\":1,\"Volumes\":[{\"Name\":\"lost\",\"Driver\":\"local\",\"Labels\":{\"x\":\"y\"}},"
		"{\"Name\":\"far\",\"Driver\":\"remote-one\",\"Labels\":{\"x\":\"y\"}},{\"Name\":\"../evil\",\"Driver\":\"remote-one\"}]}");
	*s = reopen(*s);
	ok(*s && !volume_get(*s, "lost", NULL), "an item without its volume goes");
	ok(!volume_get(*s, "../evil", NULL), "an item with a bad name goes");
	{
		OWN_VOLUME struct volume *far = volume_get(*s, "far", NULL);

		ok(far && far->labels.len == 1, "a volume whose driver is missing stays known");
	}
	is_int(volume_remove(*s, "far", false, &err), -1, "it cannot be removed without its driver");
	is_int(volume_remove(*s, "far", true, &err), 0, "but be forgotten");

	deep = xstrdup(root);
	str_set(&deep, NULL);
	deep = in_root("foreign/_data");
	{
		int fd = open(deep, O_RDONLY | O_DIRECTORY);

		for (int i = 0; i < 3000 && fd >= 0; i++) {
			int next;

			mkdirat(fd, "d", 0755);
			if (symlinkat("/etc", fd, "link") < 0)
				break;
			next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
			close(fd);
			fd = next;
		}
		close(fd);
	}
	is_int(volume_remove(*s, "foreign", false, &err), 0, "removes a tree of any depth: %s", err_text(&err));
	ok(!there("foreign") && fs_exists("/etc/passwd"), "and follows no link");
}

static void *make_many(void *arg)
{
	struct volume_store *s = arg;

	for (int i = 0; i < 20; i++) {
		OWN_FREE char *name = xasprintf("many%d", i % 7);
		OWN_ERR struct err err = ERR_INIT;
		OWN_FREE char *path = NULL;
		struct volume *v = volume_create_for(s, name, NULL, NULL, NULL, NULL, NULL, &err);

		if (!v)
			return (void *)"create failed";
		volume_unref(v);
		path = volume_mount(s, name, "me", &err);
		if (path)
			volume_unmount(s, name, "me", &err);
		else if (err.class != ERR_NOT_FOUND)
			return (void *)"mount failed";
		volume_remove(s, name, true, NULL);
	}
	return NULL;
}

static void test_threads(struct volume_store *s)
{
	pthread_t t[4];
	const char *bad = NULL;
	void *ret;

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, make_many, s);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &ret);
		bad = ret ? ret : bad;
	}
	is_str(bad, NULL, "four threads make, mount and remove the same names");
	ok(!there("many0") && !there("many6"), "and leave none");
}

int main(void)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/volume/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = {0};
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRMAP struct strmap options = { 0 };
	struct volume_store *s;

	log_set_level(LOG_FATAL);
	ok(mkdtemp(root), "a data-root");
	strv_take(&dirs, realpath(dir, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	strmap_set(&options, "volume.local.z", "1");
	driver_set_options(&options);
	ok(!volume_store_open(root, root, &err) && strstr(err_text(&err), "it knows none"), "options that nobody knows are refused");
	err_done(&err);
	driver_set_options(NULL);
	s = volume_store_open(root, root, &err);
	if (!ok(s, "opens: %s", err_text(&err)))
		return tap_done();
	test_names(s);
	test_options(s);
	test_json(&s);
	test_anonymous(s);
	test_use(s);
	test_mounts(&s);
	test_foreign(&s);
	test_threads(s);
	volume_store_close(s);
	fs_remove_tree(AT_FDCWD, root, NULL);
	return tap_done();
}
