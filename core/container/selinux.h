/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SELinux: the labels of containers. A process label and a mount label come from the policy's file of container contexts and differ
 * between containers in their level, a pair of categories that no other container has. Labels are words for the kernel: a look at a
 * few files and attributes, for which no library stays in the daemon's memory.
 */
#ifndef CONTAINER_SELINUX_H
#define CONTAINER_SELINUX_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct selinux;

/* Whether the kernel has SELinux with a policy. */
bool selinux_kernel(void);

/* etc: /etc/selinux; own: a file of contexts that stands before the policy's (/usr/share/containers/selinux/contexts). */
struct selinux *selinux_new(const char *etc, const char *own);
void selinux_free(struct selinux *s);
/* For tests: of fewer categories than the 1024 of policies. */
void selinux_narrow(struct selinux *s, unsigned categories);
/* Where the policy says nothing about containers, NULL: they get no labels. */
const char *selinux_contexts(const struct selinux *s);
/* The label of containers that the kernel's policy does not know, or NULL. kernel: SELINUX_CONTEXT, which a label is written to. */
const char *selinux_unknown(const struct selinux *s, const char *kernel);
#define SELINUX_CONTEXT "/sys/fs/selinux/context"

/*
 * Labels for a new container; its level is reserved until selinux_release(). options: what stands behind "label=". With "disable" there is no
 * process label, and a mount label that no container may use. Either is "" where the policy has none.
 */
int selinux_labels(struct selinux *s, const struct strv *options, char **ret_process, char **ret_mount, struct err *err);
/* Whether selinux_labels() takes them; needs no policy. */
int selinux_check(const struct strv *options, struct err *err);
/* The level of a label, as often as containers have it: one that shares another's namespaces has its level, too. NULL and "" are nothing. */
void selinux_reserve(struct selinux *s, const char *label);
void selinux_release(struct selinux *s, const char *label);
/* Appends "user:U", "role:R", "type:T" and "level:L" of a process label, by which another container gets the same. */
void selinux_options_of(const char *label, struct strv *ret);
/* The label with another level; one that is no context stays as it is. */
char *selinux_with_level(const char *label, const char *level);

/*
 * Gives path and all below it a label (relabel.c), without following a link; path itself comes last. shared: without categories, so that all
 * containers may use it. Folders of the system are refused, as Docker does; file systems without labels stay as they are.
 */
int selinux_relabel(const char *path, const char *label, bool shared, struct err *err);

#endif
