/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Builds with a sanitizer (--enable-asan, --enable-tsan): its reports must leave every process that a test starts. */
#ifndef BASE_SANITIZED_H
#define BASE_SANITIZED_H

#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/*
 * fork() for a child that makes a few system calls and never returns: without the thread that ThreadSanitizer starts in a child, for
 * which the kernel would refuse it a user namespace.
 */
#if defined(__SANITIZE_THREAD__)
#define SANITIZED_FORK() ((pid_t)syscall(SYS_fork))
#else
#define SANITIZED_FORK() fork()
#endif

/* Adds the variables with the sanitizers' options to an environment that is made from nothing. Nothing in other builds. */
void sanitized_environment(struct strv *env);

/*
 * For a process that may not open files once it works: it opens its report, named like those of others, at its start, as its
 * standard error. The environment is made for it by its parent. Nothing in other builds.
 */
void sanitized_confined_environment(struct strv *env);
void sanitized_open_report(void);

#endif
