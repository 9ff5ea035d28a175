/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is checked of volume drivers. --option: options that each volume is made with. */
#include "dockerd/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fs.h"
#include "kit.h"

#define THREADS 4
#define ROUNDS 5
#define NAME_MOST 255

static const struct dkd_volume_ops *ops;
static struct dkd_volume *volume;

static bool begin(struct check *c)
{
	OWN_FREE char *root = xasprintf("%s/root", c->root), *exec_root = xasprintf("%s/exec", c->root);
	struct dkd_volume_open open = { .size = sizeof(open), .root = root, .exec_root = exec_root, .instance = c->instance };

	kit_begin(c);
	ops = c->driver->ops;
	mkdir(root, 0711);
	mkdir(exec_root, 0711);
	return works(call_driver(ops->open, driver_host(c->driver), &open, &volume) == 0, "open");
}

static void shut(void)
{
	if (ops->close)
		ops->close(volume);
	err_done(&why);
}

/* Calls */

static int create_with(const char *name, const char *key, const char *value)
{
	struct dkd_volume_create create = { .size = sizeof(create), .name = name };
	OWN_FREE struct dkd_pair *options = kit_options(key, value, &create.options_len);

	create.options = options;
	return call_driver(ops->create, volume, &create);
}

static int make(const char *name)
{
	return create_with(name, NULL, NULL);
}

static int drop(const char *name)
{
	return call_driver(ops->remove, volume, name);
}

/* What get() and list() emitted. */
struct seen { struct strv names; bool good; char *mountpoint; };

static int32_t see(void *to, const struct dkd_volume_info *info)
{
	struct seen *s = to;

	s->good = s->good && info->size >= sizeof(*info) && info->name && (!info->mountpoint || info->mountpoint[0] == '/') &&
		info->created >= 0 && info->created <= clock_now();
	for (uint32_t i = 0; i < info->options_len; i++)
		s->good = s->good && info->options[i].key;
	for (uint32_t i = 0; i < info->status_len; i++)
		s->good = s->good && info->status[i].key;
	strv_add(&s->names, info->name);
	str_set(&s->mountpoint, info->mountpoint);
	return 0;
}

static void seen_done(struct seen *s)
{
	strv_done(&s->names);
	free(s->mountpoint);
}

static bool gets(const char *name)
{
	struct seen s = { .good = true };
	bool ret = call_driver(ops->get, volume, name, see, &s) == 0 && s.good && s.names.len == 1 && streq(s.names.v[0], name);

	seen_done(&s);
	return ret;
}

static bool lists(const char *name)
{
	struct seen s = { .good = true };
	bool ret = call_driver(ops->list, volume, see, &s) == 0 && s.good && strv_contains(&s.names, name);

	seen_done(&s);
	return ret;
}

/* The directory, to be freed; NULL with why. */
static char *attach(const char *name, const char *id)
{
	struct dkd_volume_mount mount = { .size = sizeof(mount), .name = name, .id = id };
	char *path = NULL;

	if (call_driver(ops->mount, volume, &mount, kit_keep, &path) == 0 && path && path[0] == '/')
		return path;
	free(path);
	return NULL;
}

static int detach(const char *name, const char *id)
{
	return call_driver(ops->unmount, volume, name, id);
}

static bool put_text(const char *dir, const char *name, const char *text)
{
	OWN_FREE char *path = dir ? xasprintf("%s/%s", dir, name) : NULL;
	OWN_FD int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool has_text(const char *dir, const char *name, const char *text)
{
	OWN_FREE char *path = dir ? xasprintf("%s/%s", dir, name) : NULL;
	OWN_FD int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char got[256];
	ssize_t n = fd >= 0 ? read(fd, got, sizeof(got)) : -1;

	return n == (ssize_t)strlen(text) && memcmp(got, text, (size_t)n) == 0;
}

/* Through a mount of its own. */
static bool write_in(const char *name, const char *file, const char *text)
{
	OWN_FREE char *dir = attach(name, "writer");
	bool good = put_text(dir, file, text);

	return detach(name, "writer") == 0 && good;
}

static bool reads_in(const char *name, const char *file, const char *text)
{
	OWN_FREE char *dir = attach(name, "reader");
	bool good = has_text(dir, file, text);

	return detach(name, "reader") == 0 && good;
}

/* Cases */

static void case_volumes(struct check *c)
{
	char longest[NAME_MOST + 1] = "";
	struct seen s = { .good = true };

	if (!begin(c))
		return;
	memset(longest, 'n', NAME_MOST);
	works(make("one") == 0, "a volume is made");
	works(gets("one") && lists("one"), "it is there");
	works(make("one") == 0, "made once more: it is fine");
	refused(create_with("two", "no-such.option_", "x"), ERR_INVALID, "an option that nobody knows is refused");
	check_ok(!gets("two") && !lists("two"), "and makes nothing");
	refused(call_driver(ops->get, volume, "two", see, &s), ERR_NOT_FOUND, "one that is not there is not found");
	check_ok(s.names.len == 0, "and nothing is told of it");
	seen_done(&s);
	works(make("a..b") == 0 && make("A-b_c.9") == 0, "odd names");
	works(lists("a..b") && lists("A-b_c.9") && gets("one"), "are others");
	works(make(longest) == 0 && gets(longest) && lists(longest), "a name of %d bytes", NAME_MOST);
	works(drop(longest) == 0 && drop("a..b") == 0 && drop("A-b_c.9") == 0 && drop("one") == 0, "they are removed");
	works(drop("one") == 0, "twice: it is fine");
	check_ok(!gets("one") && !lists("one") && !lists("a..b") && !lists(longest), "none of them is left");
	shut();
}

static void case_mounts(struct check *c)
{
	OWN_FREE char *first = NULL, *second = NULL, *path = NULL;
	struct stat st;

	if (!begin(c))
		return;
	make("one");
	first = attach("one", "first");
	works(first && stat(first, &st) == 0 && S_ISDIR(st.st_mode), "mounted, it is a directory");
	check_ok(put_text(first, "file", "text"), "that can be written to");
	second = attach("one", "second");
	works(has_text(second, "file", "text"), "a second mount has the same content");
	if (ops->path)
		works(call_driver(ops->path, volume, "one", kit_keep, &path) == 0 && has_text(path, "file", "text"), "path() leads there");
	else
		check_skip("path()", "it has none");
	works(detach("one", "first") == 0, "one of the mounts ends");
	check_ok(has_text(second, "file", "text") && put_text(second, "other", "text"), "the other goes on");
	works(detach("one", "second") == 0, "it ends, too");
	works(reads_in("one", "file", "text") && reads_in("one", "other", "text"), "the content is there at the next mount");
	check_ok(!attach("missing", "first"), "a volume that is not there is not mounted");
	works(drop("one") == 0, "removed");
	works(make("one") == 0 && !reads_in("one", "file", "text"), "made anew it is empty");
	drop("one");
	shut();
}

static int keep_one(struct check *c, void *arg)
{
	OWN_FREE char *dir = NULL;

	(void)arg;
	if (begin(c) && make("kept") == 0 && write_in("kept", "file", "text"))
		dir = attach("kept", "container");
	return dir ? 0 : 1;
}

/* The daemon ends, or is killed, while a container has the volume. */
static void case_restart(struct check *c)
{
	check_ok(check_apart(c, keep_one, NULL) == 0, "a process makes a volume, mounts it, and is gone");
}

static void case_after_restart(struct check *c)
{
	if (!begin(c))
		return;
	works(gets("kept") && lists("kept"), "the next one finds it");
	works(reads_in("kept", "file", "text"), "with its content");
	works(detach("kept", "container") == 0, "the mount that was left ends");
	works(reads_in("kept", "file", "text"), "and it can be mounted again");
	works(drop("kept") == 0 && !gets("kept"), "it can be removed");
	shut();
}

/* Killed between any two calls. In memory that the processes share. */
static struct progress { unsigned calls, stop; bool made, written, removing; } *progress;

static void done(void)
{
	if (++progress->calls == progress->stop)
		raise(SIGKILL);
}

static int live(struct check *c, void *arg)
{
	OWN_FREE char *dir = NULL;

	(void)arg;
	if (!begin(c))
		return 2;
	done();
	make("life");
	progress->made = true;
	done();
	dir = attach("life", "a");
	done();
	progress->written = put_text(dir, "file", "text");
	done();
	detach("life", "a");
	done();
	progress->removing = true;
	drop("life");
	done();
	return 0;
}

static int look(struct check *c, void *arg)
{
	bool there;

	(void)arg;
	if (!begin(c))
		return 2;
	there = gets("life");
	check_ok(there == lists("life") && (progress->removing ? true : there == progress->made) &&
		(!progress->written || progress->removing || reads_in("life", "file", "text")), "after a crash behind call %u it is as it was left", progress->stop);
	works(make("life") == 0 && write_in("life", "file", "again") && detach("life", "a") == 0 && drop("life") == 0 && !gets("life"), "and usable");
	shut();
	return 0;
}

static void case_crash(struct check *c)
{
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned stop = 1; ; stop++) {
		*progress = (struct progress){ .stop = stop };
		if (!WIFSIGNALED(check_apart(c, live, NULL)))
			break;
		check_apart(c, look, NULL);
	}
	check_ok(progress->calls > 5, "then it lives to its end");
}

static unsigned work(unsigned number)
{
	OWN_FREE char *name = xasprintf("of-%u", number);
	unsigned bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++)
		bad += make(name) < 0 || !write_in(name, "file", name) || !reads_in(name, "file", name) || !lists(name) || drop(name) < 0 || gets(name);
	return bad;
}

static void case_threads(struct check *c)
{
	if (!begin(c))
		return;
	check_ok(kit_threads(THREADS, work) == 0, "%d threads with a volume each", THREADS);
	shut();
}

static void case_stop(struct check *c)
{
	int64_t began = clock_mono();

	if (!begin(c))
		return;
	kit.cancel_fd = kit_gone();
	gave_up(make("one"), began, "a caller that has gone waits for nothing");
	kit.cancel_fd = -1;
	kit.deadline = began;
	gave_up(make("one"), began, "nor does one whose time is over");
	gave_up(drop("one"), began, "also when it removes");
	kit.deadline = 0;
	works(drop("one") == 0 && !gets("one"), "and no half of anything is left");
	shut();
}

/* What goes beyond Docker's. */
static void case_beyond(struct check *c)
{
	if (!begin(c))
		return;
	make("one");
	write_in("one", "file", "text");
	if (ops->snapshot) {
		works(call_driver(ops->snapshot, volume, "one", "two") == 0 && reads_in("two", "file", "text"), "a snapshot has the content");
		check_ok(write_in("one", "file", "later") && reads_in("two", "file", "text"), "of its moment");
		refused(call_driver(ops->snapshot, volume, "one", "two"), ERR_CONFLICT, "a name that is taken is refused");
		works(drop("one") == 0 && reads_in("two", "file", "text") && drop("two") == 0 && make("one") == 0 && write_in("one", "file", "text"), "and is there without the first");
	} else {
		check_skip("snapshots", "it has none");
	}
	if (ops->rename) {
		works(call_driver(ops->rename, volume, "one", "other") == 0 && reads_in("other", "file", "text") && !gets("one"), "renamed");
		make("one");
		refused(call_driver(ops->rename, volume, "one", "other"), ERR_CONFLICT, "to a name that is taken: refused");
		refused(call_driver(ops->rename, volume, "missing", "new"), ERR_NOT_FOUND, "one that is not there: not found");
		drop("other");
	} else {
		check_skip("rename", "it has none");
	}
	if (ops->usage)
		works(ops->usage(&(struct dkd_call){ .size = sizeof(struct dkd_call), .cancel_fd = -1 }, volume, "one") >= -1, "usage in bytes");
	if (ops->capabilities) {
		struct dkd_volume_caps caps = { .size = sizeof(caps) };

		works(call_driver(ops->capabilities, volume, &caps) == 0 && caps.scope <= DKD_SCOPE_GLOBAL, "capabilities");
	}
	drop("one");
	shut();
}

static int probe(struct check *c, char *reason, size_t size)
{
	return kit_probe(c, ((const struct dkd_volume_ops *)c->driver->ops)->probe, c->root, reason, size);
}

static const struct check_case cases[] = {
	{ "volumes", case_volumes, false },
	{ "mounts", case_mounts, false },
	{ "restart", case_restart, true },
	{ "after a restart", case_after_restart, false },
	{ "crash", case_crash, true },
	{ "threads", case_threads, false },
	{ "stop", case_stop, false },
	{ "beyond", case_beyond, false },
	{ 0 },
};

const struct check_suite check_volume = { DKD_KIND_VOLUME, cases, probe };
