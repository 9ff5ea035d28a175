/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which packed form of a layer lies in which repository, as pulls and pushes saw it: Docker's distribution/v2metadata-by-diffid and diffid-by-digest. A
 * hint: what is missing or wrong costs a request or an upload. Thread-safe.
 */
#ifndef REGISTRY_KNOWN_H
#define REGISTRY_KNOWN_H

#include <stddef.h>

#include "image/reference.h"

struct known;
struct known *known_open(const char *dir, struct err *err);
void known_close(struct known *k);
void known_add(struct known *k, const char *diffid, const char *digest, const struct reference *where);

struct known_place { char *digest, *domain, *path; };
struct known_places { struct known_place *v; size_t len; };
/* Those of a registry, what lies in ref's own repository first, then the newest. */
void known_list(struct known *k, const char *diffid, const struct reference *ref, struct known_places *ret);
void known_places_done(struct known_places *p);

#endif
