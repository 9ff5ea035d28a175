/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fuzz targets share. Each defines LLVMFuzzerTestOneInput(); a broken promise of the code under test aborts. */
#ifndef T_FUZZ_H
#define T_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

/* A folder of this process, emptied by whoever uses it; on a filesystem in memory where there is one. */
static inline const char *fuzz_dir(void)
{
	static char dir[64];

	if (!*dir) {
		snprintf(dir, sizeof(dir), "%s/dkd-fuzz-%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
		FUZZ_CHECK(mkdir(dir, 0700) == 0);
	}
	return dir;
}

static inline void fuzz_write(const char *path, const void *data, size_t size)
{
	FILE *f = fopen(path, "we");

	FUZZ_CHECK(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
}

/* The input as several texts, cut at lines "---"; each NUL-terminated and owned by parts. */
static inline void fuzz_split(const uint8_t *data, size_t size, struct strv *parts)
{
	static const char cut[] = "\n---\n";
	const char *s = (const char *)data, *end = s + size;

	while (parts->len < 16) {
		const char *p = s < end ? memmem(s, (size_t)(end - s), cut, sizeof(cut) - 1) : NULL;

		strv_take(parts, xstrndup(s, p ? (size_t)(p - s) : (size_t)(end - s)));
		if (!p)
			break;
		s = p + sizeof(cut) - 1;
	}
}

static inline const char *fuzz_part(const struct strv *parts, size_t i) { return i < parts->len ? parts->v[i] : ""; }

#endif
