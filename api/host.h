/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What info and version say of the machine and of the programs beside the daemon. Thread-safe. */
#ifndef API_HOST_H
#define API_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/spawner.h"
#include "base/str.h"

const char *host_kernel(void);    /* uname -r */
const char *host_machine(void);   /* uname -m: "x86_64" */
const char *host_arch(void);      /* Docker's word: "amd64" */
char *host_name(void);
char *host_os_release(const char *key); /* value without quotes, owned; NULL when absent */
int64_t host_memory(void);        /* bytes */
int host_cpus(void);              /* that we may run on */
int host_count(const char *dir);  /* entries of a folder of /proc */
bool host_sysctl_on(const char *path);

/* An OCI runtime's version and commit as it tells them; asked once per file. False when it says nothing. */
bool host_runtime_version(struct spawner *sp, const char *path, char **ret_name, char **ret_version, char **ret_commit);
/* The same of a container's init. */
bool host_init_version(struct spawner *sp, const char *path, char **ret_version, char **ret_commit);
/* What "RUNTIME features" prints, owned, as JSON on one line; NULL: nothing. */
char *host_runtime_features(struct spawner *sp, const char *path);
/* A warning, owned, when this runtime has known holes; NULL otherwise. */
char *host_runtime_warning(const char *name, const char *version);

#endif
