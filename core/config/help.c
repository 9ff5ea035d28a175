/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* --help, --version and the option list of dockerd(8), out of the table. */
#include "base/cleanup.h"
#include "config/value.h"

static bool in_help(int id) { return opts[id].flag && !(opts[id].bits & OPT_HIDDEN); }

/* "      --mtu int" or "  -D, --debug" */
static char *left_column(int id)
{
	const struct opt *o = &opts[id];

	if (o->letter && id != OPT_ID_help)
		return xasprintf("  -%c, --%s%s%s", o->letter, o->flag, *o->word ? " " : "", o->word);
	return xasprintf("      --%s%s%s", o->flag, *o->word ? " " : "", o->word);
}

static void add_default(const struct config *cfg, int id, struct buf *out)
{
	OWN_FREE char *text = opt_text(cfg, (enum opt_id)id);

	switch (opts[id].kind) {
	case OPT_KIND_STR:
		if (*text)
			buf_addf(out, " (default \"%s\")", text);
		break;
	case OPT_KIND_BOOL:
		if (streq(text, "true"))
			buf_addf(out, " (default true)");
		break;
	case OPT_KIND_BYTES:
		buf_addf(out, " (default %s)", opts[id].def);
		break;
	case OPT_KIND_INT:
	case OPT_KIND_IP:
		if (*text && !streq(text, "0"))
			buf_addf(out, " (default %s)", text);
		break;
	default:
		break;
	}
}

void config_help(struct buf *out)
{
	struct config cfg;
	size_t width = 0;

	config_init(&cfg);
	for (int id = 0; id < OPT_COUNT; id++) {
		OWN_FREE char *left = in_help(id) ? left_column(id) : NULL;

		if (left && strlen(left) > width)
			width = strlen(left);
	}
	buf_adds(out, "\nUsage:\tdockerd [OPTIONS]\n\nA self-sufficient runtime for containers.\n\nOptions:\n");
	for (int id = 0; id < OPT_COUNT; id++) {
		OWN_FREE char *left = NULL;

		if (!in_help(id))
			continue;
		left = left_column(id);
		buf_addf(out, "%-*s   %s", (int)width, left, opts[id].help);
		add_default(&cfg, id, out);
		buf_addc(out, '\n');
	}
	config_done(&cfg);
}

/* Roff text: hyphens and backslashes are escaped. */
static void add_roff(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '-')
			buf_adds(out, "\\-");
		else if (*s == '\\')
			buf_adds(out, "\\e");
		else
			buf_addc(out, *s);
	}
}

void config_man(struct buf *out)
{
	for (int id = 0; id < OPT_COUNT; id++) {
		const struct opt *o = &opts[id];

		if (o->bits & OPT_HIDDEN)
			continue;
		buf_adds(out, ".TP\n");
		if (o->flag) {
			buf_adds(out, ".B ");
			if (o->letter)
				buf_addf(out, "\\-%c, ", o->letter);
			buf_adds(out, "\\-\\-");
			add_roff(out, o->flag);
			if (*o->word)
				buf_addf(out, " \\fI%s\\fR", o->word);
			buf_addc(out, '\n');
		} else {
			buf_adds(out, "(no flag)\n");
		}
		add_roff(out, o->help);
		buf_adds(out, ".\n");
		if (o->key) {
			buf_adds(out, "Key: \\fB");
			add_roff(out, o->key);
			buf_adds(out, "\\fR.\n");
		}
		if (o->def && *o->def && !streq(o->def, "false")) {
			buf_adds(out, "Default: ");
			add_roff(out, o->def);
			buf_adds(out, ".\n");
		}
		if (o->bits & OPT_RELOAD)
			buf_adds(out, "Read again at SIGHUP.\n");
		if (o->bits & OPT_INERT)
			buf_adds(out, "Accepted, without effect in this version.\n");
	}
}

void config_version(struct buf *out)
{
	buf_addf(out, "Docker version %s, build %s\n", PACKAGE_VERSION, DKD_GITCOMMIT);
}
