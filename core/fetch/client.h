/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A registry: its sites (mirrors first), and who we are there. Credentials go to sites that are no mirrors, a mirror's own to that mirror, and from there to
 * the token server that such a site names; never to where a redirect leads. Thread-safe once it is made.
 */
#ifndef FETCH_CLIENT_H
#define FETCH_CLIENT_H

#include <pthread.h>

#include "fetch/challenge.h"
#include "fetch/web.h"

struct site_token { char *scope, *text; int64_t until; /* clock_mono() */ };

/* Who we are at a site. */
struct who { char *username, *password, *identity_token, *registry_token; };

struct site {
	char *url;                /* "https://host:port", nothing behind */
	char *prefix;             /* stands before names, "proxy/quay"; NULL for none */
	bool mirror, insecure;    /* insecure: plain HTTP and certificates of nobody are fine */
	struct web_tls tls;
	struct who *who;          /* the client's, or a mirror's own */
	struct who own;
	pthread_mutex_t lock;     /* everything below */
	bool known, dead;         /* it answered; it could not be reached */
	struct challenge asked;   /* what it wants */
	struct site_token *tokens;
	size_t tokens_len;
};

struct client {
	struct site *sites;
	size_t len;
	size_t first;             /* the site that answered; atomic */
	struct who who;
	char *class;              /* of the repositories: "plugin"; NULL: images */
	int attempts;
	int64_t stall;            /* ns without progress, and it is given up */
	int rate;                 /* bytes a second that are progress */
};

/* What became of a request. */
struct failure { struct err err; char *code; int status; };
void failure_done(struct failure *f);

/*
 * One request to a site: greets it before the first one, follows redirects, answers what it asks for. rq->url is what follows the site's own
 * address. scope: "repository:NAME:pull", or NULL.
 */
enum web_end client_ask(struct client *c, struct site *s, const struct web_request *rq, const char *scope, struct web_answer *ret, struct err *err);
/* What a token has to be for, owned by the caller. actions: "pull". Token servers know repositories of a class by another name. */
char *client_scope(const struct client *c, const char *repo, const char *actions);
/* GET and HEAD with redirects. What belongs to the first origin stays there: credentials, and the client's certificate. */
enum web_end client_follow(const struct web_request *given, bool plain_is_fine, struct web_answer *ret, struct err *err);
/* The site that answers, greeted; NULL: none does. */
struct site *client_site(struct client *c, struct failure *f);
/* What the answer says where it is no success, of a site. */
void client_refused(const struct web_answer *a, struct failure *f);
/*
 * GET of a small body from the first site that has it, tried again where that may help. path begins with a slash.
 */
int client_get(struct client *c, const char *path, const char *accept, const char *scope, size_t max, struct web_answer *ret, struct failure *f);
/* No site before that one is asked any more. */
void client_leave_out(struct client *c, int64_t before);
/* The number of the site behind the mirror that answered last; 0 when that was no mirror. */
int64_t client_behind_mirror(struct client *c);
/* All tags, a JSON list. */
int client_tags(struct client *c, const char *repo, size_t max, struct buf *ret, struct failure *f);
/* Are the credentials good? ret_token: an identity token in their place, or NULL; owned by the caller. */
int client_login(struct client *c, char **ret_token, struct failure *f);
/* Whether what a site said is not the last word: the next one is asked. */
bool client_go_on(struct site *s);
/* Waits before try number n (1: the second one). -1: what the registry asks for is too long to wait. */
int client_pause(int n, int64_t asked, void (*tell)(void *ctx, int seconds), void *ctx);

#endif
