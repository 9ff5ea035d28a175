/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Archives unpacked into a folder, which nothing may leave. The first byte chooses the options. */
#include "fuzz.h"

#include <dirent.h>

#include "image/untar.h"

static size_t count(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	FUZZ_CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *root = xasprintf("%s/root", fuzz_dir());
	OWN_ERR struct err err = ERR_INIT;
	struct mem_reader in;

	if (!size || mkdir(root, 0755) != 0)
		return 0;
	struct untar_opts opts = { .flags = data[0] & 3, .whiteout = (enum graph_whiteout)((data[0] >> 2) % 3), .entries_max = 200 };
	mem_reader_init(&in, data + 1, size - 1);
	OWN_TAR_READER struct tar_reader *tar = tar_reader_new(&in.reader, NULL);
	OWN_FD int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (untar(fd, tar, &opts, NULL, &err) < 0)
		FUZZ_CHECK(err.msg);
	FUZZ_CHECK(fchdir(here) == 0); /* attributes of links are set from where they are */
	FUZZ_CHECK(count(fuzz_dir()) == 1);
	FUZZ_CHECK(fs_remove_tree(AT_FDCWD, root, &err) == 0);
	return 0;
}
