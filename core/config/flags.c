/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line: --flag=value, --flag value, -f value, -fvalue, -abc; and the flags of older engines. */
#include "base/cleanup.h"
#include "config/value.h"

#define EXIT_USAGE 125

struct args {
	struct config *cfg;
	int argc, at;           /* at: next argument */
	char *const *argv;
	struct err *err;
	const struct legacy *alias[OPT_COUNT]; /* the older flag that set this option */
};

static const struct legacy legacies[] = {
	{ "graph", "graph", 'g', false, LEGACY_ALIAS, "data-root", "--graph is now called --data-root", NULL },
	{ NULL, "host-gateway-ip", 0, false, LEGACY_ALIAS, "host-gateway-ip", NULL, NULL },
	{ "daemon", NULL, 'd', true, LEGACY_IGNORED, NULL, "--daemon is not needed: dockerd is the daemon", NULL },
	{ "exec-driver", "exec-driver", 'e', false, LEGACY_REFUSED, NULL,
		"--exec-driver is gone: OCI runtimes are chosen with --default-runtime and --add-runtime", "native" },
	{ "api-enable-cors", "api-enable-cors", 0, true, LEGACY_REFUSED, NULL,
		"--api-enable-cors is gone: put a reverse proxy that sets the CORS headers before the API", "false" },
	{ "api-cors-header", "api-cors-header", 0, false, LEGACY_REFUSED, NULL,
		"--api-cors-header is gone: put a reverse proxy that sets the CORS headers before the API", "" },
	{ "disable-legacy-registry", "disable-legacy-registry", 0, true, LEGACY_IGNORED, NULL,
		"--disable-legacy-registry is not needed: registries of version 1 are never spoken to", NULL },
	{ "oom-score-adjust", "oom-score-adjust", 0, false, LEGACY_IGNORED, NULL,
		"--oom-score-adjust has no effect: set OOMScoreAdjust= in the service's unit", NULL },
	{ "allow-nondistributable-artifacts", "allow-nondistributable-artifacts", 0, false, LEGACY_IGNORED, NULL,
		"--allow-nondistributable-artifacts has no effect: such layers are no longer special", NULL },
	{ "deprecated-key-path", "deprecated-key-path", 0, false, LEGACY_IGNORED, NULL,
		"--deprecated-key-path has no effect: the daemon's identity is the file engine-id of its data root", NULL },
	{ "identity", NULL, 'i', false, LEGACY_REFUSED, NULL,
		"--identity is gone: name certificates with --tlscacert, --tlscert and --tlskey", NULL },
	{ "default-network", NULL, 0, false, LEGACY_REFUSED, NULL,
		"--default-network is gone: name the network of each container with docker run --network", NULL },
	{ "kv-store", NULL, 0, false, LEGACY_REFUSED, NULL,
		"--kv-store is gone: name the store with --cluster-store", NULL },
};

const struct legacy *legacy_by_flag(const char *flag, char letter)
{
	for (size_t i = 0; i < ARRAY_LEN(legacies); i++)
		if (flag ? legacies[i].flag && streq(legacies[i].flag, flag) : legacies[i].letter &&
			legacies[i].letter == letter)
			return &legacies[i];
	return NULL;
}

const struct legacy *legacy_by_key(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(legacies); i++)
		if (legacies[i].key && streq(legacies[i].key, key))
			return &legacies[i];
	return NULL;
}

/* "-D, --debug" as error texts show a flag. */
static char *shown(const char *flag, char letter)
{
	return letter ? xasprintf("-%c, --%s", letter, flag) : xasprintf("--%s", flag);
}

static int twice(struct args *a, const struct legacy *old, int id)
{
	return err_set(a->err, ERR_INVALID, "cannot specify both \"--%s\" and \"--%s\" option", old->flag, opts[id].flag);
}

static int set_legacy(struct args *a, const struct legacy *old, const char *value)
{
	OWN_ERR struct err e = ERR_INIT;
	int id;

	if (old->act == LEGACY_REFUSED && !(old->fine && streq(old->fine, value)))
		return err_set(a->err, ERR_INVALID, "%s", old->text);
	if (old->text)
		strv_add(&a->cfg->warnings, old->text);
	if (old->act != LEGACY_ALIAS)
		return 0;
	id = opt_by_flag(old->to, 0);
	if (a->cfg->from[id] == FROM_FLAG && a->alias[id] != old)
		return twice(a, old, id);
	a->alias[id] = old;
	if (opt_set_text(a->cfg, (enum opt_id)id, value, &e) < 0)
		return err_set(a->err, ERR_INVALID, "invalid argument \"%s\" for \"--%s\" flag: %s", value, old->flag,
			err_text(&e));
	a->cfg->from[id] = FROM_FLAG;
	return 0;
}

static int set_flag(struct args *a, int id, const char *value)
{
	OWN_FREE char *name = NULL;
	OWN_ERR struct err e = ERR_INIT;

	if (a->alias[id])
		return twice(a, a->alias[id], id);
	if (opt_set_text(a->cfg, (enum opt_id)id, value, &e) < 0) {
		name = shown(opts[id].flag, opts[id].letter);
		return err_set(a->err, ERR_INVALID, "invalid argument \"%s\" for \"%s\" flag: %s", value, name, err_text(&e));
	}
	a->cfg->from[id] = FROM_FLAG;
	return 0;
}

/* --name, --name=value, --name value */
static int parse_long(struct args *a, const char *arg)
{
	OWN_FREE char *name = xstrdup(arg + 2);
	char *value = strchr(name, '=');
	const struct legacy *old = NULL;
	int id;

	if (*name == '-' || *name == '=')
		return err_set(a->err, ERR_INVALID, "bad flag syntax: %s", arg);
	if (value)
		*value++ = '\0';
	id = opt_by_flag(name, 0);
	if (id < 0 && !(old = legacy_by_flag(name, 0)))
		return err_set(a->err, ERR_INVALID, "unknown flag: --%s", name);
	if (!value) {
		if (old ? old->is_bool : opts[id].kind == OPT_KIND_BOOL)
			value = (char *)"true";
		else if (a->at < a->argc)
			value = a->argv[a->at++];
		else
			return err_set(a->err, ERR_INVALID, "flag needs an argument: --%s", name);
	}
	return old ? set_legacy(a, old, value) : set_flag(a, id, value);
}

/* -D, -DX, -Hvalue, -H=value, -H value */
static int parse_short(struct args *a, const char *arg)
{
	for (const char *p = arg + 1; *p; p++) {
		const struct legacy *old = NULL;
		int id = opt_by_flag(NULL, *p);
		const char *value;

		if (id < 0 && !(old = legacy_by_flag(NULL, *p)))
			return err_set(a->err, ERR_INVALID, "unknown shorthand flag: '%c' in %s", *p, arg);
		if (p[1] == '=') {
			value = p + 2;
		} else if (old ? old->is_bool : opts[id].kind == OPT_KIND_BOOL) {
			if ((old ? set_legacy(a, old, "true") : set_flag(a, id, "true")) < 0)
				return -1;
			continue;
		} else if (p[1]) {
			value = p + 1;
		} else if (a->at < a->argc) {
			value = a->argv[a->at++];
		} else {
			return err_set(a->err, ERR_INVALID, "flag needs an argument: '%c' in %s", *p, arg);
		}
		return old ? set_legacy(a, old, value) : set_flag(a, id, value);
	}
	return 0;
}

static int parse_all(struct args *a, int *extra)
{
	while (a->at < a->argc) {
		const char *arg = a->argv[a->at++];

		if (streq(arg, "--")) {
			*extra += a->argc - a->at;
			return 0;
		}
		if (arg[0] != '-' || !arg[1]) {
			++*extra;
			continue;
		}
		if ((arg[1] == '-' ? parse_long(a, arg) : parse_short(a, arg)) < 0)
			return -1;
		if (a->cfg->help)
			return 0;
	}
	return 0;
}

int config_parse_args(struct config *cfg, int argc, char *const argv[], enum config_what *ret, int *ret_exit, struct err *err)
{
	struct args a = { .cfg = cfg, .argc = argc, .at = 1, .argv = argv, .err = err };
	OWN_FREE char *why = NULL;
	int extra = 0;

	*ret = CONFIG_RUN;
	if (parse_all(&a, &extra) < 0) {
		why = xstrdup(err_text(err));
		*ret_exit = EXIT_USAGE;
		return err_set(err, ERR_INVALID, "%s\nSee 'dockerd --help'.", why);
	}
	if (cfg->help) {
		*ret = CONFIG_SHOW_HELP;
		return 0;
	}
	if (cfg->version) {
		*ret = CONFIG_SHOW_VERSION;
		return 0;
	}
	if (extra) {
		*ret_exit = 1;
		return err_set(err, ERR_INVALID, "\"dockerd\" accepts no arguments.\nSee 'dockerd --help'.\n\n"
			"Usage:  dockerd [OPTIONS]\n\nA self-sufficient runtime for containers.");
	}
	return 0;
}
