/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A daemon that a user started without being root: inside the namespaces that rootlesskit made, where it is root of the user's ids and of
 * nothing else. What the kernel and rootlesskit say of it. Thread-safe.
 */
#ifndef BASE_ROOTLESS_H
#define BASE_ROOTLESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whether this process is in another user namespace than the machine's first one. Asked once. */
bool rootless_userns(void);
/* The folder of the rootlesskit that started this process, where its socket is, or NULL. */
const char *rootless_state(void);
/* The user's own id, as the host has it; false where rootlesskit does not tell. */
bool rootless_user(uid_t *ret);

/* How many groups from 0 on have an id on the host; all 2^32 - 1 outside of user namespaces. */
uint32_t rootless_groups(void);

/* Folders of the user by the XDG specification. */
enum rootless_dir { ROOTLESS_CONFIG, ROOTLESS_DATA, ROOTLESS_LIB, ROOTLESS_RUNTIME };
/* rest below such a folder; owned by the caller. NULL where the environment does not tell (RUNTIME has no other place). */
char *rootless_path(enum rootless_dir dir, const char *rest);

/* Whether an owner is the host's root or might be: an id that this user namespace has none for. Nobody inside can change such a file. */
bool rootless_foreign(uid_t uid);

#endif
