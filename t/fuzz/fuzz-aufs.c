/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver aufs and its files of layers below: the parts are those of three layers. What can be mounted has branches below the driver's folder. */
#include <dockerd/graph.h>

#include "host.h"

#include "aufs.h"

static int fake_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
	(void)source, (void)type, (void)flags;
	FUZZ_CHECK(strncmp(target, fuzz_dir(), strlen(fuzz_dir())) == 0 && !strstr(data, "/../") && strlen(data) < 4096);
	return 0;
}

static int fake_umount(const char *target, int flags)
{
	(void)target, (void)flags;
	return 0;
}

static bool fake_is_mounted(const char *target)
{
	(void)target;
	return false;
}

static bool fake_kernel_has(void) { return true; }

static const struct aufs_calls fake = { fake_mount, fake_umount, fake_is_mounted, fake_kernel_has };

static int32_t note(void *to, const char *text)
{
	snprintf(to, 4096, "%s", text);
	return 0;
}

static void layer(const struct dkd_graph_ops *ops, struct dkd_graph *g, const char *id)
{
	struct dkd_graph_mount m = { .size = sizeof(m), .id = id };
	struct dkd_graph_create c = { .size = sizeof(c), .id = "child", .parent = id };
	struct dkd_graph_tree t = { .size = sizeof(t), .id = id };
	char text[4096] = "";
	unsigned before = fuzz_told.failures;

	if (ops->get(&fuzz_call, g, &m, note, text) == 0)
		FUZZ_CHECK(*text && ops->put(&fuzz_call, g, id) == 0);
	else
		FUZZ_CHECK(fuzz_told.failures == before + 1);
	if (ops->create(&fuzz_call, g, &c) == 0)
		FUZZ_CHECK(ops->exists(&fuzz_call, g, "child") == 1);
	FUZZ_CHECK(ops->remove(&fuzz_call, g, "child") == 0);
	ops->tree(&fuzz_call, g, &t, note, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ids[] = { "one", "two", "three" };
	const struct dkd_graph_ops *ops = dkd_driver_entry()->ops;
	struct dkd_graph_open o = { .size = sizeof(o), .root = fuzz_dir() };
	OWN_STRV struct strv parts = { 0 };
	struct dkd_graph *g = NULL;

	aufs_calls = &fake;
	fuzz_split(data, size, &parts);
	fuzz_host_begin("");
	FUZZ_CHECK(ops->open(&fuzz_call, &fuzz_host, &o, &g) == 0);
	for (size_t i = 0; i < 3; i++) {
		OWN_FREE char *path = xasprintf("%s/layers/%s", fuzz_dir(), ids[i]);

		fuzz_write(path, fuzz_part(&parts, i), strlen(fuzz_part(&parts, i)));
	}
	for (size_t i = 0; i < 3; i++)
		layer(ops, g, ids[i]);
	ops->close(g);
	fuzz_host_end();
	return 0;
}
