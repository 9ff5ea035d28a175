/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rooms of container_validate(): each checks one kind of member, with Docker's texts. */
#ifndef CONTAINER_VALIDATE_H
#define CONTAINER_VALIDATE_H

#include "container/bundle/bundle.h"
#include "container/spec.h"

/* Limits; those that the kernel lacks are taken out with a warning. update: a body that changes some of what is there. */
int validate_limits(struct host_config *hc, bool update, struct strv *warnings, struct err *err);
/* SecurityOpt. */
int validate_security(const struct host_config *hc, bool selinux, struct strv *warnings, struct err *err);

/* publish.c: PortBindings; whether they, or PublishAllPorts, ask for anything. */
int publish_check(const struct host_config *hc, struct err *err);
void publish_any_case(json_t *bindings); /* members of bindings in any case become HostIp and HostPort; NULL is fine */
bool publish_any(const struct host_config *hc);

/* userns.c */
/* Whether it asks for a range of its own, and of how many ids. What it says is valid: userns_check(). */
bool userns_auto(const struct host_config *hc, uint32_t *ret_size);
int userns_check(const struct host_config *hc, struct err *err);

#endif
