/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What dockerd-netd can do once it works: it reads what strangers send, as root. It keeps the capabilities for entering network
 * namespaces, for nftables and for low ports, and no other call of the kernel than its work takes: it starts no process, opens
 * no file for writing, makes no memory executable and no socket but of the Internet and netlink. What is not allowed fails (EPERM).
 */
#ifndef NETD_CONFINE_H
#define NETD_CONFINE_H

/* -1 with errno. */
int confine(void);

#endif
