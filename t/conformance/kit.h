/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What suites share about calls: how they begin and end, why the last one failed, options, threads. */
#ifndef T_CONFORMANCE_KIT_H
#define T_CONFORMANCE_KIT_H

#include "check.h"
#include "dockerd/driver.h"

/* What the next calls of this process carry; kit_begin() clears it. */
struct kit {
	struct check *c;
	int64_t deadline; /* 0: none */
	int cancel_fd;    /* -1: none */
};
extern struct kit kit;
/* Of this thread's last call that failed. */
extern _Thread_local struct err why;

void kit_begin(struct check *c);
void kit_call_begin(struct driver_call *call);
int kit_call_end(struct driver_call *call, int32_t rc);
/* A function of the driver's with the arguments behind its call: its value, or -1 with why. */
#define call_driver(function, ...) ({ struct driver_call kit_call; kit_call_begin(&kit_call); \
	kit_call_end(&kit_call, (function)(&kit_call.abi __VA_OPT__(,) __VA_ARGS__)); })

/* check_ok() with the driver's reason behind a failure. */
#define works(cond, ...) ({ bool works_ = check_ok((cond), __VA_ARGS__); if (!works_) check_note("%s", err_text(&why)); works_; })
/* The call failed, with that class. */
bool refused(int rc, enum err_class class, const char *what);
/* It ended one way or the other, without waiting: what is cancelled already may be done all the same. */
bool gave_up(int rc, int64_t began, const char *what);

/* The options of the command line, and one more where key is given. To be freed; its strings are not its own. */
struct dkd_pair *kit_options(const char *key, const char *value, uint32_t *ret_len);

/* Emits into a char ** (the last one), into a struct strv *, into a struct strmap *. */
int32_t kit_keep(void *to, const char *text);
int32_t kit_add(void *to, const char *text);
int32_t kit_pair(void *to, const char *key, const char *value);

/* fn in that many threads with the numbers 0, 1, ...; the sum of what they return. */
unsigned kit_threads(unsigned threads, unsigned (*fn)(unsigned number));
/* A probe of a kind without a root. */
int kit_probe(struct check *c, int32_t (*probe)(const struct dkd_call *, const struct dkd_host *, const char *), const char *root, char *reason, size_t size);
/* A user namespace of that one range, for users and groups; -1 where there is none to be had. */
int kit_userns(const struct dkd_idmap *map);
/* A descriptor that is readable: the caller has gone. */
int kit_gone(void);

#endif
