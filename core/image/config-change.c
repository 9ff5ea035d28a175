/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dockerfile instructions that change a configuration: --change of import and commit. */
#include "image/config-change.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "image/archive.h"

#define TEXT_MAX (1u << 20)
#define FLAGS_MAX 16

/* One instruction. */
struct step {
	char *text;              /* owned; the parts below point into it */
	const char *name;        /* upper case */
	const char *rest;        /* behind name and flags, trimmed */
	struct strv flags;       /* "name=value" */
};

struct change {
	struct image_config *cfg;
	const struct step *step;
	bool *cmd_set;           /* CMD came before: ENTRYPOINT leaves it */
	struct err *err;
};

static int read_step(char *line, struct step *ret, struct err *err);
static int run_step(struct image_config *cfg, const struct step *st, bool *cmd_set, struct err *err);

static bool blank(char c) { return isspace((unsigned char)c); }

/* The next logical line, continuations joined; owned by the caller, NULL at the end. Comments and empty lines are skipped. */
static char *next_line(const char **p)
{
	OWN_BUF struct buf b = { 0 };
	bool more = true;

	while (**p && more) {
		size_t n = strcspn(*p, "\n"), end = n;
		const char *line = *p;
		size_t lead = 0;

		*p += n + ((*p)[n] == '\n');
		while (lead < n && blank(line[lead]))
			lead++;
		if (lead == n || line[lead] == '#')
			continue;
		while (end && (line[end - 1] == ' ' || line[end - 1] == '\t' || line[end - 1] == '\r'))
			end--;
		more = end && line[end - 1] == '\\';
		buf_add(&b, line, more ? end - 1 : n);
	}
	return b.size ? buf_steal(&b) : NULL;
}

int image_config_change(struct image_config *cfg, const struct strv *changes, struct err *err)
{
	OWN_FREE char *text = strv_join(changes, "\n");
	const char *p = text;
	bool cmd_set = false, any = false;
	char *line;

	if (!changes->len)
		return 0;
	if (strlen(text) > TEXT_MAX)
		return err_set(err, ERR_TOO_LARGE, "changes are larger than %u bytes", TEXT_MAX);
	while ((line = next_line(&p))) {
		struct step st;
		int rc = read_step(line, &st, err);

		any = true;
		if (rc == 0)
			rc = run_step(cfg, &st, &cmd_set, err);
		strv_done(&st.flags);
		free(st.text);
		if (rc < 0)
			return -1;
	}
	return any ? 0 : err_set(err, ERR_INVALID, "file with no instructions");
}

static int only_args(struct change *c, bool one, const char **ret)
{
	*ret = c->step->rest;
	if (!**ret)
		return err_set(c->err, ERR_INVALID, "%s requires %s argument", c->step->name, one ? "exactly one" : "at least one");
	return 0;
}

static void set_words(struct strv *dst, struct strv *src)
{
	strv_done(dst);
	*dst = *src;
	dst->set = true;
	*src = (struct strv){ 0 };
}

/* The JSON form as it is, else the shell in front of the text. */
static int command(struct change *c, struct strv *ret)
{
	int json = change_json(c->step->rest, ret, c->err);

	if (json)
		return json < 0 ? -1 : 0;
	if (c->cfg->shell.len) {
		strv_copy(ret, &c->cfg->shell);
	} else {
		strv_add(ret, "/bin/sh");
		strv_add(ret, "-c");
	}
	if (*c->step->rest)
		strv_add(ret, c->step->rest);
	return 0;
}

static int do_cmd(struct change *c)
{
	OWN_STRV struct strv words = { 0 };

	if (command(c, &words) < 0)
		return -1;
	set_words(&c->cfg->cmd, &words);
	*c->cmd_set = true;
	return 0;
}

static int do_entrypoint(struct change *c)
{
	OWN_STRV struct strv words = { 0 };

	if (*c->step->rest && command(c, &words) < 0)
		return -1;
	if (words.len)
		set_words(&c->cfg->entrypoint, &words);
	else
		strv_done(&c->cfg->entrypoint);
	if (!*c->cmd_set)
		strv_done(&c->cfg->cmd);
	return 0;
}

/* Name and value pairs of ENV and LABEL, expanded with the environment as it was before. */
static int pairs(struct change *c, struct strmap *ret)
{
	OWN_STRV struct strv words = { 0 }, raw = { 0 };
	const char *rest;

	if (only_args(c, false, &rest) < 0)
		return -1;
	change_words(rest, &words);
	if (!strchr(words.v[0], '=')) {
		size_t n = strcspn(rest, " \t");
		const char *value = rest + n;

		while (blank(*value))
			value++;
		if (!*value)
			return err_set(c->err, ERR_INVALID, "%s must have two arguments", c->step->name);
		strv_take(&raw, xstrndup(rest, n));
		strv_add(&raw, value);
	}
	for (size_t i = 0; !raw.len && i < words.len; i++)
		if (!strchr(words.v[i], '='))
			return err_set(c->err, ERR_INVALID, "Syntax error - can't find = in \"%s\". Must be of the form: name=value", words.v[i]);
	for (size_t i = 0; i < (raw.len ? 1 : words.len); i++) {
		const char *eq = raw.len ? NULL : strchr(words.v[i], '=');
		OWN_FREE char *raw_name = raw.len ? xstrdup(raw.v[0]) : xstrndup(words.v[i], (size_t)(eq - words.v[i]));
		OWN_FREE char *name = change_expand(raw_name, &c->cfg->env, c->err), *value = NULL;

		if (!name || !(value = change_expand(raw.len ? raw.v[1] : eq + 1, &c->cfg->env, c->err)))
			return -1;
		if (!*name)
			return err_set(c->err, ERR_INVALID, "%s names can not be blank", c->step->name);
		strmap_set(ret, name, value);
	}
	return 0;
}

static int do_env(struct change *c)
{
	OWN_STRMAP struct strmap m = { 0 };

	if (pairs(c, &m) < 0)
		return -1;
	for (size_t i = 0; i < m.len; i++)
		strv_env_set(&c->cfg->env, m.v[i].key, m.v[i].value);
	return 0;
}

static int do_label(struct change *c)
{
	OWN_STRMAP struct strmap m = { 0 };

	if (pairs(c, &m) < 0)
		return -1;
	for (size_t i = 0; i < m.len; i++)
		strmap_set(&c->cfg->labels, m.v[i].key, m.v[i].value);
	return 0;
}

static void set_add(struct strv *set, const char *s)
{
	if (!strv_contains(set, s))
		strv_add(set, s);
}

/* [[ip:]host:]port[-port][/proto] */
static int expose(struct change *c, const char *spec)
{
	OWN_FREE char *ports = xstrndup(spec, strcspn(spec, "/"));
	const char *slash = strchr(spec, '/'), *from = strrchr(ports, ':');
	OWN_FREE char *proto = xstrdup(slash ? slash + 1 : "tcp");
	OWN_STRV struct strv range = { 0 };
	int64_t lo, hi;

	for (char *p = proto; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!*proto)
		str_set(&proto, "tcp");
	from = from ? from + 1 : ports;
	if (!*from)
		return err_set(c->err, ERR_INVALID, "No port specified: %s<empty>", spec);
	strv_split(&range, from, "-");
	if (range.len > 2 || !str_to_i64(range.v[0], &lo) || !str_to_i64(range.v[range.len - 1], &hi) || lo < 0 || hi > 65535 || hi < lo)
		return err_set(c->err, ERR_INVALID, "Invalid containerPort: %s", from);
	if (!streq(proto, "tcp") && !streq(proto, "udp") && !streq(proto, "sctp"))
		return err_set(c->err, ERR_INVALID, "Invalid proto: %s", proto);
	if (hi - lo > 4096)
		return err_set(c->err, ERR_INVALID, "Invalid containerPort: %s: more than 4096 ports", from);
	for (; lo <= hi; lo++) {
		OWN_FREE char *port = xasprintf("%lld/%s", (long long)lo, proto);

		set_add(&c->cfg->exposed_ports, port);
	}
	return 0;
}

static int do_expose(struct change *c)
{
	OWN_STRV struct strv words = { 0 };
	const char *rest;

	if (only_args(c, false, &rest) < 0)
		return -1;
	change_fields(rest, &words);
	for (size_t i = 0; i < words.len; i++) {
		OWN_FREE char *text = change_expand(words.v[i], &c->cfg->env, c->err);
		OWN_STRV struct strv specs = { 0 };

		if (!text)
			return -1;
		change_fields(text, &specs);
		for (size_t k = 0; k < specs.len; k++)
			if (expose(c, specs.v[k]) < 0)
				return -1;
	}
	return 0;
}

static int do_onbuild(struct change *c)
{
	OWN_FREE char *trigger = NULL;
	const char *rest;

	if (only_args(c, false, &rest) < 0)
		return -1;
	trigger = xstrndup(rest, strcspn(rest, " \t"));
	for (char *p = trigger; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	if (streq(trigger, "ONBUILD"))
		return err_set(c->err, ERR_INVALID, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
	if (streq(trigger, "FROM") || streq(trigger, "MAINTAINER"))
		return err_set(c->err, ERR_INVALID, "%s isn't allowed as an ONBUILD trigger", trigger);
	strv_add(&c->cfg->onbuild, rest);
	return 0;
}

static int do_user(struct change *c)
{
	const char *rest;
	char *user;

	if (only_args(c, true, &rest) < 0 || !(user = change_expand(rest, &c->cfg->env, c->err)))
		return -1;
	free(c->cfg->user);
	c->cfg->user = user;
	return 0;
}

static int do_volume(struct change *c)
{
	OWN_STRV struct strv paths = { 0 };
	const char *rest;

	if (only_args(c, false, &rest) < 0)
		return -1;
	switch (change_json(rest, &paths, c->err)) {
	case -1:
		return -1;
	case 0:
		change_fields(rest, &paths);
	}
	if (!paths.len)
		return err_set(c->err, ERR_INVALID, "VOLUME requires at least one argument");
	for (size_t i = 0; i < paths.len; i++) {
		OWN_FREE char *path = change_expand(paths.v[i], &c->cfg->env, c->err);

		if (!path)
			return -1;
		if (!path[strspn(path, " \t")])
			return err_set(c->err, ERR_INVALID, "VOLUME specified can not be an empty string");
		set_add(&c->cfg->volumes, path);
	}
	return 0;
}

/* An absolute path of plain components. */
static char *clean_path(const char *base, const char *path)
{
	OWN_FREE char *all = xasprintf("%s/%s", base ? base : "", path);
	OWN_BUF struct buf b = { 0 };

	for (const char *p = all; *p; p += *p == '/') {
		size_t n = strcspn(p, "/");

		if (n == 2 && memcmp(p, "..", 2) == 0) {
			while (b.size && b.data[--b.size] != '/')
				;
		} else if (n && !(n == 1 && *p == '.')) {
			buf_addc(&b, '/');
			buf_add(&b, p, n);
		}
		p += n;
	}
	return b.size ? xstrndup(b.data, b.size) : xstrdup("/");
}

static int do_workdir(struct change *c)
{
	OWN_FREE char *path = NULL;
	const char *rest;

	if (only_args(c, true, &rest) < 0 || !(path = change_expand(rest, &c->cfg->env, c->err)))
		return -1;
	if (!*path)
		return err_set(c->err, ERR_INVALID, "cannot normalize nothing");
	if (*path != '/') {
		char *absolute = clean_path(c->cfg->working_dir, path);

		free(path);
		path = absolute;
	}
	free(c->cfg->working_dir);
	c->cfg->working_dir = STEAL(path);
	return 0;
}

static int health_flag(struct change *c, const char *flag, struct image_health *h)
{
	static const struct { const char *name; size_t offset; } durations[] = {
		{ "interval", offsetof(struct image_health, interval) }, { "timeout", offsetof(struct image_health, timeout) },
		{ "start-period", offsetof(struct image_health, start_period) },
		{ "start-interval", offsetof(struct image_health, start_interval) },
	};
	size_t n = strcspn(flag, "=");
	const char *value = flag[n] ? flag + n + 1 : "";

	if (!flag[n])
		return err_set(c->err, ERR_INVALID, "Missing a value on flag: %s", flag);
	for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
		int64_t *at = (int64_t *)((char *)h + durations[i].offset);

		if (strlen(durations[i].name) != n || strncmp(durations[i].name, flag, n) != 0)
			continue;
		if (*value && !clock_parse_duration(value, at))
			return err_set(c->err, ERR_INVALID, "time: invalid duration \"%s\"", value);
		if (*at < 1000000 && *at != 0)
			return err_set(c->err, ERR_INVALID, "Interval \"%s\" cannot be less than 1ms", durations[i].name);
		return 0;
	}
	if (n != strlen("retries") || strncmp(flag, "retries", n) != 0)
		return err_set(c->err, ERR_INVALID, "Unknown flag: %.*s", (int)n, flag);
	if (*value && !str_to_i64(value, &h->retries))
		return err_set(c->err, ERR_INVALID, "strconv.ParseInt: parsing \"%s\": invalid syntax", value);
	if (h->retries < 0)
		return err_set(c->err, ERR_INVALID, "--retries must be at least 1 (not %lld)", (long long)h->retries);
	return 0;
}

static int health_test(struct change *c, struct strv *test)
{
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *type = NULL;
	const char *rest;
	size_t n;
	int json;

	if (only_args(c, false, &rest) < 0)
		return -1;
	n = strcspn(rest, " \t");
	type = xstrndup(rest, n);
	for (rest += n; blank(*rest); rest++)
		;
	if (strcasecmp(type, "NONE") == 0) {
		strv_add(test, "NONE");
		return *rest ? err_set(c->err, ERR_INVALID, "HEALTHCHECK NONE takes no arguments") : 0;
	}
	if (strcasecmp(type, "CMD") != 0)
		return err_set(c->err, ERR_INVALID, "Unknown type \"%s\" in HEALTHCHECK (try CMD)", type);
	json = change_json(rest, &words, c->err);
	if (json < 0)
		return -1;
	if (!*rest || (json && !words.len))
		return err_set(c->err, ERR_INVALID, "Missing command after HEALTHCHECK CMD");
	strv_add(test, json ? "CMD" : "CMD-SHELL");
	for (size_t i = 0; i < words.len; i++)
		strv_add(test, words.v[i]);
	if (!json)
		strv_add(test, rest);
	return 0;
}

static int do_healthcheck(struct change *c)
{
	struct image_health *h = xcalloc(1, sizeof(*h));
	int rc = health_test(c, &h->test);

	for (size_t i = 0; rc == 0 && i < c->step->flags.len; i++)
		rc = health_flag(c, c->step->flags.v[i], h);
	if (rc < 0) {
		jdesc_clear(&image_health_desc, h);
		free(h);
		return -1;
	}
	if (c->cfg->health) {
		jdesc_clear(&image_health_desc, c->cfg->health);
		free(c->cfg->health);
	}
	c->cfg->health = h;
	return 0;
}

static bool is_signal(const char *s)
{
	int64_t n;

	if (str_to_i64(s, &n))
		return n > 0 && n <= 64;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RTMIN", 5) == 0 || strncasecmp(s, "RTMAX", 5) == 0)
		return !s[5] || ((s[5] == '+' || s[5] == '-') && str_to_i64(s + 6, &n) && n >= 0 && n <= 15);
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strcasecmp(sigabbrev_np(i), s) == 0)
			return true;
	return false;
}

static int do_stopsignal(struct change *c)
{
	OWN_FREE char *sig = NULL;
	const char *rest;

	if (only_args(c, true, &rest) < 0 || !(sig = change_expand(rest, &c->cfg->env, c->err)))
		return -1;
	if (!is_signal(sig))
		return err_set(c->err, ERR_INVALID, "invalid signal: %s", sig);
	free(c->cfg->stop_signal);
	c->cfg->stop_signal = STEAL(sig);
	return 0;
}

static int run_step(struct image_config *cfg, const struct step *st, bool *cmd_set, struct err *err)
{
	static const struct { const char *name; int (*run)(struct change *c); bool flags; } table[] = {
		{ "CMD", do_cmd, false }, { "ENTRYPOINT", do_entrypoint, false }, { "ENV", do_env, false },
		{ "EXPOSE", do_expose, false }, { "HEALTHCHECK", do_healthcheck, true }, { "LABEL", do_label, false },
		{ "ONBUILD", do_onbuild, false }, { "STOPSIGNAL", do_stopsignal, false }, { "USER", do_user, false },
		{ "VOLUME", do_volume, false }, { "WORKDIR", do_workdir, false },
	};
	struct change c = { cfg, st, cmd_set, err };
	OWN_FREE char *lower = NULL;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!streq(table[i].name, st->name))
			continue;
		if (st->flags.len && !table[i].flags)
			return err_set(err, ERR_INVALID, "Unknown flag: %.*s", (int)strcspn(st->flags.v[0], "="), st->flags.v[0]);
		return table[i].run(&c);
	}
	lower = xstrdup(st->name);
	for (char *p = lower; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return err_set(err, ERR_INVALID, "%.100s is not a valid change command", lower);
}

/* Takes over line. */
static int read_step(char *line, struct step *ret, struct err *err)
{
	char *p = line, *end = line + strlen(line);

	*ret = (struct step){ .text = line };
	while (end > line && blank(end[-1]))
		*--end = '\0';
	while (blank(*p))
		p++;
	ret->name = p;
	for (; *p && !blank(*p); p++)
		*p = (char)toupper((unsigned char)*p);
	for (;;) {
		size_t n;

		if (*p)
			*p++ = '\0';
		while (blank(*p))
			p++;
		ret->rest = p;
		n = strcspn(p, " \t\n");
		if (strncmp(p, "--", 2) != 0 || streq(ret->name, "ONBUILD"))
			return 0;
		if (n == 2) { /* the end of the flags */
			for (p += 2; blank(*p); p++)
				;
			ret->rest = p;
			return 0;
		}
		if (ret->flags.len >= FLAGS_MAX)
			return err_set(err, ERR_INVALID, "%s has too many flags", ret->name);
		strv_take(&ret->flags, xstrndup(p + 2, n - 2));
		p += n;
	}
}
