/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Labels of SELinux, from files of contexts and onto files: without a kernel that has it. What it does with them is 43-selinux's, in a virtual machine. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/selinux.h"

#include "tap.h"

#define ATTR "security.selinux"

static char root[] = "/tmp/dkd-selinux-XXXXXX";

static char *at(const char *name)
{
	return xasprintf("%s/%s", root, name);
}

static void put(const char *name, const char *text)
{
	OWN_FREE char *path = at(name);

	BUG_ON(fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FS_RENAME_ONLY, NULL) < 0);
}

static void folder(const char *name)
{
	OWN_FREE char *path = at(name);

	BUG_ON(fs_mkdirs(path, 0755, NULL) < 0);
}

/* Options are words divided by blanks. */
static int labels(struct selinux *s, const char *options, char **process, char **mount, struct err *err)
{
	OWN_STRV struct strv words = { 0 };

	if (*options)
		strv_split(&words, options, " ");
	return selinux_labels(s, &words, process, mount, err);
}

static void gives(struct selinux *s, const char *options, const char *process, const char *mount)
{
	OWN_FREE char *p = NULL, *m = NULL;
	OWN_ERR struct err err = ERR_INIT;

	ok(labels(s, options, &p, &m, &err) == 0, "%s %s", options, err.msg ? err.msg : "");
	is_str(p, process, "  process");
	is_str(m, mount, "  mount");
	selinux_release(s, p);
}

static void refuses(struct selinux *s, const char *options, const char *want)
{
	OWN_FREE char *p = NULL, *m = NULL;
	OWN_ERR struct err err = ERR_INIT;

	ok(labels(s, options, &p, &m, &err) < 0 && err.class == ERR_INVALID, "refused: %s", options);
	is_str(err_text(&err), want, "  in words");
}

static struct selinux *open_policy(void)
{
	OWN_FREE char *etc = at("etc"), *own = at("own");

	return selinux_new(etc, own);
}

#define CONTEXTS "process = \"system_u:system_r:container_t:s0\"\n; comment\n#file = \"x:y:z\"\n  file=system_u:object_r:container_file_t:s0  \nro_file = \"system_u:object_r:container_ro_file_t:s0\"\n"

static void test_files(void)
{
	OWN_FREE char *where = at("etc/mine/contexts/lxc_contexts"), *own = at("own");
	struct selinux *s = open_policy();

	ok(!selinux_contexts(s), "without a policy's files there are no labels");
	gives(s, "", "", "");
	gives(s, "level:s0:c1,c2", "", "");
	gives(s, "disable", "", "");
	refuses(s, "level", "bad label option \"level\", valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value");
	selinux_free(s);

	folder("etc/mine/contexts");
	put("etc/config", "# comment\nSELINUX=enforcing\nSELINUXTYPE=\"mine\"\n");
	put("etc/mine/contexts/lxc_contexts", "process = \"nothing\"\nfile = \"a:b:c\\\"d\"\n");
	s = open_policy();
	ok(!selinux_contexts(s), "contexts that are none count for nothing");
	selinux_free(s);
	put("etc/mine/contexts/lxc_contexts", CONTEXTS);
	s = open_policy();
	is_str(selinux_contexts(s), where, "the policy that the host's configuration names");
	is_str(selinux_unknown(s, "/dev/null"), NULL, "a kernel that takes every label");
	is_str(selinux_unknown(s, "/proc/self/oom_score_adj"), "system_u:system_r:container_t:s0", "one that takes none");
	is_str(selinux_unknown(s, "/nonexistent"), NULL, "one that cannot be asked");
	selinux_free(s);
	put("own", "process = \"a:b:own_t:s0\"\nfile = \"a:b:own_file_t:s0\"\n");
	s = open_policy();
	is_str(selinux_contexts(s), own, "a file of containers comes first");
	gives(s, "level:s0:c7", "a:b:own_t:s0:c7", "a:b:own_file_t:s0:c7");
	selinux_free(s);
	put("own", "process = \"a:b:own_t\"\nfile = \"a:b:own_file_t\"\n");
	s = open_policy();
	gives(s, "", "a:b:own_t", "a:b:own_file_t");
	gives(s, "type:x_t", "a:b:x_t", "a:b:own_file_t");
	selinux_free(s);
	unlink(own);
}

static void test_options(void)
{
	struct selinux *s = open_policy();

	gives(s, "level:s0:c1,c2", "system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2");
	gives(s, "level:s0:c1,c2 user:u role:r type:t filetype:f", "u:r:t:s0:c1,c2", "u:object_r:f:s0:c1,c2");
	gives(s, "level:s0 level:s0-s0:c0.c1023", "system_u:system_r:container_t:s0-s0:c0.c1023", "system_u:object_r:container_file_t:s0-s0:c0.c1023");
	gives(s, "disable", "", "system_u:object_r:container_file_t:s0:c1022,c1023");
	gives(s, "type:x disable", "", "system_u:object_r:container_file_t:s0:c1022,c1023");
	refuses(s, "nope:x", "bad label option \"nope\", valid options 'disable, user, role, level, type, filetype'");
	refuses(s, "x", "bad label option \"x\", valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value");
	refuses(s, "type:", "bad label option \"type:\": a context has letters, digits, '_', '.', ':', ',' and '-'");
	refuses(s, "filetype:x\",uid=0", "bad label option \"filetype:x\",uid=0\": a context has letters, digits, '_', '.', ':', ',' and '-'");
	refuses(s, "level:s0\nx", "bad label option \"level:s0\nx\": a context has letters, digits, '_', '.', ':', ',' and '-'");
	refuses(s, "type:a:b", "bad label option \"type:a:b\": only a level has ':'");
	refuses(s, "user:a:b:c:s0", "bad label option \"user:a:b:c:s0\": only a level has ':'");
	selinux_free(s);
}

static const char *level_of(const char *label)
{
	const char *p = label;

	for (int i = 0; i < 3; i++)
		p = strchr(p, ':') + 1;
	return p;
}

static void test_levels(void)
{
	enum { MANY = 300 };
	struct selinux *s = open_policy();
	OWN_ERR struct err err = ERR_INIT;
	char *p[MANY] = { NULL }, *m[MANY] = { NULL };
	size_t same = 0, odd = 0;

	for (size_t i = 0; i < MANY; i++) {
		unsigned a = 0, b = 0;

		BUG_ON(labels(s, "", &p[i], &m[i], &err) < 0);
		odd += sscanf(level_of(p[i]), "s0:c%u,c%u", &a, &b) != 2 || a >= b || b > 1023 || !streq(level_of(p[i]), level_of(m[i]));
		for (size_t k = 0; k < i; k++)
			same += streq(level_of(p[i]), level_of(p[k]));
	}
	is_int(odd, 0, "each level is a pair of categories, the lower one first, of process and files alike");
	is_int(same, 0, "and no two containers have the same");
	for (size_t i = 0; i < MANY; i++) {
		free(p[i]);
		free(m[i]);
	}
	selinux_free(s);
}

static void test_reservation(void)
{
	struct selinux *s = open_policy();
	OWN_ERR struct err err = ERR_INIT;
	char *p[4] = { NULL }, *m[4] = { NULL };
	OWN_STRV struct strv options = { 0 };

	/* three categories are three pairs */
	selinux_narrow(s, 3);
	for (size_t i = 0; i < 3; i++)
		BUG_ON(labels(s, "", &p[i], &m[i], &err) < 0);
	ok(labels(s, "", &p[3], &m[3], &err) < 0 && !p[3], "when every pair has a container: %s", err_text(&err));
	selinux_release(s, p[1]);
	ok(labels(s, "", &p[3], &m[3], &err) == 0 && streq(p[3], p[1]), "one that was given back is taken again: %s", p[3]);
	/* a container that joins another has its level */
	selinux_options_of(p[0], &options);
	is_int(options.len, 4, "options of a label");
	str_set(&p[1], NULL);
	str_set(&m[1], NULL);
	err_done(&err);
	ok(selinux_labels(s, &options, &p[1], &m[1], &err) == 0, "another container with it, although every pair is taken");
	selinux_release(s, p[3]);
	is_str(p[1], p[0], "the same label for another container");
	is_str(m[1], m[0], "and for its files");
	selinux_release(s, p[0]);
	str_set(&p[3], NULL);
	str_set(&m[3], NULL);
	BUG_ON(labels(s, "", &p[3], &m[3], &err) < 0);
	ok(!streq(p[3], p[0]), "which stays taken as long as either has it");
	/* the next daemon */
	selinux_free(s);
	s = open_policy();
	selinux_narrow(s, 3);
	selinux_reserve(s, p[0]);
	selinux_reserve(s, p[2]);
	selinux_reserve(s, "");
	selinux_reserve(s, NULL);
	selinux_reserve(s, "nothing");
	str_set(&p[3], NULL);
	str_set(&m[3], NULL);
	ok(labels(s, "", &p[3], &m[3], &err) == 0 && !streq(p[3], p[0]) && !streq(p[3], p[2]), "levels of the containers that are there are taken");
	selinux_release(s, "a:b:c:s0:c99");
	selinux_release(s, "");
	for (size_t i = 0; i < 4; i++) {
		free(p[i]);
		free(m[i]);
	}
	selinux_free(s);
}

static void test_with_level(void)
{
	static const char *const rows[][2] = { { "u:r:t:s0:c1,c2", "u:r:t:s0" }, { "u:r:t", "u:r:t:s0" }, { "u:r:t:s0", "u:r:t:s0" }, { "odd", "odd" } };

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		OWN_FREE char *got = selinux_with_level(rows[i][0], "s0");

		is_str(got, rows[i][1], "shared: %s", rows[i][0]);
	}
}

/* The attribute of a name, itself where it is a link; "" for none. Owned. */
static char *label_at(const char *name)
{
	OWN_FREE char *path = at(name);
	char value[256];
	ssize_t n = lgetxattr(path, ATTR, value, sizeof(value) - 1);

	value[n > 0 ? n : 0] = '\0';
	return xstrdup(value);
}

static void labelled(const char *name, const char *want, const char *what)
{
	OWN_FREE char *got = label_at(name);

	is_str(got, want, "%s: %s", what, name);
}

static void relabel(const char *name, bool shared, struct err *err)
{
	OWN_FREE char *path = at(name);

	BUG_ON(selinux_relabel(path, "u:object_r:f_t:s0:c1,c2", shared, err) < 0);
}

static void test_tree(void)
{
	OWN_FREE char *dir = at("tree"), *link = at("tree/link"), *fifo = at("tree/sub/fifo"), *way = at("way"), *other = at("other"), *deep = at("deep");
	OWN_ERR struct err err = ERR_INIT;
	struct stat before, after;

	folder("tree/sub/sub");
	folder("other");
	put("tree/file", "x");
	put("tree/sub/sub/file", "x");
	put("other/file", "x");
	BUG_ON(symlink("../other", link) < 0 || mkfifo(fifo, 0600) < 0 || symlink("tree", way) < 0);
	if (lsetxattr(dir, ATTR, "probe", 6, 0) < 0) {
		skip("labels of files", "no rights to set them, or a file system without");
		return;
	}
	lsetxattr(other, ATTR, "u:object_r:mine_t:s0", 21, 0);
	relabel("tree", false, &err);
	for (size_t i = 0; i < 7; i++)
		labelled(((const char *const[]){ "tree", "tree/file", "tree/link", "tree/sub", "tree/sub/fifo", "tree/sub/sub", "tree/sub/sub/file" })[i],
			"u:object_r:f_t:s0:c1,c2", "private");
	labelled("other", "u:object_r:mine_t:s0", "behind a link");
	labelled("other/file", "", "behind a link");
	stat(dir, &before);
	relabel("tree", false, &err);
	stat(dir, &after);
	ok(before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec, "what has its label is not touched again");
	relabel("way", true, &err);
	labelled("tree/sub/sub/file", "u:object_r:f_t:s0", "shared, by way of a link");
	labelled("tree", "u:object_r:f_t:s0", "shared, by way of a link");
	labelled("way", "", "the link itself");
	relabel("tree/file", false, &err);
	labelled("tree/file", "u:object_r:f_t:s0:c1,c2", "a file");
	labelled("tree", "u:object_r:f_t:s0", "and nothing beside it");
	ok(selinux_relabel("/nonexistent", "u:r:t", false, &err) < 0, "what is not there: %s", err_text(&err));
	err_done(&err);
	folder("deep");
	{
		int fd = open(deep, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		for (int i = 0; i < 1100; i++) {
			int next = mkdirat(fd, "d", 0755) < 0 ? -1 : openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			BUG_ON(next < 0);
			close(fd);
			fd = next;
		}
		close(fd);
	}
	ok(selinux_relabel(deep, "u:object_r:f_t:s0", false, &err) < 0, "more folders in each other than there are descriptors: %s", err_text(&err));
}

static void test_systems(void)
{
	static const char *const folders[] = { "/", "//", "/etc", "/etc/", "/usr/../etc", "/proc/self/root", "/var/lib", "/tmp", "/dev", "/sys" };
	OWN_FREE char *link = at("to-etc"), *home = at("home");
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		ok(selinux_relabel(folders[i], "u:object_r:f_t:s0", false, &err) < 0 && strstr(err_text(&err), "SELinux relabeling of /") &&
			strstr(err_text(&err), " is not allowed"), "%s: %s", folders[i], err_text(&err));
		err_done(&err);
	}
	BUG_ON(symlink("/etc", link) < 0);
	ok(selinux_relabel(link, "u:object_r:f_t:s0", false, &err) < 0, "a link to one: %s", err_text(&err));
	is_str(err_text(&err), "SELinux relabeling of /etc is not allowed", "names where it leads");
	err_done(&err);
	folder("home");
	setenv("HOME", home, 1);
	ok(selinux_relabel(home, "u:object_r:f_t:s0", false, &err) < 0, "the home of whoever started the daemon: %s", err_text(&err));
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;

	BUG_ON(!mkdtemp(root));
	test_files();
	test_options();
	test_levels();
	test_reservation();
	test_with_level();
	test_tree();
	test_systems();
	ok(fs_remove_tree(AT_FDCWD, root, &err) == 0, "cleans up %s", err_text(&err));
	return tap_done();
}
