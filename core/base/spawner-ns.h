/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the spawner: the namespaces that it makes, enters and drops for the daemon, and the answers of both its files. One thread; paths are trusted. */
#ifndef BASE_SPAWNER_NS_H
#define BASE_SPAWNER_NS_H

#include <stdint.h>
#include <sys/types.h>

struct buf;

/* To the requester's socket fd: an errno in sys or 0, a status, and a descriptor (-1: none), which stays the caller's. out may be NULL. */
void spawner_reply(int fd, int sys, int status, pid_t pid, int pidfd, const struct buf *out);
/* second: another descriptor behind pidfd, or -1. */
void spawner_reply_two(int fd, int sys, int status, pid_t pid, int pidfd, int second, const struct buf *out);

/*
 * In a child each, as they change its namespaces. They answer the requester themselves; 0, or an errno for the caller to answer.
 * packet: with a packet socket of the namespace behind the netlink one.
 */
int spawner_make_netns(const char *path, int userns, uint32_t packet, int requester); /* userns: the owner, -1 for the daemon's */
int spawner_enter_netns(char *strings, uint32_t sysctls, uint32_t packet, int requester); /* the path, then sysctls */
int spawner_make_userns(const char *strings, int requester); /* the maps of users and of groups */

/* In the spawner itself. The first answers, the second returns an errno or 0. */
void spawner_visit_netns(const char *path, uint32_t packet, int requester);
int spawner_drop_netns(const char *path);

#endif
