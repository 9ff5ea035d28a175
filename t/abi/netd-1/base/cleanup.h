/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scope-bound ownership: a local owns what it points to until STEAL takes it away. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Takes the pointer out of an owning variable, which is NULL afterwards. */
#define STEAL(p) \
	({ __typeof__(p) steal_ = (p); (p) = NULL; steal_; })
/* The same for a file descriptor; the variable is -1 afterwards. */
#define STEAL_FD(fd) \
	({ int steal_ = (fd); (fd) = -1; steal_; })

/* Defines NAMEp(), the cleanup function of a pointer type whose destructor accepts NULL. */
#define DEFINE_CLEANUP(type, fn) \
	static inline void fn##p(type **p) { if (*p) fn(*p); }

static inline void freep(void *p) { free(*(void **)p); }
static inline void closep(int *fd) { if (*fd >= 0) close(*fd); }
static inline void fclosep(FILE **f) { if (*f) fclose(*f); }
static inline void closedirp(DIR **d) { if (*d) closedir(*d); }

#define OWN_FREE  CLEANUP(freep)
#define OWN_FD    CLEANUP(closep)
#define OWN_FILE  CLEANUP(fclosep)
#define OWN_DIR   CLEANUP(closedirp)

static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#endif
