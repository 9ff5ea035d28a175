/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Image references: Docker's grammar and normalisation (docker.io/library, :latest). Source: distribution/reference. */
#ifndef IMAGE_REFERENCE_H
#define IMAGE_REFERENCE_H

#include <stdbool.h>

#include "base/err.h"

struct reference {
	char *domain;   /* "docker.io"; "" when the first component is no host name but a path ("a_b.c/d") */
	char *path;     /* "library/busybox" */
	char *tag;      /* or NULL */
	char *digest;   /* "sha256:<hex>" or NULL */
};

/* ERR_INVALID "invalid reference format" and its kin. No tag is added. */
int reference_parse(const char *s, struct reference *ret, struct err *err);
/* repo and tag of a request: the tag, when not NULL or "", replaces repo's; "latest" when there is none. A digest is refused. */
int reference_parse_tag(const char *repo, const char *tag, struct reference *ret, struct err *err);
void reference_done(struct reference *r);
void reference_copy(struct reference *dst, const struct reference *src); /* dst is zeroed */
/* [A-Za-z0-9_][A-Za-z0-9_.-]{0,127} */
bool reference_is_tag(const char *tag);
#define OWN_REFERENCE __attribute__((cleanup(reference_done)))
/* "docker.io/library/busybox" / "busybox" / "busybox:latest" (all owned by the caller). */
char *reference_name(const struct reference *r);
char *reference_familiar_name(const struct reference *r);
char *reference_familiar(const struct reference *r);  /* with tag or digest; tag "latest" added when neither */
char *reference_text(const struct reference *r);      /* full, as repositories.json has it */
/* Shell pattern (Go's path.Match) over the familiar form, with or without tag. ERR_INVALID "syntax error in pattern". */
int reference_match(const char *pattern, const struct reference *r, bool *ret, struct err *err);
void reference_add_latest(struct reference *r);       /* when it has neither tag nor digest */

#endif
