/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The small files of overlay2: the parts are lower and link of two layers, and where the links l/AAAA... and l/BBBB... lead. What is whole has
 * names below the folder l; what is mended is whole.
 */
#include <fcntl.h>

#include "host.h"

#include "overlay-links.h"

#define LINK_A "l/AAAAAAAAAAAAAAAAAAAAAAAAAA"
#define LINK_B "l/BBBBBBBBBBBBBBBBBBBBBBBBBB"

static void layer(struct dkd_graph *g, const char *id, const char *parent)
{
	struct lowers l;
	char link[LINK_LEN + 1], there[NAME_MAX + 1];
	const char *what = NULL;

	if (overlay_lowers(g, id, &l) == 0) {
		FUZZ_CHECK(l.len <= MAX_LOWER + 1);
		for (size_t i = 0; i < l.len; i++)
			FUZZ_CHECK(strlen(l.v[i]) == LINK_LEN + 2 && strncmp(l.v[i], "l/", 2) == 0 && !strpbrk(l.v[i] + 2, "/.,:\\"));
	}
	if (overlay_check_layer(g, id, &what) < 0)
		FUZZ_CHECK(what);
	if (overlay_repair_layer(g, id, parent) == 0)
		FUZZ_CHECK(overlay_check_layer(g, id, &what) == 0);
	FUZZ_CHECK(overlay_read_link(g, id, link) < 0 || strlen(link) == LINK_LEN);
	FUZZ_CHECK(overlay_link_target(g, LINK_A, there, sizeof(there)) < 0 || !strchr(there, '/'));
	overlay_write_lower(g, "child", id);
}

static void put(int root, const char *name, const char *text)
{
	int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	FUZZ_CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const folders[] = { "l", "one", "one/diff", "two", "two/diff", "two/work", "child" };
	static const char *const files[] = { "one/lower", "one/link", "two/lower", "two/link" };
	OWN_STRV struct strv parts = { 0 };
	struct dkd_graph g = { .host = &fuzz_host };

	fuzz_split(data, size, &parts);
	fs_remove_tree(AT_FDCWD, fuzz_dir(), NULL);
	FUZZ_CHECK(mkdir(fuzz_dir(), 0700) == 0);
	g.root = (char *)fuzz_dir();
	g.fd = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		mkdirat(g.fd, folders[i], 0700);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (*fuzz_part(&parts, i))
			put(g.fd, files[i], fuzz_part(&parts, i));
	symlinkat(fuzz_part(&parts, 4), g.fd, LINK_A);
	symlinkat(fuzz_part(&parts, 5), g.fd, LINK_B);
	layer(&g, "one", NULL);
	layer(&g, "two", "one");
	close(g.fd);
	return 0;
}
