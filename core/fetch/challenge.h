/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WWW-Authenticate: what a registry asks for. Also what its token server answers, and what it says in errors. Parsers only. */
#ifndef FETCH_CHALLENGE_H
#define FETCH_CHALLENGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };
struct challenge { enum challenge_scheme scheme; char *realm, *service, *scope; };
void challenge_done(struct challenge *c);
#define OWN_CHALLENGE CLEANUP(challenge_done)
/* The strongest that is understood, of all headers: Bearer, else Basic. A header that makes no sense is left out. */
void challenge_read(const struct strv *headers, struct challenge *ret);

#define TOKEN_MAX (64u << 10)
struct token { char *text, *refresh; int64_t lifetime; /* s */ };
void token_done(struct token *t);
#define OWN_TOKEN CLEANUP(token_done)
int token_read(const char *json, size_t size, struct token *ret, struct err *err);

/*
 * The error of an answer that is none, as Docker prints it ("denied: requested access..."); *ret_code (owned by the caller, may be NULL) is the
 * registry's own word for it.
 */
void answer_error(int status, const char *body, size_t size, char **ret_code, struct err *err);
/* "Not Found" of 404; "" of what is not known here. */
const char *status_text(int status);
/* Retry-After: seconds from now (wall clock, s), at least 0; -1 when there is none. */
int64_t retry_after(const char *value, int64_t now);
/* The address of the next page in a Link header, owned by the caller, or NULL. */
char *link_next(const char *value);
/* "bytes 100-199/200" begins at 100; -1: it makes no sense. */
int64_t range_start(const char *value);

#endif
