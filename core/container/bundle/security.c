/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/security.h"

#include "container/bundle/apparmor.h"
#include "container/selinux.h"
#include "container/validate.h"

static bool parse_bool(const char *s, struct opt_bool *ret)
{
	return ret->set = str_bool(s, &ret->v);
}

/* The value behind "key=" or "key:", else NULL. The first "=" separates where there is one. */
static const char *value_of(const char *opt, const char *key)
{
	size_t n = strlen(key);
	const char *at = strchr(opt, '=');

	if (!at)
		at = strchr(opt, ':');
	return at && (size_t)(at - opt) == n && strncmp(opt, key, n) == 0 ? at + 1 : NULL;
}

static bool parse_one(const char *opt, struct security *s)
{
	const char *v;

	if ((v = value_of(opt, "label")))
		s->labels = true;
	else if ((v = value_of(opt, "apparmor")))
		s->apparmor = v;
	else if ((v = value_of(opt, "seccomp")))
		s->seccomp = v;
	else if ((v = value_of(opt, "no-new-privileges")))
		return parse_bool(v, &s->no_new_privileges);
	else if ((v = value_of(opt, "writable-cgroups")))
		return parse_bool(v, &s->writable_cgroups);
	else
		return false;
	return true;
}

int security_parse(const struct host_config *hc, struct security *ret, struct err *err)
{
	*ret = (struct security){ 0 };
	for (size_t i = 0; i < hc->security_opt.len; i++) {
		const char *opt = hc->security_opt.v[i];

		if (streq(opt, "disable"))
			continue;
		if (streq(opt, "no-new-privileges"))
			ret->no_new_privileges = (struct opt_bool){ true, true };
		else if (streq(opt, "writable-cgroups"))
			ret->writable_cgroups = (struct opt_bool){ true, true };
		else if (!strpbrk(opt, "=:"))
			return err_set(err, ERR_INVALID, "invalid --security-opt 1: \"%.300s\"", opt);
		else if (!parse_one(opt, ret))
			return err_set(err, ERR_INVALID, "invalid --security-opt 2: \"%.300s\"", opt);
	}
	return 0;
}

void security_labels(const struct host_config *hc, struct strv *ret)
{
	for (size_t i = 0; i < hc->security_opt.len; i++) {
		const char *v = value_of(hc->security_opt.v[i], "label");

		if (v)
			strv_add(ret, v);
	}
}

struct security security_of(const struct host_config *hc)
{
	OWN_ERR struct err ignored = ERR_INIT;
	struct security s;

	security_parse(hc, &s, &ignored);
	return s;
}

int validate_security(const struct host_config *hc, bool selinux, struct strv *warnings, struct err *err)
{
	OWN_STRV struct strv labels = { 0 };
	struct security s;

	if (security_parse(hc, &s, err) < 0)
		return -1;
	if (!str_empty(s.apparmor) && !streq(s.apparmor, "unconfined") && !apparmor_on())
		strv_addf(warnings, "Your kernel does not support AppArmor. The profile %.200s has no effect.", s.apparmor);
	security_labels(hc, &labels);
	if (selinux && selinux_check(&labels, err) < 0)
		return -1;
	if (!selinux && labels.len && !strv_contains(&labels, "disable"))
		strv_add(warnings, "SELinux is not enabled. The label options have no effect.");
	if (s.writable_cgroups.v && hc->cgroupns_mode && streq(hc->cgroupns_mode, "host"))
		strv_add(warnings, "The whole of the host's cgroups is writable: writable-cgroups with the host's cgroup namespace.");
	return 0;
}
