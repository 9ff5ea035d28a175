/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Labels of SELinux from a container's create to its removal, with a made-up policy; what they do is 43-selinux's. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "container/selinux.h"

#include "container-box.h"

#define FILE_T "system_u:object_r:container_file_t:"

static void use_policy(void)
{
	OWN_FREE char *own = xasprintf("%s/contexts", dir);
	static const char text[] = "process = \"system_u:system_r:container_t:s0\"\nfile = \"system_u:object_r:container_file_t:s0\"\n";

	if (fs_write_atomic(AT_FDCWD, own, text, strlen(text), 0644, FS_RENAME_ONLY, NULL) < 0)
		abort();
	deps.selinux = selinux_new("/nonexistent", own);
	/* three pairs */
	selinux_narrow(deps.selinux, 3);
	defaults.selinux = true;
}

static struct container *made(const char *name, const char *host)
{
	OWN_FREE char *extra = xasprintf(",\"HostConfig\":{%s}", host);

	return create(name, extra);
}

static const char *level_of(const struct container *c)
{
	return strstr(c->rec.process_label, ":s0:") ? strstr(c->rec.process_label, ":s0:") + 1 : "";
}

static void removed(struct container *c)
{
	OWN_ERR struct err err = ERR_INIT;

	ok(container_remove(c, true, false, &err) == 0, "removed %s", err_text(&err));
	container_unref(c);
}

static char *config_of(const struct container *c)
{
	OWN_FREE char *run = container_run_dir(c), *path = xasprintf("%s/config.json", run);
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, 1 << 20, &b, NULL) < 0)
		return xstrdup("");
	buf_addc(&b, '\0');
	return buf_steal(&b);
}

static void test_off(void)
{
	struct container *c = made("off", "\"Privileged\":true"), *d = made("off2", "\"SecurityOpt\":[\"label=level:s0:c0,c1\"]");

	is_int(c->host.security_opt.len, 1, "a privileged container says that it has no labels");
	is_str(c->host.security_opt.v[0], "label=disable", "in Docker's words");
	ok(str_empty(d->rec.process_label) && str_empty(d->rec.mount_label) && !container_mount_label(d), "a daemon without SELinux labels nothing");
	removed(c);
	removed(d);
}

static void test_levels(void)
{
	struct container *a = made("aa", ""), *b = made("bb", "\"SecurityOpt\":[\"label=type:x_t\",\"label=filetype:y_t\"]"), *c, *d;
	OWN_FREE char *gone = NULL, *want = NULL;

	ok(strncmp(a->rec.process_label, "system_u:system_r:container_t:s0:c", 34) == 0, "a container has a label: %s", a->rec.process_label);
	want = xasprintf(FILE_T "%s", level_of(a));
	is_str(a->rec.mount_label, want, "its files have one, too");
	ok(strstr(b->rec.process_label, ":x_t:") && strstr(b->rec.mount_label, ":y_t:"), "options: %s, %s", b->rec.process_label, b->rec.mount_label);
	ok(!streq(level_of(a), level_of(b)), "another container has another level");
	c = made("cc", "");
	ok(c && !made("dd", ""), "with every level taken there is no other container");
	gone = xstrdup(level_of(b));
	removed(b);
	d = made("dd", "");
	is_str(d ? level_of(d) : "", gone, "until one is removed");
	removed(d);
	d = made("dd", "\"IpcMode\":\"container:aa\"");
	is_str(d->rec.process_label, a->rec.process_label, "whoever joins another's ipc namespace has its label");
	is_int(d->host.security_opt.len, 4, "by options");
	ok(!made("ee", "\"IpcMode\":\"container:aa\",\"PidMode\":\"container:cc\""), "both of two containers are refused");
	removed(d);
	d = made("dd", "\"SecurityOpt\":[\"label=disable\"]");
	is_str(d->rec.process_label, "", "no label where none is wanted");
	is_str(d->rec.mount_label, FILE_T "s0:c1022,c1023", "and files that no container may use");
	removed(d);
	ok(!made("dd", "\"SecurityOpt\":[\"label=nope:x\"]"), "an option that is none");
	ok(!made("dd", "\"SecurityOpt\":[\"label=filetype:x\\\"\"]"), "a word that is none");
	container_unref(a);
	container_unref(c);
}

/* Two of three levels are taken by containers on the disk. */
static void test_restart(void)
{
	OWN_FREE char *a = NULL, *b = NULL;
	OWN_ERR struct err err = ERR_INIT;
	struct container *c;

	reopen();
	c = container_find(store, "aa", &err);
	a = xstrdup(level_of(c));
	container_unref(c);
	c = container_find(store, "cc", &err);
	b = xstrdup(level_of(c));
	container_unref(c);
	c = made("dd", "");
	ok(c && !streq(level_of(c), a) && !streq(level_of(c), b) && !streq(a, b), "levels of containers on the disk are taken: %s, %s, %s", a, b, c ? level_of(c) : "none");
	ok(!made("ee", ""), "all three");
	removed(c);
	c = container_find(store, "cc", &err);
	container_remove(c, true, false, &err);
	container_unref(c);
}

static void test_start(void)
{
	OWN_FREE char *source = xasprintf("%s/source", dir), *private = xasprintf("%s/private", dir), *plain = xasprintf("%s/plain", dir);
	OWN_FREE char *host = xasprintf("\"Binds\":[\"%s:/x:z\",\"%s:/y:ro,Z\",\"%s:/p\",\"/etc:/e\"]", source, private, plain), *config = NULL, *line = NULL;
	OWN_FREE char *shared = xasprintf("%s/shared", dir);
	OWN_ERR struct err err = ERR_INIT;
	struct container *c;
	char value[256] = "";
	ssize_t n;

	mkdir(source, 0755);
	mkdir(private, 0755);
	mkdir(plain, 0755);
	if (lsetxattr(plain, "security.selinux", "mine", 5, 0) < 0) {
		skip("labels of files", "no rights to set them, or a file system without");
		return;
	}
	c = made("run", host);
	ok(container_start(c, &err) == 0, "started %s", err_text(&err));
	config = config_of(c);
	line = xasprintf("\"selinuxLabel\":\"%s\"", c->rec.process_label);
	ok(strstr(config, line) != NULL, "the runtime gets %s", line);
	str_set(&line, NULL);
	line = xasprintf("\"mountLabel\":\"%s\"", c->rec.mount_label);
	ok(strstr(config, line) != NULL, "and %s", line);
	n = lgetxattr(source, "security.selinux", value, sizeof(value) - 1);
	value[n > 0 ? n : 0] = '\0';
	is_str(value, FILE_T "s0", "z: for all containers");
	n = lgetxattr(private, "security.selinux", value, sizeof(value) - 1);
	value[n > 0 ? n : 0] = '\0';
	is_str(value, c->rec.mount_label, "Z: for this one");
	n = lgetxattr(plain, "security.selinux", value, sizeof(value) - 1);
	value[n > 0 ? n : 0] = '\0';
	is_str(value, "mine", "without a word: as it was");
	n = lgetxattr(c->rootfs, "security.selinux", value, sizeof(value) - 1);
	value[n > 0 ? n : 0] = '\0';
	is_str(value, c->rec.mount_label, "a tree that is not mounted with a label has it");
	container_kill(c, "KILL", &err);
	until(c, "exited");
	removed(c);
	c = made("bad", "\"Binds\":[\"/etc:/e:z\"]");
	ok(container_start(c, &err) < 0, "a folder of the system");
	is_str(err_text(&err), "error setting label on mount source '/etc': SELinux relabeling of /etc is not allowed", "is refused");
	err_done(&err);
	removed(c);
	c = made("pr", "\"Privileged\":true");
	ok(container_start(c, &err) == 0, "a privileged one %s", err_text(&err));
	free(config);
	config = config_of(c);
	ok(*config && !strstr(config, "selinuxLabel"), "has no process label");
	container_kill(c, "KILL", &err);
	until(c, "exited");
	removed(c);
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;

	box_open();
	test_off();
	use_policy();
	reopen();
	test_levels();
	test_restart();
	test_start();
	box_close();
	selinux_free(deps.selinux);
	return tap_done();
}
