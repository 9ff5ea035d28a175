/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Logs of the driver local: the parts are an older and the current file. However far back it starts, the same records come. */
#include "fuzz.h"

#include "container/log/file.h"

static int read_all(const char *path, int64_t tail)
{
	CLEANUP(logfile_freep) struct logfile *f = logfile_open(path, LOG_LOCAL, tail);
	const char *s;
	size_t size;
	int n = 0;

	while (logfile_next(f, &s, &size)) {
		struct log_line l;

		FUZZ_CHECK(size <= LOG_LINE_MAX);
		if (logfile_parse(f, s, size, &l))
			FUZZ_CHECK(l.size <= size + 1 && l.text[l.size] == '\0');
		log_line_done(&l);
		n++;
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *path = xasprintf("%s/log", fuzz_dir()), *older = xasprintf("%s.1", path);
	const uint8_t *cut = memmem(data, size, "\n---\n", 5);
	size_t n = cut ? (size_t)(cut - data) : 0;
	struct log_line l;
	int all;

	fuzz_write(older, data, n);
	fuzz_write(path, data + n, size - n);
	all = read_all(path, -1);
	FUZZ_CHECK(read_all(path, 0) <= all);
	read_all(path, 1);
	read_all(path, 3);
	loglocal_parse((const char *)data, size, &l);
	log_line_done(&l);
	return 0;
}
