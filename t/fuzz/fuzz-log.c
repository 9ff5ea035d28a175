/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-file logs: the parts are an older and the current file. Both ways to read a record must agree about each. */
#include "fuzz.h"

#include "container/log/file.h"

static void compare(const char *line, size_t size)
{
	OWN_FREE char *spaced = xmalloc(size + 1);
	struct log_line a, b;
	bool one, two;

	spaced[0] = ' '; /* sends it to the JSON parser */
	memcpy(spaced + 1, line, size);
	one = log_line_parse(line, size, &a);
	two = log_line_parse(spaced, size + 1, &b);
	FUZZ_CHECK(one == two);
	if (one)
		FUZZ_CHECK(a.size == b.size && memcmp(a.text, b.text, a.size) == 0 && a.time == b.time && a.from_stderr == b.from_stderr);
	log_line_done(&a);
	log_line_done(&b);
}

static void read_all(const char *path, int64_t tail)
{
	CLEANUP(logfile_freep) struct logfile *f = logfile_open(path, LOG_JSON, tail);
	const char *line;
	size_t size;

	while (f && logfile_next(f, &line, &size))
		compare(line, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *path = xasprintf("%s/log", fuzz_dir()), *older = xasprintf("%s.1", path);
	const uint8_t *cut = memmem(data, size, "\n---\n", 5);
	size_t n = cut ? (size_t)(cut - data) + 1 : 0;

	fuzz_write(older, data, n);
	fuzz_write(path, data + n, size - n);
	read_all(path, -1);
	read_all(path, 0);
	read_all(path, 3);
	compare((const char *)data, size);
	return 0;
}
