/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Id maps: which user and group of the host stands for which inside containers. A map without ranges is the identity.
 * The root's map, set once before threads, is that of the data-root (--userns-remap): all that the daemon keeps for containers
 * there, layers and volumes, has owners of its outside.
 */
#ifndef BASE_IDMAP_H
#define BASE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define IDMAP_RANGES_MAX 340        /* the kernel's own limit */
#define IDMAP_OVERFLOW   UINT32_C(65534) /* what the kernel shows of an id that is not in the map */

struct idmap { uint32_t inside, outside, count; };
/* One kind of id. */
struct idmap_list { struct idmap *v; size_t len; };
struct idmaps { struct idmap_list uids, gids; };

void idmaps_done(struct idmaps *m);
void idmaps_copy(struct idmaps *dst, const struct idmaps *src);
bool idmaps_equal(const struct idmaps *a, const struct idmaps *b);
/* NULL and maps without ranges are the identity. */
static inline bool idmaps_none(const struct idmaps *m) { return !m || !m->uids.len; }
void idmap_add(struct idmap_list *l, uint32_t inside, uint32_t outside, uint32_t count);
/* Ids wrap around, ranges overlap on either side, or there are too many: what no kernel takes. */
int idmaps_check(const struct idmaps *m, struct err *err);

bool idmap_out(const struct idmap_list *l, uint32_t inside, uint32_t *ret);
bool idmap_in(const struct idmap_list *l, uint32_t outside, uint32_t *ret);
/* Owners from inside to outside; ERR_INVALID with Docker's text for an id that nobody stands for. */
int idmaps_owner_out(const struct idmaps *m, uint32_t *uid, uint32_t *gid, struct err *err);
/* From outside to inside; whom nobody inside is becomes IDMAP_OVERFLOW, as the kernel shows it. */
void idmaps_owner_in(const struct idmaps *m, uint32_t *uid, uint32_t *gid);
/* Who is root inside; 0 without maps. */
uint32_t idmaps_root_uid(const struct idmaps *m);
uint32_t idmaps_root_gid(const struct idmaps *m);
/* How many ids from 0 on are in the map without a gap; 2^32 - 1 without one. */
uint32_t idmap_extent(const struct idmap_list *l);

/* "INSIDE OUTSIDE COUNT\n"..., as /proc/PID/uid_map takes it. */
void idmap_kernel(const struct idmap_list *l, struct buf *ret);
/* One word without blanks, "INSIDE-OUTSIDE-COUNT,.../..." (users, then groups), and back from it. */
char *idmaps_format(const struct idmaps *m);
int idmaps_parse(const char *text, struct idmaps *ret, struct err *err);
/* first, then second on what it gives: ids that either does not know are in no range. */
void idmaps_join(const struct idmaps *first, const struct idmaps *second, struct idmaps *ret);
/* The other way round. */
void idmaps_invert(const struct idmaps *m, struct idmaps *ret);

/* NULL: none. Kept by reference. */
void idmaps_set_root(const struct idmaps *m);
const struct idmaps *idmaps_root(void);

#define OWN_IDMAPS __attribute__((cleanup(idmaps_done)))

#endif
