/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One etcd, by its v3 JSON gateway: a mirror of all keys under a prefix, kept by a watch, and changes. Single-threaded: what
 * happens, happens inside etcd_run(). Values and keys are UTF-8 without NUL; others are not seen.
 */
#ifndef KV_ETCD_H
#define KV_ETCD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct etcd;

struct etcd_config {
	json_t *endpoints;      /* array of "http://host:port"; borrowed */
	const char *prefix;     /* of all keys; ends with a slash */
	int ttl;                /* s: of leased keys, when nobody renews them any more */
	const char *ca, *cert, *key; /* PEM files, NULL for none */
};

/*
 * What happens goes out as JSON objects: {"event":"begin"} {"event":"put","key","value"}... {"event":"synced"} (the whole
 * mirror anew), {"event":"put"} and {"event":"delete","key"} afterwards, {"event":"down","text"} when the store is out of reach; it is tried again
 * by itself. Answers: {"id"} for done, {"id","error","class":"conflict"|"unavailable"|"invalid"}.
 */
typedef void etcd_say(void *ctx, json_t *message);

struct etcd *etcd_new(const struct etcd_config *cfg, etcd_say *say, void *ctx);
void etcd_free(struct etcd *e);
/*
 * {"id","op":"put","key","value","lease":bool} {"id","op":"create","pairs":[[key,value]...]} (all, or none when one is there)
 * {"id","op":"delete","keys":[...]}. Leased keys go when this process does not renew them, and come again by themselves.
 */
void etcd_request(struct etcd *e, json_t *message);
/* Works until fd is readable, or for timeout_ms. */
void etcd_run(struct etcd *e, int fd, int timeout_ms);

#endif
