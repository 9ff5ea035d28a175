/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is done in the place of runc's delete (core/shim/undo.c), with folders for control groups. */
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"
#include "shim/undo.h"

#include "tap.h"

#define ID "0123456789abcdef"

static char top[] = "/tmp/test-undo-XXXXXX";

static char *at(const char *path) { return xasprintf("%s/%s", top, path); }

static bool there(const char *path)
{
	OWN_FREE char *p = at(path);

	return fs_exists(p);
}

static void make(const char *path)
{
	OWN_FREE char *p = at(path);

	fs_mkdirs(p, 0755, NULL);
}

/* A state as runc writes it, %s of it for the folder of this test. */
static void put_state(const char *format)
{
	OWN_FREE char *file = at("root/" ID "/state.json");
	OWN_STRV struct strv parts = { 0 };
	OWN_BUF struct buf b = { 0 };

	make("root/" ID);
	for (const char *s = format; *s; s++)
		if (*s == '%')
			buf_adds(&b, top);
		else
			buf_addc(&b, *s);
	fs_write_atomic(AT_FDCWD, file, b.data, b.size, 0600, FS_RENAME_ONLY, NULL);
}

static enum undone undo(void)
{
	OWN_FREE char *root = at("root"), *groups = at("cg");

	return undo_runc(root, ID, groups);
}

#define BEGIN "{\"id\":\"" ID "\",\"init_process_pid\":1,\"config\":{\"Hooks\":{\"poststop\":null,\"prestart\":null}},"
#define ONE "\"cgroup_paths\":{\"\":\"%/cg/docker/" ID "\"}"
#define TWO "\"cgroup_paths\":{\"cpu\":\"%/cg/cpu/docker/" ID "\",\"devices\":\"%/cg/devices/docker/" ID "\",\"name=systemd\":\"%/cg/gone/" ID "\"}"
#define END ",\"namespace_paths\":{},\"intel_rdt_path\":\"\"}"

static void test_done(void)
{
	make("cg/cpu/docker/" ID "/a/b");
	make("cg/cpu/docker/" ID "/c");
	make("cg/cpu/docker/other");
	make("cg/devices/docker/" ID);
	put_state(BEGIN TWO END);
	is_int(undo(), UNDO_DONE, "groups of the old hierarchies");
	ok(!there("cg/cpu/docker/" ID) && !there("cg/devices/docker/" ID), "are gone, with those in them");
	ok(there("cg/cpu/docker/other") && there("cg/devices/docker"), "those beside and above them are not");
	ok(!there("root/" ID) && there("root"), "so is the state");
	make("cg/docker/" ID);
	put_state(BEGIN ONE END);
	is_int(undo(), UNDO_DONE, "the one group of the unified hierarchy");
	ok(!there("cg/docker/" ID) && !there("root/" ID), "is gone");
	put_state(BEGIN ONE END);
	is_int(undo(), UNDO_DONE, "groups that are gone already are no hindrance");
}

/* What runc looks for processes in stays until it is empty, and nothing before it goes. */
static void test_busy(void)
{
	OWN_FREE char *file = at("cg/devices/docker/" ID "/sub/held");

	make("cg/cpu/docker/" ID);
	make("cg/devices/docker/" ID "/sub");
	fs_write_atomic(AT_FDCWD, file, "", 0, 0600, FS_RENAME_ONLY, NULL);
	put_state(BEGIN TWO END);
	is_int(undo(), UNDO_BUSY, "a group that is not empty");
	ok(there("cg/devices/docker/" ID) && there("cg/cpu/docker/" ID) && there("root/" ID "/state.json"), "leaves everything");
	unlink(file);
	is_int(undo(), UNDO_DONE, "until it is");
	ok(!there("cg/devices/docker/" ID) && !there("cg/cpu/docker/" ID) && !there("root/" ID), "then all goes");
}

static void test_not(void)
{
	static const struct { const char *name, *state; } cases[] = {
		{ "hooks that run behind the end", "{\"init_process_pid\":1,\"config\":{\"Hooks\":{\"poststop\":[{\"path\":\"/x\"}]}}," ONE END },
		{ "cache allocation", BEGIN ONE ",\"intel_rdt_path\":\"/sys/fs/resctrl/" ID "\"}" },
		{ "another runtime's state", "{\"ociVersion\":\"1.0.2\",\"id\":\"" ID "\"}" },
		{ "no groups at all", BEGIN "\"rootless\":false}" },
		{ "groups that are not said", BEGIN "\"cgroup_paths\":null}" },
		{ "a group with another name", BEGIN "\"cgroup_paths\":{\"\":\"%/cg/docker/other\"}" END },
		{ "a group elsewhere", BEGIN "\"cgroup_paths\":{\"\":\"%/else/" ID "\"}" END },
		{ "one beside the folder of all", BEGIN "\"cgroup_paths\":{\"\":\"%/cgx/" ID "\"}" END },
		{ "one that leads out again", BEGIN "\"cgroup_paths\":{\"\":\"%/cg/../else/" ID "\"}" END },
		{ "a name with an escape", BEGIN "\"cgroup_paths\":{\"\":\"%/cg/a\\u002f/" ID "\"}" END },
		{ "a second one elsewhere", BEGIN "\"cgroup_paths\":{\"cpu\":\"%/cg/docker/" ID "\",\"memory\":\"%/else/" ID "\"}" END },
		{ "half a state", BEGIN "\"cgroup_paths\":{\"\":\"%/cg/docker/" },
		{ "half a list", BEGIN "\"cgroup_paths\":{\"\":\"%/cg/docker/" ID "\"" },
		{ "an empty state", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		make("cg/docker/" ID);
		make("cg/docker/other");
		make("else/" ID);
		make("cgx/" ID);
		put_state(cases[i].state);
		is_int(undo(), UNDO_NOT, "not with %s", cases[i].name);
		ok(there("cg/docker/" ID) && there("cg/docker/other") && there("else/" ID) && there("cgx/" ID) && there("root/" ID "/state.json"),
			"and nothing is touched");
	}
	OWN_FREE char *state = at("root/" ID "/state.json");

	unlink(state);
	is_int(undo(), UNDO_NOT, "nor without a state");
}

int main(void)
{
	OWN_FD int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!mkdtemp(top))
		return 1;
	make("cg");
	test_done();
	test_busy();
	test_not();
	fs_remove_tree(tmp, top + 5, NULL);
	return tap_done();
}
